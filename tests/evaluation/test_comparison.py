import itertools
import json

import numpy as np
import pandas as pd
import pytest
from makers.comparisons import whole_metrics
from scipy import stats

from kiln.core.errors import UserError
from kiln.evaluation import comparison


def nested(found: dict) -> dict:
    tree = {}
    for key, value in found.items():
        *path, last = key.split(".")
        branch = tree
        for name in path:
            branch = branch.setdefault(name, {})
        branch[last] = value
    return tree


def test_whole_metrics_are_read():
    text = json.dumps(nested(whole_metrics()))
    assert comparison.read_metrics(text, "m") == whole_metrics()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps(nested(whole_metrics()))[:-9], "m is truncated or not valid JSON"),
        ("", "m is truncated or not valid JSON"),
        ("[1]", "m is not a JSON object"),
        (json.dumps(nested(whole_metrics(test__f1=float("nan")))), "m contains NaN, which is not a finite number"),
        (json.dumps(nested(whole_metrics(test__f1=float("inf")))), "m contains Infinity"),
        (
            json.dumps(nested(whole_metrics(test__f1=0.25))).replace("0.25", "1e999"),
            "test.f1 is inf, not a finite number",
        ),
        (json.dumps(nested(whole_metrics(test__f1="0.9"))), "test.f1 is '0.9', not a finite number"),
        (json.dumps(nested(whole_metrics(test__f1=True))), "test.f1 is True"),
        (json.dumps(nested(whole_metrics(test__f1=None))), "test.f1 is None"),
        (json.dumps(nested({k: v for k, v in whole_metrics().items() if k != "test.f1"})), "m lacks test.f1: run"),
        ("{}", "m lacks train.samples and"),
    ],
)
def test_metrics_that_are_not_whole_are_refused(text, said):
    with pytest.raises(UserError, match=said):
        comparison.read_metrics(text, "m")


def test_an_earlier_kiln_counted_images():
    earlier = {key.replace(".samples", ".images"): value for key, value in whole_metrics().items()}
    text = json.dumps(nested(earlier))
    assert comparison.read_metrics(text, "m", older=True) == whole_metrics()
    with pytest.raises(UserError, match=r"m lacks train\.samples and"):
        comparison.read_metrics(text, "m")


def test_two_classes_have_no_top_figures():
    found = {key: value for key, value in whole_metrics().items() if "top" not in key}
    assert comparison.read_metrics(json.dumps(nested(found)), "m") == found


def test_mcnemar_on_the_table_of_a_textbook():
    # Agresti, "Categorical data analysis", 1990, table 10.1, approval ratings: 150 against 86.
    right, wrong = np.ones(150, bool), np.zeros(86, bool)
    found = comparison.mcnemar(np.concatenate([right, wrong, right]), np.concatenate([~right, ~wrong, right]))
    assert (found.lost, found.won) == (150, 86)
    assert found.p == pytest.approx(3.7e-5, rel=0.02)
    nothing = comparison.mcnemar(right, right)
    assert (nothing.lost, nothing.won, nothing.p) == (0, 0, 1)
    assert comparison.mcnemar(np.array([True] * 6), np.array([False] * 6)).p == pytest.approx(2 * 0.5**6)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (1, 0), (4, 0), (5, 0), (9, 3), (40, 25), (700, 600)])
def test_single_images_as_units_are_mcnemars_test(lost, won):
    base = np.repeat([True, False, True], [lost, won, 10])
    now = np.repeat([False, True, True], [lost, won, 10])
    expected = stats.binomtest(lost, lost + won).pvalue if lost + won else 1
    found = comparison.mcnemar(base, now, np.array([f"u{number}" for number in range(len(base))]))
    assert found.p == pytest.approx(expected) and found.units is None
    assert comparison.mcnemar(base, now).p == pytest.approx(expected)


def test_units_are_exchanged_as_a_whole():
    generator = np.random.default_rng(0)
    base, now = generator.random((2, 40)) < [[0.8], [0.5]]
    units = np.repeat(np.arange(8), 5)
    surplus = (base.astype(int) - now).reshape(8, 5).sum(axis=1)
    # All 256 ways, one after the other.
    sums = [abs((np.array(signs) * surplus).sum()) for signs in itertools.product((1, -1), repeat=8)]
    found = comparison.mcnemar(base, now, units)
    assert found.p == pytest.approx(np.mean(np.array(sums) >= abs(surplus.sum())))
    assert (found.lost, found.won, found.units) == ((base & ~now).sum(), (~base & now).sum(), 8)
    # One patient of thirty images that turned wrong is one, not thirty.
    base, now = np.ones(600, bool), np.arange(600) >= 30
    assert comparison.mcnemar(base, now, np.arange(600) // 30).p == 1
    assert comparison.mcnemar(base, now).p < 1e-8


def test_the_paired_test_keeps_its_level_where_patients_differ():
    generator, sure = np.random.default_rng(0), 0
    for _ in range(300):
        units = np.repeat(np.arange(20), 30)
        sides = [generator.random(600) < generator.beta(8, 2, 20)[units] for _ in range(2)]
        sure += comparison.mcnemar(*sides, units).p < comparison.SIGNIFICANT
    assert sure / 300 < 0.08  # by images alone: most of them


def test_predictions_of_an_earlier_kiln_have_no_units():
    base, now = predictions({"a", "b"}), predictions(set())
    units = {"a": "p", "b": "p", "c": "q", "d": "q", "e": "q", "f": "q", "t": "t"}
    with_units = now.assign(unit=now["id"].map(units))
    assert comparison.paired(base, now).units is None
    for found in (comparison.paired(base, with_units), comparison.paired(with_units, base)):
        assert found.units == 2 and found.p == 1


def test_metrics_of_an_earlier_kiln_may_be_the_base():
    text = json.dumps(nested({key: value for key, value in whole_metrics().items() if key != "test.units"}))
    assert "test.units" not in comparison.read_metrics(text, "m", older=True)
    with pytest.raises(UserError, match=r"m lacks test\.units"):
        comparison.read_metrics(text, "m")


def test_an_interval_without_width_judges_nothing():
    base, now = ({"f": value, "f_ci95.low": low, "f_ci95.high": 1.0} for value, low in ((1.0, 1.0), (0.99, 0.98)))
    assert comparison.by_intervals(base, now, "f") is None


def predictions(wrong: set[str], ids="abcdef", labels="xxxyyy") -> pd.DataFrame:
    predicted = ["z" if name in wrong else label for name, label in zip(ids, labels, strict=True)]
    test = pd.DataFrame({"id": list(ids), "split": "test", "label": list(labels), "prediction": predicted})
    train = pd.DataFrame({"id": ["t"], "split": "train", "label": "x", "prediction": "z"})
    return pd.concat([train, test], ignore_index=True)


def test_predictions_are_paired_by_id_and_only_where_images_and_labels_are_the_same():
    base = predictions({"a"})
    found = comparison.paired(base, predictions({"b", "c"}).iloc[::-1])
    assert (found.lost, found.won) == (2, 1)
    assert comparison.paired(base, predictions(set(), ids="abcdeg")) is None
    assert comparison.paired(base, predictions(set(), labels="xxxyyx")) is None
    assert comparison.paired(base, predictions(set()).iloc[:-1]) is None


def test_intervals_that_are_far_apart_are_beyond_noise():
    base = {"f": 0.9, "f_ci95.low": 0.89, "f_ci95.high": 0.91}
    for value, beyond in ((0.9, False), (0.913, False), (0.915, True), (0.887, False), (0.885, True)):
        now = {"f": value, "f_ci95.low": value - 0.01, "f_ci95.high": value + 0.01}
        assert comparison.by_intervals(base, now, "f") is beyond, value
        assert comparison.by_intervals(now, base, "f") is beyond, value
    assert comparison.by_intervals({"f": 1.0}, {"f": 2.0}, "f") is None


def test_the_gate():
    base, now = whole_metrics(), whole_metrics(test__accuracy=0.45, test__log_loss=0.7)
    listed = comparison.changes(base, now, comparison.McNemar(9, 1, 0.02))
    assert comparison.failures(now, listed, {"test.accuracy": 0.4, "test.log_loss": 0.8}, {"test.accuracy": 0.05}) == []
    said = comparison.failures(
        now, listed, {"test.accuracy": 0.46, "test.log_loss": 0.6}, {"test.accuracy": 0.04, "test.log_loss": 0.1}
    )
    assert said == [
        "test.accuracy is 0.45, below the floor of 0.46",
        "test.log_loss is 0.7, above the floor of 0.6",
        "test.accuracy went from 0.5 to 0.45, worse by 0.05, where 0.04 is allowed, beyond test-sample noise",
        "test.log_loss went from 0.5 to 0.7, worse by 0.2, where 0.1 is allowed, within test-sample noise",
    ]
    better = whole_metrics(test__accuracy=0.9)
    assert comparison.failures(better, comparison.changes(base, better, None), {}, {"test.accuracy": 0}) == []


@pytest.mark.parametrize("key", ["test.acuracy", "clean.kept", "gap.accuracy"])
@pytest.mark.parametrize("section", ["floors", "drops"])
def test_the_gate_knows_only_figures_that_can_be_better(key, section):
    gate = {"floors": {}, "drops": {}, section: {key: 0.1}}
    with pytest.raises(UserError, match=f"compare.{section}: {key} is not a metric"):
        comparison.failures(whole_metrics(), [], **gate)


def test_params_that_differ():
    base, now = {"seed": 0, "train": {"lr": 0.1, "old": 1}}, {"seed": 0, "train": {"lr": 0.2, "new": [1]}}
    assert comparison.params_changed(base, now) == [
        ("train.lr", 0.1, 0.2),
        ("train.old", 1, None),
        ("train.new", None, [1]),
    ]


def test_classes_that_got_worse_come_first_and_those_without_images_not_at_all():
    def table(**recall):
        rows = {"class": list(recall), "recall": list(recall.values())}
        for name in ("recall", "precision"):
            values = np.array(list(recall.values()), float)
            rows |= {name: values, f"{name}_low": values - 0.01, f"{name}_high": values + 0.01}
        return pd.DataFrame(rows)

    base, now = table(a=0.9, b=0.9, c=0.9, d=0.5), table(a=0.905, b=0.95, c=0.7, d=np.nan)
    found = comparison.classes_changed(base, now)
    assert [(row[0], row[1]) for row in found] == [
        ("c", "recall"),
        ("c", "precision"),
        ("b", "recall"),
        ("b", "precision"),
    ]
