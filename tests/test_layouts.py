"""Sets as people have them, from their folders or archives through fetch and clean."""

import io
import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from conftest import ROOT, noise, png
from PIL import Image

from stages import clean, fetch
from stages.lib import dataset
from stages.lib.errors import UserError

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 12345\n"


def images_in(*folders: str, each: int = 10, suffix: str = ".png") -> dict[str, bytes]:
    """Files by name, no two alike."""
    names = [f"{folder}/{number:02}{suffix}" for folder in folders for number in range(each)]
    return {name: png(sum(name.encode()) * 1000 + place, height=40, width=40) for place, name in enumerate(names)}


def encoded(kind: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(noise(len(kind), 40, 40, 3)).save(content, kind)
    return content.getvalue()


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def run(tmp_path, monkeypatch, source: Path) -> tuple[dict, Counter]:
    """Fetch a source; its summary, and (split, label) of its images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stage"])
    text = re.sub(r"(?m)^  source: \S+", "  source: images", (ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(re.sub(r"(?m)^  path: \S+", f"  path: {source}", text))
    fetch.main()
    rows = [row for table in dataset.open_dataset(tmp_path / "data/raw", "raw").tables() for row in table.to_pylist()]
    return json.loads((tmp_path / "data/raw/summary.json").read_text()), Counter(
        (row["split"], row["label"]) for row in rows
    )


CAT_DOG = {(None, "cat"): 10, (None, "dog"): 10}
SPLIT = {("train", "cat"): 10, ("train", "dog"): 10, ("test", "cat"): 10, ("test", "dog"): 10}
HIDDEN = {"cat/a.jfif": encoded("JPEG"), "cat/b.jpe": encoded("JPEG"), "dog/c": encoded("JPEG")}
HIDDEN |= {"dog/d.jpg?width=800": encoded("JPEG"), "dog/e.avif": encoded("AVIF"), "dog/f.dib": encoded("DIB")}


@pytest.mark.parametrize(
    ("files", "found", "skipped"),
    [
        (
            images_in(*(f"seg_{split}/seg_{split}/{label}" for split in ("train", "test") for label in ("cat", "dog")))
            | images_in("seg_pred/seg_pred"),
            SPLIT,
            {"in seg_pred, which has no class folders": 10},
        ),
        (images_in(*(f"{split}_set/{label}" for split in ("train", "test") for label in ("cat", "dog"))), SPLIT, {}),
        (images_in("animals/animals/cat", "animals/animals/dog"), CAT_DOG, {}),
        (
            images_in("data/cat", "data/dog") | {"preview.png": png(1), "README.md": b"x"},
            CAT_DOG,
            {"outside of a class folder": 1, ".md": 1},
        ),
        (
            images_in("cat", "dog") | HIDDEN | {"cat/x.heic": HEIC, "cat/y.svg": b"<svg>", "cat/z.txt": b""},
            {(None, "cat"): 12, (None, "dog"): 14},
            {".heic (HEIC)": 1, ".svg (SVG)": 1, ".txt": 1},
        ),
        (images_in(" cat", "dog\u200b"), CAT_DOG, {}),
    ],
)
def test_sets_are_read(tmp_path, monkeypatch, capsys, files, found, skipped):
    summary, places = run(tmp_path, monkeypatch, written(tmp_path / "source", files))
    assert places == found
    assert {reason: about["files"] for reason, about in summary["skipped"].items()} == skipped
    (tmp_path / "data/corrections.csv").write_text("id,label\n")
    clean.main()
    cleaned = dataset.open_dataset(tmp_path / "data/clean", "pixels")
    assert cleaned.classes == ["cat", "dog"]
    said = capsys.readouterr().out
    assert f"cat {found.get((None, 'cat'), 20)}, dog " in said and said.count("\n") == 2


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({f"train/{label}.{n}.jpg": png(n) for label in ("cat", "dog") for n in range(3)}, "images directly in train"),
        (images_in("cat", "cat ", "dog"), "'cat' and 'cat '|'cat ' and 'cat'"),
        (images_in("cat", "dog") | {f"iphone/{n}.heic": HEIC for n in range(8)}, r"class iphone .* 8 \.heic \(HEIC\)"),
        (dict.fromkeys(images_in("cat", "dog"), POINTER), "Git LFS pointer.*git lfs pull"),
        ({"train.zip": b"PK", "test1.zip": b"PK"}, r"2 \.zip \(test1\.zip, train\.zip\).*unpack"),
    ],
)
def test_sets_are_refused_with_the_cause(tmp_path, monkeypatch, files, says):
    with pytest.raises(UserError, match=says):
        run(tmp_path, monkeypatch, written(tmp_path / "source", files))
    assert not list(tmp_path.glob("data/*"))


def test_class_folders_that_are_links_are_named(tmp_path, monkeypatch):
    written(tmp_path / "real", images_in("cat", "dog"))
    (tmp_path / "source").mkdir()
    for label in ("cat", "dog"):
        (tmp_path / "source" / label).symlink_to(tmp_path / "real" / label)
    with pytest.raises(UserError, match="cat, dog are symbolic links to folders, which are not followed"):
        run(tmp_path, monkeypatch, tmp_path / "source")


def test_an_archive_of_windows_is_read(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, content in images_in("cat", "dog").items():
            archive.writestr(name.replace("/", "\\"), content)
    assert run(tmp_path, monkeypatch, tmp_path / "x.zip")[1] == CAT_DOG
