"""Runs of characters, by which texts are compared: the same for scripts with spaces between words and without."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np

from kiln.core import randomness

# Soft hyphens, zero-width characters, marks of direction: what the eye does not see.
_INVISIBLE = re.compile("[\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
# Where terms and not copies are sought, what is beyond so many characters of a text is not looked at.
LONGEST = 10_000
_FEWEST = 1_000
# Texts per batch, and about how many characters.
_TEXTS, _CHARACTERS = 2048, 500_000


def normalize(text: str) -> str:
    """Bring a text to the form in which copies are equal: compatibility forms, case, blanks and what is unseen."""
    return " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold().split())


def hash_runs(texts: Sequence[str], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash every run of characters.

    Args:
        texts: N strings.
        length: of a run; a shorter text is one run.

    Returns:
        The hashes of all texts one after the other, uint64 [S], and where those of each text start and end,
        int64 [N + 1].
    """
    padded = [text.ljust(length, "\0") for text in texts]
    points = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), np.uint32)
    counts = np.array([len(text) for text in padded], np.int64) - (length - 1)
    ends = np.concatenate([[0], np.cumsum(counts)])
    # A text has length - 1 more characters than runs.
    places = np.arange(ends[-1]) + np.repeat(np.arange(len(texts)) * (length - 1), counts)
    return randomness.key(*(points[places + step] for step in range(length))), ends


def afford(values, rows: np.ndarray, texts: int, characters: int) -> int:
    """Count how many texts are affordable, from the first on: so many at most, and so many characters together.

    A few are, however long they are.
    """
    lengths = np.array([len(text) for _, part in batches(values, rows[:texts], LONGEST) for text in part], np.int64)
    return min(len(lengths), max(_FEWEST, int(np.searchsorted(np.cumsum(lengths), characters))))


def batches(values, rows: np.ndarray, longest: int | None = None) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Yield places in ``rows`` and their texts, so many at once that their runs fit into little memory.

    Args:
        values: strings [N].
        rows: integers [M].
        longest: what is beyond so many characters of a text is left out.
    """
    for start in range(0, len(rows), _TEXTS):
        texts = [text[:longest] for text in values[rows[start : start + _TEXTS]]]
        part = np.cumsum([len(text) for text in texts]) // _CHARACTERS
        for number in np.unique(part):
            inside = np.flatnonzero(part == number)
            yield start + inside, [texts[place] for place in inside]
