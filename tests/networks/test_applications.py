"""Networks of keras.applications: from one file of weights, the features that Keras' own network has."""

import gc
import os
import sys

import h5py
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from makers.effort import full
from makers.images import noise
from makers.networks import NONE, classifier, wrap

from kiln.evaluation import neighbours
from kiln.networks import applications, registry
from kiln.networks.backend import keras

# Of ImageNet's colours: mean, variance and count.
COLOURS = [np.array([0.485, 0.456, 0.406]), np.square([0.229, 0.224, 0.225]), np.array(1)]
# With MobileNet and VGG16 the smallest of each family, and each way to scale pixels within a network;
# KILN_FAULTS=all tries every name, which takes a quarter of an hour.
FEW = [
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "EfficientNetV2S",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNetV2",
    "MobileNetV3Small",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "Xception",
]
ALL = [name.removeprefix(applications.PREFIX) for name in applications.names()]


def prescribed(name: str, pixels: np.ndarray) -> np.ndarray:
    """What Keras says is to be done to pixels before a network sees them."""
    module = sys.modules[getattr(keras.applications, name).__module__]
    return module.preprocess_input(pixels.astype(np.float32))


def write_like_the_published(body: keras.Model, path) -> None:
    """Write weights in the format of those that Keras publishes, with ImageNet's colours where they are kept."""
    for layer in body.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.set_weights(COLOURS)
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, body)


@pytest.mark.parametrize("name", ALL if os.environ.get("KILN_FAULTS") == "all" else ["MobileNet", *full("VGG16", *FEW)])
@pytest.mark.filterwarnings("ignore:`input_shape` is undefined or non-square:UserWarning")
def test_trained_weights_give_the_features_of_kerass_own_network(name, tmp_path, monkeypatch):
    side = 75 if "ception" in name else 32
    shape, path = (side, side, 3), tmp_path / "published_notop.h5"
    pixels = np.stack([noise(seed, *shape) for seed in range(2)])
    trained = {"weights": str(path), "weights_sha256": "0" * 64}
    made = classifier(f"{applications.PREFIX}{name}", shape, 4, NONE, **trained)
    body = made.get_layer(applications.BODY)
    write_like_the_published(body, path)
    body.set_weights([np.zeros_like(weight) for weight in body.get_weights()])
    registry.prepare(made, {"image": pixels}, path)
    ((features, _),) = neighbours.list_feature_networks(wrap(made))
    found = np.asarray(features({"image": pixels}))
    del made, body, features
    keras.backend.clear_session()
    gc.collect()
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(path))
    published = getattr(keras.applications, name)(include_top=False, weights="imagenet", input_shape=shape)
    expected = np.asarray(published(prescribed(name, pixels))).mean(axis=(1, 2))
    size = np.abs(expected).max()
    # The features follow the pixels, so that it says something that they agree.
    assert np.abs(expected[0] - expected[1]).max() > 1e-3 * size > 0
    assert np.abs(found - expected).max() < 1e-5 * size


@pytest.mark.parametrize("name", ALL)
def test_every_network_gets_the_pixels_that_keras_prescribes(name):
    pixels = noise(0, 4, 4, 3)[None]
    found = np.asarray(applications.Preprocess(applications.preprocessing(name))(pixels.astype(np.float32)))
    assert found == pytest.approx(prescribed(name, pixels), abs=1e-4)
