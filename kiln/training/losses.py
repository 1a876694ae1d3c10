"""Training losses by the names of train.loss; ``core.scores`` computes the same on validation."""

from kiln.networks.backend import keras

ops = keras.ops


def cross_entropy(targets, logits):
    """Cross-entropy of the softmax of the logits, in nats.

    Args:
        targets: floats [N, classes] that sum to 1.
        logits: floats [N, classes].

    Returns:
        float32 [N].
    """
    return keras.losses.categorical_crossentropy(targets, ops.cast(logits, "float32"), from_logits=True)


def squared_error(targets, logits):
    """Squared error of the probabilities, summed over classes.

    The score of Brier, "Verification of forecasts expressed in terms of
    probability", Monthly Weather Review 78 (1950): from 0 to 2.

    Args:
        targets: floats [N, classes] that sum to 1.
        logits: floats [N, classes].

    Returns:
        float32 [N].
    """
    return ops.sum(ops.square(ops.softmax(ops.cast(logits, "float32")) - targets), axis=-1)


LOSSES = {"cross_entropy": cross_entropy, "squared_error": squared_error}
