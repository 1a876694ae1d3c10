import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from stages.lib import intervals


def sample(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes))
    logits[np.arange(rows), labels] += 1.5
    raw = np.exp(logits)
    return labels, (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (355, 359), (1, 2)])
def test_wilson_equals_scipy(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, "wilson")
    assert intervals.wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_figures_equal_those_of_scikit_learn():
    labels, probabilities = sample(300, 6)
    probabilities[7] = probabilities[8] = 1 / 6  # ties
    figures, classes = intervals.scored(labels, probabilities)
    predictions = probabilities.argmax(axis=1)
    assert figures["images"] == 300
    assert figures["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predictions))
    assert figures["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predictions))
    assert figures["weighted_f1"] == pytest.approx(metrics.f1_score(labels, predictions, average="weighted"))
    assert figures["log_loss"] == pytest.approx(metrics.log_loss(labels, probabilities), rel=1e-5)
    assert figures["auc"] == pytest.approx(metrics.roc_auc_score(labels, probabilities, multi_class="ovr"), rel=1e-5)
    for k in (2, 5):
        assert figures[f"top{k}_accuracy"] == pytest.approx(
            metrics.top_k_accuracy_score(labels, probabilities, k=k), abs=1e-2
        )
    onehot = np.eye(6)[labels]
    assert figures["brier"] == pytest.approx(((probabilities - onehot) ** 2).sum(axis=1).mean(), rel=1e-5)
    assert classes["f1"] == pytest.approx(metrics.f1_score(labels, predictions, average=None))


def test_calibration_error_by_hand():
    # 15 images make 15 bins of one: |confidence - right| each.
    confidence = np.linspace(0.55, 0.97, 15)
    right = np.arange(15) % 3 > 0
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    figures, _ = intervals.scored(np.where(right, 0, 1), probabilities)
    assert figures["ece"] == pytest.approx(np.abs(confidence - right).mean(), rel=1e-5)
    # Thirty, two a bin: gaps of a bin cancel before they are made absolute.
    figures, _ = intervals.scored(np.tile([0, 1], 15), np.tile([[0.5, 0.5]], (30, 1)))
    assert figures["ece"] == pytest.approx(0)


def test_brier_by_hand():
    figures, _ = intervals.scored(np.array([0, 1]), np.array([[1, 0], [1, 0]], np.float32))
    assert figures["brier"] == 1  # of 0 and 2


@pytest.mark.parametrize("labels", [[0, 0, 0], [2, 2, 1]])
def test_every_figure_is_finite_whatever_classes_are_missing(labels):
    probabilities = np.array([[0.5, 0.3, 0.2, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0, 0]], np.float32)
    figures, classes = intervals.scored(np.array(labels), probabilities, 100, np.random.default_rng(0))
    flat = [v for value in figures.values() for v in (value.values() if isinstance(value, dict) else [value])]
    assert np.isfinite(flat).all()
    assert np.isfinite(classes["f1"]).all()
    # One image drawn from each class at most: not every class is in every resample.
    assert figures["auc_ci95"]["low"] >= 0


def test_bootstrap_agrees_with_scipy():
    labels, probabilities = sample(400, 3)
    predictions = probabilities.argmax(axis=1)
    figures, _ = intervals.scored(labels, probabilities, 4000, np.random.default_rng(2))
    losses = -np.log(probabilities[np.arange(400), labels])
    mean = stats.bootstrap((losses,), np.mean, n_resamples=4000, method="percentile", rng=3).confidence_interval
    assert tuple(figures["log_loss_ci95"].values()) == pytest.approx(tuple(mean), abs=0.01)
    for name, function in (
        ("recall", lambda a, b: metrics.recall_score(a, b, average="macro")),
        ("weighted_precision", lambda a, b: metrics.precision_score(a, b, average="weighted")),
    ):
        expected = stats.bootstrap(
            (labels, predictions), function, paired=True, vectorized=False, n_resamples=1000, method="percentile", rng=3
        ).confidence_interval
        assert tuple(figures[f"{name}_ci95"].values()) == pytest.approx(tuple(expected), abs=0.01)


def test_the_areas_interval_agrees_with_a_full_bootstrap():
    labels, probabilities = sample(200, 2, seed=1)
    figures, _ = intervals.scored(labels, probabilities, 2000, np.random.default_rng(0))
    generator, areas = np.random.default_rng(5), []
    for _ in range(1000):
        rows = generator.integers(0, 200, 200)
        areas.append(metrics.roc_auc_score(labels[rows], probabilities[rows, 1]))
    assert tuple(figures["auc_ci95"].values()) == pytest.approx(np.quantile(areas, [0.025, 0.975]), abs=0.008)


def test_a_resample_scores_as_the_images_it_draws_would():
    labels, probabilities = sample(60, 4)
    rows = np.random.default_rng(3).integers(0, 60, 60)
    order = np.argsort(probabilities.max(axis=1), kind="stable")
    weights = np.bincount(rows, minlength=60)[order].astype(np.float32)[None]
    weighted = intervals.Sample(labels, probabilities).figures(weights).whole
    drawn = intervals.Sample(labels[rows], probabilities[rows]).point().whole
    for name in drawn.keys() - {"auc", "ece"}:  # the one to first order, the other with bins that images may straddle
        assert weighted[name] == pytest.approx(drawn[name], rel=1e-5), name
    assert weighted["ece"] == pytest.approx(drawn["ece"], abs=0.05)


def test_intervals_are_seeded_and_hold_their_figures():
    labels, probabilities = sample(300, 4)
    first, classes = intervals.scored(labels, probabilities, 500, np.random.default_rng(0))
    assert first == intervals.scored(labels, probabilities, 500, np.random.default_rng(0))[0]
    assert first != intervals.scored(labels, probabilities, 500, np.random.default_rng(1))[0]
    for name in (name for name in first if f"{name}_ci95" in first):
        assert first[f"{name}_ci95"]["low"] < first[name] < first[f"{name}_ci95"]["high"], name
    for name in ("precision", "recall", "f1"):
        assert (classes[f"{name}_low"] < classes[name]).all() and (classes[name] < classes[f"{name}_high"]).all()


def test_chunks_do_not_matter(monkeypatch):
    labels, probabilities = sample(50, 3)
    drawn = intervals.Sample(labels, probabilities).resampled(200, np.random.default_rng(0)).whole
    monkeypatch.setattr(intervals, "_CELLS", 50 * 7)
    again = intervals.Sample(labels, probabilities).resampled(200, np.random.default_rng(0)).whole
    for name, values in drawn.items():
        assert again[name] == pytest.approx(values, rel=1e-5), name


def test_the_calibration_errors_interval_is_not_moved_by_chance():
    # Where the model is calibrated, resamples show larger errors than the split.
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 2000)
    labels = (generator.random(2000) > confidence).astype(int)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    drawn = intervals.Sample(labels, probabilities).resampled(500, generator).whole["ece"]
    figures, _ = intervals.scored(labels, probabilities, 500, generator)
    assert np.quantile(drawn, 0.3) > figures["ece"]
    assert figures["ece_ci95"]["low"] < 0.005
    assert figures["ece_ci95"]["low"] <= figures["ece"] <= figures["ece_ci95"]["high"]
