"""Classifiers by name: from raw pixels to probabilities.

To add a network, write a function of (inputs, classes, architecture) that
returns the logits in a file of ``kiln/networks/``, decorate it with ``@model``
and import that file here; its name is then a value of train.model.name.
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kiln.core import randomness
from kiln.core.errors import UserError
from kiln.networks import applications, classic, fast, prediction, residual, transformer
from kiln.networks.backend import keras
from kiln.networks.parts import ZOO, Architecture
from kiln.params import Train
from kiln.params.train import Model

layers = keras.layers
FAMILIES = (classic, residual, transformer, fast)  # importing them fills the zoo


def known() -> list[str]:
    """Every name that train.model.name can have."""
    return [*ZOO, *applications.names()]


def architecture(settings: Train, image_shape: tuple[int, int, int], normalizer: dict) -> Architecture:
    """Settle the automatic settings of a network and refuse those that it cannot have.

    Args:
        settings: the train section.
        image_shape: (height, width, channels).
        normalizer: as ``normalizer.fit`` returns it.

    Raises:
        UserError: the model is unknown, a setting is not for it, or the images
            are too small for it.
    """
    settings = settings.model
    name = settings.name
    check(name)
    if name.startswith(applications.PREFIX):
        if normalizer["method"] != "none":
            raise UserError(
                f"params.yaml: normalize.image.method is {normalizer['method']}, but {name} brings a normalisation of "
                "its own: set it to none"
            )
        dropout = 0.2 if settings.dropout == "auto" else settings.dropout
        return Architecture(name, 1.0, None, None, None, None, dropout, bool(settings.weights))
    entry = ZOO[name]
    own = {"activation": entry.activation, "normalization": entry.normalization}
    chosen = {key: value if getattr(settings, key) == "auto" else getattr(settings, key) for key, value in own.items()}
    side = min(image_shape[:2])
    if side < entry.smallest:
        raise UserError(
            f"train.model.name {name} takes images of {entry.smallest}x{entry.smallest} pixels at least, not "
            f"{image_shape[0]}x{image_shape[1]}: set clean.image.size to "
            f"[{entry.smallest}, {entry.smallest}] or choose another model"
        )
    return Architecture(
        name,
        float(settings.width),
        _depth(settings, name),
        _patch(settings, name, image_shape),
        chosen["activation"],
        chosen["normalization"],
        entry.dropout if settings.dropout == "auto" else settings.dropout,
    )


def _depth(settings: Model, name: str) -> int | None:
    depths = ZOO[name].depths
    if not depths:
        return None
    if settings.depth == "auto":
        return depths[0]
    if settings.depth not in depths:
        raise UserError(
            f"params.yaml: train.model.depth is {settings.depth}, but {name} has one of: auto, "
            f"{', '.join(map(str, sorted(depths)))}"
        )
    return settings.depth


def _patch(settings: Model, name: str, image_shape: tuple[int, int, int]) -> int | None:
    if name != "vit":
        return None
    side = transformer.patch_side(image_shape) if settings.patch == "auto" else settings.patch
    if side > min(image_shape[:2]):
        raise UserError(
            f"params.yaml: train.model.patch is {side}, more than the {min(image_shape[:2])} pixels of a side: lower it"
        )
    return side


def check(name: str) -> None:
    """Refuse the name of a model that the zoo has not.

    Raises:
        UserError: with the known names.
    """
    if name in known():
        return
    published = name.startswith(applications.PREFIX)
    names = applications.names() if published else [*ZOO, f"{applications.PREFIX}<Name>"]
    near = difflib.get_close_matches(name, known(), n=1)
    raise UserError(
        f"params.yaml: train.model.name is {name!r}, but should be one of: {', '.join(names)}"
        + (f"; did you mean {near[0]}?" if near else "")
    )


def build(
    how: Architecture, image_shape: tuple[int, int, int], classes: int, normalizer: dict, precision: str = "float32"
) -> keras.Model:
    """Build a classifier with fresh weights.

    Args:
        how: the network and its settings, from ``architecture``.
        image_shape: (height, width, channels).
        classes: how many.
        normalizer: as ``normalizer.fit`` returns it; becomes the first layer.
        precision: of the computation; weights and probabilities are float32.

    Returns:
        A model from raw pixels, uint8 [N, H, W, C], to class probabilities,
        float32 [N, classes]. Its layer ``logits`` gives them before the softmax.

    Raises:
        UserError: the images are too small for the network.
    """
    with _computing_in(precision):
        inputs = keras.Input(image_shape, dtype="uint8", name="pixels")
        network = applications.build if how.model.startswith(applications.PREFIX) else ZOO[how.model].build
        logits = network(_normalize(inputs, normalizer), classes, how)
        outputs = layers.Softmax(dtype="float32", name="probabilities")(logits)
    return keras.Model(inputs, outputs, name=how.model.replace("/", "_"))


@contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _normalize(inputs, normalizer: dict):
    if normalizer["method"] == "per_image":
        x = layers.Rescaling(1.0, name="cast")(inputs)
        # Epsilon is one gray level squared: an image of one colour becomes 0.
        return layers.LayerNormalization(axis=[1, 2, 3], epsilon=1.0, center=False, scale=False, name="normalize")(x)
    scale = [1 / s for s in normalizer["scale"]]
    offset = [-o / s for o, s in zip(normalizer["offset"], normalizer["scale"], strict=True)]
    return layers.Rescaling(scale, offset, name="normalize")(inputs)


def prepare(classifier: keras.Model, pixels: np.ndarray, weights: Path | None) -> None:
    """Set what a network takes from elsewhere before the first step.

    Args:
        classifier: from ``build``.
        pixels: uint8 [N, H, W, C], some thousand training images: fast_cnn's
            first layer comes from them.
        weights: a file of trained weights for a network of keras.applications, or None.

    Raises:
        UserError: the weights do not fit the network.
    """
    if classifier.name == fast.fast_cnn.__name__:
        fast.adapt(classifier, pixels)
    if weights:
        applications.load_weights(classifier, weights)


def freeze(classifier: keras.Model, frozen: bool, pretrained: bool) -> None:
    """Freeze or thaw the body of a network of keras.applications; others have none.

    Args:
        classifier: from ``build``.
        frozen: whether the whole body is.
        pretrained: whether the body has trained weights. Then its batch normalisation
            is always frozen, since a small set's statistics are worse than those it has.
    """
    for layer in classifier.layers:
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
        if isinstance(layer, keras.Model):
            found += _layers(layer, kind)
        elif isinstance(layer, kind):
            found.append(layer)
    return found


def normalizes(classifier: keras.Model) -> bool:
    """Say whether a network has batch normalisation."""
    return bool(_layers(classifier, layers.BatchNormalization))


def renormalize(classifier: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Compute the statistics of batch normalisation anew: mean and variance over all images of the batches.

    Those of training are moving averages, of augmented images, under dropout,
    while the weights moved. In this pass the weights rest and nothing drops; each
    layer sees what the layers before it make of the batch by the batch's own
    statistics, as in training. Wu and Johnson, "Rethinking 'Batch' in
    BatchNorm", 2021, section 3 ("precise" statistics, of all images and not of
    single batches). Frozen layers keep theirs.

    Args:
        classifier: from ``build``.
        batches: uint8 [N, H, W, C] each, of the training images in random order.
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
        for pixels in batches:
            classifier(pixels, training=True)
            seen += len(pixels)
            for number, layer in enumerate(norms):
                mean, variance = (
                    keras.ops.convert_to_numpy(statistic).astype(np.float64)
                    for statistic in (layer.moving_mean, layer.moving_variance)
                )
                sums[number] += len(pixels) * mean
                squares[number] += len(pixels) * (variance + mean**2)
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
        for layer, rate in zip(dropouts, rates, strict=True):
            layer.rate = rate
    for layer, total, square in zip(norms, sums, squares, strict=True):
        layer.moving_mean.assign(total / seen)
        layer.moving_variance.assign(np.maximum(square / seen - (total / seen) ** 2, 0))


def logits_of(classifier: keras.Model) -> keras.Model:
    """Give the part of a classifier that ends in logits; the weights are shared."""
    return keras.Model(classifier.input, classifier.get_layer("logits").output, name=f"{classifier.name}_logits")


def multiply_adds(network: keras.Model) -> int:
    """Count the multiplications (each with its addition) of one image's way through a network.

    Convolutions, dense layers and attention count; what works element by element does not.
    """
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            total += multiply_adds(layer)
        elif isinstance(layer, layers.MultiHeadAttention):
            tokens, size = layer.output.shape[1:]
            inner = layer.num_heads * layer.key_dim
            total += 4 * tokens * size * inner + 2 * tokens**2 * inner
        elif hasattr(layer, "kernel") and not isinstance(layer, layers.SeparableConv2D):
            places = np.prod(layer.output.shape[1:-1], dtype=np.int64) if len(layer.output.shape) > 2 else 1
            total += int(places) * int(np.prod(layer.kernel.shape))
        elif hasattr(layer, "pointwise_kernel"):
            places = int(np.prod(layer.output.shape[1:-1]))
            total += places * int(np.prod(layer.depthwise_kernel.shape) + np.prod(layer.pointwise_kernel.shape))
    return total


def probabilities(classifier: keras.Model, pixels: np.ndarray, flip: bool = False) -> np.ndarray:
    """Predict class probabilities.

    Args:
        classifier: from ``build`` or ``artifact.load``.
        pixels: uint8 [N, H, W, C].
        flip: give the mean over each image and its mirror image.

    Returns:
        float32 [N, classes].
    """
    result = prediction.outputs(classifier, pixels)
    return (result + prediction.outputs(classifier, pixels[:, :, ::-1])) / 2 if flip else result
