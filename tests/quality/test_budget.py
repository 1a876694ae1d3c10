import pandas as pd
import pytest
from makers.samples import examined, facts_of, parts_of

from kiln.core.errors import UserError
from kiln.quality import budget, findings, summary


def forty(monkeypatch, **columns):
    """Examine 40 samples of two classes."""
    facts = facts_of([("ab"[i % 2], None, str(i), None) for i in range(40)]).assign(**columns)
    return examined(facts, set(), monkeypatch)


def test_a_budget_for_what_is_set_aside(monkeypatch):
    result = forty(monkeypatch, contrast=[0.0] * 10 + [50.0] * 30)
    budget.check_budget(result, 0.25)
    with pytest.raises(UserError, match=r"10 of 40 samples would be set aside \(10 constant\), more than .* 0\.2"):
        budget.check_budget(result, 0.2)


def test_what_a_person_leaves_out_is_not_in_the_budget(monkeypatch):
    facts = facts_of([("ab"[i % 2], None, str(i), None) for i in range(40)])
    verdicts = pd.DataFrame({"id": [str(i) for i in range(10)], "label": ""})
    result = examined(facts, set(), monkeypatch, verdicts)
    assert (~result.kept).sum() == 10
    budget.check_budget(result, 0.0)


def test_a_stage_that_ends_for_want_of_samples_says_what_kind_of_files_they_are(monkeypatch):
    facts = facts_of([("ab"[i % 2], None, str(i), None) for i in range(40)])
    details = (
        ["HEIC photo"] * 5 + ["TIFF with 13 bands"] * 3 + ["broken or truncated: x", "broken or truncated: y", "z"]
    )
    facts.loc[:10, ["failure", "detail", "digest"]] = [["undecodable", detail, None] for detail in details]
    result = examined(facts, set(), monkeypatch)
    says = r"11 undecodable: 5 x HEIC photo; 3 x TIFF with 13 bands; 2 x broken or truncated; 1 others\), more than"
    with pytest.raises(UserError, match=says):
        budget.check_budget(result, 0.2)


def test_causes_of_a_part_bear_its_name():
    gone = pd.concat(
        [
            findings.frame([0, 1], "undecodable", detail=["left: broken or truncated: x", "left: broken or truncated"]),
            findings.frame([2], "right.constant"),
        ]
    )
    assert budget.list_causes(gone) == "2 undecodable: 2 x left: broken or truncated, 1 right.constant"


def test_a_class_that_is_lost_is_reported_with_the_cause(monkeypatch):
    facts = facts_of([("phone" if i < 4 else "ab"[i % 2], None, str(i), None) for i in range(40)])
    facts.loc[:3, ["failure", "detail", "digest"]] = [["undecodable", "HEIC photo", None]] * 4
    result = examined(facts, set(), monkeypatch)
    says = r"phone has no image left for train, because 4 of 4 samples were .* \(4 undecodable: 4 x HEIC photo\): add"
    with pytest.raises(UserError, match=says):
        budget.check_classes(result, summary.count_kept(result), parts_of("image"))


def test_splits_that_lack_nothing_are_allowed(monkeypatch):
    result = forty(monkeypatch)
    budget.check_classes(result, summary.count_kept(result), parts_of("image"))
