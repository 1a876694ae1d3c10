import numpy as np
import pandas as pd
import pytest
from makers.datasets import image_parts
from makers.samples import parts_of
from makers.texts import as_array, fitted, text_parts

from kiln.evaluation import proportions, slices

MEASURES = slices.list_measures(image_parts())


def facts(count: int, **columns) -> pd.DataFrame:
    same = dict.fromkeys(MEASURES, np.full(count, 5.0))
    return pd.DataFrame({**same, **columns})


def test_quarters_hold_as_many_images_each():
    parts = slices.quarters(np.arange(100.0), "low", "high")
    assert [rows.sum() for rows in parts.values()] == [25, 25, 25, 25]
    assert list(parts) == ["low, 0 to 24", "between, 25 to 49", "between, 50 to 74", "high, 75 to 99"]


def test_equal_values_stay_together_and_unknown_ones_apart():
    values = np.array([1.0] * 8 + [2.0, np.nan])
    parts = slices.quarters(values, "low", "high")
    assert [rows.sum() for rows in parts.values()] == [8, 1]
    assert slices.quarters(np.full(4, 3.0), "low", "high") == {}
    assert slices.quarters(np.full(4, np.nan), "low", "high") == {}


def test_no_part_of_a_single_value_is_lost_to_its_neighbour():
    parts = slices.quarters(np.repeat([0, 127.21, 127.34, 255], 10), "darkest", "brightest")
    assert list(parts) == ["darkest, 0", "between, 127.2", "between, 127.3", "brightest, 255"]
    assert sum(parts.values()).all()


def test_known_accuracies():
    right = np.arange(40) % 4 > 0
    doubted = np.arange(40) % 4 == 0
    table = slices.table(
        facts(40, brightness=np.arange(40.0), **{"label doubted": doubted}), MEASURES, right, np.arange(40)
    )
    assert table["about"].unique().tolist() == ["brightness", "label doubted"]
    yes, no = table[table["about"] == "label doubted"].itertuples()
    assert (yes.samples, yes.accuracy, no.samples, no.accuracy) == (10, 0, 30, 1)
    assert (no.low, no.high) == pytest.approx(proportions.wilson(30, 30))
    assert table[table["about"] == "brightness"]["samples"].sum() == 40


def test_the_slices_intervals_know_units():
    right, units = np.arange(40) % 4 > 0, np.arange(40) // 4
    known = facts(40, **{"label doubted": np.arange(40) < 20})
    alone, together = (slices.table(known, MEASURES, right, of) for of in (np.arange(40), np.repeat(np.arange(2), 20)))
    assert (together["low"] < alone["low"]).all()
    assert slices.table(known, MEASURES, right, units)["accuracy"].tolist() == alone["accuracy"].tolist()


def test_a_range_tells_its_ends_apart():
    parts = slices.quarters(np.array([3021.0, 3022, 3023, 3024, 3024, 3025, 3025, 3025]), "smallest", "largest")
    assert list(parts) == ["smallest, 3021 to 3022", "between, 3023 to 3024", "largest, 3025"]
    sizes = slices.quarters(np.array([12.0] * 3 + [3024.0] * 2), "smallest", "largest")
    assert list(sizes) == ["smallest, 12", "largest, 3024"]


def test_a_slice_without_images_is_left_out():
    known = facts(3, **{"label doubted": np.zeros(3, bool)})
    assert slices.table(known, MEASURES, np.ones(3, bool), np.arange(3)).empty


def test_each_of_several_parts_has_slices_of_its_own():
    measures = slices.list_measures(parts_of("left", "right"))
    assert len(measures) == 2 * len(MEASURES)
    title, *ends = MEASURES["brightness"]
    assert measures["right.brightness"] == (f"right.{title}", *ends)


def test_what_clean_found_becomes_slices():
    ids = [f"{n}.png" for n in range(6)]
    measures = pd.DataFrame({"id": ids[::-1], "split": "test", **{name: np.arange(6.0) for name in MEASURES}})
    findings = pd.DataFrame(
        {"id": ["1.png", "train.png"], "reason": ["label_error", "near_duplicate"], "other": [None, "4.png"]}
    )
    known = slices.gather_facts(np.array(ids), measures, findings)
    assert known["brightness"].tolist() == [5, 4, 3, 2, 1, 0]
    assert np.flatnonzero(known["label doubted"]).tolist() == [1]
    assert np.flatnonzero(known["has a near-duplicate"]).tolist() == [4]
    assert "flagged" not in known


def test_texts_are_sliced_by_findings_and_by_what_train_has():
    parts, ids = text_parts(), ["a", "b", "c"]
    measures = pd.DataFrame({"id": ids, "split": "test", "characters": [1.0, 2, 3], "script_share": 1.0})
    findings = pd.DataFrame({"id": ["b", "c", "a"], "reason": ["markup", "encoding", "outlier"], "other": None})
    known = slices.gather_facts(np.array(ids), measures, findings, slices.list_reasons(parts))
    assert known["flagged"].tolist() == [False, True, True]
    batches = [{"text": as_array(texts)} for texts in (["the cat", "the gnu"], ["the cat and the dog and the gnu"])]
    known = known.join(slices.measure_fitted(batches, parts, {"text": fitted(min_texts=2)}))
    assert known["rare_words"].tolist() == pytest.approx([0, 1 / 2, 3 / 8])
    table = slices.table(known, slices.list_measures(parts), np.array([True, False, True]), np.arange(3))
    assert {"length in characters", "share of words that train hardly has", "flagged"} <= set(table["about"])


def test_images_are_not_measured_again():
    assert slices.measure_fitted(iter(()), image_parts(), {}).empty and not slices.list_reasons(image_parts())
