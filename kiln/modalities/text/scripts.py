"""The script that letters are written in, such as Latin, Cyrillic or Han."""

import functools
import unicodedata
from collections import Counter

# Scripts that are written together count as one.
_TOGETHER = {"Cjk": "Han", "Hiragana": "Han", "Katakana": "Han", "Katakana-Hiragana": "Han", "Ideographic": "Han"}
_ASCII = "Latin"


@functools.cache
def script_of(letter: str) -> str | None:
    """Name the script of a letter, by the first word of its name in Unicode; None for what is no letter.

    Python has no table of scripts; compatibility forms, such as full-width letters, count as what they stand for.
    """
    if not letter.isalpha():
        return None
    plain = unicodedata.normalize("NFKC", letter)[0]
    first = unicodedata.name(plain, "").partition(" ")[0].title()
    return _TOGETHER.get(first, first) if plain.isalpha() and first else None


def count_scripts(text: str) -> Counter:
    """Count a text's letters by script."""
    if text.isascii():
        return +Counter({_ASCII: sum(map(str.isalpha, text))})
    counts = Counter()
    for character, count in Counter(text).items():
        counts[script_of(character)] += count
    del counts[None]
    return +counts


def share_in(text: str, script: str) -> float:
    """Compute the share of a text's letters that are of a script; NaN without letters."""
    if text.isascii():
        return float(script == _ASCII) if any(map(str.isalpha, text)) else float("nan")
    counts = count_scripts(text)
    return counts[script] / counts.total() if counts else float("nan")
