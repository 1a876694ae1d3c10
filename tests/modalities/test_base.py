import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.samples import parts_of

from kiln.modalities import base, storage

STORAGES = [
    storage.ArrayStorage((4, 6, 3), np.uint8),
    storage.ArrayStorage((5,), np.float32),
    storage.ArrayStorage((), np.int16),
]


def values_of(storage: storage.ArrayStorage, count: int = 10) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (count, *storage.shape)).astype(storage.dtype)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_column_gives_back_what_was_packed(storage, tmp_path):
    values = values_of(storage)
    column = storage.pack(values)
    assert column.type == storage.column and len(column) == 10
    assert storage.bytes_per_sample == values[0].nbytes
    pq.write_table(pa.table({"x": column}), tmp_path / "x.parquet")
    read = storage.unpack(pq.read_table(tmp_path / "x.parquet")["x"])
    assert read.dtype == values.dtype and (read == values).all()


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("stretch", [slice(0, 10), slice(3, 4), slice(3, 9), slice(5, 10), slice(2, 2)])
def test_slices_of_a_column_of_several_chunks_are_read_whole(storage, stretch):
    values = values_of(storage)
    chunked = pa.chunked_array([storage.pack(values[:4]), storage.pack(values[4:5]), storage.pack(values[5:])])
    read = storage.unpack(chunked.slice(stretch.start, stretch.stop - stretch.start))
    assert read.shape == values[stretch].shape and (read == values[stretch]).all()


def test_values_that_do_not_lie_in_c_order_are_packed_as_they_are_seen():
    storage = STORAGES[0]
    values = values_of(storage)
    mirrored = values[:, :, ::-1]
    assert (storage.unpack(pa.chunked_array([storage.pack(mirrored)])) == mirrored).all()
    assert (storage.unpack(pa.chunked_array([storage.pack(values[::2])])) == values[::2]).all()


@pytest.mark.parametrize("storage", STORAGES)
def test_what_cannot_be_decoded_is_a_blank(storage):
    values = values_of(storage, 2)
    stacked = storage.stack([values[0], None, values[1]])
    assert stacked.dtype == storage.dtype
    assert (stacked[[0, 2]] == values).all() and not stacked[1].any()
    assert storage.stack([]).shape == (0, *storage.shape)
    assert storage.empty(7).shape == (7, *storage.shape)


@pytest.mark.parametrize("storage", STORAGES)
def test_a_spool_gives_back_what_was_appended(storage, tmp_path):
    values = values_of(storage)
    with (tmp_path / "x.spool").open("wb") as file:
        storage.spool(values[:3], file)
        storage.spool(values[3:][::-1], file)
    read = storage.open_spool(tmp_path / "x.spool", 10)
    assert (read == np.concatenate([values[:3], values[3:][::-1]])).all()
    assert not read.flags.writeable


def test_names_are_qualified_where_there_are_several_parts():
    assert base.qualify(parts_of("image"), "image", "blurry") == "blurry"
    assert base.qualify(parts_of("left", "right"), "left", "blurry") == "left.blurry"


def test_an_exhibit_knows_its_suffix():
    assert base.Exhibit("picture", b"").suffix == ".png"


@pytest.mark.parametrize("kind", [np.uint8, np.int16])
def test_values_are_drawn_over_all_that_a_part_stores(kind):
    values = storage.ArrayStorage((100,), kind).draw(np.random.default_rng(0), 1000)
    ends = np.iinfo(kind)
    assert values.shape == (1000, 100) and values.dtype == kind
    assert (values.min() - ends.min) + (ends.max - values.max()) < (ends.max - ends.min) / 1000
