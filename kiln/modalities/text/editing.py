"""Changes to a single text, for augmentation and corruptions: words and letters left out, swapped, mistyped.

Each takes a text, a share from 0 to 1, and ``draw``, which returns so many uniform numbers in [0, 1). Words are what
stands between spaces; in scripts without spaces, characters. None takes all words away or moves one across
``SEPARATOR``.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from kiln.modalities.text import pieces
from kiln.modalities.text.formats import MASKED, SEPARATOR

Draw = Callable[[int], np.ndarray]

# Letters as they lie on keyboards, row by row: Latin (QWERTY) and Cyrillic.
_KEYBOARDS = (("qwertyuiop", "asdfghjkl", "zxcvbnm"), ("йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю"))


def _list_neighbours(rows: tuple[str, ...]) -> dict[str, str]:
    # Each row lies half a key to the right of the one above.
    places = {key: (column + row / 2, row) for row, keys in enumerate(rows) for column, key in enumerate(keys)}

    def near(key: str, other: str) -> bool:
        return key != other and all(abs(a - b) <= 1 for a, b in zip(places[key], places[other], strict=True))

    return {key: "".join(other for other in places if near(key, other)) for key in places}


NEIGHBOURS = {key: beside for rows in _KEYBOARDS for key, beside in _list_neighbours(rows).items()}


def crop(text: str, share: float, draw: Draw) -> str:
    """Keep a run of words; up to the share of them is cut off at the ends."""
    words, gaps = pieces.split(text)
    cut, place = draw(2)
    gone = int(cut * share * len(words))
    start = int(place * (gone + 1))
    kept = np.zeros(len(words), bool)
    kept[start : start + len(words) - gone] = True
    return pieces.join(words, gaps, kept.tolist())


def truncate(text: str, share: float, draw: Draw) -> str:
    """Cut off the share of the words at the end."""
    words, gaps = pieces.split(text)
    kept = np.arange(len(words)) < max(1, len(words) - round(share * len(words)))
    return pieces.join(words, gaps, kept.tolist())


def drop_words(text: str, share: float, draw: Draw) -> str:
    """Leave out each word with this probability."""
    words, gaps = pieces.split(text)
    if not words:
        return text
    draws = draw(len(words))
    kept = draws >= share
    kept[draws.argmax()] = True
    return pieces.join(words, gaps, kept.tolist())


def mask_words(text: str, share: float, draw: Draw) -> str:
    """Put ``MASKED`` in the place of each word with this probability; at least one word stays.

    It is a character, so that a view is a text as any other; the tokenizer gives it the number of <mask>.
    """
    words, gaps = pieces.split(text)
    if not words:
        return text
    draws = draw(len(words))
    hidden = draws < share
    hidden[draws.argmax()] = False
    return pieces.join([MASKED if gone else word for word, gone in zip(words, hidden, strict=True)], gaps)


def swap_words(text: str, share: float, draw: Draw) -> str:
    """Swap each word with the next one with this probability; none moves twice."""
    words, gaps = pieces.split(text)
    return pieces.join(_swap(words, [SEPARATOR in gap for gap in gaps[1:]], share, draw), gaps)


def _swap(items: list[str], parted: list[bool], share: float, draw: Draw) -> list[str]:
    """Swap items with the next ones, except where the two are parted."""
    items, moved = list(items), -1
    for index in np.flatnonzero(draw(len(items))[:-1] < share):
        if index != moved and not parted[index]:
            items[index], items[index + 1] = items[index + 1], items[index]
            moved = index + 1
    return items


def swap_letters(text: str, share: float, draw: Draw) -> str:
    """Swap each letter with the next one of its word with this probability; none moves twice."""
    parted = [not (one.isalpha() and two.isalpha()) for one, two in pairwise(text)]
    return "".join(_swap(list(text), parted, share, draw))


def drop_letters(text: str, share: float, draw: Draw) -> str:
    """Leave out each letter with this probability."""
    kept = draw(len(text)) >= share
    changed = "".join(letter for letter, keep in zip(text, kept, strict=True) if keep or not letter.isalpha())
    return changed if changed.strip() else text


def press_beside(text: str, share: float, draw: Draw) -> str:
    """Replace each letter with this probability by one beside it on the keyboard, in the same case."""
    letters, draws = list(text), draw(len(text))
    for index in np.flatnonzero(draws < share):
        letter = letters[index]
        if beside := NEIGHBOURS.get(letter.lower()):
            typed = beside[int(draws[index] / share * len(beside))]  # below the share, draws are uniform too
            letters[index] = typed.upper() if letter.isupper() else typed
    return "".join(letters)
