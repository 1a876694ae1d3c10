import numpy as np
import pandas as pd
from makers.images import noise
from makers.samples import parts_of
from makers.settings import clean_settings

from kiln.modalities.image import pictures
from kiln.modalities.image.wording import REPEATED
from kiln.quality import findings


def facts(**columns) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    base = {"id": [f"i{i}" for i in range(rows)], "label": ["a"] * rows, "split": [None] * rows}
    made = pd.DataFrame({**base, "digest": [str(i) for i in range(rows)], **columns}, dtype=object)
    return made.where(made.notna(), None)


def pairs(*rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["first", "second", "score"])


def listed(found: pd.DataFrame) -> list[tuple]:
    return sorted(zip(found["reason"], found["row"], found["other"], strict=True))


def exact(**columns) -> list[tuple]:
    return listed(findings.exact_copies(facts(**columns), REPEATED)[0])


def test_of_exact_duplicates_the_first_is_the_original():
    found, same = findings.exact_copies(facts(digest=["x", "y", "x", "x", None, None]), REPEATED)
    assert listed(found) == [("exact_duplicate", 2, 0), ("exact_duplicate", 3, 0)]
    assert same.to_numpy().tolist() == [[0, 2], [0, 3]]


def test_a_test_image_is_the_original_of_its_copies():
    assert exact(digest=["x", "x", "x"], split=["train", "test", "validation"]) == [
        ("exact_duplicate", 0, 1),
        ("exact_duplicate", 2, 1),
    ]


def test_copies_under_two_labels_all_conflict():
    found = exact(digest=["x", "x", "x"], label=["a", "a", "b"])
    assert [row for row in found if row[0] == "conflicting_labels"] == [
        ("conflicting_labels", 0, 2),
        ("conflicting_labels", 1, 2),
        ("conflicting_labels", 2, 0),
    ]


def test_a_contradicting_copy_of_a_test_image_is_a_mere_copy():
    assert exact(digest=["x", "x"], label=["a", "b"], split=["test", "train"]) == [("exact_duplicate", 1, 0)]


def test_a_picture_that_is_there_many_times_may_be_a_placeholder():
    found, _ = findings.exact_copies(facts(digest=["x"] * 5 + ["y", "y"], label=[*"aaaab", "a", "a"]), REPEATED)
    details = dict(zip(zip(found["reason"], found["row"], strict=True), found["detail"], strict=True))
    hint = "one of 5 with these pixels: a placeholder for photos that were not found?"
    assert details["exact_duplicate", 1] == hint
    assert details["conflicting_labels", 4] == f"label b against a; {hint}"
    assert pd.isna(details["exact_duplicate", 6])


def test_nothing_double():
    found, same = findings.exact_copies(facts(digest=["x", None, None]), REPEATED)
    assert found.empty and same.empty


def test_of_near_duplicates_all_but_the_first_are_copies_of_their_likest():
    found = findings.near_copies(facts(label=["a", "a", "b", "a"]), pairs((0, 1, 0.8), (1, 2, 0.9)))
    assert listed(found) == [("near_duplicate", 1, 2), ("near_duplicate", 2, 1)]
    assert found["score"].tolist() == [0.9, 0.9]
    assert set(found["detail"]) == {"the other is labelled b", "the other is labelled a"}
    assert findings.near_copies(facts(label=["a"]), pairs()).empty


def test_what_copies_an_image_of_test_or_validation_is_across():
    source = facts(split=["train", "test", "validation", None, "train", "train"])
    crossing = findings.across(
        source, pairs((0, 1, 0.7), (0, 2, 0.9), (1, 2, 0.8), (2, 3, 0.7), (4, 5, 0.9)).astype({"first": int}), "image"
    )
    assert crossing[["row", "other"]].to_numpy().tolist() == [[0, 2], [2, 1], [3, 2]]
    # What copies a copy of a test image is a copy of the test image.
    assert crossing["detail"].tolist() == ["copy of a test image"] * 3
    chain = findings.across(source, pairs((3, 4, 0.7), (1, 3, 0.8)), "image")
    assert chain[["row", "other"]].to_numpy().tolist() == [[3, 1], [4, 3]]
    assert chain["detail"].tolist() == ["copy of a test image", "copy of a copy of a test image"]
    assert findings.across(source, pairs().astype({"first": int, "second": int}), "image").empty


def test_policy_protects_a_given_test_split_and_never_keeps_a_leak():
    found = pd.concat(
        [
            findings.frame([0, 1], "blurry"),
            findings.frame([2], "undecodable"),
            findings.frame([3, 4], "near_duplicate"),
        ],
        ignore_index=True,
    )
    actions = {"blurry": "drop", "undecodable": "drop", "near_duplicate": "keep"}
    decided = findings.decide(found, actions, leaks=[4], protected=[0, 2])
    assert decided.tolist() == ["flag", "drop", "drop", "keep", "drop"]


def test_a_dropped_image_has_one_finding_and_kept_ones_say_nothing():
    found = pd.concat(
        [
            findings.frame([0], "outlier").assign(action="drop"),
            findings.frame([0], "blurry").assign(action="drop"),
            findings.frame([0, 1], "too_dark").assign(action="flag"),
            findings.frame([2], "near_duplicate").assign(action="keep"),
        ],
        ignore_index=True,
    )
    settled = findings.settle(found, findings.list_reasons(parts_of("image")))
    assert listed(settled) == [("blurry", 0, -1), ("too_dark", 1, -1)]


def test_tables_and_counts():
    source = facts(label=["a", "b", "b"], split=["train", "test", "train"])
    found = pd.concat(
        [
            findings.frame([2, 0], "near_duplicate", score=[0.9, 0.8], other=[0, 1], detail="x").assign(action="flag"),
            findings.frame([1], "undecodable", detail="broken").assign(action="drop"),
        ],
        ignore_index=True,
    )
    table = findings.table(found, source).to_pylist()
    assert table[0] == {
        "id": "i2",
        "label": "b",
        "split": "train",
        "reason": "near_duplicate",
        "score": 0.9,
        "other": "i0",
        "detail": "x",
        "suggestion": None,
    }
    assert table[2]["score"] is None and table[2]["other"] is None
    reasons = findings.list_reasons(parts_of("image"))
    counted = findings.counts(found, source, ["a", "b"], reasons)
    assert counted["total"]["near_duplicate"] == 2 and counted["total"]["blurry"] == 0
    assert counted["by_class"] == {"undecodable": {"b": 1}, "near_duplicate": {"a": 1, "b": 1}}
    assert list(counted["total"]) == reasons


def evidence(found: pd.DataFrame, *names: str) -> list[dict]:
    """List the worst of each reason, of three samples that show noise."""
    source = facts(label=["a", "b", "b"], split=["train", "test", "train"])
    values = {name: np.stack([noise(3 * part + row) for row in range(3)]) for part, name in enumerate(names)}
    return findings.list_evidence(found, source, parts_of(*names), values, 1).to_pylist()


def test_evidence_shows_each_part_of_the_worst():
    found = pd.concat(
        [
            findings.frame([2, 0], "near_duplicate", score=[0.9, 0.8], other=[0, 1], detail="x").assign(action="flag"),
            findings.frame([1], "undecodable", detail="broken").assign(action="drop"),
            findings.frame([1], "metadata", detail="x is broken").assign(action="flag"),
        ],
        ignore_index=True,
    )
    # The pair across splits comes first, and of what cannot be decoded there is nothing to show.
    alone = evidence(found, "image")
    assert [(row["id"], row["reason"], row["other"]) for row in alone] == [
        ("i1", "metadata", None),
        ("i0", "near_duplicate", "i1"),
    ]
    assert [row["action"] for row in alone] == ["flag", "flag"]
    assert (alone[1]["other_label"], alone[1]["other_split"]) == ("b", "test")
    assert alone[0]["other_shown"] is None and alone[0]["other_label"] is None
    one = {"part": "image", "kind": "picture", "content": pictures.encode_png(noise(1))}
    assert alone[0]["shown"] == alone[1]["other_shown"] == [one]
    found["reason"] = found["reason"].replace("metadata", "right.metadata")
    both = evidence(found, "left", "right")
    assert [row["reason"] for row in both] == ["right.metadata", "near_duplicate"]
    assert [shown["part"] for shown in both[1]["other_shown"]] == ["left", "right"]
    contents = [pictures.encode_png(noise(row)) for row in (1, 4)]
    assert [shown["content"] for shown in both[1]["other_shown"]] == contents


def test_reasons_and_actions_of_several_parts_bear_their_names():
    one, two = (findings.list_reasons(parts_of(*names)) for names in (["image"], ["left", "right"]))
    assert one[:4] == ["left_out", "undecodable", "too_large", "metadata"] and one[-1] == "outlier"
    own = one[3:-5]
    assert two == [*one[:3], *(f"left.{name}" for name in own), *(f"right.{name}" for name in own), *one[-5:]]
    settings = clean_settings("left", "right", right__blurry="drop", left__metadata="keep", near_duplicate="leaks")
    actions = findings.list_actions(parts_of("left", "right"), settings)
    assert set(actions) == set(two)
    assert (actions["left.blurry"], actions["right.blurry"]) == ("flag", "drop")
    assert (actions["left.metadata"], actions["right.metadata"]) == ("keep", "flag")
    assert actions["near_duplicate"] == "flag" and actions["left_out"] == actions["too_large"] == "drop"
    assert findings.list_actions(parts_of("image"), clean_settings(undecodable="stop"))["undecodable"] == "stop"
