import numpy as np
import pytest
from sklearn import metrics
from test_intervals import sample

from stages.lib import curves, intervals


def test_reliability_agrees_with_the_calibration_error():
    labels, probabilities = sample(1000, 4)
    table = curves.reliability(labels, probabilities)
    assert len(table) == intervals.BINS and table["images"].sum() == 1000
    assert table["confidence"].is_monotonic_increasing
    error = (table["images"] * (table["confidence"] - table["accuracy"]).abs()).sum() / 1000
    assert error == pytest.approx(intervals.scored(labels, probabilities)[0]["ece"], abs=0.005)
    assert len(curves.reliability(labels[:3], probabilities[:3])) == 3


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
