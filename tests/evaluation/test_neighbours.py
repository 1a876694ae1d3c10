import numpy as np
import pytest
from makers.images import noise
from makers.networks import classifier, corner_model, join, standard, wrap
from makers.pairs import write_pairs
from makers.settings import settings
from makers.texts import as_array, fitted, text_parts

from kiln.evaluation.neighbours import find_neighbours, list_feature_networks
from kiln.modalities.text.normalizer import BUCKETS, hash_ngrams
from kiln.networks import artifact, prediction, registry
from kiln.store import dataset


def join_batches(batches: list[dataset.Samples]) -> dataset.Samples:
    fixed = [np.concatenate([getattr(batch, name) for batch in batches]) for name in ("ids", "labels", "units")]
    return dataset.Samples(*fixed, {"image": np.concatenate([batch.parts["image"] for batch in batches])})


def test_the_nearest_are_found_across_batches():
    pixels = np.stack([noise(seed, 16, 16, 1) for seed in range(9)])
    names = np.array([f"i{n}" for n in range(9)], object)
    batches = [
        dataset.Samples(names[rows], np.array(rows, np.int32), names[rows], {"image": pixels[rows]})
        for rows in ([0, 1, 2, 3], [4, 5], [6, 7, 8])
    ]
    network, wanted = wrap(corner_model(), "ab"), {"image": pixels[[7, 1]]}
    near = find_neighbours(network, wanted, batches)
    assert near.ids[:, 0].tolist() == ["i7", "i1"]
    assert near.labels[:, 0].tolist() == [7, 1]
    assert (near.parts["image"][:, 0] == pixels[[7, 1]]).all()
    assert near.cosines[:, 0] == pytest.approx(1) and (np.diff(near.cosines, axis=1) <= 0).all()
    assert (find_neighbours(network, wanted, [join_batches(batches)]).ids == near.ids).all()
    few = find_neighbours(network, {"image": pixels[:1]}, batches[1:2])
    assert few.ids.shape == (1, 2)


@pytest.mark.parametrize("name", ["mlp", "article_cnn", "fast_cnn", "vit", "resnet", "lenet5"])
def test_every_family_has_features(name):
    pixels = np.stack([noise(seed, 16, 16, 3) for seed in range(3)])
    ((network, pick),) = list_feature_networks(wrap(classifier(name, (16, 16, 3))))
    features = prediction.outputs(network, pick({"image": pixels}))
    assert len(features) == 3 and features.ndim == 2


def test_the_features_of_all_parts_count(tmp_path):
    data, values = write_pairs(tmp_path, rows=10)
    network, _ = join("mlp", data.parts, {"left": standard(1), "right": standard(3)}, 3, width=0.05)
    classifier = artifact.Classifier(network, list("abc"), data.parts)
    near = find_neighbours(classifier, {name: array[:2] for name, array in values.items()}, data.batches("train"))
    features = [prediction.outputs(model, pick(values)) for model, pick in list_feature_networks(classifier)]
    assert [len(array) for array in features] == [10, 10]
    flat = np.concatenate(features, axis=1)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    order = np.argsort(-(flat[:2] @ flat.T), axis=1, kind="stable")[:, :3]
    assert near.ids.tolist() == [[f"train{row}" for row in rows] for rows in order]
    assert all((near.parts[name] == values[name][order]).all() for name in values)


def test_a_linear_model_of_n_grams_compares_their_weights():
    texts = ["the cat sat", "the cat", "a dog ran", "the cat sat down", "no", "it is a cat"]
    about, parts = {"text": fitted(texts)}, text_parts()
    how = registry.settle(settings(model="linear_text"), parts, about)
    network = registry.build(how, parts, 2, about)
    classifier = artifact.Classifier(network, ["a", "b"], parts, registry.make_encoders(how, parts, about))
    names, values = np.arange(len(texts)).astype(str).astype(object), as_array(texts)
    batches = [
        dataset.Samples(names[rows], np.zeros(len(rows), np.int32), names[rows], {"text": values[rows]})
        for rows in (np.arange(4), np.arange(4, 6))
    ]
    near = find_neighbours(classifier, {"text": as_array(["the cat sat", "?"])}, batches)
    # The same by hand: TF-IDF of the n-grams, those of words and of characters each of length 1.
    counts, kept = hash_ngrams(texts).toarray(), about["text"]["buckets"]
    weights = counts * 0.0
    weights[:, kept] = counts[:, kept] * (np.log(7 / (1 + np.array(about["text"]["texts_with"]))) + 1)
    halves = [half / np.linalg.norm(half, axis=1, keepdims=True) for half in np.split(weights, [BUCKETS // 2], axis=1)]
    expected = (halves[0] @ halves[0][0] + halves[1] @ halves[1][0]) / 2
    order = np.argsort(-expected, kind="stable")[:3]
    assert near.ids[0].tolist() == names[order].tolist() == ["0", "3", "1"]
    assert near.cosines[0] == pytest.approx(expected[order], abs=1e-5)
    assert near.cosines[0, 0] == pytest.approx(1) and near.cosines[0, 1] < 0.95
    assert near.cosines[1].tolist() == [0, 0, 0]  # nothing of it is known
