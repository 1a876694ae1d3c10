"""A simple model without a network: what a network has to beat."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Baseline(NamedTuple):
    """A simple model, and how it is fitted.

    Attributes:
        name, method: for sentences: what it is, and how it is fitted.
        most, most_bytes: training samples, and bytes of them, that it is fitted on at most.
        fit: (training values [N, ...], labels int [N]) -> a function from values [M, ...] to labels, int [M].
    """

    name: str
    method: str
    most: int
    most_bytes: int
    fit: Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]
