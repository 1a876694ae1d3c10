import numpy as np
import pytest
from makers.predictions import sample

from kiln.evaluation import resampling


def test_resamples_draw_whole_units():
    labels, probabilities = sample(60, 3)
    units = np.arange(60) // 6
    found = resampling.Split(labels, probabilities, units)
    assert found.units == 10
    drawn = found.resample(300, np.random.default_rng(0)).whole["accuracy"]
    of_units = (probabilities.argmax(axis=1) == labels).reshape(10, 6).mean(axis=1)
    # Ten units of six: the variance of a mean of ten.
    assert drawn.var() == pytest.approx(of_units.var() / 10, rel=0.25)
    names = np.array([f"patient {unit}" for unit in units])
    assert (resampling.Split(labels, probabilities, names).unit == found.unit).all()


def test_a_resample_scores_as_the_images_it_draws_would():
    labels, probabilities = sample(60, 4)
    rows = np.random.default_rng(3).integers(0, 60, 60)
    order = np.argsort(probabilities.max(axis=1), kind="stable")
    weights = np.bincount(rows, minlength=60)[order].astype(np.float32)[None]
    weighted = resampling.Split(labels, probabilities).score(weights).whole
    drawn = resampling.Split(labels[rows], probabilities[rows]).point().whole
    for name in drawn.keys() - {"auc", "ece"}:  # the one to first order, the other with bins that images may straddle
        assert weighted[name] == pytest.approx(drawn[name], rel=1e-5), name
    assert weighted["ece"] == pytest.approx(drawn["ece"], abs=0.05)


def test_chunks_do_not_matter(monkeypatch):
    labels, probabilities = sample(50, 3)
    drawn = resampling.Split(labels, probabilities).resample(200, np.random.default_rng(0)).whole
    monkeypatch.setattr(resampling, "_CELLS", 50 * 7)
    again = resampling.Split(labels, probabilities).resample(200, np.random.default_rng(0)).whole
    for name, values in drawn.items():
        assert again[name] == pytest.approx(values, rel=1e-5), name
