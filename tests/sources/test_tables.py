import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, STAGES, change, png

from kiln import params
from kiln.core.errors import UserError
from kiln.modalities.image.pictures import encode_png
from kiln.sources import containers, records, tables

FETCH = params.load(ROOT / "params.yaml").fetch
LIST = "path,label,split,group\n../img/1.png,NA,train,p1\n../img/2.png,007,test,p2\n../img/3.png,NA,train,p1\n"


def settings(**changes) -> params.Fetch:
    return change(FETCH, **{"manifest": "lists/all.csv", **changes})


def folder(tmp_path: Path, text: str | bytes = LIST) -> Path:
    (tmp_path / "lists").mkdir()
    (tmp_path / "img").mkdir()
    (tmp_path / "lists/all.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    for number in (1, 2, 3):
        (tmp_path / f"img/{number}.png").write_bytes(png(number))
    return tmp_path


def manifest(path: Path, surprises: records.Surprises | None = None, **changes) -> list[records.Record]:
    surprises = surprises or records.Surprises()
    container = containers.open_container(path, surprises.skipped)
    source = tables.open_manifest(container, settings(**changes), surprises, path)
    found = list(source.records(None))
    assert [record[:4] for record in found] == list(source.places())
    return found


EXPECTED = [
    ("img/1.png", "NA", "train", "p1", png(1), "1.png"),
    ("img/2.png", "007", "test", "p2", png(2), "2.png"),
    ("img/3.png", "NA", "train", "p1", png(3), "3.png"),
]


def test_a_manifest_in_a_folder_and_in_a_zip(tmp_path):
    path = folder(tmp_path, "\ufeff" + LIST)
    assert manifest(path) == EXPECTED
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for file in ("lists/all.csv", "img/1.png", "img/2.png", "img/3.png"):
            archive.write(path / file, f"wrapped/{file}")
    assert [record[1:] for record in manifest(tmp_path / "x.zip")] == [row[1:] for row in EXPECTED]


def test_a_parquet_manifest_and_other_columns(tmp_path):
    path = folder(tmp_path)
    rows = {"file": ["1.png", "2.png"], "class": ["NA", "007"], "split": [None, "val"]}
    pq.write_table(pa.table(rows), path / "img/all.parquet")
    found = manifest(path, manifest="img/all.parquet", column="file", label_column="class")
    assert [record[:4] for record in found] == [
        ("img/1.png", "NA", None, None),
        ("img/2.png", "007", "validation", None),
    ]


def test_what_the_table_does_not_list_is_counted(tmp_path):
    surprises = records.Surprises()
    manifest(folder(tmp_path, "path,label\n../img/1.png,a\n../img/1.png,a\n../img/2.png,b\n"), surprises)
    assert surprises.skipped.counts == {"listed twice": 1, "not in the table": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,label\n", r"has no column path or file_name or .*, but file, label: name it by fetch\.image\.column"),
        ("path,class\n", r"has no column label, but path, class"),
        ("path,label\n../img/1.png,a\n../img/9.png,a\n../img/8.png,b\n", r"lists 2 files .* \.\./img/9\.png first"),
        ("path,label\n../img/1.png,a\n../img/1.png,b\n", "line 3: .* listed before with another label"),
        ("path,label\n../../secret.png,a\n", "line 2: .* lies outside of"),
        ("path,label\n/etc/passwd,a\n", "line 2: .* lies outside of"),
        ("path,label\n,a\n", "line 2: lacks a path"),
        ("path,label\n../img/1.png,\n", "none of 1 rows has a label in label: set fetch.source.label_column"),
        ("path,label\n../img/1.png\n", "line 2: has not as many fields"),
        ("path,label,split\n../img/1.png,a,later\n", "line 2: the split 'later' is none of"),
        ("path,label,split,group\n../img/1.png,a,train,p\n../img/2.png,a,test,p\n", "group p is in two splits"),
        ("path,label,split,group\n../img/1.png,a,train,p \n../img/2.png,a,test,p\n", "group p is in two splits"),
        (b"path,label\n../img/1.png,\xff\n", "is not UTF-8"),
        ('path,label\n"../img/1.png,a\n', "not readable as CSV"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        manifest(folder(tmp_path, text))


def test_a_missing_table_or_named_column_is_refused(tmp_path):
    path = folder(tmp_path, "path,label\n../img/1.png,a\n")
    with pytest.raises(UserError, match=r"holds no none\.csv, but lists/all\.csv: set fetch\.source\.manifest"):
        manifest(path, manifest="none.csv")
    with pytest.raises(UserError, match=r"has no column patient, .*fetch\.source\.group_column"):
        manifest(path, group_column="patient")


def face(folder: Path, name: str, images: list, labels: list, names: list | None = None, image: str = "image") -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({image: pa.array(images, struct), "label": pa.array(labels)})
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}, image: {"_type": "Image"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / name)


def picture(seed: int) -> dict:
    return {"bytes": png(seed), "path": f"{seed}.png"}


def parquet(path: Path, surprises: records.Surprises | None = None, **changes) -> list[records.Record]:
    source = tables.open_parquet(path, settings(**changes), surprises or records.Surprises())
    found = list(source.records(None))
    wanted = {place.id for place in source.places()}
    assert {record.id for record in found} <= wanted
    assert list(source.records(wanted)) == found
    return found


def test_hugging_faces_layout(tmp_path):
    face(tmp_path, "data/train-00000-of-00001.parquet", [picture(0), picture(1)], [1, 0], ["cat", "dog"])
    face(tmp_path, "data/test-00000-of-00001.parquet", [picture(2)], [1], ["cat", "dog"])
    assert [record[:5] for record in parquet(tmp_path)] == [
        ("data/test-00000-of-00001/0", "dog", "test", None, png(2)),
        ("data/train-00000-of-00001/0", "dog", "train", None, png(0)),
        ("data/train-00000-of-00001/1", "cat", "train", None, png(1)),
    ]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("test/0000.parquet", "test"),
        ("valid-0.parquet", "validation"),
        ("x/images.parquet", None),
        ("cifar10-test.parquet", "test"),
        ("mnist_test.parquet", "test"),
        ("data/test.parquet", "test"),
        ("test_data.parquet", "test"),
        ("my.validation.parquet", "validation"),
        ("mnistTest2.parquet", "test"),
        ("dev/0.parquet", "validation"),
        ("Training Data/part 1.parquet", "train"),
        ("dev-box/train.parquet", "train"),
        ("testset.parquet", "test"),
        ("contest.parquet", None),
        ("latest.parquet", None),
        ("d\u00e9test.parquet", None),
        ("devices/attestation-trainer.parquet", None),
    ],
)
def test_splits_by_the_names_of_files_and_folders(tmp_path, name, split):
    face(tmp_path, name, [picture(0)], ["NA"], image="img")
    assert [record[1:3] for record in parquet(tmp_path)] == [("NA", split)]


def test_names_that_do_not_tell_the_splits_are_refused(tmp_path):
    face(tmp_path, "train_test.parquet", [picture(0)], ["a"])
    with pytest.raises(UserError, match="the name train_test tells several splits, test and train"):
        parquet(tmp_path)
    (tmp_path / "train_test.parquet").unlink()
    face(tmp_path, "data/train-0.parquet", [picture(0)], ["a"])
    face(tmp_path, "data/more.parquet", [picture(1)], ["a"])
    with pytest.raises(UserError, match=r"more\.parquet: its name tells no split, while that of data/train-0\.parquet"):
        parquet(tmp_path)
    # A column says it for all, whatever the names.
    pq.write_table(pa.table({"image": [png(1)], "label": ["a"], "split": ["test"]}), tmp_path / "data/more.parquet")
    assert {record.split for record in parquet(tmp_path)} == {"train", "test"}


def grouped(folder: Path, name: str, groups: list, splits: list | None = None) -> None:
    columns = {"image": [png(row) for row in range(len(groups))], "label": ["a"] * len(groups), "group": groups}
    pq.write_table(pa.table(columns | ({"split": splits} if splits else {})), folder / name)


def test_a_group_in_two_splits_of_parquet_is_refused_before_an_image_is_read(tmp_path):
    grouped(tmp_path, "train-0.parquet", ["p1", "p2", None])
    grouped(tmp_path, "test-0.parquet", ["p3", "p4", None])
    assert len(parquet(tmp_path)) == 6
    grouped(tmp_path, "test-0.parquet", ["p3", "p2", None])
    with pytest.raises(UserError, match=r"row train-0/1: the group p2 is in two splits, test and train: put it"):
        tables.open_parquet(tmp_path, settings(), records.Surprises())


def test_a_group_in_two_splits_of_a_column_is_refused_and_none_is_train(tmp_path):
    grouped(tmp_path, "x.parquet", [1, 1, 2, 2], ["train", None, "test", "test"])
    assert [record.split for record in parquet(tmp_path)] == ["train", None, "test", "test"]
    grouped(tmp_path, "x.parquet", [1, 1, 2, 2], ["train", "train", "test", None])
    with pytest.raises(UserError, match=r"row x/3: the group 2 is in two splits, test and train"):
        parquet(tmp_path)


def test_an_empty_group_is_none(tmp_path):
    grouped(tmp_path, "x.parquet", ["", "", "p"], ["train", "test", "test"])
    assert [record.group for record in parquet(tmp_path)] == [None, None, "p"]


def test_plain_bytes_numbers_and_a_single_file(tmp_path):
    rows = {"pic": [png(0), png(1)], "y": [7, 8], "split": ["train", "test"], "group": [1, None]}
    pq.write_table(pa.table(rows), tmp_path / "x.parquet")
    found = parquet(tmp_path / "x.parquet", column="pic", label_column="y")
    assert [record[:4] for record in found] == [("x/0", "7", "train", "1"), ("x/1", "8", "test", None)]


def test_rows_without_image_or_label_are_counted(tmp_path):
    surprises = records.Surprises()
    face(tmp_path, "a.parquet", [None, {"bytes": None, "path": "x"}, picture(1), picture(2)], ["b", "b", None, "b"])
    source = tables.open_parquet(tmp_path, settings(), surprises)
    assert [record.id for record in source.records(None)] == ["a/3"]
    assert surprises.skipped.counts == {
        "row without an image": 1,
        "row with only the path of an image": 1,
        "row without a label": 1,
    }


def test_a_class_without_any_image_is_told_with_the_count_and_what_to_do(tmp_path):
    face(tmp_path, "a.parquet", [{"bytes": None, "path": f"imgs/{row}.png"} for row in range(3)], ["a", "b", "a"])
    with pytest.raises(
        UserError, match=r"3 rows hold no image, only its path \(such as imgs/0\.png\), and no image is "
    ):
        parquet(tmp_path)
    face(tmp_path, "a.parquet", [picture(0), {"bytes": None, "path": "imgs/1.png"}, None], ["a", "b", "b"])
    source = tables.open_parquet(tmp_path, settings(), records.Surprises())
    assert [record.id for record in source.records({"a/0", "a/1"})] == ["a/0"]
    with pytest.raises(UserError, match="no image is left of b"):
        list(source.records({"a/1"}))
    with pytest.raises(
        UserError, match=r"no image is left of b: write the Parquet with .* fetch\.source\.name to manifest"
    ):
        parquet(tmp_path)


def test_hugging_faces_mark_of_no_label_is_none_where_labels_have_names(tmp_path):
    face(tmp_path, "data/train-0.parquet", [picture(0), picture(1)], [0, 1], ["cat", "dog"])
    face(tmp_path, "data/test-0.parquet", [picture(2), picture(3)], [-1, -1], ["cat", "dog"])
    surprises = records.Surprises()
    assert [record[1:3] for record in tables.open_parquet(tmp_path, settings(), surprises).records(None)] == [
        ("cat", "train"),
        ("dog", "train"),
    ]
    assert surprises.skipped.counts == {"row without a label": 2}
    # Without names it may well be a class, and is noted.
    face(tmp_path / "x", "train.parquet", [picture(0), picture(1)], [-1, 1])
    assert [record.label for record in parquet(tmp_path / "x", surprises)] == ["-1", "1"]
    assert list(surprises.notes.counts) == ["class called like a missing label; leave the label empty if it is one"]


class Coded(pa.ExtensionType):
    """An extension type that this process knows, and that could run code of its own."""

    def __init__(self):
        super().__init__(pa.string(), "tests.coded")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        return cls()


@pytest.fixture
def coded():
    pa.register_extension_type(Coded())
    yield
    pa.unregister_extension_type("tests.coded")


GOOD = {"image": pa.array([png(0), png(1)]), "label": pa.array(["a", "b"])}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"label": pa.array([1.5, 2.5])}, "the column label is double, but should be text or whole numbers"),
        ({"label": pa.array([["a"], ["b"]])}, r"the column label is list<.*>, but should be text or whole numbers"),
        (
            {"label": pa.array([b"1" * 16, b"2" * 16], pa.uuid())},
            r"the column label is extension<arrow\.uuid> of an extension type, but",
        ),
        (
            {"image": pa.array(["1.png", "2.png"])},
            r"the column image is string, but should be bytes, or .*; for a table of paths set fetch\.source",
        ),
        ({"image": pa.array([{"path": "x"}, {"path": "y"}])}, "the column image is struct<.*>, but should be bytes"),
        ({"image": pa.array([{"bytes": "x"}, {"bytes": "y"}])}, "the column image is struct<.*>, but should be bytes"),
        ({"image": pa.array([[[0, 1]], [[2, 3]]])}, "the column image is list<.*>, but should be bytes"),
        ({"split": pa.array([0, 1])}, "the column split is int64, but should be text"),
        ({"group": pa.array([0.5, 1])}, "the column group is double, but should be text or whole numbers"),
    ],
)
def test_columns_of_another_schema_are_refused(tmp_path, changes, says):
    pq.write_table(pa.table(GOOD), tmp_path / "x.parquet")
    assert len(parquet(tmp_path / "x.parquet")) == 2
    pq.write_table(pa.table(GOOD | changes), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=says):
        parquet(tmp_path / "x.parquet")


def test_extension_types_are_refused_known_or_not(tmp_path, coded):
    array = pa.ExtensionArray.from_storage(Coded(), GOOD["label"])
    pq.write_table(pa.table(GOOD | {"label": array}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"the column label is .*Coded.* of an extension type, but should be"):
        parquet(tmp_path / "x.parquet")
    pa.unregister_extension_type("tests.coded")
    try:
        with pytest.raises(UserError, match="the column label is string of an extension type, but should be text"):
            parquet(tmp_path / "x.parquet")
    finally:
        pa.register_extension_type(Coded())


@pytest.mark.parametrize("types", [(pa.large_binary(), pa.large_string()), (pa.binary_view(), pa.string_view())])
def test_columns_of_kindred_types_are_read(tmp_path, types):
    table = pa.table({"image": GOOD["image"].cast(types[0]), "label": GOOD["label"].cast(types[1])})
    table = table.append_column("group", pa.array(["x", "y"]).dictionary_encode())
    pq.write_table(table, tmp_path / "x.parquet")
    assert [record[1:5] for record in parquet(tmp_path / "x.parquet")] == [
        ("a", None, "x", png(0)),
        ("b", None, "y", png(1)),
    ]


@pytest.mark.parametrize("column", [pa.array([1.5]), pa.array([["1.png"]]), pa.array([b"1.png"])])
def test_a_parquet_manifest_of_another_schema_is_refused(tmp_path, column):
    path = folder(tmp_path)
    pq.write_table(pa.table({"path": column, "label": ["a"]}), path / "img/all.parquet")
    with pytest.raises(UserError, match=r"the column path is .*, but should be text"):
        manifest(path, manifest="img/all.parquet")


def test_a_parquet_manifest_of_too_many_rows_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = folder(tmp_path)
    pq.write_table(pa.table({"path": ["1.png"] * 9, "label": ["a"] * 9}), path / "img/all.parquet")
    monkeypatch.setattr(tables, "MAX_ROWS", 8)
    with pytest.raises(UserError, match="has more than 8 rows"):
        manifest(path, manifest="img/all.parquet")


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="has several columns label"):
        manifest(folder(tmp_path, "path,label,label\n../img/1.png,a,b\n"))
    table = pa.Table.from_arrays([*GOOD.values(), GOOD["label"]], ["image", "label", "label"])
    pq.write_table(table, tmp_path / "x.parquet")
    with pytest.raises(UserError, match="has several columns label"):
        parquet(tmp_path / "x.parquet")


def test_parquet_damaged_within_is_one_sentence(tmp_path):
    pq.write_table(pa.table(GOOD), tmp_path / "x.parquet", compression="zstd")
    content = bytearray((tmp_path / "x.parquet").read_bytes())
    content[4:30] = bytes(26)
    (tmp_path / "x.parquet").write_bytes(content)
    with pytest.raises(UserError, match="is no Parquet file, or a damaged one"):
        parquet(tmp_path / "x.parquet")


@pytest.mark.parametrize("names", ["ab", [1, 2], {"a": 1}, None])
def test_names_of_labels_that_are_none_are_not_used(tmp_path, names):
    face(tmp_path, "a.parquet", [picture(0), picture(1)], [0, 1], names or "")
    assert [record.label for record in parquet(tmp_path)] == ["0", "1"]


def test_a_label_of_no_letters_is_none(tmp_path):
    surprises = records.Surprises()
    face(tmp_path, "a.parquet", [picture(0), picture(1)], ["", "b"])
    assert [record.label for record in tables.open_parquet(tmp_path, settings(), surprises).records(None)] == ["b"]
    assert surprises.skipped.counts == {"row without a label": 1}


def test_parquet_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"holds no \.parquet file"):
        parquet(tmp_path)
    face(tmp_path, "a.parquet", [picture(0)], [5], ["cat", "dog"])
    with pytest.raises(UserError, match="row 0 has the label 5, but names are 2"):
        parquet(tmp_path)
    with pytest.raises(UserError, match="has no column photo"):
        parquet(tmp_path, column="photo")
    (tmp_path / "a.parquet").write_text("hello")
    with pytest.raises(UserError, match="is no Parquet file"):
        parquet(tmp_path)


def test_files_that_stand_for_parquet_are_named_and_hidden_ones_are_passed_over(tmp_path):
    face(tmp_path, "train.parquet", [picture(0), picture(1)], [0, 1], ["cat", "dog"])
    for name in ("._train.parquet", "__MACOSX/._train.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert [record.label for record in parquet(tmp_path)] == ["cat", "dog"]
    for content, says in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "is a Git LFS pointer.*`git lfs pull`"),
        (b"<!DOCTYPE html>", "is no Parquet file, but of the kind HTML"),
        (b"PAR1", "is no Parquet file, or a damaged one"),
    ):
        (tmp_path / "train.parquet").write_bytes(content)
        with pytest.raises(UserError, match=says):
            parquet(tmp_path)
    face(tmp_path, "train.parquet", [], [], ["cat", "dog"])
    with pytest.raises(UserError, match="holds no row"):
        parquet(tmp_path)


IMAGES = {"images/a.png": png(0), "images/b.png": png(1), "images/c.png": png(2)}


def laid(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def told(path: Path, **changes) -> tuple[list[tuple], records.Surprises]:
    """Read a manifest: (id, label, split) of its records, and the surprises."""
    surprises = records.Surprises()
    found = manifest(path, surprises, **{"manifest": "manifest.csv", **changes})
    return [record[:3] for record in found], surprises


TWO = [("images/a.png", "x", None), ("images/b.png", "y", None)]
COMPLETED = "path that was completed, or matched but for case or Unicode form"


@pytest.mark.parametrize(
    "text",
    [
        "path;label\nimages/a.png;x\nimages/b.png;y\n",
        "path\tlabel\nimages/a.png\tx\nimages/b.png\ty\n",
        "path|label\r\nimages/a.png|x\r\nimages/b.png|y\r\n",
        "sep=;\r\npath;label\r\nimages/a.png;x\r\nimages/b.png;y\r\n",
        '#TYPE System.Object\r\n"path","label"\r\n"images/a.png","x"\r\n"images/b.png","y"\r\n',
        '"SEP=^"\npath^label\nimages/a.png^x\nimages/b.png^y\n',
        "path;score, in percent;label\nimages/a.png;1,5;x\nimages/b.png;2,5;y\n",
        '"path", "label", "remark"\n"images/a.png", "x", "two, or\nthree"\n"images/b.png", "y", ""\n',
        "\n\npath;label;;\nimages/a.png;x;;\n;;;\nimages/b.png;y;;\n",
        "path,label\rimages/a.png,x,\rimages/b.png,y\r",
        "path,label,seen;when;where;how\nimages/a.png,x,1;2;3;4\nimages/b.png,y,5;6;7;8\n",
        ' path ,"\ufefflabel"\nimages/a.png,x\nimages/b.png,y\n',
        "path,label\nimages\\a.png,x\n.\\images\\b.png,y\n",
        "path,label\n./images/a.png,x\nimages//b.png ,y\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_tables_as_other_programs_write_them(tmp_path, text, encoding):
    assert told(laid(tmp_path, {**IMAGES, "manifest.csv": text.encode(encoding)}))[0] == TWO


def test_what_finder_lays_into_a_zip_is_no_table(tmp_path):
    files = {"train.csv": "path,label\nimages/a.png,x\n", "val.csv": "path,label\nimages/b.png,y\n"}
    hidden = {"__MACOSX/._train.csv": b"\0\5\x16\7", "._val.csv": b"\0\5\x16\7"}
    found, _ = told(laid(tmp_path, {**IMAGES, **files, **hidden}), manifest="*.csv")
    assert found == [("images/a.png", "x", "train"), ("images/b.png", "y", "validation")]


def test_decimals_and_zeros_stay_text(tmp_path):
    text = 'path;label\nimages/a.png;1,50\nimages/b.png;007\nimages/c.png;"1;5"\n'
    found, _ = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert [label for _, label, _ in found] == ["1,50", "007", "1;5"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "labels.xlsx",
            b"PK\3\4zzzz",
            r'labels\.xlsx is a spreadsheet: save it as CSV \(in Excel: "CSV UTF-8"\) and set',
        ),
        ("labels.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a spreadsheet"),
        ("labels.xls", b"path\tlabel\n", "is a spreadsheet"),
        ("labels.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a spreadsheet"),
        ("labels.csv", b"<!DOCTYPE html><html>", "is a web page"),
        ("labels.ods", b"PK\3\4mimetype", "is a spreadsheet"),
        ("labels.csv", b"PK\3\4zzzz", "is a spreadsheet"),
        ("labels.json", b"[]", r"is JSON: write JSON lines, one \{\.\.\.\} for each image"),
        ("labels.csv.gz", b"\x1f\x8b\x08", "is compressed: unpack it"),
        ("labels.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (
            "labels.csv",
            "path,label\nimages/a.png,caf\xe9\n".encode("cp1252"),
            r"line 2 holds the byte 0xe9, 'é' in Win",
        ),
        ("labels.csv", "path,label\n".encode("utf-16-le"), "holds zero bytes, as UTF-16 without its mark does"),
        ("labels.csv", b"\xff\xfea", "begins like UTF-16, but is damaged"),
        ("labels.txt", b"images/a.png 1\nimages/b.png 0\n", "above it, and commas in place of the blanks"),
        ("labels.csv", b"", "labels.csv is empty: write the names of the columns"),
        ("labels.jsonl", b"\n", "labels.jsonl is empty"),
        ("labels.csv", b"path,label\n", "labels.csv lists no image: write a line for each"),
        ("labels.csv", b"images/a.png,x\nimages/b.png,y\n", r"its first line seems to be an image's: put one with the"),
        ("labels.csv", b"path,is_valid,is_test,label\n", "has the columns is_valid and is_test: put train, validation"),
        ("m.jsonl", b'{"path": "images/a.png", "label": "x"}\n{"path"\n', "line 2: not readable as JSON"),
        ("m.jsonl", b"[1]\n", r"line 1: should be \{\.\.\.\} with a value for each column"),
        ("m.jsonl", b'{"path": "images/a.png", "label": ["x"]}\n', "line 1: the column label holds list where text"),
        ("m.jsonl", b'{"path": "images/a.png", "label": "\\ud800"}\n', "column label holds half of a character"),
        ("m.jsonl", b"[" * 10**5, "line 1: not readable as JSON"),
    ],
)
def test_a_table_of_another_kind_is_told_with_what_to_do(tmp_path, name, content, says):
    with pytest.raises(UserError, match=says):
        told(laid(tmp_path, {**IMAGES, name: content}), manifest=name)


@pytest.mark.parametrize("row", ["C:\\me\\images\\a.png", "c:/me/images/a.png", "\\\\server\\images\\a.png"])
def test_absolute_paths_of_windows_are_told(tmp_path, row):
    with pytest.raises(UserError, match=r"line 2: .* is an absolute path of Windows, .* relative to the table"):
        told(laid(tmp_path, {**IMAGES, "manifest.csv": f"path,label\n{row},x\n"}))


def test_addresses_are_told(tmp_path):
    with pytest.raises(UserError, match=r"s3://b/a\.png is an address: download the images"):
        told(laid(tmp_path, {**IMAGES, "manifest.csv": "path,label\ns3://b/a.png,x\n"}))


@pytest.mark.parametrize(
    ("rows", "completed"),
    [
        (("a", "b"), 2),
        (("a.png", "b.png"), 2),
        (("images/a", "images\\b"), 2),
        (("Images/A.PNG", "IMAGES\\b"), 2),
        (("images/a.png", "b"), 1),
    ],
)
def test_paths_are_completed_where_one_file_fits(tmp_path, rows, completed):
    text = "path,label\n{},x\n{},y\n".format(*rows)
    # Neither annotations nor the files of macOS are meant.
    beside = {"images/a.txt": "x", "images/._a.png": b"x", "__MACOSX/images/a.png": b"x", "notes/b.xml": "x"}
    found, surprises = told(laid(tmp_path, {**IMAGES, **beside, "manifest.csv": text}))
    assert found == TWO
    assert surprises.notes.counts == {COMPLETED: completed}


def test_paths_are_relative_to_the_table_or_to_a_folder_around_it(tmp_path):
    text = "path,label\nimages/a.png,x\n..\\images\\b.png,y\n"
    found, surprises = told(laid(tmp_path, {**IMAGES, "lists/m.csv": text}), manifest="lists/m.csv")
    assert found == TWO and not surprises.notes.counts
    # As fastai's train.csv beside the folder train.
    files = {
        "in/train.csv": "path,label\nn01/a.png,x\nn02/a.png,y\n",
        "in/train/n01/a.png": b"1",
        "in/train/n02/a.png": b"2",
    }
    assert [name for name, *_ in told(laid(tmp_path / "x", files), manifest="train.csv")[0]] == [
        "in/train/n01/a.png",
        "in/train/n02/a.png",
    ]


def test_of_several_that_fit_those_of_the_tables_own_split_count_else_they_are_told(tmp_path):
    files = {"train.csv": "path,label\n1,x\n2,y\n", "train/1.png": b"1", "train/2.png": b"2", "test/1.png": b"3"}
    assert [name for name, *_ in told(laid(tmp_path, files), manifest="train.csv")[0]] == ["train/1.png", "train/2.png"]
    files = {**IMAGES, "masks/a.png": b"x", "manifest.csv": "path,label\na,x\n"}
    with pytest.raises(UserError, match=r"line 2: a fits 2 files, images/a\.png and masks/a\.png among them"):
        told(laid(tmp_path / "x", files))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a.jpg", r"lists 1 files .*, a\.jpg first; there is images/a\.png: list paths relative"),
        ("z", r"z first; there is images/a\.png, images/b\.png, images/c\.png: list"),
        ("images/z/a.png", r"images/z/a\.png first; there is images/a\.png"),
        ("s/a.png", r"s/a\.png first; there is images/a\.png"),
    ],
)
def test_what_lies_there_is_told_where_none_fits(tmp_path, row, says):
    with pytest.raises(UserError, match=says):
        told(laid(tmp_path, {**IMAGES, "manifest.csv": f"path,label\n{row},x\n"}))


def test_links_are_told_where_a_table_lists_them(tmp_path):
    path = laid(tmp_path / "x", {"manifest.csv": "path,label\nimages/a.png,x\n", "images/b.png": png(1)})
    (path / "images/a.png").symlink_to(laid(tmp_path, IMAGES) / "images/a.png")
    with pytest.raises(
        UserError, match=r"images/a\.png first; it is passed over there \(symbolic link\): put the file"
    ):
        told(path)


def test_paths_are_matched_by_normal_form(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    files = {f"{decomposed}/1.png": png(0), f"{composed}2.png": png(1)}
    text = f"path,label\n{composed}/1.png,x\n{decomposed}2.png,y\n"
    found, surprises = told(laid(tmp_path, {**files, "manifest.csv": text}))
    assert sorted(name for name, *_ in found) == sorted(files)
    assert surprises.notes.counts == {COMPLETED: 2}


def test_labels_are_tidied_and_that_is_noted_with_counts(tmp_path):
    text = "path,label\nimages/a.png, cat\nimages/b.png,cat\u200b \nimages/c.png,caf\u0065\u0301\n"
    found, surprises = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert [label for _, label, _ in found] == ["cat", "cat", "caf\u00e9"]
    assert surprises.notes.counts == {records.TIDIED: 3}
    assert "cat\\u200b " in surprises.notes.examples[records.TIDIED][1]
    face(tmp_path / "p", "x.parquet", [picture(0), picture(1)], ["cat ", "\ufeffdog"])
    surprises = records.Surprises()
    assert [record.label for record in parquet(tmp_path / "p", surprises)] == ["cat", "dog"]
    assert surprises.notes.counts == {records.TIDIED: 2}


@pytest.mark.parametrize(
    ("one", "other", "seen"),
    [
        ("cat", "Cat", "'cat' and 'Cat'"),
        ("big cat", "big  cat", "'big cat' and 'big  cat'"),
        ("big cat", "big\u00a0cat", r"'big cat' and 'big\\xa0cat'"),
        ("fine", "\ufb01ne", r"'fine' and '\\ufb01ne'"),
    ],
)
def test_labels_that_look_the_same_are_refused_in_tables_and_parquet(tmp_path, one, other, seen):
    with pytest.raises(UserError, match=f"has the classes {seen}, which differ only by case"):
        told(laid(tmp_path, {**IMAGES, "manifest.csv": f"path,label\nimages/a.png,{one}\nimages/b.png,{other}\n"}))
    face(tmp_path / "p", "x.parquet", [picture(0), picture(1)], [one, other])
    with pytest.raises(UserError, match=f"has the classes {seen}, which"):
        parquet(tmp_path / "p")


def test_single_letters_that_differ_by_case_are_noted(tmp_path):
    text = "path,label\nimages/a.png,a\nimages/b.png,A\nimages/c.png,A\n"
    found, surprises = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert [label for _, label, _ in found] == ["a", "A", "A"]
    assert surprises.notes.counts == {"class that differs from another only by case or Unicode form": 1}


def test_rows_of_a_manifest_without_a_label_are_counted(tmp_path):
    text = "path,label\nimages/a.png,x\nb,\nimages/c.png,  \nnowhere.png,\n"
    found, surprises = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert found == TWO[:1] and surprises.skipped.counts == {"row without a label": 3}
    lines = '{"path": "a", "label": "x"}\n{"path": "b", "label": null}\n{"path": "c"}\n{"path": "c", "label": NaN}\n'
    found, surprises = told(laid(tmp_path, {"m.jsonl": lines, "manifest.csv": ""}), manifest="m.jsonl")
    assert found == TWO[:1] and surprises.skipped.counts["row without a label"] == 3


def test_text_that_may_mean_no_label_is_a_name_and_noted_once(tmp_path):
    text = "path,label\nimages/a.png,nan\nimages/b.png,nan\nimages/c.png,x\n"
    found, surprises = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert [label for _, label, _ in found] == ["nan", "nan", "x"]
    assert surprises.notes.counts == {"class called like a missing label; leave the label empty if it is one": 1}


@pytest.mark.parametrize("column", ["is_valid", "is_test"])
def test_flags_are_read_as_splits(tmp_path, column):
    text = f"path,label,{column}\na,x,True\nb,y,0\nc,y,false\n"
    found, _ = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert [split for *_, split in found] == [tables.FLAGS[column], "train", "train"]
    rows = {"image": [png(0), png(1)], "label": ["x", "y"], column: [False, True]}
    pq.write_table(pa.table(rows), tmp_path / "x.parquet")
    assert [record.split for record in parquet(tmp_path / "x.parquet")] == ["train", tables.FLAGS[column]]
    with pytest.raises(UserError, match=f"line 2: {column} is perhaps, but should be 0 or 1"):
        told(laid(tmp_path, {"manifest.csv": f"path,label,{column}\na,x,perhaps\n"}))


@pytest.mark.parametrize(
    ("value", "split"),
    [("Training", "train"), (" dev-0000", "validation"), ("x-test", "test"), ("validation_set", "validation")],
)
def test_values_of_a_split_column_are_read_by_the_rule_for_names(tmp_path, value, split):
    text = f"path,label,split\na,x,{value}\n"
    assert told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))[0] == [("images/a.png", "x", split)]


ONE_HOT = "image,MEL,NV,age\na,1.0,0.0,30\nb,0.0,1.0,40\nc,0.0,0.0,50\n"


def test_one_hot_columns_are_told_and_read_by_a_list(tmp_path):
    path = laid(tmp_path, {**IMAGES, "manifest.csv": ONE_HOT})
    with pytest.raises(UserError, match=r"; MEL, NV look one-hot, which fetch\.source\.label_column: \[MEL, NV\]"):
        told(path, column="image")
    found, surprises = told(path, column="image", label_column=["MEL", "NV"])
    assert [label for _, label, _ in found] == ["MEL", "NV"]
    assert surprises.skipped.counts == {"row without a label": 1}
    laid(tmp_path, {"short.csv": f"{ONE_HOT}d\n"})
    with pytest.raises(
        UserError, match=r"has no column label, but image, MEL, NV, age: name it by fetch\.source\.label_column$"
    ):
        told(path, manifest="short.csv", column="image")
    (tmp_path / "short.csv").unlink()
    with pytest.raises(UserError, match="line 2: age is 30, but should be 0 or 1"):
        told(path, column="image", label_column=["MEL", "age"])
    laid(tmp_path, {"manifest.csv": "image,MEL,NV\na,1,1\n"})
    with pytest.raises(UserError, match="line 2: MEL, NV are 1 at once, but an image has one class"):
        told(path, column="image", label_column=["MEL", "NV"])


@pytest.mark.parametrize("kind", [pa.int8(), pa.bool_(), pa.float64()])
def test_one_hot_columns_of_parquet(tmp_path, kind):
    columns = {"cat": pa.array([1, 0]).cast(kind), "dog": pa.array([0, 1]).cast(kind), "name": ["p", "q"]}
    pq.write_table(pa.table({"image": [png(0), png(1)], **columns}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"; cat, dog look one-hot, which fetch\.source\.label_column: \[cat, dog\]"):
        parquet(tmp_path / "x.parquet")
    assert [r.label for r in parquet(tmp_path / "x.parquet", label_column=["cat", "dog"])] == ["cat", "dog"]
    pq.write_table(pa.table({"path": ["a", "b"], **columns}), laid(tmp_path, IMAGES) / "m.parquet")
    with pytest.raises(UserError, match="cat, dog look one-hot"):
        told(tmp_path, manifest="m.parquet")
    found, _ = told(tmp_path, manifest="m.parquet", label_column=["cat", "dog"])
    assert [label for _, label, _ in found] == ["cat", "dog"]


def test_a_struct_with_a_path_is_a_path_in_a_manifest(tmp_path):
    face(laid(tmp_path, IMAGES), "m.parquet", [{"bytes": None, "path": "images/a.png"}], ["x"])
    assert told(tmp_path, manifest="m.parquet", column="image")[0] == TWO[:1]


def lines(*rows: dict) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


@pytest.mark.parametrize("wrap", ["", "downloaded/set/"])
def test_hugging_faces_imagefolder_with_metadata_in_each_split(tmp_path, wrap):
    files = {
        "train/metadata.jsonl": lines({"file_name": "0.png", "label": "cat"}, {"file_name": "1.png", "label": "dog"}),
        "test/metadata.jsonl": lines({"file_name": "0.png", "label": "dog", "text": ["of a", "cat"]}),
        **{f"{name}.png": png(seed) for seed, name in enumerate(["train/0", "train/1", "test/0"])},
    }
    expected = [("test/0.png", "dog", "test"), ("train/0.png", "cat", "train"), ("train/1.png", "dog", "train")]
    found, surprises = told(
        laid(tmp_path, {wrap + name: content for name, content in files.items()}), manifest="metadata.jsonl"
    )
    assert found == [(wrap + name, *rest) for name, *rest in expected]
    assert not surprises.skipped.counts and not surprises.notes.counts


def test_hugging_faces_imagefolder_with_one_table_has_splits_by_the_images_folders(tmp_path):
    rows = [("train/0.png", "cat"), ("train/1.png", "dog"), ("validation/0.png", "cat")]
    files = {"metadata.csv": "file_name,label\n" + "".join(f"{name},{label}\n" for name, label in rows)}
    files |= {name: png(seed) for seed, (name, _) in enumerate(rows)}
    found, surprises = told(laid(tmp_path, files), manifest="metadata.csv")
    assert [split for *_, split in found] == ["train", "train", "validation"]
    assert surprises.notes.counts == {"split read from the image's folder": 3}
    # Where some do not tell, or all the same, none is taken.
    laid(tmp_path, {"more/0.png": png(9), "metadata.csv": files["metadata.csv"] + "more/0.png,cat\n"})
    assert {split for *_, split in told(tmp_path, manifest="metadata.csv")[0]} == {None}


@pytest.mark.parametrize(
    "names", [("train.csv", "x-test.csv", "dev-0000.csv"), ("train/t.csv", "test/t.csv", "valid/t.csv")]
)
def test_several_tables_are_splits_by_their_names(tmp_path, names):
    files = {name: f"path,label\n{letter},x\n" for name, letter in zip(names, "abc", strict=True)}
    found, _ = told(laid(tmp_path, {**IMAGES, **files}), manifest="*.csv" if "/" not in names[0] else "t.csv")
    assert [split for *_, split in found] == ["train", "test", "validation"]
    laid(tmp_path, {"more.csv" if "/" not in names[0] else "more/t.csv": "path,label\n"})
    with pytest.raises(UserError, match=r"holds 4 tables .*: the name of more.* tells no split, while that of"):
        told(tmp_path, manifest="*.csv" if "/" not in names[0] else "t.csv")


def test_the_tables_that_are_there_are_told(tmp_path):
    with pytest.raises(
        UserError, match=r"holds no manifest\.csv, but metadata\.jsonl, train\.xlsx: set fetch\.source\.manifest"
    ):
        told(laid(tmp_path, {**IMAGES, "metadata.jsonl": "", "train.xlsx": ""}))


def test_hugging_faces_imagefolder_from_a_raw_zip_to_the_report(project):
    generator = np.random.default_rng(0)
    images = {}
    for split, each in (("train", 20), ("test", 6)):
        rows = []
        for number in range(2 * each):
            name, color = (("night", 60), ("day", 190))[number % 2]
            pixels = np.clip(generator.normal(color, 40, (16, 16, 3)), 0, 255).astype(np.uint8)
            images[f"scenes/{split}/{number:04d}.png"] = encode_png(pixels)
            rows.append({"file_name": f"{number:04d}.png", "label": name, "text": "a caption"})
        images[f"scenes/{split}/metadata.jsonl"] = lines(*rows).encode()
    with zipfile.ZipFile(project.folder / "scenes.zip", "w") as archive:
        for name, content in images.items():
            archive.writestr(name, content)
    source = {"name": "manifest", "manifest": "metadata.jsonl"}
    project.set(fetch__source=source, fetch__path="scenes.zip", fetch__image={"column": "auto"})
    project.set(train__model__name="mlp", train__epochs=1, augment__views=1, evaluate__resamples=100)
    for stage in STAGES:
        project.stage(stage)
    summary = json.loads((project.folder / "data/raw/summary.json").read_text())
    assert summary["classes"] == {"day": 26, "night": 26}
    assert summary["splits"] == {"test": 12, "train": 40}
    assert not summary["skipped"] and not summary["notes"]
    predictions = pq.read_table(project.folder / "data/evaluation/predictions.parquet").to_pandas()
    assert set(predictions["id"][predictions["split"] == "test"]) == {
        f"scenes/test/{number:04d}.png" for number in range(12)
    }
    report = (project.folder / "metrics/report.html").read_text()
    assert "night" in report and "day" in report
