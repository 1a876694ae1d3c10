import io

import numpy as np
import pyarrow as pa
from makers.images import noise
from makers.samples import examined, facts_of, parts_of
from PIL import Image

from kiln.quality import publishing
from kiln.store import dataset

PARTS = parts_of("left", "right")
LEFT = np.stack([noise(row) for row in range(60)])
VALUES = {"left": LEFT, "right": 255 - LEFT}
ROWS = [("ab"[i // 30], "test" if i % 5 == 0 else None, str(i), f"g{i // 2}") for i in range(60)]


def result(monkeypatch):
    return examined(facts_of(ROWS).assign(contrast=[0.0] * 4 + [50.0] * 56), set(), monkeypatch)


def published(monkeypatch, seed: int = 0) -> list[tuple[str, pa.Table]]:
    return list(publishing.list_kept(result(monkeypatch), ["a", "b"], PARTS, VALUES, seed))


def test_what_stays_is_listed_with_all_its_parts_in_a_mixed_order(monkeypatch):
    tables = published(monkeypatch)
    assert [split for split, _ in tables] == list(dataset.SPLITS)
    whole = pa.concat_tables(table for _, table in tables)
    rows = [int(name) for name in whole["id"].to_pylist()]
    # The test split that the source brings keeps what would be dropped elsewhere.
    assert sorted(rows) == [0, *range(4, 60)] and rows != sorted(rows)
    assert whole["label"].to_pylist() == [row // 30 for row in rows]
    for name, part in PARTS.items():
        assert (part.storage.unpack(whole[name]) == VALUES[name][rows]).all()
    facts = result(monkeypatch).facts
    assert whole["unit"].to_pylist() == facts["unit"][rows].tolist()
    assert [split for split, table in tables for _ in range(len(table))] == facts["split"][rows].tolist()
    train = tables[0][1]["label"].to_numpy()
    assert np.count_nonzero(np.diff(train)) > 5


def test_the_order_depends_on_the_seed_alone(monkeypatch):
    one, again, other = published(monkeypatch), published(monkeypatch), published(monkeypatch, 1)
    assert [table for _, table in one] == [table for _, table in again]
    assert one[0][1]["id"] != other[0][1]["id"]
    assert sorted(one[0][1]["id"].to_pylist()) == sorted(other[0][1]["id"].to_pylist())


def test_tables_are_row_groups_of_bounded_bytes(monkeypatch):
    whole = published(monkeypatch)
    monkeypatch.setattr(dataset, "ROW_GROUP_BYTES", 7 * 2 * 64)
    cut = published(monkeypatch)
    assert max(len(table) for _, table in cut) == 7 and len(cut) > 3
    ids = [pa.concat_tables(table for _, table in tables)["id"] for tables in (whole, cut)]
    assert ids[0].to_pylist() == ids[1].to_pylist()


def test_samples_are_shown_with_a_sheet_per_part(monkeypatch):
    shown, sheets = publishing.show_samples(result(monkeypatch), ["a", "b"], PARTS, VALUES)
    assert shown == ["a", "b"] and sheets.keys() == {"left", "right"}
    left, right = (Image.open(io.BytesIO(sheet.content)).convert("L") for sheet in sheets.values())
    assert left.size == right.size == (8 * 60 + 4, 2 * 60 + 4)
    pair = left.getpixel((10, 10)), right.getpixel((10, 10))
    assert sum(pair) == 255


def test_measures_of_what_stays_bear_the_names_of_parts(monkeypatch):
    facts = facts_of(ROWS, ("left", "right")).rename(columns={"left.contrast": "contrast"})
    del facts["contrast"]
    decided = result(monkeypatch)
    decided = type(decided)(**{**vars(decided), "facts": decided.facts.join(facts.filter(like="."))})
    measures = publishing.list_measures(decided, PARTS)
    slices = ["brightness", "sharpness", "short_side"]
    assert measures.columns.tolist() == ["id", "split", *(f"{part}.{name}" for part in PARTS for name in slices)]
    assert len(measures) == 57
    assert publishing.list_measures(decided, parts_of("image")).columns.tolist() == ["id", "split", *slices]
