import numpy as np
import pandas as pd
import pytest
from conftest import noise, png
from hypothesis import given, settings
from hypothesis import strategies as st

from stages import clean
from stages.lib import dataset, images, params
from stages.lib.errors import UserError
from stages.lib.sources import Record

SETTINGS = params.Clean(image_size="auto", fit="crop", channels="auto", test=0.2, validation=0.1)


def frame(**columns) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    base = {"id": [str(i) for i in range(rows)], "label": ["a"] * rows, "split": [None] * rows, "group": [None] * rows}
    made = pd.DataFrame(
        {**base, "digest": [str(i) for i in range(rows)], "detail": [None] * rows, **columns}, dtype=object
    )
    return made.where(made.notna(), None)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({(8, 8, 1): 5}, (8, 8, 1)),
        ({(32, 32, 3): 5, (32, 32, 1): 1}, (32, 32, 3)),
        ({(65, 65, 3): 5}, (64, 64, 3)),
        ({(20, 30, 3): 5, (30, 20, 3): 1}, (64, 64, 3)),
        ({}, (64, 64, 3)),
    ],
)
def test_automatic_shape(shapes, expected):
    assert clean.choose_conversion(shapes, SETTINGS).image_shape == expected


def test_a_given_shape_stands():
    given_shape = SETTINGS.model_copy(update={"image_size": [10, 12], "channels": 3})
    assert clean.choose_conversion({(8, 8, 1): 5}, given_shape) == images.Conversion(10, 12, 3, "crop")


def marks(**columns) -> list[tuple]:
    result = clean.mark_doubles(frame(**columns))
    return list(zip(result["reason"], result["other"], strict=True))


STAYS = (None, -1)


def test_undecodable():
    assert marks(digest=["x", None, "y"]) == [STAYS, ("undecodable", -1), STAYS]


def test_of_exact_duplicates_the_first_stays():
    assert marks(digest=["x", "y", "x", "x"]) == [STAYS, STAYS, ("exact_duplicate", 0), ("exact_duplicate", 0)]


def test_the_training_copy_of_a_test_image_goes():
    assert marks(digest=["x", "x", "x"], split=["train", "test", "validation"]) == [
        ("exact_duplicate", 1),
        STAYS,
        ("exact_duplicate", 1),
    ]


def test_a_given_test_split_stays_whole():
    assert marks(digest=["x", "x"], split=["test", "test"], label=["a", "b"]) == [STAYS, STAYS]


def test_copies_under_two_labels_all_go():
    assert marks(digest=["x", "x", "x"], label=["a", "a", "b"]) == [
        ("conflicting_labels", 2),
        ("conflicting_labels", 2),
        ("conflicting_labels", 0),
    ]


def test_a_contradicting_training_copy_of_a_test_image_goes_alone():
    assert marks(digest=["x", "x"], label=["a", "b"], split=["test", "train"]) == [STAYS, ("exact_duplicate", 0)]


def test_splits_are_stratified_and_seeded():
    facts = frame(label=["a"] * 200 + ["b"] * 50)
    splits = clean.assign_splits(facts, 0.2, 0.1, seed=0)
    table = pd.crosstab(facts["label"], splits)
    assert table.loc["a"].to_dict() == {"test": 40, "train": 144, "validation": 16}
    assert table.loc["b"].to_dict() == {"test": 10, "train": 36, "validation": 4}
    assert (splits == clean.assign_splits(facts, 0.2, 0.1, seed=0)).all()
    assert (splits != clean.assign_splits(facts, 0.2, 0.1, seed=1)).any()


def test_the_order_of_images_moves_none():
    facts = frame(label=["a", "b"] * 50)
    shuffled = facts.sample(frac=1, random_state=0)
    assert (clean.assign_splits(shuffled, 0.2, 0.1, 0).sort_index() == clean.assign_splits(facts, 0.2, 0.1, 0)).all()


def test_the_sources_splits_stand_and_validation_comes_from_train():
    facts = frame(split=["test"] * 10 + ["train"] * 90)
    splits = clean.assign_splits(facts, 0.5, 0.1, seed=0)
    assert (splits[:10] == "test").all()
    assert (splits == "test").sum() == 10
    assert (splits[10:] == "validation").sum() == 9
    given_validation = frame(split=["validation"] * 5 + ["test"] * 5 + ["train"] * 90)
    assert clean.assign_splits(given_validation, 0.5, 0.1, 0).tolist() == given_validation["split"].tolist()


def test_the_last_image_of_a_class_stays_in_train():
    facts = frame(label=["a", "b", "b", "b", "b"])
    assert clean.assign_splits(facts, 0.9, 0.9, 0)[0] == "train"


def test_a_class_of_three_reaches_every_split():
    assert sorted(clean.assign_splits(frame(label=["a"] * 4), 0.01, 0.01, 0)) == [
        "test",
        "train",
        "train",
        "validation",
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, "p", "q", "r"])), min_size=1, max_size=60),
    st.integers(0, 9),
)
def test_no_group_straddles_and_every_image_has_one_place(rows, seed):
    facts = frame(label=[label for label, _ in rows], group=[group for _, group in rows])
    splits = clean.assign_splits(facts, 0.3, 0.3, seed)
    assert set(splits) <= set(dataset.SPLITS)
    assert splits.index.equals(facts.index)
    straddling = splits.groupby(facts["group"]).nunique()
    assert (straddling <= 1).all()
    assert (splits == "train").any()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from([None, "train", "validation", "test"]),
            st.sampled_from([None, *"uvwxyz"]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_no_duplicate_outside_of_a_given_test_split(rows):
    labels, splits, digests = zip(*rows, strict=True)
    facts = frame(label=labels, split=splits, digest=digests)
    kept = facts[clean.mark_doubles(facts)["reason"].isna()]
    elsewhere = kept[kept["split"] != "test"]
    assert not elsewhere["digest"].duplicated().any()
    assert not set(elsewhere["digest"]) & set(kept["digest"][kept["split"] == "test"])
    assert set(facts.index[(facts["split"] == "test") & facts["digest"].notna()]) <= set(kept.index)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ([[5, 1, 1]], "1 class is left"),
        ([[5, 1, 1], [0, 1, 1]], "class 1 has no image left for train"),
        ([[5, 0, 1], [5, 0, 1]], r"no image is left for validation: add images, or raise clean\.validation"),
    ],
)
def test_splits_that_cannot_serve_are_refused(counts, says):
    with pytest.raises(UserError, match=says):
        clean.check_splits(pd.DataFrame(counts, columns=dataset.SPLITS))


def test_spool_keeps_facts_and_pixels(tmp_path):
    contents = [png(0), png(1)[:-30], png(0), b"text"]
    records = [Record(str(i), "a", None, None, content, None) for i, content in enumerate(contents)]
    dataset.write(tmp_path / "raw", [(None, dataset.raw_table(records))], "raw")
    raw = dataset.open_dataset(tmp_path / "raw", "raw")
    facts = clean.spool(raw, images.Conversion(8, 8, 1, "crop"), tmp_path / "spool")
    pixels = np.fromfile(tmp_path / "spool", np.uint8).reshape(4, 8, 8, 1)
    assert (pixels[0] == noise(0)).all() and (pixels[2] == noise(0)).all() and not pixels[1].any()
    assert facts["digest"].isna().tolist() == [False, True, False, True]
    assert facts["digest"][0] == facts["digest"][2]
    assert "truncated" in facts["detail"][1] and "known format" in facts["detail"][3]


def test_the_stage_lists_what_it_sets_aside(project):
    source = project.folder / "data/source"
    for name in "ab":
        (source / name).mkdir()
        for index in range(8):
            (source / name / f"{index}.png").write_bytes(png(ord(name) * 100 + index))
    (source / "a/copy.png").write_bytes(png(ord("a") * 100))
    (source / "b/text.jpg").write_text("no image")
    project.set(fetch__source="images")
    project.stage("fetch")
    done = project.stage("clean")
    assert "16 of 18 images as 8x8 gray" in done.stdout
    assert "set aside: 1 undecodable, 1 exact_duplicate" in done.stdout
    gone = pd.read_parquet(project.folder / "data/clean/set_aside.parquet").set_index("id")
    assert gone.loc["a/copy.png", ["reason", "other"]].tolist() == ["exact_duplicate", "a/0.png"]
    assert gone.loc["b/text.jpg", "reason"] == "undecodable"
    data = dataset.open_dataset(project.folder / "data/clean", "pixels")
    ids = [name for split in dataset.SPLITS for name in dataset.load((data, split)).ids]
    assert sorted(ids) == sorted(f"{name}/{index}.png" for name in "ab" for index in range(8))
    assert sorted(path.name for path in (project.folder / "data/clean").iterdir() if path.is_file()) == [
        "manifest.json",
        "samples.png",
        "set_aside.parquet",
        "summary.json",
    ]
