"""A network as explanations see it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np


class FeatureMaps(NamedTuple):
    """The last feature maps of some samples in a network.

    Attributes:
        values: float32 [N, height, width, channels].
        compute_logits: values of that shape [M, ...] -> logits [M, classes].
        batch: number of values to compute at a time.
    """

    values: np.ndarray
    compute_logits: Callable[[np.ndarray], np.ndarray]
    batch: int


class Explained(Protocol):
    """A network as an explanation sees it, for one part of some samples."""

    def predict(self, row: int, changed: np.ndarray) -> np.ndarray:
        """Predict a sample with other values of the part, [M, ...]: probabilities, float32 [M, classes]."""

    def compute_maps(self) -> FeatureMaps | None:
        """Compute the last feature maps of all samples; None if the network has no informative ones."""

    @property
    def encoder(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """What turns values into what the network takes; None if it takes them as they are."""

    def compute_slopes(self, row: int, groups: np.ndarray, index: int) -> np.ndarray | None:
        """Measure how the log-odds of a class grow with the vectors of a sample's tokens.

        Args:
            row: of the sample.
            groups: bool [M, L], tokens whose vectors are multiplied by one factor.
            index: of the class.

        Returns:
            float64 [M]: the derivative by that factor, at 1; None if the network does not begin with a vector for
            each token.
        """
