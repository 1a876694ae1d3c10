"""Texts as words and the gaps between them, so that words can be left out, moved and joined again."""

import re
from collections.abc import Sequence

from kiln.modalities.text.formats import SEPARATOR

# Scripts without spaces between words, in which every character counts as a word: Thai, Lao, Tibetan, Burmese,
# Khmer, Chinese and Japanese with their full-width signs. Korean has spaces.
SPACELESS = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fff\u3001-\u312f\u31a0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\uff00-\uff9f\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"([{SPACELESS}]|[^\s{SPACELESS}]+)")
_SPACELESS_CHARACTER = re.compile(rf"[{SPACELESS}]")


def split(text: str) -> tuple[list[str], list[str]]:
    """Split a text into words and gaps.

    Returns:
        The words, and the gaps (white space and ``SEPARATOR``, often empty) before, between and after them, one
        more than words.
    """
    parts = _WORD.split(text)
    return parts[1::2], parts[::2]


def is_spaceless(words: Sequence[str]) -> bool:
    """Check whether most words are characters of scripts without spaces."""
    return 2 * sum(bool(_SPACELESS_CHARACTER.match(word)) for word in words) > len(words)


def join(words: Sequence[str], gaps: Sequence[str], kept: Sequence[bool] | None = None) -> str:
    """Put words together again.

    Args:
        words, gaps: as from ``split``.
        kept: which words to keep; None: all. Where one is left out, the longest gap around it stays, and every
            ``SEPARATOR``.
    """
    if kept is None:
        kept = [True] * len(words)
    pieces, around = [], [gaps[0]]
    for word, gap, keep in zip(words, gaps[1:], kept, strict=True):
        if keep:
            pieces += [_bridge(around, inner=bool(pieces)), word]
            around = []
        around.append(gap)
    return "".join([*pieces, _bridge(around, inner=False)])


def _bridge(gaps: Sequence[str], inner: bool) -> str:
    if len(gaps) == 1:
        return gaps[0]
    separators = SEPARATOR * sum(gap.count(SEPARATOR) for gap in gaps)
    return separators or (max if inner else min)(gaps, key=len)
