"""Texts, whose batches differ in length: trained, cut off and resumed, saved and loaded."""

import contextlib
import signal

import numpy as np
import pytest
from makers.effort import full
from makers.settings import settings
from makers.texts import as_array, fitted, text_parts

from kiln.core import lifetime
from kiln.modalities import views
from kiln.networks import artifact, registry
from kiln.networks.backend import keras
from kiln.params import text as knobs
from kiln.store import dataset
from kiln.training import checkpoint, loop
from kiln.training.feeding import Feed

ANIMALS, OTHERS = ("cat", "dog", "cow", "hen"), ("red", "blue", "long dark green", "grey or white or both of them")
TEXTS = [f"{'the ' * (number % 7)}{word} is here" for number, word in enumerate(6 * (ANIMALS + OTHERS))]
LABELS = [int(any(word in text for word in ANIMALS)) for text in TEXTS]
ABOUT = {"text": fitted(TEXTS)}
OFFLINE = views.Plan("offline", 1, {"text": "text"}, {"text": knobs.Augment()})
SMALL = {
    "linear_text": {"lr": 0.05},
    "fast_text": {"lr": 0.05, "model": {"width": 0.25}},
    "text_cnn": {"lr": 0.01, "model": {"width": 0.1}},
    "bert": {"lr": 0.01, "model": {"width": 0.5, "depth": 1}},
    "gpt": {"lr": 0.01, "model": {"width": 0.5, "depth": 1}},
}


def write(folder) -> dataset.Dataset:
    """Write the texts as a dataset of kind ``clean``."""
    parts = text_parts()
    ids = [str(number) for number in range(len(TEXTS))]
    table = dataset.clean_table(parts, ids, np.array(LABELS), {"text": as_array(TEXTS)})
    about = {name: part.to_json() for name, part in parts.items()}
    dataset.write(folder, [("train", table)], "clean", classes=["other", "animal"], parts=about)
    return dataset.open_dataset(folder, "clean")


def fit(folder, name: str, keeper=None, **changes):
    """Train on all texts; returns classifier, history and how it was built."""
    data = dataset.open_dataset(folder, "clean") if folder.exists() else write(folder)
    model = {"name": name, **SMALL[name].get("model", {})}
    chosen = settings(
        **{"epochs": 2, "batch_size": 10, "schedule": "constant", "lr": SMALL[name]["lr"], **changes},
        model=model.pop("name"),
        **model,
    )
    keras.utils.set_random_seed(0)
    how = registry.settle(chosen, data.parts, ABOUT)
    network = registry.build(how, data.parts, 2, ABOUT)
    encoders = registry.make_encoders(how, data.parts, ABOUT)
    feed = Feed([(data, "train")], 1.0, encoders)
    history, _ = loop.fit(network, feed, feed, OFFLINE, chosen, keeper=keeper)
    return artifact.Classifier(network, data.classes, data.parts, encoders), history, how


class Cut(checkpoint.Keeper):
    """Stops the training after some steps."""

    def __init__(self, folder, steps: int):
        super().__init__(folder, lambda _: None)
        self.left = steps

    def offer(self, capture) -> None:
        self.left -= 1
        if not self.left:
            raise lifetime.Stopped(signal.SIGTERM)


@pytest.mark.parametrize("name", ["linear_text", *full("fast_text", "text_cnn", "bert", "gpt")])
def test_texts_are_learnt_and_the_model_comes_back_from_disk(name, tmp_path):
    classifier, history, how = fit(tmp_path / "texts", name, epochs=30)
    assert history["validation_accuracy"].iloc[-1] == 1
    (tmp_path / "model").mkdir()
    artifact.save(tmp_path / "model", classifier, how, ABOUT)
    loaded, values = artifact.load(tmp_path / "model"), {"text": as_array(TEXTS)}
    assert (loaded.predict(values) == classifier.predict(values)).all()


@pytest.mark.parametrize("name", ["bert", *full("linear_text", "gpt")])
@pytest.mark.parametrize("steps", [3, *full(1, 6, 8)])
def test_a_training_that_is_cut_off_ends_with_the_same_weights(name, steps, tmp_path):
    whole, history, _ = fit(tmp_path / "texts", name)
    with pytest.raises(lifetime.Stopped):
        fit(tmp_path / "texts", name, Cut(tmp_path / "kept", steps))  # of five steps per epoch
    resumed, again, _ = fit(tmp_path / "texts", name, checkpoint.Keeper(tmp_path / "kept", lambda _: None))
    assert history.equals(again)
    for one, other in zip(whole.model.get_weights(), resumed.model.get_weights(), strict=True):
        assert (one == other).all()


def test_all_graphs_are_traced_before_the_first_batch_wherever_a_run_begins(tmp_path, monkeypatch):
    """Graphs for one shape and for any may differ in their last bits, though seldom in so small a network."""
    traced, counts = [0], []
    trace, train = keras.Model.train_step, loop.Run._train_step

    def count(self, *given, **named):
        traced[0] += 1
        return trace(self, *given, **named)

    def watch(self, *batch):
        train(self, *batch)
        counts.append(traced[0])

    monkeypatch.setattr(keras.Model, "train_step", count)
    monkeypatch.setattr(loop.Run, "_train_step", watch)
    for keeper in (Cut(tmp_path / "kept", 3), checkpoint.Keeper(tmp_path / "kept", lambda _: None)):
        traced[0] = 0
        with contextlib.suppress(lifetime.Stopped):
            fit(tmp_path / "texts", "bert", keeper)
        assert counts and set(counts) == {counts[0]}
    assert len(counts) == 10
