import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.texts import as_array, prose

from kiln.modalities.text.storage import TextStorage

STORAGE = TextStorage(100)
TEXTS = ["", "a", "one\x1etwo", "酒店", "\U0001f600", "a\0b", "line\nbreak", prose(1, 500)]


def test_parquet_gives_back_every_text(tmp_path):
    table = pa.table({"text": STORAGE.pack(as_array(TEXTS))})
    pq.write_table(table, tmp_path / "x.parquet")
    assert pq.read_metadata(tmp_path / "x.parquet").schema.to_arrow_schema().equals(table.schema)
    values = STORAGE.unpack(pq.read_table(tmp_path / "x.parquet")["text"])
    assert values.dtype == object and values.tolist() == TEXTS


def test_what_cannot_be_decoded_becomes_empty():
    assert STORAGE.stack(["a", None]).tolist() == ["a", ""]
    assert STORAGE.empty(2).shape == (2,) and STORAGE.stack([]).shape == (0,)


@pytest.fixture
def spooled(tmp_path):
    with (tmp_path / "x.spool").open("wb") as file:
        for start in range(0, len(TEXTS), 3):
            STORAGE.spool(as_array(TEXTS[start : start + 3]), file)
    return STORAGE.open_spool(tmp_path / "x.spool", len(TEXTS))


def test_a_spool_is_read_as_an_array_is(spooled):
    expected = as_array(TEXTS)
    assert len(spooled) == len(TEXTS) and spooled.shape == (len(TEXTS),)
    assert [spooled[row] for row in range(len(TEXTS))] == TEXTS == list(spooled)
    assert spooled[np.int64(2)] == TEXTS[2] and spooled[-1] == TEXTS[-1]
    for rows in (slice(None), slice(2, 5), slice(None, None, 2), [5, 0, 5], np.array([], int), expected == "a"):
        chosen = spooled[rows]
        assert chosen.dtype == object and chosen.tolist() == expected[rows].tolist()
    with pytest.raises(IndexError):
        spooled[len(TEXTS)]


def test_a_spool_of_another_number_of_texts_is_refused(spooled, tmp_path):
    with pytest.raises(ValueError, match="8 texts, not 7"):
        STORAGE.open_spool(tmp_path / "x.spool", 7)


def test_an_empty_spool(tmp_path):
    (tmp_path / "x.spool").touch()
    assert len(STORAGE.open_spool(tmp_path / "x.spool", 0)) == 0


def test_drawn_texts_have_the_mean_length():
    drawn = STORAGE.draw(np.random.default_rng(0), 5)
    assert [len(text) for text in drawn] == [100] * 5 and len(set(drawn)) == 5
    assert len(drawn[0].split()) == 17
