from pathlib import Path

import pytest
from conftest import png

from stages.lib import containers, folders, records, shelf
from stages.lib.errors import UserError

CLASSES = ["cats/1.png", "cats/2.PNG", "dogs/1.jpg", "dogs/deep/2.png"]
SPLITS = ["test/cats/1.png", "test/dogs/1.png", "train/cats/1.png", "train/cats/2.png", "train/dogs/1.png"]


def listed(names) -> shelf.Shelf:
    made = shelf.Shelf()
    for name in names:
        made.add(name)
    return made


def place(names, **skipped_counts):
    skipped = records.Tally()
    places = dict(folders.layout(listed(names), skipped, Path("src")).items())
    assert dict(skipped.counts) == skipped_counts
    return places


def test_class_folders():
    assert place(CLASSES) == {
        "cats/1.png": ["cats/1.png", "cats", None, None],
        "cats/2.PNG": ["cats/2.PNG", "cats", None, None],
        "dogs/1.jpg": ["dogs/1.jpg", "dogs", None, None],
        "dogs/deep/2.png": ["dogs/deep/2.png", "dogs", None, None],
    }


def test_split_folders():
    places = place(SPLITS)
    assert places["train/cats/2.png"] == ["train/cats/2.png", "cats", "train", None]
    assert places["test/dogs/1.png"] == ["test/dogs/1.png", "dogs", "test", None]


@pytest.mark.parametrize("names", [CLASSES, SPLITS])
def test_one_wrapping_folder_changes_nothing(names):
    wrapped = place([f"set/{name}" for name in names])
    assert list(wrapped.values()) == list(place(names).values())


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_names_of_validation(name):
    places = place([*SPLITS, f"{name}/cats/1.png"])
    assert places[f"{name}/cats/1.png"][2] == "validation"


def test_surprises_are_skipped_and_counted():
    surprises = [
        ".DS_Store",
        "cats/.hidden.png",
        "__MACOSX/cats/._1.png",
        "cats/Thumbs.db",
        "dogs/desktop.ini",
        "README.md",
        "stray.png",
        "./cats/1.png",
    ]
    places = place(
        CLASSES + surprises,
        **{
            "hidden": 5,
            "not an image by its extension": 1,
            "outside of a class folder": 1,
            "second file of one name": 1,
        },
    )
    assert list(places) == CLASSES


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "no image in a class folder"),
        (["a.png", "b.png"], "no image in a class folder"),
        (["cats/1.png", "cats/2.png"], "only the class cats"),
        (["train/1.png", "test/2.png"], "mix splits and classes"),
        (["train/cats/1.png", "test/cats/2.png", "extra/3.png"], "mix splits and classes"),
    ],
)
def test_what_is_no_labelled_set_is_refused(names, says):
    with pytest.raises(UserError, match=says):
        folders.layout(names, records.Tally(), Path("src"))


def noted(names: list[str], empty=()) -> dict[str, list[str]]:
    surprises = records.Surprises()
    container = containers.Container(
        listed(names), lambda wanted: ((name, png(0)) for name in names if wanted(name)), list(empty)
    )
    source = folders.open_source(container, surprises, Path("src"))
    assert len(list(source.records(None))) == len(list(source.places()))
    return surprises.notes.examples


def test_what_looks_odd_is_noted():
    assert noted([*CLASSES, "cats/1.PNG", "birds/1.png"], empty=["fish"]) == {
        "class with one image": ["birds"],
        "empty folder": ["fish"],
        "in a deeper folder, taken for its class": ["dogs/deep/2.png"],
        "name that differs from another only by case or Unicode form": ["cats/1.PNG"],
    }
    assert noted(["cats/e\u0301.png", "cats/\u00e9.png", "dogs/1.png", "dogs/2.png"]) == {
        "name that differs from another only by case or Unicode form": ["cats/\u00e9.png"]
    }


@pytest.mark.parametrize("twin", ["Cats", "caf\u00e9"])
def test_classes_that_differ_only_by_case_or_form_are_refused(twin):
    with pytest.raises(UserError, match="differ only by case or Unicode form"):
        noted(["cats/1.png", "cafe\u0301/1.png", f"{twin}/1.png"])


def test_only_what_is_wanted_is_read():
    read = []
    container = containers.Container(
        listed(CLASSES), lambda wanted: ((read.append(name), (name, b""))[1] for name in CLASSES if wanted(name)), []
    )
    source = folders.open_source(container, records.Surprises(), Path("src"))
    assert [record.id for record in source.records({"cats/1.png", "dogs/1.jpg"})] == ["cats/1.png", "dogs/1.jpg"]
    assert read == ["cats/1.png", "dogs/1.jpg"]
