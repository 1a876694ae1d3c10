import json
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from makers.datasets import whole
from makers.images import png
from makers.samples import write_raw
from makers.settings import configure

from kiln.core import files
from kiln.core.errors import UserError
from kiln.quality import corrections
from kiln.sources.records import Content, Record
from kiln.store import dataset
from stages import clean


@pytest.fixture
def small(tmp_path, monkeypatch) -> Path:
    """A folder with 18 fetched images: one broken, one double, and verdicts on none."""
    contents = {f"{name}/{index}.png": png(ord(name) * 100 + index) for name in "ab" for index in range(8)}
    contents |= {"a/copy.png": png(ord("a") * 100), "b/text.jpg": b"no image"}
    records = [Record(name, name[0], None, None, {"image": Content(contents[name], name)}) for name in sorted(contents)]
    with files.publish(tmp_path / "data/raw") as folder:
        dataset.write(folder, [(None, dataset.raw_table(records, ["image"]))], "raw", parts=["image"])
    (tmp_path / corrections.PATH).write_text("id,label\n")
    configure(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["clean"])
    return tmp_path


def test_the_stage_lists_what_it_sets_aside(small, capsys):
    (small / corrections.PATH).write_text("id,label\na/1.png,b\nb/2.png,\n")
    clean.main()
    said = capsys.readouterr().out
    assert "15 of 18 images as 8x8 gray" in said and "; 1 label corrected" in said
    assert "set aside: 1 left_out, 1 undecodable, 1 exact_duplicate" in said
    gone = pd.read_parquet(small / "data/clean/set_aside.parquet").set_index("id")
    assert gone.loc["a/copy.png", ["reason", "other"]].tolist() == ["exact_duplicate", "a/0.png"]
    assert gone.loc["b/text.jpg", "reason"] == "undecodable"
    data = dataset.open_dataset(small / "data/clean", "clean")
    ids = whole(data, *dataset.SPLITS).ids.tolist()
    assert sorted(ids) == sorted(f"{name}/{i}.png" for name in "ab" for i in range(8) if f"{name}{i}" != "b2")
    folder = small / "data/clean"
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "digests.json",
        "evidence.parquet",
        "flags.parquet",
        "manifest.json",
        "measures.parquet",
        "samples/image.png",
        "set_aside.parquet",
        "summary.json",
        "test/00000.parquet",
        "train/00000.parquet",
        "validation/00000.parquet",
    ]
    evidence = pq.read_table(small / "data/clean/evidence.parquet")
    assert evidence["reason"].to_pylist() == ["left_out", "exact_duplicate"]


def test_a_dry_run_writes_nothing(small, capsys, monkeypatch):
    before = {*small.rglob("*")}
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["clean", "--dry-run"])
        clean.main()
    said = capsys.readouterr().out
    assert {*small.rglob("*")} == before
    assert "undecodable                  1         0" in said
    assert "a/copy.png  (a)  see a/0.png" in said
    # The same sentence as the real run, whatever it says.
    clean.main()
    assert said.splitlines()[-1].replace("clean would say: ", "clean: ") in capsys.readouterr().out.splitlines()


def test_twice_the_same_bytes(small):
    clean.main()
    first = {path: path.read_bytes() for path in (small / "data/clean").rglob("*") if path.is_file()}
    clean.main()
    assert len(first) > 8 and all(path.read_bytes() == content for path, content in first.items())


def test_a_stage_that_would_set_too_much_aside_publishes_nothing(small):
    configure(small, clean__max_set_aside=0.05)
    with pytest.raises(UserError, match=r"2 of 18 samples would be set aside \(1 undecodable: .*1 exact_duplicate\)"):
        clean.main()
    assert not (small / "data/clean").exists()


def test_samples_of_two_parts_pass_through_the_stage(small, capsys):
    left = [png(row, height=32, width=32) for row in range(20)]
    right = [png(100 + row, height=20, width=30, channels=3) for row in range(20)]
    right[4] = b"no image"
    with files.publish(small / "data/raw") as folder:
        write_raw(folder, list(zip(left, right, strict=True)), ("left", "right"))
    configure(small, inputs=("left", "right"))
    clean.main()
    said = capsys.readouterr().out
    assert "19 of 20 samples as left 32x32 gray, right 20x30 RGB: " in said and "1 undecodable" in said
    data = dataset.open_dataset(small / "data/clean", "clean")
    samples = whole(data, *dataset.SPLITS)
    assert "4" not in samples.ids and len(samples) == 19
    assert {name: array.shape[1:] for name, array in samples.parts.items()} == {
        "left": (32, 32, 1),
        "right": (20, 30, 3),
    }
    measured = pq.read_table(small / "data/clean/measures.parquet").column_names
    assert "left.sharpness" in measured and "right.short_side" in measured
    summarized = json.loads((small / "data/clean/summary.json").read_text())
    assert list(summarized["parts"]) == ["left", "right"] and "right.blurry" in summarized["flagged"]
    assert {path.name for path in (small / "data/clean/samples").iterdir()} == {"left.png", "right.png"}
    gone = pd.read_parquet(small / "data/clean/set_aside.parquet")
    assert gone["detail"][0].startswith("right: ")
