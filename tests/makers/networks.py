"""Small networks of the zoo."""

from pathlib import Path

import numpy as np

from kiln.modalities.base import Part
from kiln.networks import artifact, prediction, registry
from kiln.networks.backend import keras
from makers.datasets import image_parts
from makers.settings import settings

NONE = {"method": "none", "offset": [0.0] * 3, "scale": [1.0] * 3}
PLAIN = {"method": "standard", "offset": [100.0], "scale": [50.0]}


def standard(channels: int) -> dict:
    """A normaliser of images."""
    return {name: value if name == "method" else value * channels for name, value in PLAIN.items()}


def join(name: str, parts: dict[str, Part], fitted: dict[str, dict], classes=4, precision="float32", **changes):
    """Build a model of several parts on seed 0; also give the network and settings of each part."""
    keras.utils.set_random_seed(0)
    how = registry.settle(settings(model=name, **changes), parts, fitted)
    return registry.build(how, parts, classes, fitted, precision), how


def classifier(name="article_cnn", shape=(8, 8, 1), classes=4, normalizer=None, precision="float32", **changes):
    """Build a model of one part, image, on seed 0."""
    fitted = {"image": standard(shape[2]) if normalizer is None else normalizer}
    return join(name, image_parts(shape), fitted, classes, precision, **changes)[0]


def wrap(network: keras.Model, names="abcd") -> artifact.Classifier:
    """Make a classifier of a network whose only input is an image."""
    return artifact.Classifier(network, list(names), image_parts(network.inputs[0].shape[1:]))


def predict(network: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """Predict the outputs of a network of one part, image."""
    return prediction.outputs(network, {"image": pixels})


def save(folder: Path, name="article_cnn", shape=(8, 8, 1), network=None, **changes) -> artifact.Classifier:
    """Save a classifier of one part, image: a network, or one built on seed 0."""
    folder.mkdir(exist_ok=True)
    parts, fitted = image_parts(shape), {"image": standard(shape[2])}
    built, how = join(name, parts, fitted, **changes)
    saved = artifact.Classifier(network or built, list("abcd"), parts)
    artifact.save(folder, saved, how, fitted)
    return saved


def smallest(name: str) -> dict:
    """Settings that make a model cheap to build."""
    depths = registry.ZOO[name].depths
    return {**({"depth": min(depths)} if depths else {}), "width": 1 / 3 if name == "vit" else 0.25}


def one_weight(**options) -> keras.Model:
    """One weight of 0 and one bias of 0."""
    inputs = keras.Input((1,))
    return keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="zeros", name="logits", **options)(inputs))


def corner_model(side: int = 16) -> keras.Model:
    """A classifier whose second class is as likely as the upper left quarter is bright; its maps are the image."""
    inputs = keras.Input((side, side, 1), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    convolution = keras.layers.Conv2D(1, 3, padding="same", use_bias=False)
    maps = convolution(x)
    convolution.set_weights([np.pad(np.ones((1, 1, 1, 1)), ((1, 1), (1, 1), (0, 0), (0, 0)))])  # lets all pass
    kernel = np.zeros((side, side, 2), np.float32)
    kernel[: side // 2, : side // 2, 1] = 8 / (side // 2) ** 2
    dense = keras.layers.Dense(2, name="logits", use_bias=False)
    logits = dense(keras.layers.Flatten()(maps))
    dense.set_weights([kernel.reshape(-1, 2)])
    return keras.Model({"image": inputs}, keras.layers.Softmax()(logits))
