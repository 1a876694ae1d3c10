"""The moving average of a network's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

from kiln.core import lifetime
from kiln.networks.backend import keras

ops = keras.ops


class Average:
    """The exponential moving average of a network's weights.

    Polyak and Juditsky, "Acceleration of stochastic approximation by
    averaging", 1992, in its usual exponential form. The decay of update n is at
    most (1 + n) / (10 + n), so that the random initial weights soon lose influence.
    With ``restart`` training continues from the average after each update (Zhang
    et al., "Lookahead optimizer", NeurIPS 2019).

    Args:
        network: its weights are averaged, batch-norm statistics included.
        decay: in [0, 1); 0 turns averaging off.
        every: steps between updates.
        restart: whether to copy the average into the weights after each update.
    """

    def __init__(self, network: keras.Model, decay: float, every: int = 1, restart: bool = False):
        self.decay, self.every, self.restart = decay, every, restart
        self.weights = [weight for weight in network.weights if "float" in weight.dtype] if decay else []
        self.means = self._copies()
        self.steps = 0

    def step_ended(self) -> None:
        """Count a step and update the average when due."""
        self.steps += 1
        if not self.weights or self.steps % self.every:
            return
        updates = self.steps // self.every
        decay = min(self.decay, (1 + updates) / (10 + updates))
        self.means = [
            decay * mean + (1 - decay) * weight for mean, weight in zip(self.means, self._copies(), strict=True)
        ]
        if self.restart:
            self._assign(self.means)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Temporarily swap in the averaged weights."""
        trained = self._copies()
        try:
            with lifetime.uninterrupted():
                self._assign(self.means)
            yield
        finally:
            with lifetime.uninterrupted():
                self._assign(trained)

    def adopt(self) -> None:
        """Replace the network's weights by the average."""
        self._assign(self.means)

    def _copies(self) -> list:
        return [ops.stop_gradient(ops.copy(ops.convert_to_tensor(weight))) for weight in self.weights]

    def _assign(self, values) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            weight.assign(value)
