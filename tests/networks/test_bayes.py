"""Naive Bayes votes in linear networks."""

import numpy as np
import pytest
from makers.texts import fitted
from sklearn.naive_bayes import ComplementNB

from kiln.modalities import registry as modalities
from kiln.modalities.base import Part
from kiln.modalities.text.conversion import Conversion
from kiln.networks import bayes, registry
from kiln.networks.backend import keras
from kiln.params import Train

WORDS = [["the cat", "a cat"], ["the dog", "a dog", "dog"], ["the bird", "bird"]]
VALUES = np.array([text for texts in WORDS for text in texts], object)
LABELS = np.repeat([0, 1, 2], [len(texts) for texts in WORDS])


def test_weights_are_those_of_complement_naive_bayes():
    generator = np.random.default_rng(0)
    rows, labels = generator.random((40, 7)), generator.integers(0, 3, 40)
    weights = bayes.weigh_evidence(rows.T @ np.eye(3)[labels])
    known = ComplementNB(alpha=0.3).fit(rows, labels).feature_log_prob_.T
    assert weights == pytest.approx(known - known.mean(axis=1, keepdims=True), abs=1e-9)
    assert weights.sum(axis=1) == pytest.approx(0, abs=1e-9)


def test_what_never_occurs_weighs_nothing():
    assert not bayes.weigh_evidence(np.array([[1.0, 2], [0, 0]]))[1].any()


def make(classes: int = 3):
    """A network, and the function from texts to numbers."""
    about = fitted(VALUES.tolist(), min_texts=1)
    parts = {"text": Part("text", modalities.get("text"), Conversion(20))}
    how = registry.settle(Train(model={"name": "linear_text"}), parts, {"text": about})
    keras.utils.set_random_seed(0)
    network = registry.build(how, parts, classes, {"text": about})
    return network, registry.make_encoders(how, parts, {"text": about})["text"]


def test_naive_bayes_votes_however_the_samples_are_batched():
    tables = []
    for size in (1, 3, 7):
        network, encode = make()
        starts = range(0, len(VALUES), size)
        batches = [({"text": encode(VALUES[at : at + size])}, LABELS[at : at + size]) for at in starts]
        registry.prepare(network, {"text": VALUES}, None, lambda batches=batches: batches)
        tables.append(network.get_layer("logits").votes.numpy())
        predicted = network.predict_on_batch({"text": encode(VALUES)})
        assert predicted.argmax(axis=1).tolist() == LABELS.tolist()
    logits = keras.Model(network.inputs[0], network.get_layer("logits").output)
    numbers = encode(VALUES)
    assert not np.asarray(logits(numbers, training=True)).any()  # in training it is silent
    deviation = np.log((0.9 + 0.1 / 3) / (0.1 / 3)) * 2**0.5 / 3
    assert np.asarray(logits(numbers)).std() == pytest.approx(deviation / 2, rel=1e-4)
    assert np.abs(tables[0]).max() > 0.1 and not tables[0][0].any()
    assert tables[1] == pytest.approx(tables[0], abs=1e-5) and tables[2] == pytest.approx(tables[0], abs=1e-5)


def test_without_samples_and_with_hidden_units_nothing_is_set():
    network, encode = make()
    registry.prepare(network, {"text": VALUES}, None)
    assert not network.get_layer("logits").votes.numpy().any()
    network, encode = make(classes=40)
    before = [weight.copy() for weight in network.get_weights()]
    registry.prepare(network, {"text": VALUES}, None, lambda: [({"text": encode(VALUES)}, LABELS)])
    for weight, same in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)
