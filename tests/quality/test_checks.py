import numpy as np
import pandas as pd
import pytest
from makers.samples import facts_of, parts_of
from makers.settings import clean_settings

from kiln.core.errors import UserError
from kiln.quality import checks

VALUES = pd.Series([5.0, np.nan, 1.0, 9.0, 2.0, 1.0])


def test_what_lies_beyond_a_threshold_is_listed_the_worst_first():
    below = checks.find_beyond(VALUES, 5, "below", "too_small")
    assert below[["row", "score"]].to_numpy().tolist() == [[2, 1], [5, 1], [4, 2]]
    assert set(below["reason"]) == {"too_small"}
    above = checks.find_beyond(VALUES, 2, "above", "odd_aspect")
    assert above[["row", "score"]].to_numpy().tolist() == [[3, 9], [0, 5]]
    assert checks.find_beyond(VALUES * np.nan, 5, "below", "blurry").empty


def broken(*names: str) -> pd.DataFrame:
    facts = facts_of([("a", None, None, None)] * 3, names)
    return facts.assign(failure="undecodable", detail="empty")


def test_broken_samples_stop_the_stage_where_asked():
    settings = clean_settings(undecodable="stop")
    with pytest.raises(UserError, match=r"3 of 3 samples cannot be decoded, 0 first \(empty\)"):
        checks.find_broken(broken("image"), parts_of("image"), settings)
    facts = broken("image").assign(failure="too_large")
    assert checks.find_broken(facts, parts_of("image"), settings)["reason"].tolist() == ["too_large"] * 3


def test_each_check_of_each_part_has_its_own_threshold_and_name():
    facts = facts_of([("a", None, str(row), None) for row in range(4)], ("left", "right"))
    facts["left.short_side"], facts["right.short_side"] = [4.0, 8, 20, 30], [30.0, 4, 8, 20]
    facts.loc[3, ["failure", "detail"]] = "undecodable", "right: empty"
    facts.loc[[0, 3], "right.notes"] = "x is broken"
    settings = clean_settings("left", "right", right__min_side=16)
    found = checks.find_broken(facts, parts_of("left", "right"), settings)
    assert found[["reason", "row", "detail"]].to_numpy().tolist() == [
        ["undecodable", 3, "right: empty"],
        ["left.too_small", 0, None],
        ["right.metadata", 0, "x is broken"],
        ["right.too_small", 1, None],
        ["right.too_small", 2, None],
    ]
