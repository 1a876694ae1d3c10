"""The zoo: networks from normalised images to logits.

To add a model, write a function of (inputs, classes) that returns the logits
and decorate it with ``@model``; its name is then a value of train.model.
"""

import difflib
from collections.abc import Callable

import numpy as np

from stages.lib.backend import keras
from stages.lib.errors import UserError

layers = keras.layers
ZOO: dict[str, Callable] = {}


def model(function: Callable) -> Callable:
    """Enter a network into the zoo under its function's name."""
    ZOO[function.__name__] = function
    return function


@model
def article_cnn(inputs, classes: int):
    """Three 3x3 convolutions (32, 64, 64), two 2x2 poolings, a dense layer of 64.

    The network of Keras' well-known CIFAR-10 example: 122,570 parameters on
    32x32x3 and 10 classes. It pads nothing; images of less than 18 pixels a
    side, which would vanish on the way, are padded at every convolution.
    """
    padding = "valid" if min(inputs.shape[1:3]) >= 18 else "same"
    x = layers.Conv2D(32, 3, padding=padding, activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(2, padding=padding, name="pool1")(x)
    x = layers.Conv2D(64, 3, padding=padding, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2, padding=padding, name="pool2")(x)
    x = layers.Conv2D(64, 3, padding=padding, activation="relu", name="conv3")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="dense")(x)
    return layers.Dense(classes, name="logits")(x)


def build(name: str, image_shape: tuple[int, int, int], classes: int, normalizer: dict) -> keras.Model:
    """Build a classifier with fresh weights.

    Args:
        name: of the zoo.
        image_shape: (height, width, channels).
        classes: how many.
        normalizer: as ``normalizer.fit`` returns it; becomes the first layer.

    Returns:
        A model from raw pixels, uint8 [N, H, W, C], to class probabilities,
        float32 [N, classes]. Its layer ``logits`` gives them before the softmax.

    Raises:
        UserError: the zoo has no such model.
    """
    check(name)
    inputs = keras.Input(image_shape, dtype="uint8", name="pixels")
    logits = ZOO[name](_normalize(inputs, normalizer), classes)
    return keras.Model(inputs, layers.Softmax(dtype="float32", name="probabilities")(logits), name=name)


def check(name: str) -> None:
    """Refuse the name of a model that the zoo has not.

    Raises:
        UserError: with the known names.
    """
    if name not in ZOO:
        near = difflib.get_close_matches(name, ZOO, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(
            f"params.yaml: train.model is {name!r}, but should be one of: {', '.join(ZOO)}; {hint}".strip("; ")
        )


def _normalize(inputs, normalizer: dict):
    if normalizer["method"] == "per_image":
        x = layers.Rescaling(1.0, name="cast")(inputs)
        # Epsilon is one gray level squared: an image of one colour becomes 0.
        return layers.LayerNormalization(axis=[1, 2, 3], epsilon=1.0, center=False, scale=False, name="normalize")(x)
    scale = [1 / s for s in normalizer["scale"]]
    offset = [-o / s for o, s in zip(normalizer["offset"], normalizer["scale"], strict=True)]
    return layers.Rescaling(scale, offset, name="normalize")(inputs)


def logits_of(classifier: keras.Model) -> keras.Model:
    """Give the part of a classifier that ends in logits; the weights are shared."""
    return keras.Model(classifier.input, classifier.get_layer("logits").output, name=f"{classifier.name}_logits")


def probabilities(classifier: keras.Model, pixels, batch_size: int = 512):
    """Predict class probabilities.

    Args:
        classifier: from ``build`` or ``artifact.load``.
        pixels: uint8 [N, H, W, C].
        batch_size: images at a time.

    Returns:
        float32 [N, classes].
    """
    parts = [classifier.predict_on_batch(pixels[i : i + batch_size]) for i in range(0, len(pixels), batch_size)]
    return np.concatenate(parts).astype(np.float32)
