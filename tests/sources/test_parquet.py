from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.images import png
from makers.records import PARTS, record
from makers.tables import face, folder, manifest, parquet, picture, settings

from kiln.core.errors import UserError
from kiln.sources import parquet as parquets
from kiln.sources import records


def test_hugging_faces_layout(tmp_path):
    face(tmp_path, "data/train-00000-of-00001.parquet", [picture(0), picture(1)], [1, 0], ["cat", "dog"])
    face(tmp_path, "data/test-00000-of-00001.parquet", [picture(2)], [1], ["cat", "dog"])
    assert parquet(tmp_path) == [
        record("data/test-00000-of-00001/0", "dog", "test", None, png(2)),
        record("data/train-00000-of-00001/0", "dog", "train", None, png(0)),
        record("data/train-00000-of-00001/1", "cat", "train", None, png(1)),
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
    assert [one[1:3] for one in parquet(tmp_path)] == [("NA", split)]


def test_names_that_do_not_tell_the_splits_are_refused(tmp_path):
    face(tmp_path, "train_test.parquet", [picture(0)], ["a"])
    with pytest.raises(UserError, match="the name train_test names several splits, test and train"):
        parquet(tmp_path)
    (tmp_path / "train_test.parquet").unlink()
    face(tmp_path, "data/train-0.parquet", [picture(0)], ["a"])
    face(tmp_path, "data/more.parquet", [picture(1)], ["a"])
    with pytest.raises(UserError, match=r"more\.parquet: its name names no split, while that of data/train-0\.parquet"):
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
        parquets.open_parquet(tmp_path, settings(), PARTS, records.Surprises())


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
    assert [one[:4] for one in found] == [("x/0", "7", "train", "1"), ("x/1", "8", "test", None)]


def test_rows_without_image_or_label_are_counted(tmp_path):
    surprises = records.Surprises()
    face(tmp_path, "a.parquet", [None, {"bytes": None, "path": "x"}, picture(1), picture(2)], ["b", "b", None, "b"])
    source = parquets.open_parquet(tmp_path, settings(), PARTS, surprises)
    assert [one.id for one in source.records(None)] == ["a/3"]
    assert surprises.skipped.counts == {
        "row without its image": 1,
        "row with only the path of its image": 1,
        "row without a label": 1,
    }


def test_a_class_without_any_image_is_told_with_the_count_and_what_to_do(tmp_path):
    face(tmp_path, "a.parquet", [{"bytes": None, "path": f"imgs/{row}.png"} for row in range(3)], ["a", "b", "a"])
    with pytest.raises(
        UserError, match=r"3 rows hold only a path, not the content \(such as imgs/0\.png\), and nothing is "
    ):
        parquet(tmp_path)
    face(tmp_path, "a.parquet", [picture(0), {"bytes": None, "path": "imgs/1.png"}, None], ["a", "b", "b"])
    source = parquets.open_parquet(tmp_path, settings(), PARTS, records.Surprises())
    assert [one.id for one in source.records({"a/0", "a/1"})] == ["a/0"]
    with pytest.raises(UserError, match="nothing is left of b"):
        list(source.records({"a/1"}))
    with pytest.raises(
        UserError, match=r"nothing is left of b: write the Parquet with .* fetch\.source\.name to manifest"
    ):
        parquet(tmp_path)


def test_hugging_faces_mark_of_no_label_is_none_where_labels_have_names(tmp_path):
    face(tmp_path, "data/train-0.parquet", [picture(0), picture(1)], [0, 1], ["cat", "dog"])
    face(tmp_path, "data/test-0.parquet", [picture(2), picture(3)], [-1, -1], ["cat", "dog"])
    surprises = records.Surprises()
    assert [one[1:3] for one in parquets.open_parquet(tmp_path, settings(), PARTS, surprises).records(None)] == [
        ("cat", "train"),
        ("dog", "train"),
    ]
    assert surprises.skipped.counts == {"row without a label": 2}
    # Without names it may well be a class, and is noted.
    face(tmp_path / "x", "train.parquet", [picture(0), picture(1)], [-1, 1])
    assert [one.label for one in parquet(tmp_path / "x", surprises)] == ["-1", "1"]
    assert list(surprises.notes.counts) == [
        "class name that may stand for a missing label; leave the label empty if it does"
    ]


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
            r"the column image is string, but should be bytes, or .*; for a table of paths set fetch\.source\.name to",
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
    assert parquet(tmp_path / "x.parquet") == [
        record("x/0", "a", None, "x", png(0)),
        record("x/1", "b", None, "y", png(1)),
    ]


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
    with pytest.raises(UserError, match="is not a valid Parquet file"):
        parquet(tmp_path / "x.parquet")


@pytest.mark.parametrize("names", ["ab", [1, 2], {"a": 1}, None])
def test_names_of_labels_that_are_none_are_not_used(tmp_path, names):
    face(tmp_path, "a.parquet", [picture(0), picture(1)], [0, 1], names or "")
    assert [one.label for one in parquet(tmp_path)] == ["0", "1"]


def test_a_label_of_no_letters_is_none(tmp_path):
    surprises = records.Surprises()
    face(tmp_path, "a.parquet", [picture(0), picture(1)], ["", "b"])
    assert [one.label for one in parquets.open_parquet(tmp_path, settings(), PARTS, surprises).records(None)] == ["b"]
    assert surprises.skipped.counts == {"row without a label": 1}


def test_parquet_that_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"holds no \.parquet file"):
        parquet(tmp_path)
    face(tmp_path, "a.parquet", [picture(0)], [5], ["cat", "dog"])
    with pytest.raises(UserError, match="row 0: label 5 is out of range: the file names 2 classes"):
        parquet(tmp_path)
    with pytest.raises(UserError, match="has no column photo"):
        parquet(tmp_path, column="photo")
    (tmp_path / "a.parquet").write_text("hello")
    with pytest.raises(UserError, match=r"is not a .*Parquet file"):
        parquet(tmp_path)


def test_files_that_stand_for_parquet_are_named_and_hidden_ones_are_passed_over(tmp_path):
    face(tmp_path, "train.parquet", [picture(0), picture(1)], [0, 1], ["cat", "dog"])
    for name in ("._train.parquet", "__MACOSX/._train.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert [one.label for one in parquet(tmp_path)] == ["cat", "dog"]
    for content, says in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "is a Git LFS pointer.*`git lfs pull`"),
        (b"<!DOCTYPE html>", "is not a Parquet file but of the kind HTML"),
        (b"PAR1", "is not a valid Parquet file"),
    ):
        (tmp_path / "train.parquet").write_bytes(content)
        with pytest.raises(UserError, match=says):
            parquet(tmp_path)
    face(tmp_path, "train.parquet", [], [], ["cat", "dog"])
    with pytest.raises(UserError, match="holds no row"):
        parquet(tmp_path)


def test_a_dictionary_of_long_values_is_read_few_rows_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(parquets, "_BATCH", 2**16)
    long = pa.array([bytes(20_000), b"short"])
    indices = pa.array([row % 2 for row in range(40)], pa.int32())
    struct = pa.StructArray.from_arrays([long.take(indices), pa.array(map(str, range(40)))], ["bytes", "path"])
    table = pa.table({"image": struct, "label": ["a", "b"] * 20})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd")
    with pq.ParquetFile(tmp_path / "x.parquet") as file:
        sizes = [len(batch) for batch in parquets._batches(file, tmp_path / "x.parquet", ["image", "label"], "x")]
    assert max(sizes) == 2**16 // 20_000 and sum(sizes) == 40
    assert [one.contents["image"].bytes for one in parquet(tmp_path)] == [bytes(20_000), b"short"] * 20


@pytest.mark.parametrize("dictionary", [True, False])
@pytest.mark.parametrize("kind", [pa.binary(), pa.dictionary(pa.int32(), pa.binary())])
def test_bombs_are_one_sentence(tmp_path, monkeypatch, dictionary, kind):
    monkeypatch.setattr(parquets, "FLOOR", 2**20)
    monkeypatch.setattr(parquets, "_MAX_GROUP", 2**20)
    column = pa.array([bytes(10**5)] * 100).cast(kind)
    table = pa.table({"image": column, "label": ["a", "b"] * 50})
    pq.write_table(table, tmp_path / "x.parquet", compression="zstd", use_dictionary=dictionary)
    with pytest.raises(UserError, match="looks like a decompression bomb"):
        parquet(tmp_path)
    pq.write_table(table, tmp_path / "x.parquet", compression="none", use_dictionary=False)
    assert kind != pa.binary() or len(parquet(tmp_path)) == 100  # as the sentence says


def test_a_list_of_paths_is_read_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(parquets, "MAX_ROWS", 2)
    pq.write_table(pa.table({"path": ["a", "b", "c"], "label": ["x"] * 3}), tmp_path / "m.parquet")
    with pytest.raises(UserError, match="more than 2 rows"):
        list(parquets.open_table(tmp_path / "m.parquet", "m")[0].rows(["path"]))
    monkeypatch.setattr(parquets, "MAX_ROWS", 3)
    monkeypatch.setattr(parquets, "_ROWS", 2)
    rows = list(parquets.open_table(tmp_path / "m.parquet", "m")[0].rows(["path", "label"]))
    assert rows == [(line, {"path": name, "label": "x"}) for line, name in enumerate("abc", 1)]
