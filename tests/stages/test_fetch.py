import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.images import png, write_photos
from makers.projects import configure
from makers.records import record

from kiln.core.errors import UserError
from kiln.sources import reading, records, summaries
from kiln.store import dataset
from stages import fetch


def test_batches_are_cut_by_number_and_by_size(monkeypatch):
    monkeypatch.setattr(reading, "BATCH_RECORDS", 3)
    monkeypatch.setattr(reading, "BATCH_BYTES", 10)
    found = [record(str(i), "a", None, None, b"x" * size, None) for i, size in enumerate([1, 1, 1, 1, 9, 2])]
    assert [[record.id for record in batch] for batch in reading.batch(found)] == [["0", "1", "2"], ["3", "4"], ["5"]]


def test_summary():
    surprises = records.Surprises()
    for number in range(7):
        surprises.skipped.add("hidden", str(number))
    summary = summaries.Summary(surprises)
    for split, label, count in (("train", "b", 2), ("test", "b", 1), ("train", "a", 4)):
        summary.add([record("", label, split, None, b"")] * count)
    assert summary.to_json() == {
        "samples": 7,
        "classes": {"b": 3, "a": 4},
        "splits": {"test": 1, "train": 6},
        "skipped": {"hidden": {"files": 7, "examples": ["0", "1", "2", "3", "4"]}},
        "notes": {},
    }


def test_the_users_folder_is_packed_byte_for_byte(project):
    write_photos(project.folder / "data/source", per_class=2)
    (project.folder / "data/source/notes.txt").write_text("x")
    project.set(fetch__source__name="images")
    done = project.call("fetch")
    # The other file is data/source's own README.md.
    assert done.stdout == "fetch: 6 images of 3 classes: blue (2), green (2), red (2); skipped: 1 .md, 1 .txt\n"
    raw = dataset.open_dataset(project.folder / "data/raw", "raw")
    (table,) = raw.tables()
    for row in table.to_pylist():
        assert row["image"]["bytes"] == (project.folder / "data/source" / row["id"]).read_bytes()
        assert row["label"] == row["id"].split("/")[0]


@pytest.mark.full
def test_twice_the_same_bytes(project):
    project.call("fetch")
    first = (project.folder / "data/raw/manifest.json").read_bytes()
    project.stage("fetch")  # in a process of its own: nothing may depend on what is left in memory
    assert (project.folder / "data/raw/manifest.json").read_bytes() == first
    assert json.loads(first)["shards"][0]["rows"] == 1797


def test_a_failure_keeps_the_last_good_output(project):
    project.call("fetch")
    before = (project.folder / "data/raw/manifest.json").read_bytes()
    (project.folder / "data/source/cats").mkdir()
    (project.folder / "data/source/cats/1.png").write_bytes(png(0))
    project.set(fetch__source__name="images")
    failed = project.stage("fetch", check=False)
    assert failed.returncode == 1
    assert failed.stderr.startswith("fetch: data/source holds only the class cats")
    assert (project.folder / "data/raw/manifest.json").read_bytes() == before


def parquet(folder, monkeypatch, labels: list[str]) -> None:
    monkeypatch.chdir(folder)
    pq.write_table(pa.table({"image": [png(0)] * len(labels), "label": labels}), folder / "x.parquet")
    configure(folder, fetch__source__name="parquet", fetch__path=f"{folder}/x.parquet", fetch__image__column="auto")


def test_pointers_in_place_of_images_end_at_once():
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"
    found = iter([record("a/1.png", "a", None, None, pointer, None)])
    with pytest.raises(UserError, match=r"a/1\.png is not the file itself but a Git LFS pointer.*: run `git lfs pull`"):
        list(reading.refuse_pointers(found))
    whole = [record("a/1.png", "a", None, None, content, None) for content in (png(0), b"", b"x")]
    assert list(reading.refuse_pointers(whole)) == whole


def test_the_line_shows_ten_classes_the_splits_and_what_was_odd():
    surprises = records.Surprises()
    for number in range(3):
        surprises.skipped.add(".heic (HEIC)", f"{number}.heic")
        surprises.notes.add("empty folder", f"f{number}")
    summary = summaries.Summary(surprises)
    summary.add(record("", f"c{number % 12:02}", "train", None, b"") for number in range(12_000))
    assert summaries.describe(summary.to_json(), "image") == (
        "12,000 images of 12 classes: c00 (1,000), c01 (1,000), c02 (1,000), c03 (1,000), c04 (1,000), c05 (1,000), "
        "c06 (1,000), c07 (1,000), c08 (1,000), c09 (1,000) and 2 more; splits: train 12,000; skipped: 3 .heic (HEIC); "
        "notes: 3 empty folder (f0, f1, ...)"
    )


def test_one_class_is_refused(tmp_path, monkeypatch):
    parquet(tmp_path, monkeypatch, ["a", "a"])
    with pytest.raises(UserError, match="gives 1 class, but a classifier needs two"):
        fetch.main()
    assert not list(tmp_path.glob("data/*"))


def test_a_million_classes_end_in_one_sentence_and_early(tmp_path, monkeypatch):
    parquet(tmp_path, monkeypatch, [str(number) for number in range(30_000)])
    written = []
    make = dataset.raw_table
    monkeypatch.setattr(dataset, "raw_table", lambda *arguments: written.append(1) or make(*arguments))
    with pytest.raises(UserError, match="gives more than 10,000 classes, the most that Kiln supports"):
        fetch.main()
    assert not list(tmp_path.glob("data/*")) and len(written) < 10


def test_it_loads_nothing_that_only_other_stages_need(project):
    code = "import sys, stages.fetch; from kiln.modalities import registry; registry.get('image'); "
    code += "print({'faiss', 'keras', 'scipy', 'sklearn', 'tensorflow'}.intersection(sys.modules))"
    assert project.run(sys.executable, "-c", code).stdout == "set()\n"
