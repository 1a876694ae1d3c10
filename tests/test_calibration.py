import numpy as np
import pytest
from scipy.special import softmax

from stages.lib import calibration, scores


def test_the_temperature_that_spoilt_probabilities_is_found():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 5)) * 2
    honest = softmax(logits, axis=1)
    labels = (generator.random((20_000, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    spoilt = softmax(logits * 3, axis=1).astype(np.float32)
    temperature = calibration.fit(labels, spoilt)
    assert temperature == pytest.approx(3, rel=0.05)
    mended = calibration.scaled(spoilt, temperature)
    assert scores.cross_entropy(mended, labels).mean() < scores.cross_entropy(spoilt, labels).mean()
    assert (mended.argmax(axis=1) == spoilt.argmax(axis=1)).all()


def test_a_temperature_of_one_changes_nothing():
    rows = np.array([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]], np.float32)
    assert calibration.scaled(rows, 1) == pytest.approx(rows, abs=1e-6)


def test_a_model_that_is_always_right_gets_a_temperature_within_bounds():
    rows = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert calibration.LOWEST <= calibration.fit(np.array([0, 1]), rows) <= calibration.HIGHEST
