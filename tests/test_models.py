import numpy as np
import pytest
from conftest import noise

from stages.lib import artifact, models
from stages.lib.backend import keras
from stages.lib.errors import UserError
from stages.lib.images import Conversion

PLAIN = {"method": "standard", "offset": [100.0], "scale": [50.0]}


def classifier(**changes) -> keras.Model:
    keras.utils.set_random_seed(0)
    return models.build(
        **{"name": "article_cnn", "image_shape": (8, 8, 1), "classes": 4, "normalizer": PLAIN, **changes}
    )


@pytest.mark.parametrize("name", sorted(models.ZOO))
@pytest.mark.parametrize(
    ("shape", "classes"), [((8, 8, 1), 2), ((32, 32, 3), 10), ((17, 40, 3), 3), ((64, 64, 1), 100)]
)
def test_every_model_builds_at_any_size(name, shape, classes):
    normalizer = {"method": "standard", "offset": [0.0] * shape[2], "scale": [255.0] * shape[2]}
    made = models.build(name, shape, classes, normalizer)
    probabilities = models.probabilities(made, np.stack([noise(i, *shape) for i in range(3)]))
    assert probabilities.shape == (3, classes)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_the_articles_network_has_its_size():
    # 3*9*32+32 + 32*9*64+64 + 64*9*64+64 + 1024*64+64 + 64*10+10
    normalizer = {"method": "minmax", "offset": [0.0] * 3, "scale": [255.0] * 3}
    assert models.build("article_cnn", (32, 32, 3), 10, normalizer).count_params() == 122_570


@pytest.mark.parametrize("method", ["standard", "per_image", "none"])
def test_the_first_layers_normalise_raw_pixels(method):
    scale = {"standard": 50.0}.get(method, 1.0)
    made = classifier(
        normalizer={"method": method, "offset": [100.0 if method == "standard" else 0.0], "scale": [scale]}
    )
    inner = keras.Model(made.input, made.get_layer("normalize").output)
    pixels = np.stack([noise(0), np.full((8, 8, 1), 7, np.uint8)])
    found = inner.predict_on_batch(pixels)
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
    logits = models.logits_of(made).predict_on_batch(pixels)
    np.testing.assert_allclose(
        np.asarray(keras.ops.softmax(logits)), models.probabilities(made, pixels), rtol=1e-5, atol=1e-7
    )


def test_an_unknown_model_gets_the_list_of_the_known():
    with pytest.raises(UserError, match=r"train\.model is 'articl_cnn'.*article_cnn"):
        models.check("articl_cnn")


def save(folder) -> artifact.Classifier:
    folder.mkdir(exist_ok=True)
    made = artifact.Classifier(classifier(), list("abcd"), Conversion(8, 8, 1, "crop"))
    artifact.save(folder, made, PLAIN)
    return made


def test_a_saved_model_predicts_the_same(tmp_path):
    made = save(tmp_path)
    loaded = artifact.load(tmp_path)
    pixels = np.stack([noise(i) for i in range(5)])
    assert (loaded.classes, loaded.conversion) == (made.classes, made.conversion)
    assert (models.probabilities(loaded.model, pixels) == models.probabilities(made.model, pixels)).all()


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
    with pytest.raises(UserError, match=r"model\.weights\.h5 is not what"):
        artifact.load(tmp_path)
    weights.unlink()
    with pytest.raises(UserError, match=r"model\.weights\.h5 is missing"):
        artifact.load(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "says"), [('"schema": 1', '"schema": 9', "schema 9"), ('"classes"', '"klasses"', "damaged")]
)
def test_a_changed_description_is_refused(tmp_path, old, new, says):
    save(tmp_path)
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=says):
        artifact.load(tmp_path)
