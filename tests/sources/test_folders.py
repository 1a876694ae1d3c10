from pathlib import Path

import pytest
from makers.images import png
from makers.records import IMAGE

from kiln.core import formats
from kiln.core.errors import UserError
from kiln.sources import classnames, folders, listing, records, shelf

CLASSES = ["cats/1.png", "cats/2.PNG", "dogs/1.jpg", "dogs/deep/2.png"]
SPLITS = ["test/cats/1.png", "test/dogs/1.png", "train/cats/1.png", "train/cats/2.png", "train/dogs/1.png"]
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def listed(names) -> shelf.Shelf:
    made = shelf.Shelf()
    for name in names:
        made.add(name)
    return made


def contained(files, **fields) -> listing.Container:
    """Files by name, or names of files that all are PNG."""
    files = files if isinstance(files, dict) else dict.fromkeys(files, png(0))
    fields.setdefault("empty", [])

    def contents(wanted, first=None):
        return ((name, content[:first]) for name, content in files.items() if wanted(name))

    return listing.Container(listed(files), contents, **fields)


def place(files, source=Path("src"), **fields) -> tuple[dict, dict, dict]:
    """Places by name, and what was skipped and noted, by reason."""
    surprises = records.Surprises()
    places = dict(folders.layout(contained(files, **fields), IMAGE, surprises, source).items())
    return places, dict(surprises.skipped.counts), surprises.notes.examples


def classes(files) -> set[tuple]:
    """(split, label) of all images."""
    return {(split, label) for _, label, split, _ in place(files)[0].values()}


def refusal(files, **fields) -> str:
    with pytest.raises(UserError) as refused:
        place(files, **fields)
    return str(refused.value)


def under(split: str, *labels: str) -> list[str]:
    return [f"{split}/{label}/{number}.png" for label in labels for number in range(2)]


def test_class_folders():
    places, skipped, notes = place(CLASSES)
    assert places == {
        "cats/1.png": ["cats/1.png", "cats", None, None],
        "cats/2.PNG": ["cats/2.PNG", "cats", None, None],
        "dogs/1.jpg": ["dogs/1.jpg", "dogs", None, None],
        "dogs/deep/2.png": ["dogs/deep/2.png", "dogs", None, None],
    }
    assert skipped == {} and notes == {"in a deeper folder, taken for its class": ["dogs/deep/2.png"]}


def test_split_folders():
    places, skipped, notes = place(SPLITS)
    assert places["train/cats/2.png"] == ["train/cats/2.png", "cats", "train", None]
    assert places["test/dogs/1.png"] == ["test/dogs/1.png", "dogs", "test", None]
    assert skipped == {} and notes == {}


@pytest.mark.parametrize("names", [CLASSES, SPLITS])
@pytest.mark.parametrize("wrap", ["set", "animals/animals", "a/b/c/d", "my test images"])
def test_wrapping_folders_change_nothing_whatever_lies_beside_them(names, wrap):
    beside = {"preview.png": 1, f"{wrap}/sheet.png": 1, "README.md": 1}
    places, skipped, _ = place([f"{wrap}/{name}" for name in names] + list(beside))
    assert list(places.values()) == list(place(names)[0].values())
    assert skipped == {"outside of a class folder": 2, ".md": 1}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("val", "validation"),
        ("valid", "validation"),
        ("Validation", "validation"),
        ("dev", "validation"),
        ("val_set", "validation"),
        ("ValidationData", "validation"),
        ("TRAINING", "train"),
        ("Train_data", "train"),
        ("trainset2", "train"),
        ("seg_train", "train"),
        ("eval", "validation"),
        ("Hold-Out", "test"),
        ("test_images", "test"),
    ],
)
def test_names_of_splits(name, split):
    assert (split, "cats") in classes([*SPLITS, f"{name}/cats/1.png"])


def test_eval_is_the_test_where_nothing_else_is():
    assert classes([*under("train", "a", "b"), *under("eval", "a", "b")]) == {
        (split, label) for split in ("train", "test") for label in "ab"
    }


SCENES = [
    *under("seg_train/seg_train", "sea", "forest"),
    *under("seg_test/seg_test", "sea", "forest"),
    "seg_pred/seg_pred/1.png",
    "seg_pred/seg_pred/2.png",
]


@pytest.mark.parametrize("wrap", ["", "archive/", "archive/scenes/"])
def test_splits_that_are_wrapped_each_beside_images_without_labels(wrap):
    places, skipped, notes = place([f"{wrap}{name}" for name in SCENES])
    assert {(split, label) for _, label, split, _ in places.values()} == {
        (split, label) for split in ("train", "test") for label in ("sea", "forest")
    }
    assert skipped == {"in seg_pred, which has no class folders": 2}
    assert notes["folder read as a split"] == [f"{wrap}{name}" for name in ("seg_test: test", "seg_train: train")]
    assert [identity for identity, *_ in places.values()] == SCENES[:-2]


@pytest.mark.parametrize(
    "unlabelled", ["test/1.png", "test/test/1.png", "test/images/1.png", "Test Images/unknown/1.png", "pred/1.png"]
)
def test_a_test_without_labels_is_counted(unlabelled):
    places, skipped, _ = place([*under("train", "a", "b"), unlabelled])
    assert {split for _, _, split, _ in places.values()} == {"train"}
    assert list(skipped.values()) == [1]


@pytest.mark.parametrize(
    "names",
    [
        [*under("train_set", "a", "b"), *under("test_set", "a", "b")],
        [*under("Training", "a", "b"), *under("Testing", "a", "b")],
        [*under("dogs_train/data", "a", "b"), *under("dogs_test", "a", "b")],
        [*under("train/train", "a", "b"), *under("test/images", "a", "b")],
        [*under("Data/Train_data/train", "a", "b"), *under("Data/Test_data/test", "a", "b")],
        [f"{label}/{split}/{n}.png" for label in "ab" for split in ("train", "test") for n in range(2)],
    ],
)
def test_layouts_with_train_and_test(names):
    assert classes(names) == {(split, label) for split in ("train", "test") for label in "ab"}


def test_a_class_may_be_called_train_and_that_is_noted():
    places, _, notes = place([*under(".", "car", "plane", "train")])
    assert {label for _, label, *_ in places.values()} == {"car", "plane", "train"}
    assert notes == {"class with the name of a split": ["train"]}


@pytest.mark.parametrize("names", [("bullet train", "freight train"), ("valid", "invalid"), ("test tube", "flask")])
def test_classes_with_words_of_splits(names):
    assert {label for _, label in classes(under(".", *names))} == set(names)


@pytest.mark.parametrize(
    "when", [("2021", "2022"), ("2021-03-01", "2021-03-02T10.30"), ("20210301", "202104__"), ("100APPLE", "101CANON")]
)
def test_folders_of_days_and_cameras_within_classes_are_no_classes(when):
    names = [*under("cats", *when), *under("dogs", *when), *under("birds", "x")]
    assert {label for _, label in classes(names)} == {"cats", "dogs", "birds"}
    assert {label for _, label in classes([*under("cats", *when), *under(".", "dogs")])} == {"cats", "dogs"}


def test_a_class_alone_in_a_split_is_no_wrapper():
    names = [*under("train", "a", "b"), *under("test/a", "2021", "2022"), *under("val/b", "x", "y")]
    assert classes(names) == {("train", "a"), ("train", "b"), ("test", "a"), ("validation", "b")}


@pytest.mark.parametrize("names", [("masks", "no masks"), ("image", "text", "table"), ("test strip", "strip", "x")])
def test_classes_with_words_of_other_sets(names):
    assert {label for _, label in classes(under(".", *names))} == set(names)


def test_a_class_within_a_split_may_be_called_like_one_and_that_is_noted():
    notes = place([*under("train", "test tube", "flask"), *under("test", "test tube", "flask")])[2]
    assert notes == {"class with the name of a split": ["test tube"]}


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], ["no file in a class folder"]),
        (["a.png", "b.png"], ["no file in a class folder (skipped: 2 outside of a class folder (a.png, b.png))"]),
        (["cats/1.png", "cats/2.png"], ["only the class cats"]),
        (["train/cat.0.jpg", "train/dog.0.jpg"], ["files directly in train, with no class folders", "manifest"]),
        (["train/1.png", "test/2.png"], ["files directly in test, train"]),
        (["train/1.png", *under("test", "a", "b")], ["files directly in train"]),
        (["train/cats/1.png", "test/cats/2.png", "extra/3.png"], ["mix splits and classes", "extra holds files"]),
        ([*under("train", "a", "b"), *under("more", "a", "b")], ["mix splits and classes", "more holds the folders"]),
        (
            [*under("chest/train", "a", "b"), *under("train", "a", "b"), *under("test", "a", "b")],
            ["mix splits and classes", "chest holds the folder train"],
        ),
        ([*under("set/train", "a", "b"), "set/cats/1.png"], ["set fetch.path to its folder set/train"]),
        ([*under(".", "cats", "dogs", "test")], ["mix splits and classes", "if test is a class, rename it"]),
        ([*under("2019", "a", "b"), *under("2020", "a", "b")], ["hold the same folders (a, b)", "call them train"]),
        ([*under("cats", "images", "masks"), *under("dogs", "images", "masks")], ["take the folders masks out"]),
        (["images/1.png", "masks/1.png"], ["images, masks look like images and their masks", "manifest"]),
        (["rgb/1.png", "SegmentationClass/1.png", "ground_truth/1.png"], ["not like classes"]),
        ([*under("train", "images", "labels"), *under("val", "images", "labels")], ["train/images, train/labels look"]),
        ([*under("train", "images"), *under("val", "images")], ["files directly in train/images, val/images"]),
        (["set/images/1.png", "labels.csv"], ["files directly in set/images, with no class folders"]),
        (
            [*under("train/train", "a", "b"), *under("train/val", "a", "b"), *under("test", "a", "b")],
            ["train/train, train/val have the names of splits, but lie within the split train"],
        ),
        ([*under("cats", "train", "test"), *under("dogs", "train", "test"), "dogs/1.png"], ["splits lie within cats"]),
        ([*under("cats", "train", "test", "x"), *under("dogs", "train", "test")], ["so splits lie within cats"]),
        (under(".", "cats", "dogs", "cats_test", "test dogs"), ["cats_test, test dogs and cats, dogs mix splits"]),
        (
            ["cats/1.png", *under("labelled", "a", "b")],
            ["classes may lie on either level", "labelled holds the folder"],
        ),
        ([*under("trainval", "a", "b"), *under("train_val", "a", "b"), *under("test", "a", "b")], ["mix splits"]),
        ([*under("train_val", "a", "b"), *under("test", "a", "b")], ["its name says train and validation"]),
        ([*under("train", "a", "b"), *under("pred", "a", "b")], ["says none of train, validation and test"]),
        ([*under("images", "train", "val"), *under("masks", "train", "val")], ["images, masks look like images and"]),
        ([*under("cats", "train/x", "test/x"), *under("dogs", "train/x", "test/y")], ["within other folders"]),
        (["\u200b/1.png", "dogs/1.png"], ["has a name of blanks"]),
    ],
)
def test_what_is_no_labelled_set_is_refused(names, says):
    sentence = refusal(names)
    assert all(part in sentence for part in says), sentence
    assert len(sentence) < 1000 and sentence.startswith("src")


def test_the_path_to_give_is_that_of_a_folder(tmp_path):
    assert f"set fetch.path to {tmp_path}/set/train" in refusal(
        [*under("set/train", "a", "b"), "set/cats/1.png"], source=tmp_path
    )


def test_hidden_files_and_others_are_skipped_and_counted():
    surprises = [
        ".DS_Store",
        "cats/.hidden.png",
        "__MACOSX/cats/._1.png",
        "cats/Thumbs.db",
        "dogs/desktop.ini",
        "README.md",
        "stray.png",
        "./cats/1.png",
        "cats/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
        "$RECYCLE.BIN/S-1-5/1.png",
        "System Volume Information/x",
    ]
    places, skipped, _ = place(CLASSES + surprises)
    assert list(places) == CLASSES
    assert skipped == {"hidden": 8, ".md": 1, "outside of a class folder": 1, "second file of one name": 1}


def test_documents_beside_are_no_reason_to_convert_anything():
    assert "JPEG" not in refusal({"a.png": png(0), "README.md": b"x", "LICENSE": b"x y"})
    assert "JPEG" not in refusal(["train/a/1.png", "test/1.png"])


def test_what_is_an_image_is_told_by_content_where_the_name_does_not():
    files = {
        "cats/photo.jpg?width=800": png(0),
        "cats/photo": png(1),
        "cats/e.jpg_large": png(2),
        "cats/trailing.jpg ": png(3),
        "dogs/1.image": png(4),
        "dogs/2.png": png(5),
        "dogs/Makefile": b"all:\n",
        "dogs/3.HEIC": HEIC,
        "dogs/4.tga": b"\x00\x01\x02" * 9,
        "dogs/notes.txt": b"",
        "dogs/x.npy": b"",
        "dogs/v1.2": b"\x00\x01\x02" * 9,
    }
    places, skipped, _ = place(files)
    assert list(places) == list(files)[:6]
    assert skipped == {
        "without extension (text)": 1,
        ".heic (HEIC)": 1,
        ".tga": 1,
        ".txt": 1,
        ".npy": 1,
        ".2": 1,
    }


def test_only_files_that_tell_nothing_are_looked_into():
    looked = []
    container = contained(["cats/1.png", "cats/2.txt", "cats/3", ".git/4", "dogs/1.jpg"])
    contents = container.contents
    folders.layout(
        listing.Container(
            container.names,
            lambda wanted, first=None: (looked.append((name, first)) or (name, c) for name, c in contents(wanted)),
            [],
        ),
        IMAGE,
        records.Surprises(),
        Path("src"),
    )
    assert looked == [("cats/3", formats.HEAD)]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({f"iphone/{n}.heic": HEIC for n in range(8)}, ["the class iphone", "8 .heic (HEIC)", "JPEG"]),
        ({"volumes/1.npy": b""}, ["the class volumes", "1 .npy"]),
        ({"birds/1.zip": b"", "fish/1.zip": b""}, ["the classes birds, fish", "2 .zip", "unpack"]),
        ({"birds/1.pic": b"version https://git-lfs.github.com/spec/v1\n"}, ["Git LFS pointer", "git lfs pull"]),
    ],
)
def test_a_class_that_would_vanish_stops_the_stage(files, says):
    sentence = refusal({"cats/1.png": png(0), "dogs/1.png": png(1), **files})
    assert all(part in sentence for part in says), sentence


def test_a_class_that_would_vanish_from_the_test_stops_the_stage():
    files = dict.fromkeys([*under("train", "a", "b"), *under("test", "a")], png(0))
    assert "the class test/b can be read" in refusal({**files, "test/b/1.heic": HEIC})


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("data/train-0.parquet", "set fetch.source.name to parquet"),
        ("cats/1.mp4", "take images out of the videos"),
        ("train.tfrecord", "take the images out of these"),
    ],
)
def test_what_may_hold_images_is_told_with_what_to_do(name, says):
    assert says in refusal({name: b"x"})


@pytest.mark.parametrize("images", ["images/1.png", "train/1.png"])
def test_a_table_beside_is_named(images):
    names = {images: png(0), "sample_submission.csv": b"", "__MACOSX/x.csv": b"", "set/labels.csv": b""}
    sentence = refusal(names)
    assert "if labels.csv lists them, set fetch.source.name to manifest" in sentence and "submission" not in sentence


def test_camera_raws_that_begin_like_tiff_are_not_taken_for_their_preview():
    files = {**dict.fromkeys(CLASSES, png(0)), "cats/1.NEF": b"MM\0*" + bytes(60)}
    assert place(files)[1] == {".nef (camera raw)": 1}
    assert "no image of the class birds" in refusal({**files, "birds/1.dng": b"II*\0" + bytes(60)})


def test_folders_without_an_image_and_copies_of_classes_are_noted():
    files = [*CLASSES, "scans/1.pdf", "docs/a.txt", "cats/a.txt", ".git/x.txt", *under(".", "cats (1)", "dogs - Copy")]
    notes = place({name: png(0) if name.endswith(("png", "PNG", "jpg")) else b"x" for name in files})[2]
    assert notes["folder without a sample, which is not a class"] == ["docs", "scans"]
    assert notes["class with the name of another's copy"] == ["cats (1)", "dogs - Copy"]
    assert not place([*CLASSES, *under(".", "copy cats", "mice (1)")])[2].get("class with the name of another's copy")


def test_folders_of_documents_are_no_classes():
    files = dict.fromkeys(CLASSES, png(0))
    assert place({**files, "labels/1.txt": b"", "code/main.py": b"", "code/LICENSE": b"x y"})[1][".txt"] == 1


def passed(**reasons) -> shelf.Shelf:
    made = shelf.Shelf()
    for name, reason in reasons.items():
        made.add(name.replace("__", "/"), reason)
    return made


def test_links_to_folders_of_classes_are_named():
    links = {"birds__": "symbolic link", "cats__deep__": "symbolic link"}
    sentence = refusal(CLASSES, passed=passed(**links))
    assert "src: birds is a symbolic link to a folder, which are not followed" in sentence
    beside = {"cats__deep__": "symbolic link", ".venv__bin__python": "symbolic link", "docs__a.txt": "symbolic link"}
    assert len(place(CLASSES, passed=passed(**beside))[0]) == 4
    links = {"test__": "symbolic link", "train__": "symbolic link"}
    assert "test, train are symbolic links" in refusal(["1.png"], passed=passed(**links))
    assert "train is a symbolic link" in refusal(under("test", "a", "b"), passed=passed(train__="symbolic link"))
    assert "train/b is a symbolic link" in refusal(
        [*under("test", "a", "b"), *under("train", "a")], passed=passed(train__b__="symbolic link")
    )
    links = passed(birds__1="symbolic link")
    assert "the class birds can be read, but there are 1 symbolic link" in refusal(CLASSES, passed=links)


def test_what_looks_odd_is_noted():
    surprises = records.Surprises()
    names = [*CLASSES, "cats/1.PNG", "birds/1.png"]
    source = folders.open_source(contained(names, empty=["fish"]), "image", IMAGE, surprises, Path("src"))
    assert len(list(source.records(None))) == len(list(source.places())) == 6
    assert surprises.notes.examples == {
        "class with one sample": ["birds"],
        "empty folder": ["fish"],
        "in a deeper folder, taken for its class": ["dogs/deep/2.png"],
        "name that differs from another only by case or Unicode form": ["cats/1.PNG"],
    }
    surprises = records.Surprises()
    folders.open_source(
        contained(["cats/e\u0301.png", "cats/\u00e9.png", "dogs/1.png", "dogs/2.png"]),
        "image",
        IMAGE,
        surprises,
        Path("src"),
    )
    assert surprises.notes.examples == {
        "name that differs from another only by case or Unicode form": ["cats/\u00e9.png"]
    }


@pytest.mark.parametrize(
    ("twin", "shown"),
    [
        ("Cats", "'cats' and 'Cats'"),
        ("cats ", "'cats' and 'cats '"),
        ("cats\u00a0", "'cats' and 'cats\\xa0'"),
        ("c\u200bats", "'cats' and 'c\\u200bats'"),
        ("\uff43\uff41\uff54\uff53", "'cats' and '\\uff43\\uff41\\uff54\\uff53'"),
        ("caf\u00e9", "'cafe\\u0301' and 'caf\u00e9'"),
    ],
)
def test_classes_that_look_the_same_are_refused_with_the_difference_shown(twin, shown):
    sentence = refusal(["cats/1.png", "cafe\u0301/1.png", f"{twin}/1.png"])
    assert f"{shown}, which differ only by case or Unicode form, blanks or invisible characters" in sentence


def test_classes_of_two_splits_that_look_the_same_are_refused():
    assert "'a' and 'a '" in refusal([*under("test", "a", "b"), *under("train", "a ", "b")])


def test_labels_are_tidied_and_that_is_noted():
    places, _, notes = place(["cats /1.png", "cats /2.png", "e\u0301/1.png", "e\u0301/2.png"])
    assert {label for _, label, *_ in places.values()} == {"cats", "\u00e9"}
    assert notes == {classnames.TIDIED: ["'cats '", "'e\\u0301'"]}


def test_only_what_is_wanted_is_read():
    read = []
    container = contained(CLASSES)
    contents = container.contents
    container = listing.Container(
        container.names, lambda wanted: (read.append(name) or (name, c) for name, c in contents(wanted)), []
    )
    source = folders.open_source(container, "image", IMAGE, records.Surprises(), Path("src"))
    assert [record.id for record in source.records({"cats/1.png", "dogs/1.jpg"})] == ["cats/1.png", "dogs/1.jpg"]
    assert read == ["cats/1.png", "dogs/1.jpg"]


def test_a_stranger_cannot_fill_the_memory_with_kinds_of_files():
    files = dict.fromkeys(CLASSES, png(0)) | {f"cats/x.{number:05}": b"\x00\x01" for number in range(500)}
    assert len(place(files)[1]) <= 101
