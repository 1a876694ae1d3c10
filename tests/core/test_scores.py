import numpy as np
import pytest
from sklearn import metrics

from kiln.core import scores

LABELS = np.array([0, 0, 1, 1, 2, 2, 2, 0])
PREDICTIONS = np.array([0, 1, 1, 1, 2, 0, 2, 0])


def probabilities(rows: int, classes: int) -> np.ndarray:
    raw = np.random.default_rng(0).random((rows, classes)).astype(np.float32)
    return raw / raw.sum(axis=1, keepdims=True)


def test_figures_equal_those_of_scikit_learn():
    figures = scores.overall(scores.counts(LABELS, PREDICTIONS, 3))
    expected = metrics.precision_recall_fscore_support(LABELS, PREDICTIONS, average="macro")
    assert [figures[name] for name in ("precision", "recall", "f1")] == pytest.approx(expected[:3])
    table = scores.rates(*scores.counts(LABELS, PREDICTIONS, 3))
    expected = metrics.precision_recall_fscore_support(LABELS, PREDICTIONS, average="weighted")
    assert [scores.weighted(table)[name] for name in ("precision", "recall", "f1")] == pytest.approx(expected[:3])
    assert figures["accuracy"] == metrics.accuracy_score(LABELS, PREDICTIONS)
    matrix = metrics.confusion_matrix(LABELS, PREDICTIONS)
    expected = [np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)]
    assert (scores.counts(LABELS, PREDICTIONS, 3) == expected).all()


def test_a_class_without_images_does_not_count():
    three, four = (scores.overall(scores.counts(LABELS, PREDICTIONS, k)) for k in (3, 4))
    assert three == four


def test_by_hand():
    table = scores.rates(np.array([3, 0]), np.array([4, 0]), np.array([3, 1]))
    assert table["precision"].tolist() == [1, 0]
    assert table["recall"].tolist() == [0.75, 0]
    assert table["f1"].tolist() == pytest.approx([6 / 7, 0])


def test_losses():
    some = probabilities(50, 4)
    labels = np.arange(50) % 4
    assert scores.cross_entropy(some, labels).mean() == pytest.approx(metrics.log_loss(labels, some), rel=1e-5)
    sure = np.array([[1, 0], [1, 0]], np.float32)
    assert scores.squared_error(sure, np.array([0, 1])).tolist() == [0, 2]
    assert scores.cross_entropy(sure, np.array([0, 1])) == pytest.approx([0, -np.log(1e-7)])
