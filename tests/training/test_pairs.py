"""Samples of two parts: a network for each, trained, cut off and resumed as one."""

import dataclasses
import signal

import numpy as np
import pytest
from makers.datasets import PLAIN
from makers.networks import join, standard
from makers.pairs import FLIP_PAIRS, write_pairs
from makers.settings import settings

from kiln.core import lifetime
from kiln.networks import artifact, prediction
from kiln.training import checkpoint, loop
from kiln.training.batches import epoch_batches
from kiln.training.feeding import Feed

FITTED = {"left": standard(1), "right": standard(3)}
MODEL = {"width": 0.05, "dropout": 0.3, "normalization": "batch"}
CHOSEN = {**PLAIN, "epochs": 2, "mixup": 0.5, "cutmix": 1.0, "ema": 0.5, "precise_norm": True}


@pytest.fixture
def pairs(tmp_path) -> Feed:
    return Feed([(write_pairs(tmp_path / "pairs", rows=14)[0], "train")], 1.0)


def fit(feed: Feed, keeper=None, **changes):
    network, how = join("mlp", feed.parts, FITTED, 3, **MODEL)
    chosen = settings(model="mlp", **MODEL, **{**CHOSEN, **changes})
    history, _ = loop.fit(network, feed, feed, FLIP_PAIRS, chosen, keeper=keeper)
    return network, how, history


def test_the_parts_of_a_sample_are_mirrored_together(pairs):
    plain, flipped = (
        next(epoch_batches(pairs, plan, settings(batch_size=14), 0))[0]
        for plan in (dataclasses.replace(FLIP_PAIRS, mode="offline"), FLIP_PAIRS)
    )
    mirrored = {name: (flipped[name] != plain[name]).any(axis=(1, 2, 3)) for name in plain}
    assert (mirrored["left"] == mirrored["right"]).all() and 0 < mirrored["left"].sum() < 14
    for name, rows in mirrored.items():
        assert (flipped[name][rows] == plain[name][rows, :, ::-1]).all()


def test_every_part_is_learnt_from_and_comes_back_from_disk(pairs, tmp_path):
    fresh, _ = join("mlp", pairs.parts, FITTED, 3, **MODEL)
    network, how, history = fit(pairs, epochs=1)
    assert np.isfinite(history["loss"]).all()
    trained = zip(fresh.trainable_weights, network.trainable_weights, strict=True)
    assert all((np.asarray(one) != np.asarray(other)).any() for one, other in trained)
    classifier = artifact.Classifier(network, list("abc"), pairs.parts)
    artifact.save(tmp_path, classifier, how, FITTED)
    loaded, values = artifact.load(tmp_path), pairs.whole.parts
    assert (loaded.classes, loaded.parts) == (list("abc"), pairs.parts)
    for average in (False, True):
        assert (loaded.predict(values, average) == classifier.predict(values, average)).all()
    mirrored = {name: pixels[:, :, ::-1] for name, pixels in values.items()}
    both = (classifier.predict(values) + classifier.predict(mirrored)) / 2
    assert classifier.predict(values, average_views=True) == pytest.approx(both, abs=1e-6)


class Cut(checkpoint.Keeper):
    """Stops the training after so many steps, with a checkpoint at each."""

    def __init__(self, folder, steps):
        self.steps = steps
        super().__init__(folder, lambda _: None)

    def offer(self, capture):
        self.save(*capture())
        self.steps -= 1
        if not self.steps:
            raise lifetime.Stopped(signal.SIGTERM)


@pytest.mark.full
def test_a_training_that_is_cut_off_ends_with_the_same_weights(pairs, tmp_path):
    whole, _, history = fit(pairs)
    with pytest.raises(lifetime.Stopped):
        fit(pairs, Cut(tmp_path / "kept", 4))  # of three steps per epoch
    resumed, _, again = fit(pairs, checkpoint.Keeper(tmp_path / "kept", lambda _: None))
    assert again.equals(history)
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        assert (one == other).all()
    values = pairs.whole.parts
    assert (prediction.outputs(whole, values) == prediction.outputs(resumed, values)).all()
