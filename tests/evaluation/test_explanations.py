import cv2
import numpy as np
import pytest
from makers.effort import full
from makers.images import noise
from makers.settings import settings

from kiln.evaluation import explanations
from kiln.networks import registry
from kiln.networks.backend import keras
from kiln.store import dataset

PLAIN = {"method": "none", "offset": [0.0], "scale": [1.0]}


def corner_model(side: int = 16) -> keras.Model:
    """A classifier whose second class is as likely as the upper left quarter is bright."""
    inputs = keras.Input((side, side, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    convolution = keras.layers.Conv2D(1, 3, padding="same", use_bias=False)
    maps = convolution(x)
    convolution.set_weights([np.pad(np.ones((1, 1, 1, 1)), ((1, 1), (1, 1), (0, 0), (0, 0)))])  # lets all pass
    kernel = np.zeros((side, side, 2), np.float32)
    kernel[: side // 2, : side // 2, 1] = 8 / (side // 2) ** 2
    dense = keras.layers.Dense(2, name="logits", use_bias=False)
    logits = dense(keras.layers.Flatten()(maps))
    dense.set_weights([kernel.reshape(-1, 2)])
    return keras.Model(inputs, keras.layers.Softmax()(logits))


def test_hiding_what_matters_lowers_the_probability():
    bright = np.full((16, 16, 1), 255, np.uint8)
    heat = explanations.occlusion(corner_model(), bright, 1)
    assert heat.shape == (16, 16)
    assert heat[:6, :6].min() > 1e-4
    assert np.abs(heat[10:, 10:]).max() < 1e-6


def test_grad_cam_is_high_where_the_maps_speak_for_the_class():
    pixels = np.zeros((2, 16, 16, 1), np.uint8)
    pixels[0, 2:6, 2:6] = 255
    pixels[1, :4, :4] = pixels[1, 12:, 12:] = 255
    heat = explanations.grad_cam(corner_model(), pixels, np.array([1, 1]))
    # The map is the image: what is bright speaks for the class, since its mean gradient is above 0.
    assert heat == pytest.approx(pixels[..., 0] / 255)


def nested_corner_model(side: int = 16) -> keras.Model:
    """The same as ``corner_model``, but with the maps in a network within it, which ends in one place."""
    plain = corner_model(side)
    inner = keras.Input((side, side, 1))
    convolution = keras.layers.Conv2D(1, 3, padding="same", use_bias=False)
    body = keras.Model(inner, keras.layers.Reshape((1, 1, side * side))(convolution(inner)))
    inputs = keras.Input((side, side, 1), dtype="uint8")
    dense = keras.layers.Dense(2, name="logits", use_bias=False)
    logits = dense(keras.layers.Flatten()(body(keras.layers.Rescaling(1 / 255)(inputs))))
    made = keras.Model(inputs, keras.layers.Softmax()(logits))
    made.set_weights(plain.get_weights())
    return made


def test_grad_cam_finds_the_maps_of_a_network_within():
    pixels = np.stack([noise(seed, 16, 16, 1) for seed in range(2)])
    expected = explanations.grad_cam(corner_model(), pixels, np.array([1, 1]))
    assert explanations.grad_cam(nested_corner_model(), pixels, np.array([1, 1])) == pytest.approx(expected, abs=1e-3)


def test_borders_that_are_added_shift_no_map():
    inputs = keras.Input((8, 8, 1), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(x)
    x = keras.layers.ZeroPadding2D(((0, 8), (0, 8)))(x)
    x = keras.layers.AveragePooling2D(16)(x)
    x = keras.layers.Dense(2, name="logits", kernel_initializer="ones")(keras.layers.Flatten()(x))
    pixels = np.zeros((1, 8, 8, 1), np.uint8)
    pixels[0, :4, :4] = 255
    heat = explanations.grad_cam(keras.Model(inputs, keras.layers.Softmax()(x)), pixels, np.array([1]))
    assert heat == pytest.approx(pixels[..., 0] / 255)


def test_grad_cam_in_pieces_is_the_same(monkeypatch):
    shape = (16, 16, 3)
    how = registry.architecture(settings(model="article_cnn"), shape, PLAIN)
    classifier = registry.build(how, shape, 4, PLAIN)
    pixels = np.stack([noise(seed, *shape) for seed in range(2)])
    whole = explanations.grad_cam(classifier, pixels, np.array([0, 1]))
    sizes = []
    own = explanations.prediction.outputs
    monkeypatch.setattr(explanations.prediction, "batch_size", lambda _: 7)
    monkeypatch.setattr(explanations.prediction, "outputs", lambda *of: (sizes.append(len(of[1])), own(*of))[1])
    assert explanations.grad_cam(classifier, pixels, np.array([0, 1])) == pytest.approx(whole, abs=1e-3)
    assert max(sizes) <= 7 and sum(sizes) == 2 + 2 * 2 * 64


# At 64 pixels the last maps have some places; at 32 MobileNet's and ConvNeXt's have one, and earlier ones are shown.
@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("MobileNet", 32),
        *full(("MobileNet", 64), ("VGG16", 64), ("ConvNeXtTiny", 32), ("ResNet50V2", 64), ("Xception", 71)),
    ],
)
def test_published_networks_have_a_grad_cam(name, side):
    shape = (side, side, 3)
    plain = {"method": "none", "offset": [0.0] * 3, "scale": [1.0] * 3}
    how = registry.architecture(settings(model=f"applications/{name}"), shape, plain)
    cams = explanations.grad_cam(registry.build(how, shape, 4, plain), noise(0, *shape)[None], np.array([1]))
    assert cams.shape == (1, side, side) and np.isfinite(cams).all()


@pytest.mark.parametrize("name", ["mlp", "article_cnn", "fast_cnn", *full("vit", "resnet", "lenet5")])
def test_every_family_is_explained(name):
    shape = (16, 16, 3)
    how = registry.architecture(settings(model=name), shape, PLAIN)
    classifier = registry.build(how, shape, 4, PLAIN)
    pixels = np.stack([noise(seed, *shape) for seed in range(3)])
    assert explanations.occlusion(classifier, pixels[0], 2).shape == (16, 16)
    cams = explanations.grad_cam(classifier, pixels, np.array([0, 1, 2]))
    assert (None if cams is None else cams.shape) == (None if name in ("mlp", "vit") else (3, 16, 16))
    vectors = explanations.features(classifier).predict_on_batch(pixels)
    assert len(vectors) == 3 and vectors.ndim == 2


def test_the_nearest_are_found_across_batches():
    shape = (16, 16, 1)
    pixels = np.stack([noise(seed, *shape) for seed in range(9)])
    names = np.array([f"i{n}" for n in range(9)], object)
    batches = [
        dataset.Images(names[part], np.array(part, np.int32), names[part], pixels[part])
        for part in ([0, 1, 2, 3], [4, 5], [6, 7, 8])
    ]
    found = explanations.neighbours(corner_model(), pixels[[7, 1]], batches)
    assert found.ids[:, 0].tolist() == ["i7", "i1"]
    assert found.labels[:, 0].tolist() == [7, 1]
    assert (found.pixels[:, 0] == pixels[[7, 1]]).all()
    assert found.cosines[:, 0] == pytest.approx(1) and (np.diff(found.cosines, axis=1) <= 0).all()
    whole = dataset.Images(
        *(np.concatenate([getattr(batch, name) for batch in batches]) for name in ("ids", "labels", "units", "pixels"))
    )
    together = explanations.neighbours(corner_model(), pixels[[7, 1]], [whole])
    assert (together.ids == found.ids).all()
    few = explanations.neighbours(corner_model(), pixels[:1], batches[1:2])
    assert few.ids.shape == (1, 2)


def test_heat_is_drawn_red_above_and_blue_below():
    heat = np.zeros((8, 8))
    heat[:4], heat[4:] = 1, -1
    picture = explanations.picture(np.full((8, 8, 1), 100, np.uint8), heat)
    drawn = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert drawn.shape == (112, 112, 3)
    red, blue = drawn[5, 5].astype(int), drawn[-5, 5].astype(int)
    assert red[0] > red[2] + 50 and blue[2] > blue[0] + 50
