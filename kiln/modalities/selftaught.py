"""What a modality answers besides its protocol, if networks can learn from its values without labels."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import numpy as np

# Of encoded values [N, L] and places int32 [N, P] -> scores of every kind at each place, float32 [N, P, kinds].
Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Questions(NamedTuple):
    """What a network is asked about values without labels, and the answers.

    Attributes:
        encoded: values as the network takes them, some of them hidden: [N, L].
        places: where it is asked: int32 [N, P].
        answers: the kind that belongs there: int32 [N, P].
        weights: 1; 0 where there is no question, such as in padding: float32 [N, P].
    """

    encoded: np.ndarray
    places: np.ndarray
    answers: np.ndarray
    weights: np.ndarray


class SelfTaught(Protocol):
    """A modality whose values are sequences of kinds of things (``Tensor.kinds``), such as tokens."""

    def ask(self, task: str, encoded: np.ndarray, keys: np.ndarray, fitted: Mapping) -> Questions:
        """Ask about values.

        Args:
            task: ``masked``: what is hidden; ``next``: what follows each.
            encoded: by ``Modality.make_encoder``, [N, L].
            keys: uint64 [N]; the same give the same questions, whatever other values there are.
            fitted: of the normaliser.
        """

    def write(self, score: Scores, seed: int, fitted: Mapping) -> list[str]:
        """Write a few values by a network that was asked what is next, as the report shows them."""
