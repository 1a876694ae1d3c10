"""Measures of single texts that reveal faults, and by which test texts are sliced."""

import numpy as np
import pandas as pd

from kiln.modalities.base import Check

# In the order of examination: a text that is set aside for one reason is not examined for the next.
CHECKS = {
    "too_short": Check("characters", "below", "min_chars"),
    "too_long": Check("characters", "above", "max_chars"),
    "other_script": Check("script_share", "below", "min_script_share"),
    "other_language": Check("language", "below", "min_language"),
    "markup": Check("markup", "above", "max_markup"),
    "personal_data": Check("personal", "above", "max_personal"),
    "repetitive": Check("repetition", "above", "max_repetition"),
}
# measure by which test texts are sliced -> (title, name of the lowest slice, of the highest)
SLICES = {
    "characters": ("length in characters", "shortest", "longest"),
    "script_share": ("share of letters in the usual script", "fewest", "most"),
}
_RUN = 8
# Shorter texts repeat by chance, and longer ones show what they are at their beginning.
_SHORTEST, _LONGEST = 24, 20_000


def measure(values: np.ndarray) -> pd.DataFrame:
    """Measure texts.

    Args:
        values: strings [N].

    Returns:
        One row per text, float32: repetition (the fraction of its runs of eight characters that have occurred
        before in it; NaN if it is too short). Nearly 0 for prose of any length, in scripts with spaces and without.
    """
    return pd.DataFrame({"repetition": [_repetition(text) for text in values]}, dtype=np.float32)


def _repetition(text: str) -> float:
    text = text[:_LONGEST]
    if len(text) < _SHORTEST:
        return float("nan")
    total = len(text) - _RUN + 1
    return 1 - len({text[start : start + _RUN] for start in range(total)}) / total
