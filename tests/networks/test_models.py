import json

import numpy as np
import pytest
from makers.datasets import image_parts
from makers.effort import full
from makers.images import noise
from makers.networks import NONE, PLAIN, classifier, join, predict, save, smallest, standard
from makers.pairs import pair_parts
from makers.projects import ROOT
from makers.samples import parts_of
from makers.settings import settings
from scipy.special import softmax

from kiln.commands.models import command
from kiln.core.errors import UserError
from kiln.networks import adjusting, applications, artifact, costs, fast, prediction, registry
from kiln.networks.backend import keras

OF_IMAGES = sorted(name for name in registry.ZOO if registry.form_of(name) == "pixels")
LEFT = sorted({*OF_IMAGES} - {"article_cnn", "fast_cnn", "vit"})
SMALL = {"width": 0.25}


@pytest.mark.parametrize("name", OF_IMAGES)
@pytest.mark.parametrize(
    ("shape", "classes"),
    [((17, 40, 3), 3), *full(((8, 8, 1), 2), ((32, 32, 3), 10), ((64, 64, 1), 100), ((224, 224, 3), 1000))],
)
def test_every_model_builds_at_any_size(name, shape, classes):
    made = classifier(name, shape, classes, **smallest(name))
    probabilities = predict(made, np.stack([noise(i, *shape) for i in range(3)]))
    assert probabilities.shape == (3, classes)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def trainable(made: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in made.trainable_weights)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "changes", "published"),
    [
        # 3*9*32+32 + 32*9*64+64 + 64*9*64+64 + 1024*64+64 + 64*10+10
        ("article_cnn", (32, 32, 3), 10, {}, 122_570),
        # LeCun et al. 1998, with a full second convolution: 156 + 2,416 + 48,120 + 10,164 + 850
        ("lenet5", (32, 32, 1), 10, {}, 61_706),
        ("lenet5", (28, 28, 1), 10, {}, 61_706),
        # He et al. 2016: 0.27, 0.46 and 0.85 million
        ("resnet", (32, 32, 3), 10, {"depth": 20}, 269_722),
        *full(
            ("resnet", (32, 32, 3), 10, {"depth": 32}, 464_154),
            ("resnet", (32, 32, 3), 10, {"depth": 56}, 853_018),
        ),
        # Krizhevsky et al. 2012, on one device
        *full(("alexnet", (227, 227, 3), 1000, {}, 62_378_344)),
    ],
)
def test_parameters_are_as_published(name, shape, classes, changes, published):
    assert trainable(classifier(name, shape, classes, **changes)) == published


@pytest.mark.full
def test_the_convolutions_of_vgg16_are_as_published():
    made = classifier("vgg", (32, 32, 3), 10, depth=16, normalization="none")
    assert sum(layer.count_params() for layer in made.layers if layer.name.startswith("conv")) == 14_714_688


@pytest.mark.full
def test_wide_resnets_are_as_published():
    # Zagoruyko and Komodakis 2016, table 1 and 5: 2.7 (WRN-16-4), 8.9 (WRN-40-4) million
    for depth, millions in ((16, 2.7), (40, 8.9)):
        assert trainable(classifier("wide_resnet", (32, 32, 3), 10, depth=depth)) / 1e6 == pytest.approx(
            millions, abs=0.06
        )


def test_multiply_adds_by_hand():
    # 30*30*27*32 + 13*13*288*64 + 4*4*576*64 + 1024*64 + 64*10
    assert costs.multiply_adds(classifier("article_cnn", (32, 32, 3), 10)) == 4_548_608
    # 4 patches of 2x2 of one channel to 64; a block of 4 T d d + 2 T T d and 8 T d d; the head
    how = {"depth": 2, "width": 1 / 3, "patch": 4}
    block = 4 * 4 * 64 * 64 + 2 * 4 * 4 * 64 + 8 * 4 * 64 * 64
    assert costs.multiply_adds(classifier("vit", (8, 8, 1), 4, **how)) == 4 * 16 * 64 + 2 * block + 64 * 4


@pytest.mark.parametrize("activation", ["tanh", *full("sigmoid", "relu", "gelu", "silu")])
@pytest.mark.parametrize("normalization", ["batch", "none"])
def test_activation_and_normalization_are_those_asked_for(activation, normalization):
    for name in ("article_cnn", "vgg", "resnet", "fast_cnn"):
        made = classifier(name, activation=activation, normalization=normalization, **SMALL)
        found = {layer.activation.__name__ for layer in made.layers if isinstance(layer, keras.layers.Activation)}
        assert found == {activation}
        normed = any(isinstance(layer, keras.layers.BatchNormalization) for layer in made.layers)
        assert normed == (normalization == "batch")


def test_width_scales_and_dropout_drops():
    kernels = [classifier("vgg", width=width).get_layer("conv1_1").kernel.shape[-1] for width in (0.5, 1.0, 2.0)]
    assert kernels == [32, 64, 128]
    made = classifier("mlp", dropout=0.4, **SMALL)
    assert {layer.rate for layer in made.layers if isinstance(layer, keras.layers.Dropout)} == {0.4}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"model": "resnet", "depth": 21},
            r"train\.model\.depth is 21, but resnet supports: auto, 20, 32, 44, 56",
        ),
        ({"model": "vit", "patch": 9}, r"train\.model\.patch is 9, larger than the image \(8 pixels\)"),
        ({"model": "applications/VGG16"}, r"normalize\.image\.method is standard, but applications/VGG16 includes"),
        ({"model": "articl_cnn"}, r"train\.model\.name is 'articl_cnn'.*article_cnn.*did you mean article_cnn"),
        ({"model": "applications/ResNet5"}, r"did you mean applications/ResNet50"),
    ],
)
def test_what_a_model_cannot_have_is_refused(changes, says):
    with pytest.raises(UserError, match=says):
        registry.architecture(settings(**changes), image_parts()["image"], PLAIN)


def test_decoding_too_small_for_a_model_are_refused_with_the_size_it_takes():
    with pytest.raises(UserError, match=r"vgg needs images of at least 8x8 pixels, not 4x9"):
        registry.architecture(settings(model="vgg"), image_parts((4, 9, 1))["image"], PLAIN)
    with pytest.raises(UserError, match=r"applications/VGG16 needs images of at least 32x32 pixels, not 8x8"):
        classifier("applications/VGG16", normalizer={"method": "none", "offset": [0.0], "scale": [1.0]})


@pytest.mark.full
def test_gray_images_and_published_networks(tmp_path):
    gray = {"method": "none", "offset": [0.0], "scale": [1.0]}
    made = classifier("applications/MobileNetV3Small", (32, 32, 1), 5, gray)
    assert predict(made, np.stack([noise(0, 32, 32)])).shape == (1, 5)
    # Trained weights go into the body, and a file of another network is refused.
    path = tmp_path / "body.weights.h5"
    made.get_layer(applications.BODY).save_weights(path)
    pretrained = {"weights": str(path), "weights_sha256": "0" * 64}
    again = classifier("applications/MobileNetV3Small", (32, 32, 3), 5, NONE, **pretrained)
    registry.prepare(again, {"image": np.zeros((1, 32, 32, 3), np.uint8)}, path)
    bodies = [model.get_layer(applications.BODY).get_weights() for model in (made, again)]
    assert all((a == b).all() for a, b in zip(*bodies, strict=True))
    other = classifier("applications/MobileNet", (32, 32, 3), 5, NONE, **pretrained)
    with pytest.raises(UserError, match=r"body\.weights\.h5 does not match train\.model\.name applications_MobileNet"):
        registry.prepare(other, {"image": np.zeros((1, 32, 32, 3), np.uint8)}, path)


def test_published_networks_get_the_pixels_that_they_were_trained_on():
    pixels = keras.ops.array([[[[0.0, 127.5, 255.0]]]])
    by_hand = {
        "tf": [-1, 0, 1],
        "caffe": [255 - 103.939, 127.5 - 116.779, 0 - 123.68],
        "torch": [(0 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, (1 - 0.406) / 0.225],
        "none": [0, 127.5, 255],
    }
    for mode, expected in by_hand.items():
        assert np.asarray(applications.Preprocess(mode)(pixels)).ravel() == pytest.approx(expected, abs=1e-4)


def test_the_body_freezes_and_thaws():
    made = classifier("applications/MobileNetV3Small", (32, 32, 3), 5, NONE)
    adjusting.freeze(made, True, pretrained=False)
    assert [weight.path for weight in made.trainable_weights] == ["logits/kernel", "logits/bias"]
    adjusting.freeze(made, False, pretrained=False)
    assert len(made.trainable_weights) > 50
    assert {"gamma", "beta"} <= {weight.name for weight in made.trainable_weights}
    adjusting.freeze(made, False, pretrained=True)
    assert len(made.trainable_weights) > 20
    assert not {"gamma", "beta"} & {weight.name for weight in made.trainable_weights}


def test_the_command_lists_every_model_with_its_size_and_cost(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    command.main([], standalone_mode=False)
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert lines.keys() >= {*registry.ZOO, "And"}
    assert "122,570" in lines["article_cnn"] and "4.5 M" in lines["article_cnn"]
    assert "11, 13, 16" in lines["vgg"]
    command.main(["lenet5", "--channels", "1", "--image-size", "28", "28"], standalone_mode=False)
    assert "61,706" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="did you mean lenet5"):
        command.main(["lenet"], standalone_mode=False)


def test_whitened_patches_are_uncorrelated_and_of_one_size():
    images = np.random.default_rng(0).normal(size=(300, 8, 8, 3)).cumsum(axis=2).cumsum(axis=1)
    filters = fast.whitening_filters(images)
    patches = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(1, 2))
    flat = np.moveaxis(patches, 3, -1).reshape(-1, 12)
    covariance = np.cov((flat - flat.mean(axis=0)) @ filters.reshape(12, 12), rowvar=False)
    spread = np.diagonal(covariance)
    assert np.abs(covariance - np.diag(spread)).max() < 1e-4
    assert spread.max() == pytest.approx(1, abs=0.01)


def test_fast_cnn_starts_from_the_training_images_and_keeps_that():
    made = classifier("fast_cnn", (8, 8, 1), **SMALL)
    pixels = np.stack([noise(i) for i in range(20)])
    registry.prepare(made, {"image": pixels}, None)
    kernel = np.asarray(made.get_layer("whiten").kernel)
    assert kernel == pytest.approx(np.concatenate([kernel[..., :4], -kernel[..., :4]], axis=-1)) and kernel[
        ..., :4
    ] == pytest.approx(fast.whitening_filters((pixels - 100.0) / 50), abs=1e-4)
    assert "whiten/kernel" not in [weight.path for weight in made.trainable_weights]


def test_large_images_are_whitened_as_the_filters_see_them():
    made = classifier("fast_cnn", (128, 128, 1), **SMALL)
    pixels = np.stack([noise(seed, 128, 128) for seed in range(3)])
    registry.prepare(made, {"image": pixels}, None)
    shrunk = pixels.reshape(3, 64, 2, 64, 2, 1).mean(axis=(2, 4))
    expected = fast.whitening_filters((shrunk - 100.0) / 50)
    kernel = np.asarray(made.get_layer("whiten").kernel)
    assert kernel[..., : expected.shape[-1]] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("method", ["standard", "per_image", "none"])
def test_the_first_layers_normalise_raw_pixels(method):
    scale = {"standard": 50.0}.get(method, 1.0)
    made = classifier(
        normalizer={"method": method, "offset": [100.0 if method == "standard" else 0.0], "scale": [scale]}
    )
    inner = keras.Model(made.input, made.get_layer("normalize").output)
    pixels = np.stack([noise(0), np.full((8, 8, 1), 7, np.uint8)])
    found = predict(inner, pixels)
    values = pixels.astype(float)
    expected = {
        "standard": (values - 100) / 50,
        "none": values,
        "per_image": (values - values.mean(axis=(1, 2, 3), keepdims=True))
        / np.sqrt(values.var(axis=(1, 2, 3), keepdims=True) + 1),
    }[method]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_logits_are_those_of_the_probabilities():
    made = classifier()
    pixels = np.stack([noise(i) for i in range(4)])
    logits = predict(prediction.logits_of(made), pixels)
    np.testing.assert_allclose(np.asarray(keras.ops.softmax(logits)), predict(made, pixels), rtol=1e-5, atol=1e-7)


def test_mixed_precision_keeps_weights_and_probabilities_whole():
    made = classifier("fast_cnn", precision="mixed_bfloat16", **SMALL)
    assert keras.config.dtype_policy().name == "float32"
    assert {str(weight.dtype) for weight in made.weights if "seed" not in weight.path} == {"float32"}
    assert made.get_layer("conv1_1").compute_dtype == "bfloat16"
    whole = classifier("fast_cnn", **SMALL)
    whole.set_weights(made.get_weights())
    pixels = np.stack([noise(i) for i in range(4)])
    np.testing.assert_allclose(predict(made, pixels), predict(whole, pixels), atol=0.02)


def test_dropout_is_drawn_by_the_seed_given():
    made = classifier("mlp", dropout=0.5, **SMALL)
    pixels = np.stack([noise(i) for i in range(4)])

    def drawn(seed):
        adjusting.reseed(made, seed)
        return np.asarray(made({"image": pixels}, training=True))

    assert (drawn(1) == drawn(1)).all()
    assert (drawn(1) != drawn(2)).any()


def stochastic() -> keras.Model:
    """Every kind of layer that draws, on tensors of one shape; one of them in a network within."""
    layers = keras.layers
    inputs = keras.Input((4, 4, 32))
    outputs = [
        *(layers.Dropout(0.5, name=name)(inputs) for name in ("one", "two", "three")),
        layers.Dropout(0.5, noise_shape=(None, 1, 1, 32))(inputs),
        layers.SpatialDropout2D(0.5)(inputs),
        layers.GaussianDropout(0.5)(inputs),
        layers.GaussianNoise(0.5)(inputs),
        layers.AlphaDropout(0.5)(inputs),
    ]
    within = keras.Input((4, 4, 32))
    network = keras.Model(within, layers.Dropout(0.5)(within), name="within")
    return keras.Model(inputs, [*outputs, network(inputs)])


def test_no_layer_epoch_or_step_draws_what_another_drew():
    made, ones = stochastic(), np.ones((1, 4, 4, 32), np.float32)
    seen = set()
    for epoch in range(2):
        adjusting.reseed(made, 0, "dropout", epoch)
        for _ in range(10):
            seen |= {np.asarray(drawn).tobytes() for drawn in made(ones, training=True)}
    assert len(seen) == 2 * 10 * len(made.outputs)


@pytest.mark.parametrize("name", [*OF_IMAGES, *full("applications/EfficientNetB0", "applications/ConvNeXtTiny")])
def test_every_network_draws_from_streams_that_a_checkpoint_holds(name):
    if "/" in name:
        made, shape = classifier(name, (32, 32, 3), 4, NONE), (32, 32, 3)
    else:
        made, shape = classifier(name, dropout=0.3, **smallest(name)), (8, 8, 1)
    pixels = np.stack([noise(i, *shape) for i in range(4)])

    def drawn(seed):
        adjusting.reseed(made, seed)
        return np.asarray(made({"image": pixels}, training=True))

    # What Keras draws without a stream of the layer's own would differ each time.
    assert (drawn(1) == drawn(1)).all()
    streams = [np.asarray(v).tolist() for v in made.variables if v.path.endswith("seed_generator_state")]
    assert len({first for first, _ in streams}) == len(streams) > 0


def test_statistics_anew_are_those_of_all_images_whatever_they_were_before():
    made = classifier("fast_cnn", **SMALL)
    norm = made.get_layer("conv1_1_norm")
    pixels = np.stack([noise(i) for i in range(12)])
    seen = np.asarray(keras.Model(made.input, norm.input)({"image": pixels}))
    norm.moving_mean.assign(np.full(norm.moving_mean.shape, 1e6))
    adjusting.renormalize(made, [{"image": pixels[:8]}, {"image": pixels[8:]}])
    assert np.asarray(norm.moving_mean) == pytest.approx(seen.mean(axis=(0, 1, 2)), abs=1e-5)
    assert np.asarray(norm.moving_variance) == pytest.approx(seen.var(axis=(0, 1, 2)), rel=1e-4)
    assert norm.momentum == 0.6


def test_statistics_anew_are_those_without_dropout():
    made = classifier("mlp", normalization="batch", dropout=0.5, **SMALL)
    pixels = np.stack([noise(i) for i in range(12)])
    adjusting.renormalize(made, [{"image": pixels}])
    norm = made.get_layer("dense2_norm")
    seen = np.asarray(keras.Model(made.input, norm.input)({"image": pixels}))
    assert np.asarray(norm.moving_mean) == pytest.approx(seen.mean(axis=0), abs=1e-5)
    assert {layer.rate for layer in made.layers if isinstance(layer, keras.layers.Dropout)} == {0.5}


def test_batch_normalisation_is_found_in_a_network_within_too():
    assert adjusting.normalizes(classifier("fast_cnn", **SMALL))
    assert not adjusting.normalizes(classifier("vit", width=1 / 3))
    assert adjusting.normalizes(classifier("applications/MobileNet", (32, 32, 3), 4, NONE))
    assert not adjusting.normalizes(classifier("applications/VGG16", (32, 32, 3), 4, NONE))


@pytest.mark.full
def test_frozen_statistics_stay():
    made = classifier("applications/MobileNet", (32, 32, 3), 4, NONE)
    adjusting.freeze(made, False, pretrained=True)
    # Figures that would come back rounded from a computation.
    norm = made.get_layer("body").get_layer("conv1_bn")
    norm.moving_mean.assign(np.full(norm.moving_mean.shape, 1e6 + 0.125))
    norm.moving_variance.assign(np.full(norm.moving_variance.shape, 0.3))
    before = made.get_weights()
    adjusting.renormalize(made, [{"image": np.stack([noise(i, 32, 32, 3) for i in range(4)])}])
    assert all((a == b).all() for a, b in zip(before, made.get_weights(), strict=True))


@pytest.mark.parametrize("name", ["article_cnn", "fast_cnn", "vit", *full(*LEFT)])
def test_a_saved_model_predicts_the_same(name, tmp_path):
    made = save(tmp_path, name, **smallest(name))
    loaded = artifact.load(tmp_path)
    pixels = np.stack([noise(i) for i in range(5)])
    assert (loaded.classes, loaded.parts) == (made.classes, made.parts)
    assert (predict(loaded.model, pixels) == predict(made.model, pixels)).all()


def test_saving_twice_gives_the_same_bytes(tmp_path):
    save(tmp_path / "a")
    save(tmp_path / "b")
    for name in ("model.weights.h5", "model.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_changed_weights_are_refused(tmp_path):
    save(tmp_path)
    weights = tmp_path / "model.weights.h5"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.weights\.h5 is not the file that"):
        artifact.load(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match=r"model\.weights\.h5 is missing"):
        artifact.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "says"), [('"schema": 4', '"schema": 9', "schema 9"), ('"classes"', '"klasses"', "damaged")]
)
def test_a_changed_description_is_refused(tmp_path, old, new, says):
    save(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=says):
        artifact.load(tmp_path)


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("classes",), list("abc"), r"model\.weights\.h5 does not match .*model\.json"),
        (("classes",), 3, r"model\.json is damaged"),
        (("parts",), [], r"model\.json is damaged"),
        (("parts", "image", "modality"), "smell", r"model\.json is damaged"),
        (("parts", "image", "conversion"), [], r"model\.json is damaged"),
        (("parts", "image", "architecture", "model"), "none", r"model\.json is damaged"),
        (("parts", "image", "normalizer", "offset"), "x", r"model\.json is damaged"),
    ],
    ids=str,
)
def test_a_description_that_lies_is_one_sentence(tmp_path, place, value, says):
    save(tmp_path)
    path = tmp_path / "model.json"
    content = inner = json.loads(path.read_text())
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=says):
        artifact.load(tmp_path)


@pytest.mark.parametrize("others", [[], ["other"]])
@pytest.mark.parametrize("name", ["logits", "conv1"])
def test_a_part_may_not_be_called_as_a_layer_is(name, others):
    parts = parts_of(name, *others)
    with pytest.raises(UserError, match=f"inputs names a part {name}, as a layer of its network is called"):
        join("article_cnn", parts, dict.fromkeys(parts, standard(1)))


def test_the_logits_of_several_parts_are_added():
    parts, fitted = pair_parts(), {"left": standard(1), "right": standard(3)}
    made, _ = join("fast_cnn", parts, fitted, **SMALL)
    values = {
        name: np.stack([noise(i, *part.conversion.image_shape) for i in range(4)]) for name, part in parts.items()
    }
    registry.prepare(made, values, None)
    bodies = registry.list_bodies(made, parts)
    assert bodies.keys() == parts.keys()
    for name, channels in (("left", 1), ("right", 3)):
        kernel = np.asarray(bodies[name].get_layer("whiten").kernel)
        expected = fast.whitening_filters((values[name] - 100.0) / 50)
        assert kernel[..., : 4 * channels] == pytest.approx(expected, abs=1e-3)
    each = [prediction.outputs(body, values[name]) for name, body in bodies.items()]
    logits = prediction.outputs(prediction.logits_of(made), values)
    assert logits == pytest.approx(sum(each), abs=1e-5)
    assert prediction.outputs(made, values) == pytest.approx(softmax(logits, axis=1), abs=1e-6)
    alone = [classifier("fast_cnn", part.conversion.image_shape, **SMALL) for part in parts.values()]
    assert costs.multiply_adds(made) == sum(map(costs.multiply_adds, alone))


def test_the_model_is_built_on_the_seed():
    one, two = (classifier().get_weights() for _ in range(2))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
