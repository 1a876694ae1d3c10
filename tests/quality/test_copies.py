import numpy as np
import pandas as pd
import pytest
from makers.samples import facts_of, parts_of
from makers.settings import clean_settings

from kiln.modalities.base import Copies
from kiln.modalities.image import copies as image_copies
from kiln.quality import copies

NAMES = ("left", "right")


def find(monkeypatch, found: dict[str, list[tuple]], rows: int = 8, facts=None, **policy) -> copies.Copied:
    """Find copies among samples, with made-up pairs of each part, told apart by its values."""
    names = tuple(found)
    looked = []

    def search(values, usable, seed, border):
        looked.append((usable.tolist(), seed))
        part = names[int(values[0, 0, 0, 0])]
        pairs = pd.DataFrame(found[part], columns=["first", "second", "score"])
        return Copies(pairs.astype({"first": int, "second": int, "score": float}), border or 0.65)

    monkeypatch.setattr(image_copies, "find", search)
    facts = facts_of([("a", None, str(row), None) for row in range(rows)], names) if facts is None else facts
    values = {name: np.full((len(facts), 8, 8, 1), number, np.uint8) for number, name in enumerate(names)}
    present = np.ones(len(facts), bool)
    copied = copies.find_copies(facts, present, parts_of(*names), values, clean_settings(*names, **policy), 0)
    find.looked = looked
    return copied


def near(copied: copies.Copied) -> list[tuple]:
    return list(zip(copied.findings["row"], copied.findings["other"], strict=True))


def test_what_is_a_copy_in_one_part_is_linked_and_in_every_part_reported(monkeypatch):
    copied = find(monkeypatch, {"left": [(0, 1, 0.9), (2, 3, 0.8)], "right": [(2, 3, 0.7), (4, 5, 0.7)]})
    assert sorted(map(tuple, copied.pairs[["first", "second"]].to_numpy().tolist())) == [(0, 1), (2, 3), (2, 3), (4, 5)]
    assert near(copied) == [(3, 2)]
    assert copied.borders == {"left": 0.65, "right": 0.65}


def test_sets_of_copies_count_not_the_pairs_that_connect_them(monkeypatch):
    # Left shows 0, 1 and 2 alike by way of 1, right by way of 0.
    copied = find(monkeypatch, {"left": [(0, 1, 0.9), (1, 2, 0.9)], "right": [(0, 1, 0.9), (0, 2, 0.9)]})
    assert {row for row, _ in near(copied)} == {1, 2}


def test_one_part_is_reported_as_it_is_found(monkeypatch):
    copied = find(monkeypatch, {"image": [(0, 1, 0.9), (1, 2, 0.8)]})
    assert near(copied) == [(1, 0), (2, 1)]


@pytest.mark.parametrize("names", [("image",), NAMES])
def test_no_pairs_link_nothing(monkeypatch, names):
    copied = find(monkeypatch, {name: [] for name in names})
    assert copied.pairs.empty and copied.findings.empty and not len(copied.leaks)


def test_each_part_has_a_border_and_a_size_of_its_own(monkeypatch):
    facts = facts_of([("a", None, str(row), None) for row in range(4)], NAMES)
    facts["left.short_side"] = [8.0, 16, 32, 15]
    copied = find(monkeypatch, {name: [] for name in NAMES}, facts=facts, right__near_duplicate_score=0.8)
    assert copied.borders == {"left": 0.65, "right": 0.8}
    (left, seed), (right, other_seed) = find.looked
    assert (left, right) == ([1, 2], [0, 1, 2, 3]) and seed == other_seed


def test_exact_copies_are_not_searched_again_but_linked(monkeypatch):
    facts = facts_of([("a", None, digest, None) for digest in "xyxz"], ("image",))
    copied = find(monkeypatch, {"image": [(0, 1, 0.9)]}, facts=facts)
    assert find.looked[0][0] == [0, 1, 3]
    assert copied.findings[["row", "reason"]].to_numpy().tolist() == [[2, "exact_duplicate"], [1, "near_duplicate"]]
    assert copied.pairs[["first", "second"]].to_numpy().tolist() == [[0, 2], [0, 1]]


@pytest.mark.parametrize(("policy", "forbidden"), [("leaks", [0, 2]), ("drop", [0, 2]), ("flag", [2]), ("keep", [2])])
def test_copies_across_given_splits_may_not_stay_by_policy_but_exact_ones_never(monkeypatch, policy, forbidden):
    rows = [("a", "train", "x", None), ("a", "test", "y", None), ("a", "train", "y", None), ("a", "train", "z", None)]
    copied = find(monkeypatch, {"image": [(0, 1, 0.9)]}, facts=facts_of(rows), near_duplicate=policy)
    assert (copied.leaks.tolist(), copied.forbidden.tolist()) == ([0, 2], forbidden)
