"""Texts as people see them in the report: bounded, and with every hidden character made visible.

Personal data that patterns find are masked, whatever the params: the report goes into git and into mails.
"""

import json
import unicodedata
from collections.abc import Sequence

import numpy as np

from kiln.modalities.base import Exhibit
from kiln.modalities.text import personal
from kiln.modalities.text.formats import MASKED, SEPARATOR

SHOWN, PREVIEWED, LISTED = 4000, 240, 120  # characters
_MARGIN = 1000  # what is personal is shorter, so none is cut before it is masked
# Control, format and surrogate characters, and separators of lines and paragraphs: what cannot be seen, and may
# reorder what can (Boucher and Anderson, "Trojan Source", USENIX Security 2023).
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_KEPT = "\n\t\u200c\u200d"  # joiners: of emoji, and of Persian and Indian letters


class _Signs(dict):
    """Code of a character -> what is shown for it; filled as needed, for ``str.translate``."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        hidden = unicodedata.category(character) in _HIDDEN and character not in _KEPT
        self[code] = f"[U+{code:04X}]" if hidden else character
        return self[code]


_SIGNS = _Signs({ord(SEPARATOR): " | ", ord("\r"): "", ord(MASKED): "[…]"})


def make_visible(text: str) -> str:
    """Replace what cannot be seen by its code, such as [U+202E], and ``SEPARATOR`` by a bar."""
    return text.translate(_SIGNS)


def shorten(text: str, most: int) -> str:
    """Shorten a text to one line of at most ``most`` characters, and an ellipsis if any are left out."""
    line = make_visible(personal.mask(" ".join(text[: 4 * most + _MARGIN].replace(SEPARATOR, " | ").split())))
    return line if len(line) <= most and len(text) <= 4 * most else line[:most].rstrip() + " …"


def show(text: str) -> Exhibit:
    """Show a text up to ``SHOWN`` characters, with a remark on how many are left out."""
    text = personal.mask(text)
    return Exhibit("text", (make_visible(text[:SHOWN]) + describe_rest(text)).encode())


def describe_rest(text: str) -> str:
    """Say how many characters of a text are beyond those shown: empty if none."""
    rest = len(text) - SHOWN
    return f" … ({rest:,} more character{'s' * (rest > 1)})" if rest > 0 else ""


def preview(text: str) -> Exhibit:
    """Show the beginning of a text, on one line."""
    return Exhibit("text", shorten(text, PREVIEWED).encode())


def sheet(rows: Sequence[np.ndarray], columns: int) -> Exhibit:
    """Show the beginnings of many texts, row by row.

    Args:
        rows: of object [at most columns].
        columns: texts per row.
    """
    texts = [[shorten(text, LISTED) for text in row[:columns]] for row in rows]
    return Exhibit("texts", json.dumps(texts, ensure_ascii=False).encode())
