import numpy as np
import pytest
from makers.predictions import sample
from sklearn import metrics

from kiln.evaluation import curves, intervals, resampling


def test_reliability_agrees_with_the_calibration_error():
    labels, probabilities = sample(1000, 4)
    table = curves.reliability(labels, probabilities)
    assert len(table) == resampling.BINS and table["samples"].sum() == 1000
    assert table["confidence"].is_monotonic_increasing
    error = (table["samples"] * (table["confidence"] - table["accuracy"]).abs()).sum() / 1000
    assert error == pytest.approx(intervals.scored(labels, probabilities)[0]["ece"], abs=1e-6)
    assert len(curves.reliability(labels[:3], probabilities[:3])) == 3


@pytest.mark.parametrize("images", [7, 15, 100, 299])
def test_the_plotted_bins_are_those_of_the_calibration_error(images):
    # Numbers that 15 does not divide, and many equal confidences.
    labels, probabilities = sample(images, 3)
    probabilities = probabilities.astype(float).round(1)
    table = curves.reliability(labels, probabilities)
    error = (table["samples"] * (table["confidence"] - table["accuracy"]).abs()).sum() / images
    assert error == pytest.approx(intervals.scored(labels, probabilities)[0]["ece"], abs=1e-6)


def test_corners_are_those_of_scikit_learn():
    labels, probabilities = sample(200, 4)
    probabilities = probabilities.astype(float).round(1)  # ties
    false, true = curves._corners(labels, probabilities)
    pairs = np.eye(4)[labels].ravel()
    area = np.trapezoid(true / true[-1], false / false[-1])
    assert area == pytest.approx(metrics.roc_auc_score(pairs, probabilities.ravel()))
    rates = metrics.roc_curve(pairs, probabilities.ravel(), drop_intermediate=False)[:2]
    expected = {tuple(point) for point in np.round(np.column_stack(rates) * (600, 200)).astype(int)}
    assert expected >= set(zip(false.tolist(), true.tolist(), strict=True))
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 600, 200)


def test_curves_are_thin_and_keep_their_area():
    labels, probabilities = sample(3000, 5)
    pairs = np.eye(5)[labels].ravel()
    roc, precision = curves.roc(labels, probabilities), curves.precision_recall(labels, probabilities)
    assert len(roc) <= curves.POINTS + 1 and len(precision) <= curves.POINTS + 1
    area = np.trapezoid(roc["recall"], roc["false_positive_rate"])
    assert area == pytest.approx(metrics.roc_auc_score(pairs, probabilities.ravel()), abs=0.002)
    assert roc.iloc[0].tolist() == [0, 0] and roc.iloc[-1].tolist() == [1, 1]
    assert precision["recall"].is_monotonic_increasing
    expected = metrics.average_precision_score(pairs, probabilities.ravel())
    assert np.trapezoid(precision["precision"], precision["recall"]) == pytest.approx(expected, abs=0.01)
