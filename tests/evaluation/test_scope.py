"""Samples in and out of scope, told apart by the largest probability of another class."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as learned

from kiln.core.errors import UserError
from kiln.evaluation import metrics, scope

CLASSES = ["oos", "pay", "play"]


def make(known: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities: of the samples in scope, of class 1, ``known`` is the largest of another class."""
    probabilities = np.stack([1 - known, known, np.zeros(len(known))], axis=1)
    return np.where(outside, 0, 1), probabilities


def score(labels, probabilities, units=None, resamples=400) -> dict:
    units = np.arange(len(labels)) if units is None else units
    return scope.score(labels, probabilities, 0, resamples, np.random.default_rng(0), units)


def test_a_handful_by_hand():
    # In scope 0.9, 0.8, 0.7, 0.6; outside 0.85, 0.6: of eight pairs, 1 + 4 are won but for one, which is a tie.
    known = np.array([0.9, 0.8, 0.7, 0.6, 0.85, 0.6])
    found = score(*make(known, np.arange(6) >= 4))
    assert found["auroc"] == pytest.approx((1 + 3.5) / 8)
    assert found["fpr95"] == 1  # all four must pass, so the threshold is 0.6
    assert (found["samples"], found["outside"], found["units"], found["in_scope_accuracy"]) == (6, 2, 6, 1)


def test_two_normals_have_the_area_of_the_closed_form():
    spread, shift = 0.02, 0.03
    generator = np.random.default_rng(1)
    known = np.concatenate([generator.normal(0.7 + shift, spread, 4000), generator.normal(0.7, spread, 2000)])
    found = score(*make(known, np.arange(6000) >= 4000), resamples=200)
    area = stats.norm.cdf(shift / spread / np.sqrt(2))
    false = 1 - stats.norm.cdf(stats.norm.ppf(0.05) + shift / spread)
    for name, true in (("auroc", area), ("fpr95", false)):
        ends = found[f"{name}_ci95"]
        assert ends["low"] < true < ends["high"] and ends["high"] - ends["low"] < 0.06


@pytest.mark.parametrize("digits", [1, 2, 12])
def test_the_same_as_by_the_curve_of_scikit_learn(digits):
    generator = np.random.default_rng(digits)
    outside = generator.random(300) < 0.3
    known = np.clip(np.round(generator.beta(5, 2, 300) - 0.1 * outside, digits), 0, 1)
    found = score(*make(known, outside))
    false, true, _ = learned.roc_curve(~outside, known, drop_intermediate=False)
    assert found["auroc"] == pytest.approx(learned.roc_auc_score(~outside, known))
    assert found["fpr95"] == pytest.approx(false[np.argmax(true >= 0.95)])


def test_the_probability_of_the_class_itself_lowers_the_score():
    known = np.array([0.9, 0.9, 0.3, 0.3])
    labels = np.array([1, 1, 0, 0])
    # The network recognises what is outside: its class has 0.6, and no other more than 0.3.
    probabilities = np.stack([[0.05, 0.05, 0.6, 0.6], known, [0.05, 0.05, 0.1, 0.1]], axis=1)
    assert score(labels, probabilities)["auroc"] == 1


def test_what_the_network_is_surest_of_is_told_apart_in_the_last_bits():
    # 1 less these scores is 1 in every float.
    tiny = np.array([3e-20, 2e-20, 1e-20, 0.0])
    probabilities = np.stack([1 - tiny, tiny, np.zeros(4)], axis=1)
    assert score(np.array([1, 1, 0, 0]), probabilities)["auroc"] == 1


def test_copies_make_nothing_surer():
    generator = np.random.default_rng(3)
    outside = np.arange(120) >= 80
    known = generator.beta(6, 2, 120) - 0.2 * outside.astype(float)
    alone = score(*make(np.clip(known, 0, 1), outside))
    several = np.repeat(np.arange(120), 5)
    copied = score(*make(np.clip(known, 0, 1)[several], outside[several]), units=several)
    for name in ("auroc", "fpr95", "in_scope_accuracy"):
        widths = [found[f"{name}_ci95"]["high"] - found[f"{name}_ci95"]["low"] for found in (alone, copied)]
        assert copied[name] == pytest.approx(alone[name])
        assert widths[1] == pytest.approx(widths[0], rel=0.15)


@pytest.mark.parametrize("known", [[0.9, 0.8, 0.4], [0.4, 0.5, 0.9], [0.6, 0.6, 0.6]])
def test_of_a_single_sample_outside_little_is_known(known):
    found = score(*make(np.array(known), np.array([False, False, True])))
    for name in metrics.SCOPE_METRICS:
        ends = found[f"{name}_ci95"]
        assert 0 <= ends["low"] <= found[name] <= ends["high"] <= 1 and ends["low"] < ends["high"]
    assert found["fpr95_ci95"]["high"] - found["fpr95_ci95"]["low"] > 0.5


@pytest.mark.parametrize(
    ("name", "labels", "sentence"),
    [
        ("ooss", [0, 1], "evaluate.out_of_scope is 'ooss', but there is no such class: near are oos"),
        ("oos", [1, 2], "evaluate.out_of_scope is 'oos', but no test sample is of it"),
        ("oos", [0, 0], "evaluate.out_of_scope is 'oos', but all test samples are of it"),
    ],
)
def test_a_class_that_cannot_be_scored_is_refused(name, labels, sentence):
    with pytest.raises(UserError, match="^" + sentence):
        scope.find_class(name, CLASSES, np.array(labels))


def test_a_class_is_found_by_its_name():
    assert scope.find_class("pay", CLASSES, np.array([0, 1])) == 1


@pytest.mark.parametrize(
    ("name", "better"), [("auroc", "higher"), ("fpr95", "lower"), ("in_scope_accuracy", "higher"), ("outside", None)]
)
def test_which_way_is_better(name, better):
    assert metrics.direction(f"out_of_scope.{name}") == better
