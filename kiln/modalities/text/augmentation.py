"""Random views of training texts: a part of the words, words and letters left out or swapped, slips, words hidden.

Words are left out and swapped after Wei and Zou, "EDA: easy data augmentation techniques for boosting performance on
text classification tasks", EMNLP 2019.
"""

from functools import partial

import numpy as np

from kiln.core import randomness
from kiln.modalities.text import editing, spelling
from kiln.params.text import Augment

_CHANGES = {  # strength -> what it does, in this order
    "crop": editing.crop,
    "drop_words": editing.drop_words,
    "swap_words": editing.swap_words,
    "drop_chars": editing.drop_letters,
    "swap_chars": editing.swap_letters,
    "typos": editing.press_beside,
    "misspell": spelling.misspell,
    "mask_words": editing.mask_words,
}


def is_active(strengths: Augment) -> bool:
    """Check whether any strength is above 0."""
    return any(getattr(strengths, name) > 0 for name in _CHANGES)


def apply(strengths: Augment, texts: np.ndarray, keys: np.ndarray, view: int = 0) -> np.ndarray:
    """Create one view of each text.

    Every strength has random draws of its own: adding a later one leaves what the earlier ones do unchanged.

    Args:
        strengths: the text's settings of augment; 0 is off.
        texts: object [N] of str.
        keys: uint64 [N], of the texts; the same key and view give the same text.
        view: number of the view, such as the epoch; from 0.

    Returns:
        object [N]; equal to ``texts`` where every strength is 0. No text loses all its words.
    """
    views = texts.copy()
    for name, change in _CHANGES.items():
        if strength := getattr(strengths, name):
            purposes = randomness.key(keys, view, name)
            for row, text in enumerate(views):
                views[row] = change(text, strength, partial(_draw, purposes[row : row + 1]))
    return views


def _draw(key: np.ndarray, count: int) -> np.ndarray:
    return randomness.uniform(key, count)[0]
