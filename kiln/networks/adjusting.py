"""Changes that training makes to a network other than by its steps: freezing, random states, statistics."""

from collections.abc import Iterable, Mapping

import numpy as np

from kiln.core import randomness
from kiln.networks import applications
from kiln.networks.backend import keras

layers = keras.layers


def freeze(classifier: keras.Model, frozen: bool, pretrained: bool) -> None:
    """Freeze or unfreeze the body of a network of keras.applications; other networks have none.

    Args:
        classifier: from ``build``.
        frozen: whether to freeze the whole body.
        pretrained: whether the body has pretrained weights. Then its batch normalisation
            stays frozen, since the statistics of a small dataset are worse than its own.
    """
    for layer in _layers(classifier, keras.Model):
        if layer.name == applications.BODY:
            layer.trainable = not frozen
            # Not by calling the body with training=False, which Keras overrides in every training step.
            for norm in _layers(layer, layers.BatchNormalization) if pretrained else ():
                norm.trainable = False


def reseed(classifier: keras.Model, *parts: int | str) -> None:
    """Set the random states of dropout and similar layers: a separate stream for each layer.

    A state is two numbers, and Keras adds one to the second per draw. Both come from
    a hash, 61 bits, so that streams of different layers or epochs do not overlap.

    Args:
        classifier: from ``build``.
        parts: of the key that the streams depend on, such as a seed and an epoch.
    """
    states = [variable for variable in classifier.variables if variable.path.endswith("seed_generator_state")]
    keys = randomness.key(*parts, np.arange(len(states), dtype=np.uint64))
    for state, first, second in zip(states, keys >> np.uint64(33), keys & np.uint64(2**30 - 1), strict=True):
        state.assign(np.array([first, second], "uint32"))  # both below 2**31, with room to count: signed in PyTorch


def _layers(network: keras.Model, kind: type) -> list[keras.layers.Layer]:
    """List the layers of a kind, including those of nested networks."""
    listed = []
    for layer in network.layers:
        if isinstance(layer, kind):
            listed.append(layer)
        if isinstance(layer, keras.Model):
            listed += _layers(layer, kind)
    return listed


def normalizes(classifier: keras.Model) -> bool:
    """Whether a network has batch normalisation."""
    return bool(_layers(classifier, layers.BatchNormalization))


def renormalize(classifier: keras.Model, batches: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Recompute the batch-norm statistics: mean and variance over all samples of the batches.

    The statistics from training are moving averages over augmented samples, with
    dropout, while the weights changed. In this pass weights are fixed and dropout is
    off; each layer receives the outputs of the layers before it, normalised by the
    statistics of the batch as in training. Wu and Johnson, "Rethinking 'Batch' in
    BatchNorm", 2021, section 3 ("precise" statistics, over all samples instead of
    single batches). Frozen layers keep theirs.

    Args:
        classifier: from ``build``.
        batches: part -> values [N, ...] each, of the training samples in random order.
    """
    norms = [layer for layer in _layers(classifier, layers.BatchNormalization) if layer.trainable]
    dropouts = _layers(classifier, layers.Dropout)
    momenta, rates = [layer.momentum for layer in norms], [layer.rate for layer in dropouts]
    sums, squares, seen = [0.0] * len(norms), [0.0] * len(norms), 0
    try:
        for layer in norms:
            layer.momentum = 0  # after each batch the layer holds that batch's statistics
        for layer in dropouts:
            layer.rate = 0
        for values in batches:
            classifier(values, training=True)
            count = len(next(iter(values.values())))
            seen += count
            for number, layer in enumerate(norms):
                mean, variance = (
                    keras.ops.convert_to_numpy(statistic).astype(np.float64)
                    for statistic in (layer.moving_mean, layer.moving_variance)
                )
                sums[number] += count * mean
                squares[number] += count * (variance + mean**2)
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
        for layer, rate in zip(dropouts, rates, strict=True):
            layer.rate = rate
    for layer, total, square in zip(norms, sums, squares, strict=True):
        layer.moving_mean.assign(total / seen)
        layer.moving_variance.assign(np.maximum(square / seen - (total / seen) ** 2, 0))
