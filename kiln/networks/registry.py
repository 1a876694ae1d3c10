"""Classifiers by name: from raw pixels to probabilities.

To add a network, write a function of (inputs, classes, architecture) that
returns the logits in a file of ``kiln/networks/``, decorate it with ``@model``
and import that file here; its name is then a value of train.model.
"""

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kiln.core.errors import UserError
from kiln.networks import applications, classic, fast, residual, transformer
from kiln.networks.backend import keras
from kiln.networks.parts import ZOO, Architecture
from kiln.params import Train

layers = keras.layers
ADAPT_IMAGES = 5000  # training images that a first layer may be fitted to
FAMILIES = (classic, residual, transformer, fast)  # importing them fills the zoo


def known() -> list[str]:
    """Every name that train.model can have."""
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
    name = settings.model
    check(name)
    if name.startswith(applications.PREFIX):
        if normalizer["method"] != "none":
            raise UserError(
                f"params.yaml: normalize.method is {normalizer['method']}, but {name} brings a normalisation of its "
                "own: set it to none"
            )
        _refuse(settings, name, ("width", "depth", "patch", "activation", "normalization"))
        dropout = 0.2 if settings.dropout == "auto" else settings.dropout
        return Architecture(name, 1.0, None, None, None, None, dropout, bool(settings.weights))
    entry = ZOO[name]
    _refuse(settings, name, ("weights",))
    own = {"activation": entry.activation, "normalization": entry.normalization}
    _refuse(settings, name, [key for key, value in own.items() if value is None])
    chosen = {key: value if getattr(settings, key) == "auto" else getattr(settings, key) for key, value in own.items()}
    side = min(image_shape[:2])
    if side < entry.smallest:
        raise UserError(
            f"train.model {name} takes images of {entry.smallest}x{entry.smallest} pixels at least, not "
            f"{image_shape[0]}x{image_shape[1]}: set clean.image_size to "
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


_AUTOMATIC = {"width": 1.0, "weights": ""}


def _refuse(settings: Train, name: str, keys) -> None:
    for key in keys:
        value, automatic = getattr(settings, key), _AUTOMATIC.get(key, "auto")
        if value != automatic:
            shown = "given" if key == "weights" else repr(value)  # a URL may hold a password
            raise UserError(
                f"params.yaml: train.{key} is {shown}, but {name} has no such choice: set it to {automatic!r}"
            )


def _depth(settings: Train, name: str) -> int | None:
    depths = ZOO[name].depths
    if not depths:
        _refuse(settings, name, ["depth"])
        return None
    if settings.depth == "auto":
        return depths[0]
    if settings.depth not in depths:
        raise UserError(
            f"params.yaml: train.depth is {settings.depth}, but {name} has one of: auto, "
            f"{', '.join(map(str, sorted(depths)))}"
        )
    return settings.depth


def _patch(settings: Train, name: str, image_shape: tuple[int, int, int]) -> int | None:
    if name != "vit":
        _refuse(settings, name, ["patch"])
        return None
    side = transformer.patch_side(image_shape) if settings.patch == "auto" else settings.patch
    if side > min(image_shape[:2]):
        raise UserError(
            f"params.yaml: train.patch is {side}, more than the {min(image_shape[:2])} pixels of a side: lower it"
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
        f"params.yaml: train.model is {name!r}, but should be one of: {', '.join(names)}"
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
