"""Frequent errors of spelling, by rule.

The kinds are those that collections of English errors find most often: a letter doubled or not, ei
for ie, a vowel for another where it is hardly heard, two letters swapped; rarely at the first letter
(Yannakoudakis and Fawthrop, "The rules of spelling errors", Information Processing & Management 19,
1983; Pollock and Zamora, "Automatic spelling correction in scientific and scholarly text",
Communications of the ACM 27, 1984). By rule and not by a list of words, so that any language in
Latin letters has them.
"""

import re

from kiln.modalities.text.editing import Draw

_WORD = re.compile("[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]{4,}")
_CONSONANTS = "bcdfglmnprst"  # those that are written double
_VOWELS = {"a": "e", "e": "a", "i": "e", "o": "u", "u": "o"}


def misspell(text: str, share: float, draw: Draw) -> str:
    """Misspell each word of four Latin letters or more with this probability, by one error; its first letter stays."""
    found = list(_WORD.finditer(text))
    draws = draw(3 * len(found)).reshape(-1, 3)
    pieces, end = [], 0
    for word, (whether, kind, place) in zip(found, draws, strict=True):
        if whether < share:
            pieces += [text[end : word.start()], _err(word[0], kind, place)]
            end = word.end()
    return "".join([*pieces, text[end:]])


def _err(word: str, kind: float, place: float) -> str:
    """Make one error; ``kind`` and ``place``, in [0, 1), choose among the kinds that the word allows, and places."""
    kinds = [errors for errors in list_errors(word).values() if errors]
    errors = kinds[int(kind * len(kinds))]
    return errors[int(place * len(errors))]


def list_errors(word: str) -> dict[str, list[str]]:
    """List the errors that a word allows, by kind; there is always one.

    Args:
        word: of four letters or more.
    """
    lower = "".join(letter.lower()[0] for letter in word)  # of some letters it is two
    errors = {"undoubled": [], "doubled": [], "ei for ie": [], "other vowel": [], "swapped": []}
    for at in range(1, len(word)):
        before, letter, after = lower[at - 1], lower[at], lower[at + 1 : at + 2]
        if letter == before:
            errors["undoubled"].append(word[:at] + word[at + 1 :])
        elif letter in _CONSONANTS and before in _VOWELS and after in (*_VOWELS, "y"):
            errors["doubled"].append(word[: at + 1] + word[at:])
        if letter + after in ("ie", "ei"):
            errors["ei for ie"].append(_swap(word, at))
        # In the middle and alone: beside another vowel it is heard.
        elif letter in _VOWELS and after and before not in _VOWELS and after not in _VOWELS:
            other = _VOWELS[letter]
            errors["other vowel"].append(word[:at] + (other.upper() if word[at].isupper() else other) + word[at + 1 :])
        if after and after != letter:
            errors["swapped"].append(_swap(word, at))
    return errors


def _swap(word: str, at: int) -> str:
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
