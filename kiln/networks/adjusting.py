"""What a training changes in a network but by its steps: what is frozen, random states, statistics."""

from collections.abc import Iterable, Mapping

import numpy as np

from kiln.core import randomness
from kiln.networks import applications
from kiln.networks.backend import keras

layers = keras.layers


def freeze(classifier: keras.Model, frozen: bool, pretrained: bool) -> None:
    """Freeze or thaw the body of a network of keras.applications; others have none.

    Args:
        classifier: from ``build``.
        frozen: whether the whole body is.
        pretrained: whether the body has trained weights. Then its batch normalisation
            is always frozen, since a small set's statistics are worse than those it has.
    """
    for layer in _layers(classifier, keras.Model):
        if layer.name == applications.BODY:
            layer.trainable = not frozen
            # Not by calling it with training=False, which Keras overrides in every training step.
            for norm in _layers(layer, layers.BatchNormalization) if pretrained else ():
                norm.trainable = False


def reseed(classifier: keras.Model, *parts: int | str) -> None:
    """Set the random state of dropout and its like: each layer's is a stream of its own.

    A state is two numbers, and Keras adds one to the second per draw. Both are
    hashed, 61 bits, so that no stream runs into another layer's or another epoch's.

    Args:
        classifier: from ``build``.
        parts: what the streams depend on, such as a seed and an epoch.
    """
    states = [variable for variable in classifier.variables if variable.path.endswith("seed_generator_state")]
    keys = randomness.key(*parts, np.arange(len(states), dtype=np.uint64))
    for state, first, second in zip(states, keys >> np.uint64(33), keys & np.uint64(2**30 - 1), strict=True):
        state.assign(np.array([first, second], "uint32"))  # both with room below 2**31: PyTorch's are signed


def _layers(network: keras.Model, kind: type) -> list[keras.layers.Layer]:
    """Give every layer of a kind, those of a network within included."""
    found = []
    for layer in network.layers:
        if isinstance(layer, kind):
            found.append(layer)
        if isinstance(layer, keras.Model):
            found += _layers(layer, kind)
    return found


def normalizes(classifier: keras.Model) -> bool:
    """Say whether a network has batch normalisation."""
    return bool(_layers(classifier, layers.BatchNormalization))


def renormalize(classifier: keras.Model, batches: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Compute the statistics of batch normalisation anew: mean and variance over all images of the batches.

    Those of training are moving averages, of augmented images, under dropout,
    while the weights moved. In this pass the weights rest and nothing drops; each
    layer sees what the layers before it make of the batch by the batch's own
    statistics, as in training. Wu and Johnson, "Rethinking 'Batch' in
    BatchNorm", 2021, section 3 ("precise" statistics, of all images and not of
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
            layer.momentum = 0  # so that after a batch it holds that batch's statistics
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
