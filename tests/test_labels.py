import numpy as np

from stages.lib import labels


def clusters(per_class: int = 60, classes: int = 3, width: int = 8) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = np.repeat(np.arange(classes), per_class)
    points = np.eye(width)[truth] + generator.normal(0, 0.15, (len(truth), width))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16), truth


def predicted(points, given, folds, classes=3):
    return labels.probabilities(points, given, folds, classes, np.random.default_rng(1))


def test_planted_label_errors_rank_first():
    points, truth = clusters()
    given = truth.copy()
    wrong = np.array([3, 70, 130])
    given[wrong] = (given[wrong] + 1) % 3
    result = predicted(points, given, np.arange(len(truth)) % labels.FOLDS)
    assert np.allclose(result.sum(axis=1), 1, atol=1e-5)
    quality = labels.quality(given, result)
    assert set(np.argsort(quality)[:3]) == set(wrong)
    assert (result[wrong].argmax(axis=1) == truth[wrong]).all()
    assert np.median(quality) > 0.9


def test_images_that_are_only_judged_teach_nothing():
    points, truth = clusters()
    folds = np.arange(len(truth)) % labels.FOLDS
    judged = np.arange(len(truth)) % 7 == 0
    folds[judged] = labels.JUDGED_ONLY
    first = predicted(points, truth, folds)
    other = truth.copy()
    other[judged] = (other[judged] + 1) % 3
    assert (predicted(points, other, folds) == first).all()
    assert (first[judged].argmax(axis=1) == truth[judged]).all()


def test_an_image_is_judged_by_models_that_have_not_seen_its_label():
    points, truth = clusters()
    # Most images lie in one fold, and its labels are all wrong: the few others decide.
    folds = np.where(np.arange(len(truth)) % 10 < 7, 0, 1 + np.arange(len(truth)) % 4)
    given = np.where(folds == 0, (truth + 1) % 3, truth)
    result = predicted(points, given, folds)
    assert (result[folds == 0].argmax(axis=1) == truth[folds == 0]).all()


def test_chance_gives_no_sure_verdict():
    generator = np.random.default_rng(0)
    points = generator.normal(size=(200, 8))
    points = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16)
    given = generator.integers(0, 2, 200)
    assert labels.quality(given, predicted(points, given, np.arange(200) % 5, 2)).min() > 0.1


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
