import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from stages.lib import scores

LABELS = np.array([0, 0, 1, 1, 2, 2, 2, 0])
PREDICTIONS = np.array([0, 1, 1, 1, 2, 0, 2, 0])


def probabilities(rows: int, classes: int) -> np.ndarray:
    raw = np.random.default_rng(0).random((rows, classes)).astype(np.float32)
    return raw / raw.sum(axis=1, keepdims=True)


def test_figures_equal_those_of_scikit_learn():
    figures = scores.overall(scores.confusion(LABELS, PREDICTIONS, 3))
    expected = metrics.precision_recall_fscore_support(LABELS, PREDICTIONS, average="macro")
    assert [figures[name] for name in ("precision", "recall", "f1")] == pytest.approx(expected[:3])
    assert figures["accuracy"] == metrics.accuracy_score(LABELS, PREDICTIONS)
    assert (scores.confusion(LABELS, PREDICTIONS, 3) == metrics.confusion_matrix(LABELS, PREDICTIONS)).all()


def test_a_class_without_images_does_not_count():
    three, four = (scores.overall(scores.confusion(LABELS, PREDICTIONS, k)) for k in (3, 4))
    assert three == four


def test_by_hand():
    table = scores.per_class(np.array([[3, 1], [0, 0]]))
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


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (355, 359), (1, 2)])
def test_wilson_equals_scipy(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, "wilson")
    assert scores.wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_bootstrap_agrees_with_scipy():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 3, 400)
    predictions = np.where(generator.random(400) < 0.8, labels, generator.integers(0, 3, 400))
    losses = generator.exponential(size=400)
    intervals = scores.bootstrap(labels, predictions, losses, 3, 4000, np.random.default_rng(2))
    mean = stats.bootstrap((losses,), np.mean, n_resamples=4000, method="percentile", rng=3).confidence_interval
    assert intervals["log_loss"] == pytest.approx(tuple(mean), abs=0.01)
    recall = stats.bootstrap(
        (labels, predictions),
        lambda a, b: metrics.recall_score(a, b, average="macro"),
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=3,
    ).confidence_interval
    assert intervals["recall"] == pytest.approx(tuple(recall), abs=0.01)


def test_bootstrap_is_seeded():
    arguments = (LABELS, PREDICTIONS, np.arange(8.0), 3, 500)
    first = scores.bootstrap(*arguments, np.random.default_rng(0))
    assert first == scores.bootstrap(*arguments, np.random.default_rng(0))
    assert first != scores.bootstrap(*arguments, np.random.default_rng(1))
    assert list(first) == ["precision", "recall", "f1", "log_loss"]
