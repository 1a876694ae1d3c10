import tracemalloc

import numpy as np
import pytest
from makers.effort import full
from makers.predictions import patients, sample
from scipy import stats
from sklearn import metrics

from kiln.core import scores
from kiln.evaluation import comparison, intervals, proportions, resampling
from kiln.evaluation.metrics import SPLIT_METRICS


def test_classes_share_the_units_that_a_mean_over_them_has():
    # Ten patients with images of three classes each, all right, are ten: not thirty.
    labels, unit = np.arange(300) % 3, np.arange(300) // 30
    found, _ = intervals.scored(labels, np.eye(3)[labels], 50, np.random.default_rng(0), unit)
    for name in ("f1", "recall", "auc"):
        assert found[f"{name}_ci95"]["low"] <= found["accuracy_ci95"]["low"] + 1e-9, name


@pytest.mark.full
def test_macro_f1_covers_where_the_images_of_a_patient_are_right_together():
    generator, held, tries = np.random.default_rng(7), 0, 150
    for _ in range(tries):
        right, unit = patients(50, 1, 0.95, 0.8, generator)
        labels = generator.integers(0, 3, len(right))
        predictions = np.where(right, labels, (labels + generator.integers(1, 3, len(right))) % 3)
        found, _ = intervals.scored(labels, np.eye(3, dtype=np.float32)[predictions], 60, generator, unit)
        held += found["f1_ci95"]["low"] <= 0.95 <= found["f1_ci95"]["high"]
    assert held / tries >= 0.88  # 0.9, less what 150 tries vary


def test_units_widen_every_interval():
    labels, probabilities = sample(200, 3)
    alone, _ = intervals.scored(labels, probabilities, 300, np.random.default_rng(0))
    copied, classes = intervals.scored(
        np.tile(labels, 8), np.tile(probabilities, (8, 1)), 300, np.random.default_rng(0), np.tile(np.arange(200), 8)
    )
    assert (alone["units"], copied["units"], copied["samples"]) == (200, 200, 1600)
    for name in (name for name in alone if f"{name}_ci95" in alone):
        widths = [found[f"{name}_ci95"]["high"] - found[f"{name}_ci95"]["low"] for found in (alone, copied)]
        # Eight copies of each image are 200 images, not 1,600, whose intervals would be a third as wide.
        assert widths[1] > 0.8 * widths[0], name
    blind, of_images = intervals.scored(
        np.tile(labels, 8), np.tile(probabilities, (8, 1)), 300, np.random.default_rng(0)
    )
    assert blind["accuracy_ci95"]["low"] > copied["accuracy_ci95"]["low"]
    for name in ("recall", "precision", "f1"):
        assert (of_images[f"{name}_low"] > classes[f"{name}_low"]).all(), name


def mostly_right(wrong: int, images: int = 360, classes: int = 10) -> dict[str, float]:
    labels = np.arange(images) % classes
    probabilities = np.full((images, classes), 0.01 / (classes - 1))
    probabilities[np.arange(images), np.where(np.arange(images) < wrong, (labels + 1) % classes, labels)] = 0.99
    figures, _ = intervals.scored(labels, probabilities, 500, np.random.default_rng(0))
    return comparison.flat({"test": figures})


def test_no_interval_is_a_point_where_every_image_is_right():
    found = mostly_right(0)
    for name in SPLIT_METRICS:
        low, high = found[f"test.{name}_ci95.low"], found[f"test.{name}_ci95.high"]
        assert high - low > 0.005 and low <= found[f"test.{name}"] <= high, name
    assert found["test.f1_ci95.low"] == pytest.approx(proportions.wilson(360, 360)[0], abs=1e-3)
    # One-hot: not a trace of doubt in the probabilities either.
    certain, classes = intervals.scored(np.arange(20) % 2, np.eye(2)[np.arange(20) % 2], 100, np.random.default_rng(0))
    for name in ("log_loss", "brier", "ece", "auc", "f1"):
        assert certain[f"{name}_ci95"]["high"] > certain[f"{name}_ci95"]["low"] + 0.05, name
    assert (classes["f1_low"] < 0.8).all()


def test_a_rare_class_that_is_all_right_makes_the_mean_over_classes_unsure():
    labels = np.repeat([0, 1], [1000, 2])
    figures_, classes = intervals.scored(labels, np.eye(2)[labels], 100, np.random.default_rng(0))
    assert figures_["accuracy_ci95"]["low"] > 0.995
    for name in ("recall", "f1", "balanced_accuracy"):
        assert figures_[f"{name}_ci95"]["low"] < 0.8, name
    assert classes["recall_low"][1] == pytest.approx(proportions.wilson(2, 2)[0])


@pytest.mark.parametrize("name", ["f1", "accuracy", "recall", "precision", "weighted_f1", "auc"])
def test_few_errors_against_none_are_within_noise(name):
    none = mostly_right(0)
    for wrong in (1, 2, 3, 4, 5):  # McNemar's p: 1, 0.5, 0.25, 0.125, 0.0625
        assert comparison.by_intervals(none, mostly_right(wrong), f"test.{name}") is False, wrong
    assert comparison.by_intervals(none, mostly_right(12), f"test.{name}")


@pytest.mark.parametrize("images", [20, 360, *full(100, 1000, 10_000)])
def test_by_intervals_an_accuracy_is_beyond_noise_only_where_the_exact_test_says_so(images):
    def side(wrong: int) -> dict[str, float]:
        low, high = proportions.wilson(images - wrong, images)
        return {"accuracy": 1 - wrong / images, "accuracy_ci95.low": float(low), "accuracy_ci95.high": float(high)}

    for base in range(min(images, 12)):
        for now in range(base, min(images, 40)):
            beyond = comparison.by_intervals(side(base), side(now), "accuracy")
            assert beyond is comparison.by_intervals(side(now), side(base), "accuracy")
            exact = stats.fisher_exact([[base, images - base], [now, images - now]]).pvalue
            assert not beyond or exact < comparison.SIGNIFICANT, (base, now)
            assert beyond or exact >= 0.03, (base, now)


@pytest.mark.parametrize(
    ("images", "classes", "right"), [(50, 2, 0.99), *full((50, 10, 0.8), (50, 100, 0.8), (200, 10, 0.95))]
)
def test_macro_f1_covers(images, classes, right):
    generator, held, tries = np.random.default_rng(0), 0, 150
    for _ in range(tries):
        labels = generator.integers(0, classes, images)
        other = (labels + generator.integers(1, classes, images)) % classes
        predictions = np.where(generator.random(images) < right, labels, other)
        found, _ = intervals.scored(labels, np.eye(classes, dtype=np.float32)[predictions], 100, generator)
        held += found["f1_ci95"]["low"] <= right <= found["f1_ci95"]["high"]
    assert held / tries >= 0.9


def test_many_classes_take_no_table_of_pairs():
    # 20,000 classes squared would be 3.2 GB of counts; a [N, K] of 20 images is 3 MB.
    labels = np.arange(20) * 997
    probabilities = np.zeros((20, 20_000), np.float32)
    probabilities[np.arange(20), labels] = 1
    tracemalloc.start()
    intervals.scored(labels, probabilities, 20, np.random.default_rng(0))
    scores.counts(labels, labels, 20_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6


def test_figures_equal_those_of_scikit_learn():
    labels, probabilities = sample(300, 6)
    probabilities[7] = probabilities[8] = 1 / 6  # ties
    figures, classes = intervals.scored(labels, probabilities)
    predictions = probabilities.argmax(axis=1)
    assert figures["samples"] == 300
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


@pytest.mark.full
def test_bootstrap_agrees_with_scipy():
    labels, probabilities = sample(400, 3)
    predictions = probabilities.argmax(axis=1)
    figures, _ = intervals.scored(labels, probabilities, 4000, np.random.default_rng(2))
    losses = -np.log(probabilities[np.arange(400), labels])
    mean = stats.bootstrap((losses,), np.mean, n_resamples=4000, method="percentile", rng=3).confidence_interval
    assert tuple(figures["log_loss_ci95"].values()) == pytest.approx(tuple(mean), abs=0.015)
    for name, function in (
        ("recall", lambda a, b: metrics.recall_score(a, b, average="macro")),
        ("weighted_precision", lambda a, b: metrics.precision_score(a, b, average="weighted")),
    ):
        expected = stats.bootstrap(
            (labels, predictions), function, paired=True, vectorized=False, n_resamples=1000, method="percentile", rng=3
        ).confidence_interval
        assert tuple(figures[f"{name}_ci95"].values()) == pytest.approx(tuple(expected), abs=0.01)


@pytest.mark.full
def test_the_areas_interval_agrees_with_a_full_bootstrap():
    labels, probabilities = sample(200, 2, seed=1)
    figures, _ = intervals.scored(labels, probabilities, 2000, np.random.default_rng(0))
    generator, areas = np.random.default_rng(5), []
    for _ in range(1000):
        rows = generator.integers(0, 200, 200)
        areas.append(metrics.roc_auc_score(labels[rows], probabilities[rows, 1]))
    assert tuple(figures["auc_ci95"].values()) == pytest.approx(np.quantile(areas, [0.025, 0.975]), abs=0.008)


def test_intervals_are_seeded_and_hold_their_figures():
    labels, probabilities = sample(300, 4)
    first, classes = intervals.scored(labels, probabilities, 500, np.random.default_rng(0))
    assert first == intervals.scored(labels, probabilities, 500, np.random.default_rng(0))[0]
    assert first != intervals.scored(labels, probabilities, 500, np.random.default_rng(1))[0]
    for name in (name for name in first if f"{name}_ci95" in first):
        assert first[f"{name}_ci95"]["low"] < first[name] < first[f"{name}_ci95"]["high"], name
    for name in ("precision", "recall", "f1"):
        assert (classes[f"{name}_low"] < classes[name]).all() and (classes[name] < classes[f"{name}_high"]).all()


def test_the_calibration_errors_interval_is_not_moved_by_chance():
    # Where the model is calibrated, resamples show larger errors than the split.
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 2000)
    labels = (generator.random(2000) > confidence).astype(int)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    drawn = resampling.Split(labels, probabilities).resample(500, generator).whole["ece"]
    figures, _ = intervals.scored(labels, probabilities, 500, generator)
    assert np.quantile(drawn, 0.3) > figures["ece"]
    assert figures["ece_ci95"]["low"] < 0.005
    assert figures["ece_ci95"]["low"] <= figures["ece"] <= figures["ece_ci95"]["high"]
