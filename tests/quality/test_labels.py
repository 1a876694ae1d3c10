import tracemalloc

import numpy as np
import pandas as pd
import pytest
from makers.effort import full
from makers.projects import ROOT

from kiln import params
from kiln.quality import judges, labels

PARAMS = params.load(ROOT / "params.yaml").clean


def clusters(per_class: int = 60, classes: int = 3, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = np.repeat(np.arange(classes), per_class)
    points = np.eye(width)[truth] + generator.normal(0, 0.15, (len(truth), width))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16), truth


def drawn(sizes, noise: float, width: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw points about random centres, so many a class: the noisier, the less the features tell."""
    generator = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    points = generator.normal(size=(len(sizes), width))[truth] + noise * generator.normal(size=(len(truth), width))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16), truth


def planted(truth: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Give some labels another class, at random: labels, and which are wrong."""
    generator, classes = np.random.default_rng(1), truth.max() + 1
    wrong = generator.random(len(truth)) < fraction
    return (truth + wrong * generator.integers(1, classes, len(truth))) % classes, wrong


def judged(points, given, folds=None, classes=None) -> labels.Judged:
    folds = np.random.default_rng(2).integers(0, labels.FOLDS, len(given)) if folds is None else folds
    return labels.judge([judges.Kernel(points)], given, folds, classes or given.max() + 1, np.random.default_rng(3))


def flagged(result: labels.Judged) -> np.ndarray:
    return result.is_suspect(PARAMS.min_label_quality)


def test_planted_label_errors_rank_first():
    points, truth = clusters()
    given = truth.copy()
    wrong = np.array([3, 70, 130])
    given[wrong] = (given[wrong] + 1) % 3
    result = judged(points, given)
    assert set(np.argsort(result.quality)[:3]) == set(wrong) == set(np.flatnonzero(flagged(result)))
    assert (result.suggestion[wrong] == truth[wrong]).all()
    assert np.median(result.quality) > 0.99


@pytest.mark.parametrize(
    ("sizes", "noise"),
    [
        ([100] * 10, 1),
        ([100] * 10, 30),
        ([1800, 180], 30),
        ([1300, 320, 140, 80, 50, 35, 25, 20, 15, 12], 4),
        *full(
            ([100] * 10, 4),
            ([25] * 100, 3),
            ([25] * 100, 30),
            ([4] * 1000, 1.5),
            ([4] * 1000, 2.5),
            ([1300, 320, 140, 80, 50, 35, 25, 20, 15, 12], 30),
            (np.maximum(400 // np.arange(1, 101), 5), 3),
            (np.maximum(400 // np.arange(1, 101), 5), 30),
        ),
    ],
)
def test_where_no_label_is_wrong_few_are_flagged(sizes, noise):
    points, truth = drawn(sizes, noise)
    assert flagged(judged(points, truth)).mean() <= 0.02
    far = labels.isolation(points, truth, np.ones(len(truth), bool), np.random.default_rng(0))
    assert (far > PARAMS.max_isolation).mean() <= 0.02


@pytest.mark.parametrize(("classes", "size", "noise"), [(10, 100, 2), *full((100, 25, 1.5), (1000, 4, 0.6))])
def test_planted_errors_are_found_among_many_classes(classes, size, noise):
    points, truth = drawn([size] * classes, noise)
    given, wrong = planted(truth, 0.05)
    result = judged(points, given)
    found = flagged(result)
    assert found[wrong].mean() > 0.9 and wrong[found].mean() > 0.9
    assert (result.suggestion[found & wrong] == truth[found & wrong]).mean() > 0.9
    assert result.noise == pytest.approx(0.05, abs=0.02)


def test_a_label_is_not_doubted_where_no_model_knows_its_class():
    points, truth = drawn([100] * 10, 1)
    folds = np.where(truth == 0, 0, np.random.default_rng(2).integers(0, labels.FOLDS, len(truth)))
    given, wrong = planted(truth, 0.05)
    given[truth == 0], wrong[truth == 0] = 0, False
    folds[given == 0] = 0
    result = judged(points, given, folds)
    assert np.isnan(result.quality[given == 0]).all() and np.isfinite(result.quality[given != 0]).all()
    found = flagged(result)
    assert found[wrong & (given != 0)].mean() > 0.7 and not found[~wrong].any()


@pytest.mark.parametrize("held", [1, 20])
@pytest.mark.parametrize("alike", [True, False])
def test_a_class_of_two_units_is_not_flagged_however_they_look(held, alike):
    # Eleven clusters; the first two are one class, or else the second looks like nothing else.
    points, truth = drawn([held, 40, *[40] * 9], 1)
    if alike:
        points[:held] = points[held : 2 * held]
    folds = np.random.default_rng(2).integers(0, labels.FOLDS, len(truth))
    folds[: held + 40] = np.where(np.arange(held + 40) < held, 1, 0)
    given = np.maximum(truth - 1, 0)
    assert not flagged(judged(points, given, folds)).any()


def test_one_class_a_unit_is_judged_by_nobody():
    points, truth = drawn([20] * 5, 1)
    result = judged(points, truth, folds=truth)
    assert np.isnan(result.quality).all() and result.noise == 0


def test_images_that_are_only_judged_teach_nothing():
    points, truth = clusters()
    folds = np.arange(len(truth)) % labels.FOLDS
    alone = np.arange(len(truth)) % 7 == 0
    folds[alone] = labels.JUDGED_ONLY
    first = judged(points, truth, folds)
    other = np.where(alone, (truth + 1) % 3, truth)
    second = judged(points, other, folds)
    assert (second.quality[~alone] == first.quality[~alone]).all()
    assert not flagged(first).any() and flagged(second)[alone].all()
    assert (second.suggestion[alone] == truth[alone]).all()


def test_an_image_is_judged_by_models_that_have_not_seen_its_label():
    points, truth = clusters()
    # The labels of one fold are all wrong, in the same way: the others decide.
    folds = np.where(np.arange(len(truth)) % 10 < 3, 0, 1 + np.arange(len(truth)) % 4)
    given = np.where(folds == 0, (truth + 1) % 3, truth)
    result = judged(points, given, folds)
    assert (result.suggestion[folds == 0] == truth[folds == 0]).all()


@pytest.mark.parametrize("classes", [2, 10, 50])
def test_chance_gives_no_verdict(classes):
    generator = np.random.default_rng(0)
    points = generator.normal(size=(400, 8))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)
    assert not flagged(judged(points, generator.integers(0, classes, 400))).any()


def test_the_order_of_images_and_classes_is_no_matter():
    points, truth = drawn([30] * 8, 2)
    given, _ = planted(truth, 0.05)
    folds = np.random.default_rng(2).integers(0, labels.FOLDS, len(given))
    first = judged(points, given, folds)
    order, names = np.random.default_rng(4).permutation(len(given)), np.random.default_rng(5).permutation(8)
    second = judged(points[order], names[given[order]], folds[order])
    assert np.allclose(second.quality, first.quality[order], atol=0.01)
    assert (second.suggestion == names[first.suggestion[order]]).all()
    assert (flagged(second) == flagged(first)[order]).all()


def test_memory_does_not_grow_with_images_times_classes(monkeypatch):
    monkeypatch.setattr(judges, "LANDMARKS", 50)
    monkeypatch.setattr(labels, "_SCORES", 2**18)
    points, truth = drawn([20] * 1000, 1, width=8)
    folds = np.arange(len(truth)) % labels.FOLDS
    tracemalloc.start()
    try:
        judged(points, truth, folds)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(truth) * 1000 * 4 / 2


def test_units_are_dealt_whole_and_no_class_of_several_to_one_fold():
    generator = np.random.default_rng(0)
    unit = generator.integers(0, 60, 400).astype(str).astype(object)
    given = np.array([int(name) % 30 for name in unit])
    folds = labels.deal(given, unit, 0)
    frame = pd.DataFrame({"unit": unit, "label": given, "fold": folds})
    assert (frame.groupby("unit")["fold"].nunique() == 1).all()
    assert (frame.groupby("label")["fold"].nunique() == 2).all()
    assert set(folds) == set(range(labels.FOLDS))
    order = generator.permutation(400)
    assert (labels.deal(given[order], unit[order], 0) == folds[order]).all()
    assert (labels.deal(given, unit, 1) != folds).any()


@pytest.mark.parametrize("seed", range(20))
def test_a_class_that_shares_its_units_with_a_common_one_lies_in_several_folds(seed):
    given, unit = np.array([0] * 30 + [1] * 10), np.array([f"u{i}" for i in [*range(30), *[3] * 5, *[17] * 5]], object)
    assert len(set(labels.deal(given, unit, seed)[30:])) == 2


def test_outliers_are_far_from_their_class_and_small_classes_are_not_judged():
    points, truth = clusters()
    points[5] = -points[5]
    truth = np.append(truth, 3)
    points = np.concatenate([points, points[:1]])
    scores = labels.isolation(points, truth, np.ones(len(truth), bool), np.random.default_rng(0))
    assert np.nanargmax(scores) == 5 and scores[5] > 5
    assert np.isnan(scores[-1]) and np.isfinite(scores[:-1]).all()


def test_outliers_are_compared_with_used_images_alone():
    points, truth = clusters()
    used = np.ones(len(truth), bool)
    used[::6] = False
    moved = points.copy()
    moved[::6] = -moved[::6]
    rows = np.flatnonzero(used)
    first, second = (labels.isolation(p, truth, used, np.random.default_rng(0))[rows] for p in (points, moved))
    assert (first == second).all()
