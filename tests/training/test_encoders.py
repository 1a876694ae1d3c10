"""An encoder with trained weights: its head first, then all of it; cut off and resumed; and its folder on its own."""

import json
import signal

import numpy as np
import pytest
from makers.effort import full
from makers.presets import PRESET, PRESET_SHA256, write_package
from makers.settings import settings
from makers.texts import as_array, fitted, text_parts

from kiln.core import lifetime, trained
from kiln.modalities import views
from kiln.networks import artifact, registry
from kiln.networks.applications import BODY
from kiln.networks.backend import keras
from kiln.params import text as knobs
from kiln.store import dataset
from kiln.training import checkpoint, loop, pretrained, summary
from kiln.training.feeding import Feed

TEXTS = [f"{'the ' * (number % 7)}{word} is here" for number, word in enumerate(6 * ("cat", "a cat", "dog", "blue"))]
LABELS = [int("cat" in text) for text in TEXTS]
OFFLINE = views.Plan("offline", 1, {"text": "text"}, {"text": knobs.Augment()})
STEPWISE = {"frozen_epochs": 1, "thaw_factor": 0.1, "lr": 0.05}
OF_PRESET = {"tokenizer": str(PRESET), "tokenizer_sha256": PRESET_SHA256}


@pytest.fixture
def about(tmp_path, monkeypatch) -> dict:
    """The tokenizer of a tiny MiniLM, and its package; and the texts as a dataset of kind ``clean``."""
    write_package(tmp_path / "packages", monkeypatch)
    parts = text_parts()
    ids = [str(number) for number in range(len(TEXTS))]
    table = dataset.clean_table(parts, ids, np.array(LABELS), {"text": as_array(TEXTS)})
    described = {name: part.to_json() for name, part in parts.items()}
    dataset.write(tmp_path / "clean", [("train", table)], "clean", classes=["other", "cat"], parts=described)
    return {"text": fitted(TEXTS, tokenizer="minilm")}


def fit(folder, about, keeper=None, **changes):
    """Train on all texts; returns classifier, history, how it was built and the settings."""
    data = dataset.open_dataset(folder / "clean", "clean")
    base = {"model": "minilm", "epochs": 3, "batch_size": 10, "schedule": "linear", "optimizer": "adamw"}
    chosen = settings(**{**base, **STEPWISE, **changes})
    keras.utils.set_random_seed(0)
    weights = pretrained.find_weights(chosen.model)
    how = registry.settle(chosen, data.parts, about, weights)
    network, encoders = registry.build(how, data.parts, 2, about), registry.make_encoders(how, data.parts, about)
    feed = Feed([(data, "train")], 1.0, encoders)
    registry.prepare(network, feed.first(10), weights)
    history, _ = loop.fit(network, feed, feed, OFFLINE, chosen, keeper=keeper)
    return artifact.Classifier(network, data.classes, data.parts, encoders), history, how, chosen


class Cut(checkpoint.Keeper):
    """Stops the run after some steps, as a signal would."""

    def __init__(self, folder, steps: int):
        super().__init__(folder, lambda _: None)
        self.left = steps

    def offer(self, capture):
        """Count down."""
        self.left -= 1
        if not self.left:
            raise lifetime.Stopped(signal.SIGTERM)


@pytest.mark.full
def test_the_head_learns_first_and_then_all(tmp_path, about):
    frozen, _, _, _ = fit(tmp_path, about, epochs=1)
    body = trained.find(trained.MINILM, "model.safetensors")
    before = registry.build(
        registry.settle(settings(model="minilm"), text_parts(), about, body), text_parts(), 2, about
    )
    registry.prepare(before, {"text": as_array(TEXTS)}, body)
    whole, history, _, _ = fit(tmp_path, about, epochs=4)
    start, first, last = (made.get_layer(BODY).get_weights() for made in (before, frozen.model, whole.model))
    assert all(np.array_equal(one, other) for one, other in zip(start, first, strict=True))
    assert not any(np.array_equal(one, other) for one, other in zip(start, last, strict=True))
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


@pytest.mark.full
@pytest.mark.parametrize("steps", [2, 5])  # of three per epoch: before and after the thaw
def test_a_resumed_training_ends_in_the_same_bits(tmp_path, about, steps):
    whole, history, _, _ = fit(tmp_path, about)
    with pytest.raises(lifetime.Stopped):
        fit(tmp_path, about, Cut(tmp_path / "kept", steps))
    resumed, again, _, _ = fit(tmp_path, about, checkpoint.Keeper(tmp_path / "kept", lambda _: None))
    assert history.equals(again)
    pairs = zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("name", ["minilm", *full("bert_preset")])
def test_a_model_folder_needs_neither_package_nor_file(name, tmp_path, about, monkeypatch):
    given = {}
    if name == "bert_preset":
        about = {"text": fitted(TEXTS, **OF_PRESET)}
        given = {"model": name, "weights": str(PRESET), "weights_sha256": PRESET_SHA256}
    classifier, history, how, chosen = fit(tmp_path, about, epochs=1, frozen_epochs=0, **given)
    (tmp_path / "model").mkdir()
    artifact.save(tmp_path / "model", classifier, how, about)
    described = summary.summarize(tmp_path / "model", classifier.model, chosen, len(TEXTS), history, 1)
    assert described["weights"]["sha256"] == (
        given.get("weights_sha256") or trained.MINILM.digests["model.safetensors"]
    )
    assert described["multiply_adds"] > 0
    monkeypatch.setattr(trained, "find", None)
    monkeypatch.setattr(trained, "read_member", None)
    loaded, values = artifact.load(tmp_path / "model"), {"text": as_array(TEXTS)}
    assert np.array_equal(loaded.predict(values), classifier.predict(values))
    content = json.loads((tmp_path / "model/model.json").read_text())
    assert content["parts"]["text"]["architecture"]["sizes"]["blocks"] == 2
