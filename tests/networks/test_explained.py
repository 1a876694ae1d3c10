from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow
from makers.effort import full
from makers.images import noise
from makers.networks import NONE, classifier, corner_model, join, standard, wrap
from makers.pairs import pair_parts

from kiln.modalities import registry as modalities
from kiln.modalities.base import Part
from kiln.modalities.image import explanation
from kiln.modalities.text import normalizer
from kiln.modalities.text.conversion import Conversion
from kiln.networks import artifact, prediction, registry
from kiln.networks.backend import keras
from kiln.networks.explained import PartNetwork
from kiln.params import Train
from kiln.params.text import Normalize


def grad_cam(network: keras.Model, pixels: np.ndarray, classes) -> np.ndarray | None:
    maps = PartNetwork(wrap(network), "image", {"image": pixels}).compute_maps()
    return None if maps is None else explanation.grad_cam(maps, pixels.shape[1:3], np.array(classes))


def test_the_maps_are_what_enters_the_head():
    pixels = np.stack([noise(seed, 16, 16) for seed in range(2)])
    network = corner_model()
    maps = PartNetwork(wrap(network), "image", {"image": pixels}).compute_maps()
    assert maps.values == pytest.approx(pixels / 255, abs=1e-6)
    logits = prediction.outputs(prediction.logits_of(network), {"image": pixels})
    assert maps.compute_logits(maps.values) == pytest.approx(logits, abs=1e-5)


def nested_corner_model(side: int = 16) -> keras.Model:
    """The same as ``corner_model``, but with the maps in a network within it, which ends in one place."""
    plain = corner_model(side)
    inner = keras.Input((side, side, 1))
    convolution = keras.layers.Conv2D(1, 3, padding="same", use_bias=False)
    body = keras.Model(inner, keras.layers.Reshape((1, 1, side * side))(convolution(inner)))
    inputs = keras.Input((side, side, 1), dtype="uint8", name="image")
    dense = keras.layers.Dense(2, name="logits", use_bias=False)
    logits = dense(keras.layers.Flatten()(body(keras.layers.Rescaling(1 / 255)(inputs))))
    nested = keras.Model({"image": inputs}, keras.layers.Softmax()(logits))
    nested.set_weights(plain.get_weights())
    return nested


def test_the_maps_of_a_network_within_are_used():
    pixels = np.stack([noise(seed, 16, 16) for seed in range(2)])
    expected = grad_cam(corner_model(), pixels, [1, 1])
    assert grad_cam(nested_corner_model(), pixels, [1, 1]) == pytest.approx(expected, abs=1e-3)


def test_borders_that_are_added_shift_no_map():
    inputs = keras.Input((8, 8, 1), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(x)
    x = keras.layers.ZeroPadding2D(((0, 8), (0, 8)))(x)
    x = keras.layers.AveragePooling2D(16)(x)
    x = keras.layers.Dense(2, name="logits", kernel_initializer="ones")(keras.layers.Flatten()(x))
    pixels = np.zeros((1, 8, 8, 1), np.uint8)
    pixels[0, :4, :4] = 255
    heat = grad_cam(keras.Model({"image": inputs}, keras.layers.Softmax()(x)), pixels, [1])
    assert heat == pytest.approx(pixels[..., 0] / 255)


def test_maps_are_computed_no_more_at_a_time_than_memory_allows(monkeypatch):
    network = classifier("article_cnn", (16, 16, 3))
    pixels = np.stack([noise(seed, 16, 16, 3) for seed in range(2)])
    whole = grad_cam(network, pixels, [0, 1])
    sizes, compute = [], prediction.outputs

    def count(model, inputs, *encode):
        sizes.append(len(keras.tree.flatten(inputs)[0]))
        return compute(model, inputs, *encode)

    monkeypatch.setattr(prediction, "batch_size", lambda _: 7)
    monkeypatch.setattr(prediction, "outputs", count)
    assert grad_cam(network, pixels, [0, 1]) == pytest.approx(whole, abs=1e-3)
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
    cams = grad_cam(classifier(f"applications/{name}", shape, normalizer=NONE), noise(0, *shape)[None], [1])
    assert cams.shape == (1, side, side) and np.isfinite(cams).all()


@pytest.mark.parametrize("name", ["mlp", "article_cnn", "fast_cnn", *full("vit", "resnet", "lenet5")])
def test_every_family_is_explained(name):
    network = classifier(name, (16, 16, 3))
    pixels = np.stack([noise(seed, 16, 16, 3) for seed in range(3)])
    shown = explanation.explain(PartNetwork(wrap(network), "image", {"image": pixels}), pixels, np.arange(3))
    titles = {"occlusion"} if name in ("mlp", "vit") else {"occlusion", "grad_cam"}
    assert [exhibits.keys() for exhibits in shown] == [titles] * 3


def test_the_other_parts_stay_while_one_changes():
    seen = []
    values = {"left": np.arange(3)[:, None], "right": np.arange(10, 13)[:, None]}
    network = PartNetwork(SimpleNamespace(predict=seen.append), "right", values)
    network.predict(2, np.array([[7], [8]]))
    assert {name: array.tolist() for name, array in seen[0].items()} == {"left": [[2], [2]], "right": [[7], [8]]}


def test_several_networks_have_no_maps_in_common():
    parts = pair_parts()
    network, _ = join("article_cnn", parts, {"left": standard(1), "right": standard(3)}, width=0.25)
    pixels = {name: np.zeros((1, *part.conversion.image_shape), np.uint8) for name, part in parts.items()}
    assert PartNetwork(artifact.Classifier(network, list("abcd"), parts), "left", pixels).compute_maps() is None


def token_network(layer: str) -> PartNetwork:
    """A network of two classes on two texts: the mean of its tokens' vectors, then a bend and a matrix."""
    texts = np.array(["a good film", "a bad film, really"], object)
    fitted = normalizer.fit(normalizer.count(texts), Normalize())
    part = Part("text", modalities.get("text"), Conversion(20, True, False, None))
    how = registry.settle(Train(model={"name": layer, "dropout": 0}), {"text": part}, {"text": fitted})
    model = registry.build(how, {"text": part}, 2, {"text": fitted})
    encoders = registry.make_encoders(how, {"text": part}, {"text": fitted})
    return PartNetwork(artifact.Classifier(model, ["no", "yes"], {"text": part}, encoders), "text", {"text": texts})


@pytest.mark.parametrize(("name", "near"), [("text_cnn", 0.1), ("bert", 0.003), ("gpt", 0.003)])
def test_slopes_are_gradients_times_inputs(name, near):
    network = token_network(name)
    model, numbers = network.classifier.model, network.encoder(network.values["text"][:1])
    embedding = model.get_layer("tokens")
    after = keras.Model([model.inputs[0], embedding.output], model.get_layer("logits").output)
    vectors = tensorflow.convert_to_tensor(embedding(numbers))
    with tensorflow.GradientTape() as tape:
        tape.watch(vectors)
        logits = after([tensorflow.constant(numbers), vectors])
        odds = logits[0, 1] - logits[0, 0]
    exact = (tape.gradient(odds, vectors).numpy() * vectors.numpy())[0].sum(axis=-1)
    slopes = network.compute_slopes(0, np.eye(5, dtype=bool), 1)
    assert slopes == pytest.approx(exact[:5], abs=near * np.abs(exact).max()) and np.abs(exact).max() > 1e-4
    assert network.compute_slopes(0, np.ones((1, 5), bool), 0) == pytest.approx(
        [-exact[:5].sum()], abs=near * np.abs(exact).max()
    )


@pytest.mark.parametrize("name", ["linear_text", "fast_text"])
def test_networks_that_read_tokens_otherwise_have_no_slopes(name):
    assert token_network(name).compute_slopes(0, np.ones((1, 4), bool), 1) is None
