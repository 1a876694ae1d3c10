import json

import numpy as np
import pytest
from conftest import whole

from stages.lib import dataset
from stages.lib.errors import UserError
from stages.lib.records import Record

SHAPE = (4, 6, 3)


def tables(rows: int = 10):
    pixels = np.random.default_rng(0).integers(0, 256, (rows, *SHAPE), dtype=np.uint8)
    for split in ("test", "train"):
        for start in range(0, rows, 4):
            part = slice(start, min(start + 4, rows))
            ids = [f"{split}/{row}" for row in range(part.start, part.stop)]
            yield split, dataset.pixel_table(ids, np.arange(part.start, part.stop) % 3, pixels[part])


def write(folder, **about):
    dataset.write(folder, tables(), "pixels", classes=["a", "b", "c"], image_shape=SHAPE, **about)
    return dataset.open_dataset(folder, "pixels")


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_read(tmp_path):
    data = write(tmp_path)
    expected = np.random.default_rng(0).integers(0, 256, (10, *SHAPE), dtype=np.uint8)
    images = whole(data, "train")
    assert images.ids.tolist() == [f"train/{row}" for row in range(10)]
    assert images.labels.tolist() == [row % 3 for row in range(10)]
    assert (images.pixels == expected).all()
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
    records = [Record("a/1", "a", None, None, b"\x00\xff", "1.png"), Record("b/2", "b", "test", "p7", b"", None)]
    dataset.write(tmp_path, [(None, dataset.raw_table(records))], "raw")
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
    with pytest.raises(UserError, match=r"00000\.parquet was changed"):
        list(data.batches("train"))


def test_a_missing_shard_is_found(tmp_path):
    data = write(tmp_path)
    (tmp_path / "train/00000.parquet").unlink()
    with pytest.raises(UserError, match="is missing"):
        list(data.batches("train"))


def test_no_manifest_no_dataset(tmp_path):
    with pytest.raises(UserError, match=r"manifest\.json is missing: run `dvc repro`"):
        dataset.open_dataset(tmp_path, "pixels")


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [("schema", 2, "schema 2"), ("kind", "raw", "kind 'raw'"), ("shards", 3, "damaged"), ("classes", None, "damaged")],
)
def test_another_manifest_is_refused(tmp_path, key, value, says):
    write(tmp_path)
    path = tmp_path / "manifest.json"
    manifest = json.loads(path.read_text())
    if value is None:
        del manifest[key]
    else:
        manifest[key] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=says):
        dataset.open_dataset(tmp_path, "pixels")


def test_a_failing_source_leaves_no_manifest(tmp_path):
    def broken():
        yield next(tables())
        raise ValueError

    with pytest.raises(ValueError):
        dataset.write(tmp_path, broken(), "pixels")
    assert not (tmp_path / "manifest.json").exists()
