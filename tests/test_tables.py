import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, png

from stages.lib import containers, params, records, tables
from stages.lib.errors import UserError

FETCH = params.load(ROOT / "params.yaml").fetch
LIST = "path,label,split,group\n../img/1.png,NA,train,p1\n../img/2.png,007,test,p2\n../img/3.png,NA,train,p1\n"


def settings(**changes) -> params.Fetch:
    return FETCH.model_copy(update={"manifest": "lists/all.csv", **changes})


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
    found = manifest(path, manifest="img/all.parquet", image_column="file", label_column="class")
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
        ("file,label\n", r"has no column path, but file, label: name it by fetch\.image_column"),
        ("path,class\n", r"has no column label, but path, class"),
        ("path,label\n../img/1.png,a\n../img/9.png,a\n../img/8.png,b\n", r"lists 2 files .* \.\./img/9\.png first"),
        ("path,label\n../img/1.png,a\n../img/1.png,b\n", "line 3: .* listed before with another label"),
        ("path,label\n../../secret.png,a\n", "line 2: .* lies outside of"),
        ("path,label\n/etc/passwd,a\n", "line 2: .* lies outside of"),
        ("path,label\n../img/1.png,\n", "line 2: lacks a path or a label"),
        ("path,label\n../img/1.png\n", "line 2: has not as many fields"),
        ("path,label,split\n../img/1.png,a,later\n", "line 2: the split 'later' is none of"),
        ("path,label,split,group\n../img/1.png,a,train,p\n../img/2.png,a,test,p\n", "group p is in two splits"),
        (b"path,label\n../img/1.png,\xff\n", "is not UTF-8"),
        ('path,label\n"../img/1.png,a\n', "not readable as CSV"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        manifest(folder(tmp_path, text))


def test_a_missing_table_or_named_column_is_refused(tmp_path):
    path = folder(tmp_path, "path,label\n../img/1.png,a\n")
    with pytest.raises(UserError, match=r"holds no none\.csv: set fetch\.manifest"):
        manifest(path, manifest="none.csv")
    with pytest.raises(UserError, match=r"has no column patient, .*fetch\.group_column"):
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
    found = parquet(tmp_path / "x.parquet", image_column="pic", label_column="y")
    assert [record[:4] for record in found] == [("x/0", "7", "train", "1"), ("x/1", "8", "test", None)]


def test_rows_without_image_or_label_are_counted(tmp_path):
    surprises = records.Surprises()
    face(tmp_path, "a.parquet", [None, {"bytes": None, "path": "x"}, picture(1), picture(2)], ["a", "a", None, "b"])
    source = tables.open_parquet(tmp_path, settings(), surprises)
    assert [record.id for record in source.records(None)] == ["a/3"]
    assert surprises.skipped.counts == {"row without an image": 2, "row without a label": 1}


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
        ({"image": pa.array(["1.png", "2.png"])}, "the column image is string, but should be bytes, or a struct"),
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
        parquet(tmp_path, image_column="photo")
    (tmp_path / "a.parquet").write_text("hello")
    with pytest.raises(UserError, match="is no Parquet file"):
        parquet(tmp_path)
