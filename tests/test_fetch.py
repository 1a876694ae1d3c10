import json
from collections import Counter

from conftest import png, write_photos

from stages import fetch
from stages.lib import dataset, records


def test_batches_are_cut_by_number_and_by_size(monkeypatch):
    monkeypatch.setattr(fetch, "BATCH_RECORDS", 3)
    monkeypatch.setattr(fetch, "BATCH_BYTES", 10)
    found = [records.Record(str(i), "a", None, None, b"x" * size, None) for i, size in enumerate([1, 1, 1, 1, 9, 2])]
    assert [[record.id for record in batch] for batch in fetch.batches(found)] == [["0", "1", "2"], ["3", "4"], ["5"]]


def test_summary():
    surprises = records.Surprises()
    for number in range(7):
        surprises.skipped.add("hidden", str(number))
    summary = fetch.summarize(Counter({("train", "b"): 2, ("test", "b"): 1, ("train", "a"): 4}), surprises)
    assert summary == {
        "images": 7,
        "classes": {"b": 3, "a": 4},
        "splits": {"test": 1, "train": 6},
        "skipped": {"hidden": {"files": 7, "examples": ["0", "1", "2", "3", "4"]}},
        "notes": {},
    }


def test_the_users_folder_is_packed_byte_for_byte(project):
    write_photos(project.folder / "data/source", per_class=2)
    (project.folder / "data/source/notes.txt").write_text("x")
    project.set(fetch__source="images")
    done = project.stage("fetch")
    assert done.stdout == "fetch: 6 images of 3 classes; skipped: 2 not an image by its extension\n"
    raw = dataset.open_dataset(project.folder / "data/raw", "raw")
    (table,) = raw.tables()
    for row in table.to_pylist():
        assert row["image"]["bytes"] == (project.folder / "data/source" / row["id"]).read_bytes()
        assert row["label"] == row["id"].split("/")[0]


def test_twice_the_same_bytes(project):
    project.stage("fetch")
    first = (project.folder / "data/raw/manifest.json").read_bytes()
    project.stage("fetch")
    assert (project.folder / "data/raw/manifest.json").read_bytes() == first
    assert json.loads(first)["shards"][0]["rows"] == 1797


def test_a_failure_keeps_the_last_good_output(project):
    project.stage("fetch")
    before = (project.folder / "data/raw/manifest.json").read_bytes()
    (project.folder / "data/source/cats").mkdir()
    (project.folder / "data/source/cats/1.png").write_bytes(png(0))
    project.set(fetch__source="images")
    failed = project.stage("fetch", check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("fetch: data/source holds only the class cats")
    assert (project.folder / "data/raw/manifest.json").read_bytes() == before
