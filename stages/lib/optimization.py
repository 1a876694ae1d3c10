"""Loss, optimiser and learning rate, by the names of params.yaml's train section."""

import math

from stages.lib.backend import keras
from stages.lib.params import Train

ops = keras.ops


def cross_entropy(labels, logits):
    """Cross-entropy of the softmax of the logits, in nats.

    Args:
        labels: integers [N].
        logits: floats [N, classes].

    Returns:
        floats [N].
    """
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def squared_error(labels, logits):
    """Squared error of the probabilities, summed over classes.

    The score of Brier, "Verification of forecasts expressed in terms of
    probability", Monthly Weather Review 78 (1950): from 0 to 2.

    Args:
        labels: integers [N].
        logits: floats [N, classes].

    Returns:
        floats [N].
    """
    truth = ops.one_hot(ops.cast(ops.reshape(labels, (-1,)), "int32"), logits.shape[-1], dtype=logits.dtype)
    return ops.sum(ops.square(ops.softmax(logits) - truth), axis=-1)


LOSSES = {"cross_entropy": cross_entropy, "squared_error": squared_error}


def optimizer(settings: Train) -> keras.optimizers.Optimizer:
    """Make the optimiser, with gradient clipping where it is on."""
    clip = {"value": "clipvalue", "norm": "clipnorm", "global_norm": "global_clipnorm"}
    clipping = {} if settings.clip == "none" else {clip[settings.clip]: settings.clip_at}
    if settings.optimizer == "adam":
        return keras.optimizers.Adam(settings.lr, **clipping)
    return keras.optimizers.SGD(settings.lr, settings.momentum, settings.nesterov, **clipping)


class LearningRate:
    """The learning rate, step by step.

    Args:
        settings: the train section.
        steps: how many steps the whole training takes.
    """

    def __init__(self, settings: Train, steps: int):
        self.settings = settings
        self.steps = steps
        self.factor = 1.0
        self.best = math.inf
        self.stalled = 0

    def at(self, step: int) -> float:
        """Give the learning rate of a step, counted from 0.

        Cosine: lr * (1 + cos(pi * step / steps)) / 2, without restarts
        (Loshchilov and Hutter, "SGDR", ICLR 2017).
        """
        if self.settings.schedule == "cosine":
            return self.settings.lr * (1 + math.cos(math.pi * step / self.steps)) / 2
        return self.settings.lr * self.factor

    def epoch_ended(self, validation_loss: float) -> None:
        """Take note of an epoch's validation loss; plateau lowers the rate when it stalls."""
        if self.settings.schedule != "plateau":
            return
        if validation_loss < self.best:
            self.best, self.stalled = validation_loss, 0
            return
        self.stalled += 1
        if self.stalled == self.settings.plateau_patience:
            self.factor, self.stalled = self.factor * self.settings.plateau_factor, 0
