import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.datasets import image_parts, image_table, whole, write_images
from makers.records import record

from kiln.core import files
from kiln.core.errors import UserError
from kiln.sources.records import Content, Record
from kiln.store import dataset

SHAPE = (4, 6, 3)


def tables(rows: int = 10):
    pixels = np.random.default_rng(0).integers(0, 256, (rows, *SHAPE), dtype=np.uint8)
    for split in ("test", "train"):
        for start in range(0, rows, 4):
            part = slice(start, min(start + 4, rows))
            ids = [f"{split}/{row}" for row in range(part.start, part.stop)]
            yield split, image_table(ids, np.arange(part.start, part.stop) % 3, pixels[part])


def write(folder):
    return write_images(folder, tables(), "abc", SHAPE)


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_read(tmp_path):
    data = write(tmp_path)
    expected = np.random.default_rng(0).integers(0, 256, (10, *SHAPE), dtype=np.uint8)
    images = whole(data, "train")
    assert images.ids.tolist() == [f"train/{row}" for row in range(10)]
    assert images.labels.tolist() == [row % 3 for row in range(10)]
    assert (images.parts["image"] == expected).all()
    assert [len(batch.ids) for batch in data.batches("test")] == [4, 4, 2]
    assert (data.rows("train"), data.rows("validation")) == (10, 0)


def test_several_splits_load_one_after_the_other(tmp_path):
    data = write(tmp_path)
    images = whole(data, "train", "validation", "test")
    assert images.ids[9:11].tolist() == ["train/9", "test/0"]


def test_the_same_data_are_the_same_bytes(tmp_path):
    write(tmp_path / "one")
    write(tmp_path / "two")
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_shards_are_cut_by_size_and_read_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "SHARD_BYTES", 500)
    data = write(tmp_path)
    assert len(data.manifest["shards"]) == 4
    assert whole(data, "train").ids.tolist() == [f"train/{row}" for row in range(10)]


def test_raw_records_keep_every_byte(tmp_path):
    records = [record("a/1", "a", None, None, b"\x00\xff", "1.png"), record("b/2", "b", "test", "p7", b"", None)]
    dataset.write(tmp_path, [(None, dataset.raw_table(records, ["image"]))], "raw", parts=["image"])
    (table,) = dataset.open_dataset(tmp_path, "raw").tables()
    rows = table.to_pylist()
    assert rows[0]["image"] == {"bytes": b"\x00\xff", "path": "1.png"}
    assert rows[1] == {"id": "b/2", "label": "b", "split": "test", "group": "p7", "image": {"bytes": b"", "path": None}}


def test_a_changed_shard_is_found(tmp_path):
    data = write(tmp_path)
    shard = tmp_path / "train/00000.parquet"
    damaged = bytearray(shard.read_bytes())
    damaged[100] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(UserError, match=r"00000\.parquet is not what manifest\.json says was written: delete"):
        list(data.batches("train"))


def test_a_missing_shard_is_found(tmp_path):
    data = write(tmp_path)
    (tmp_path / "train/00000.parquet").unlink()
    with pytest.raises(UserError, match="is missing"):
        list(data.batches("train"))


def test_no_manifest_no_dataset(tmp_path):
    with pytest.raises(UserError, match=r"manifest\.json is missing: run `dvc repro`"):
        dataset.open_dataset(tmp_path, "clean")


SHARD = {"file": "train/00000.parquet", "split": "train", "rows": 10, "sha256": "0" * 64}


CONVERSION = {"height": 4, "width": 6, "channels": 3, "fit": "crop"}
DAMAGES = [
    *[(side, value) for side in ("height", "width") for value in (0, -4, 1025, 4.0, True, "4", None, [4])],
    *[("channels", value) for value in (0, 2, 4, 3.0, True, "3", None)],
    *[("fit", value) for value in ("", "zoom", 1, None, ["crop"])],
    *[("range", value) for value in (0, "01", [0], [0, 1, 2], [1, 1], [2, 1], [False, True], [0, None], ["0", "1"])],
    ("range", [0, float("inf")]),
    ("range", [float("nan"), 1]),
    ("depth", 1),
]


def image(changes: dict, without: str = "") -> dict:
    """List one part, image, with a damaged conversion."""
    conversion = {key: value for key, value in (CONVERSION | changes).items() if key != without}
    return {"image": {"modality": "image", "conversion": conversion}}


def rewrite(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 2}, "is of schema 2, .*reads schema 3, kind 'clean': delete .* and run `dvc repro`"),
        ({"schema": "x" * 999}, "is of schema 'x{39}, kind"),
        ({"kind": "raw"}, "kind 'raw'"),
        ({"shards": 3}, "damaged: delete .* and run `dvc checkout`"),
        ({"shards": [3]}, "damaged"),
        ({"shards": [{**SHARD, "file": "../train/00000.parquet"}]}, "damaged"),
        ({"shards": [{**SHARD, "file": "/etc/00000.parquet"}]}, "damaged"),
        ({"shards": [{**SHARD, "file": "train/../00000.parquet"}]}, "damaged"),
        ({"shards": [{**SHARD, "file": "train/00000.parquet\n"}]}, "damaged"),
        ({"shards": [{**SHARD, "file": "test/00000.parquet"}]}, "damaged"),
        ({"shards": [{**SHARD, "split": "dev", "file": "dev/00000.parquet"}]}, "damaged"),
        ({"shards": [{**SHARD, "rows": -1}]}, "damaged"),
        ({"shards": [{**SHARD, "rows": 1.0}]}, "damaged"),
        ({"shards": [{**SHARD, "rows": True}]}, "damaged"),
        ({"shards": [{**SHARD, "sha256": "0" * 63}]}, "damaged"),
        ({"shards": [{**SHARD, "sha256": "G" * 64}]}, "damaged"),
        ({"shards": [{"file": "train/00000.parquet", "split": "train", "rows": 10}]}, "damaged"),
        ({"classes": None}, "damaged"),
        ({"classes": []}, "damaged"),
        ({"classes": ["a", "a"]}, "damaged"),
        ({"classes": ["a", 1]}, "damaged"),
        ({"classes": [str(number) for number in range(10_001)]}, "damaged"),
        ({"parts": None}, "damaged"),
        ({"parts": {}}, "damaged"),
        ({"parts": ["image"]}, "damaged"),
        ({"parts": {"image": None}}, "damaged"),
        ({"parts": {"image": {"conversion": CONVERSION}}}, "damaged"),
        ({"parts": {"image": {"modality": "image"}}}, "damaged"),
        ({"parts": {"image": {"modality": "smell", "conversion": CONVERSION}}}, "damaged"),
        ({"parts": {"image": {"modality": ["image"], "conversion": CONVERSION}}}, "damaged"),
        ({"parts": {"image": {"modality": "image", "conversion": [4, 6, 3, "crop"]}}}, "damaged"),
        ({"parts": {"label": {"modality": "image", "conversion": CONVERSION}}}, "damaged"),
        *[({"parts": image({key: value})}, "damaged") for key, value in DAMAGES],
        *[({"parts": image({}, without=key)}, "damaged") for key in ("height", "width", "channels", "fit")],
    ],
)
def test_another_manifest_is_refused(tmp_path, changes, says):
    write(tmp_path)
    rewrite(tmp_path, **changes)
    with pytest.raises(UserError, match=says):
        dataset.open_dataset(tmp_path, "clean")


def test_a_manifest_that_nests_without_end_is_damaged(tmp_path):
    (tmp_path / "manifest.json").write_text('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")
    with pytest.raises(UserError, match="is damaged"):
        dataset.open_dataset(tmp_path, "clean")


def good() -> pa.Table:
    return image_table(["a", "b"], np.array([0, 2]), np.zeros((2, *SHAPE), np.uint8))


def column(name: str, values) -> pa.Table:
    return good().set_column(good().column_names.index(name), name, values)


@pytest.mark.parametrize(
    "shard",
    [
        image_table(["a", "b"], np.array([0, 3]), np.zeros((2, *SHAPE), np.uint8)),
        image_table(["a", "b"], np.array([0, -1]), np.zeros((2, *SHAPE), np.uint8)),
        image_table(["a", "b"], np.array([0, 1]), np.zeros((2, 4, 6, 1), np.uint8)),
        column("label", pa.array([0, None], pa.int32())),
        column("label", pa.array([0, 1], pa.int64())),
        column("label", pa.array([0, 1], pa.float32())),
        column("image", pa.array([b"x" * 72, None], pa.binary(72))),
        column("image", pa.array([b"x" * 72, b"y" * 72], pa.binary())),
        column("id", pa.array([b"1" * 16, b"2" * 16], pa.uuid())),
        good().append_column("more", pa.array([1, 2])),
        good().drop_columns("id"),
        good().drop_columns("image"),
        good().rename_columns(["id", "label", "unit", "pixels"]),
        good().slice(0, 1),
    ],
)
def test_a_shard_that_holds_something_else_is_refused_though_its_digest_is_right(tmp_path, shard):
    (tmp_path / "train").mkdir()
    path = tmp_path / "train/00000.parquet"

    def opened(table):
        pq.write_table(table, path)
        shards = [{**SHARD, "rows": 2, "sha256": files.sha256(path)}]
        about = {"schema": 3, "kind": "clean", "classes": ["a", "b", "c"], "parts": image({})}
        files.write_json(tmp_path / "manifest.json", {**about, "shards": shards})
        return dataset.open_dataset(tmp_path, "clean")

    assert whole(opened(good()), "train").labels.tolist() == [0, 2]
    with pytest.raises(UserError, match=r"is not what manifest.json says was written: delete"):
        whole(opened(shard), "train")


def test_a_shard_that_is_no_parquet_is_refused_though_its_digest_is_right(tmp_path):
    write(tmp_path)
    path = tmp_path / "train/00000.parquet"
    path.write_bytes(b"PAR1" + b"\xff" * 100 + b"PAR1")
    rewrite(tmp_path, shards=[{**SHARD, "sha256": files.sha256(path)}])
    with pytest.raises(UserError, match="is not what"):
        list(dataset.open_dataset(tmp_path, "clean").row_groups("train"))


def test_a_failing_source_leaves_no_manifest(tmp_path):
    def broken():
        yield next(tables())
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        dataset.write(tmp_path, broken(), "clean")
    assert not (tmp_path / "manifest.json").exists()


def test_an_image_is_its_own_unit_unless_it_shares_one(tmp_path):
    pixels = np.zeros((2, *SHAPE), np.uint8)
    shared = image_table(["a", "b"], np.array([0, 1]), pixels, ["p", "p"])
    alone = image_table(["c", "d"], np.array([0, 1]), pixels)
    data = write_images(tmp_path, [("train", shared), ("train", alone)], "ab", SHAPE)
    assert whole(data, "train").units.tolist() == ["p", "p", "c", "d"]


def test_samples_of_two_parts_keep_each_whole(tmp_path):
    parts = {"right": image_parts((2, 3, 1))["image"], "left": image_parts(SHAPE)["image"]}
    parts = {name: dataclasses.replace(part, name=name) for name, part in parts.items()}
    generator = np.random.default_rng(0)
    values = {
        name: generator.integers(0, 256, (5, *part.conversion.image_shape), np.uint8) for name, part in parts.items()
    }
    table = dataset.clean_table(parts, list("abcde"), np.zeros(5), values)
    assert table.column_names == ["id", "label", "unit", "right", "left"]
    listed = {name: part.to_json() for name, part in parts.items()}
    dataset.write(tmp_path, [("train", table)], "clean", classes=["a"], parts=listed)
    data = dataset.open_dataset(tmp_path, "clean")
    assert data.parts == parts and list(data.parts) == ["right", "left"]
    read = whole(data, "train").parts
    assert all((read[name] == values[name]).all() for name in parts)
    assert dataset.bytes_per_sample(parts) == 2 * 3 + 4 * 6 * 3
    assert dataset.rows_per_group(parts) == 4096


@pytest.mark.parametrize("parts", [None, [], {"image": {}}, ["image", 1], ["id"]])
def test_raw_samples_name_their_parts(tmp_path, parts):
    records = [Record("a/1", "a", None, None, {"photo": Content(b"x", "1.png")})]
    dataset.write(tmp_path, [(None, dataset.raw_table(records, ["photo"]))], "raw", parts=["photo"])
    (table,) = dataset.open_dataset(tmp_path, "raw").tables()
    assert table.column_names == ["id", "label", "split", "group", "photo"]
    rewrite(tmp_path, parts=["image"])
    with pytest.raises(UserError, match="is not what"):
        list(dataset.open_dataset(tmp_path, "raw").tables())
    rewrite(tmp_path, parts=parts)
    with pytest.raises(UserError, match="damaged"):
        dataset.open_dataset(tmp_path, "raw")
