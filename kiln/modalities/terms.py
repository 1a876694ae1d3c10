"""Sparse features of samples, as linear models take them."""

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:  # it takes half a second to import, and only clean needs it
    from scipy.sparse import csr_array


class Terms(Protocol):
    """Sparse features of samples, for linear models; computed when they are asked for.

    Attributes:
        learned: samples that their weights are learned from, and models are to be fitted on: integers, sorted.
    """

    learned: np.ndarray

    def weigh(self, rows: np.ndarray) -> "csr_array":
        """Compute the terms of samples: float32 [len(rows), terms]."""
