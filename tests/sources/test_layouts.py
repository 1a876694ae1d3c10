"""Sets as people have them, from their folders or archives through fetch and clean."""

import io
import json
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.datasets import whole
from makers.images import noise, png
from makers.photographs import things
from makers.profiles import ADOBE
from makers.projects import configure
from makers.tiffs import tiff
from PIL import Image

from kiln.core.errors import UserError
from kiln.modalities.image import decoding
from kiln.modalities.image.conversion import Conversion
from kiln.store import dataset
from stages import clean, fetch

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


def run(tmp_path, monkeypatch, source: Path, kind: str = "images", table="", column="auto") -> tuple[dict, Counter]:
    """Fetch a source of a kind, its table and column named; its summary, and (split, label) of its images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["stage"])
    configure(tmp_path, fetch__source__name=kind, fetch__path=str(source), fetch__image__column=column)
    if table:
        configure(tmp_path, fetch__source__manifest=table)
    fetch.main()
    rows = [row for table in dataset.open_dataset(tmp_path / "data/raw", "raw").tables() for row in table.to_pylist()]
    return json.loads((tmp_path / "data/raw/summary.json").read_text()), Counter(
        (row["split"], row["label"]) for row in rows
    )


def cleaned(tmp_path) -> tuple[dataset.Dataset, dict]:
    """Clean what was fetched; the dataset and its summary."""
    (tmp_path / "data/corrections.csv").write_text("id,label\n")
    clean.main()
    summary = json.loads((tmp_path / "data/clean/summary.json").read_text())
    return dataset.open_dataset(tmp_path / "data/clean", "clean"), summary


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
    assert cleaned(tmp_path)[0].classes == ["cat", "dog"]
    said = capsys.readouterr().out
    assert f"cat ({found.get((None, 'cat'), 20)}), dog " in said and said.count("\n") == 2


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({f"train/{label}.{n}.jpg": png(n) for label in ("cat", "dog") for n in range(3)}, "files directly in train"),
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


LISTED = [(f"images/{label}_{number}.png", label) for label in ("cat", "dog") for number in range(10)]


def table(row: str, head: str = "path,label") -> bytes:
    return "\n".join([head, *(row.format(path, label) for path, label in LISTED)]).encode()


BLANKS = table("{},{}").replace(b"_1.png,cat", b"_1.png, cat").replace(b"_2.png,cat", b"_2.png,cat ")
ENTRIES = "\n".join(f'{{"file_name": "{path}", "label": "{label}"}}' for path, label in LISTED).encode()


@pytest.mark.parametrize(
    ("name", "content", "fetched"),
    [
        ("manifest.csv", table("{};{}", "path;label"), {}),
        ("manifest.csv", table("{}\t{}", "path\tlabel"), {}),
        ("manifest.csv", table("{},{}").replace(b"images/", b"images\\"), {}),
        ("manifest.csv", BLANKS, {}),
        (
            "manifest.csv",
            table("{},{}", "id,label").replace(b"images/", b"").replace(b".png", b""),
            {"column": "id"},
        ),
        ("metadata.jsonl", ENTRIES, {"table": "metadata.jsonl", "column": "file_name"}),
    ],
    ids=["semicolons", "tabs", "backslashes", "blanks", "ids", "metadata.jsonl"],
)
def test_tables_from_elsewhere_are_read(tmp_path, monkeypatch, name, content, fetched):
    files = {path: png(place, height=40, width=40) for place, (path, _) in enumerate(LISTED)}
    source = written(tmp_path / "source", files | {name: content})
    assert run(tmp_path, monkeypatch, source, "manifest", **fetched)[1] == CAT_DOG
    found, summary = cleaned(tmp_path)
    assert found.classes == ["cat", "dog"] and summary["kept"] == 20


def test_a_spreadsheet_is_named(tmp_path, monkeypatch):
    source = written(tmp_path / "source", {"labels.xlsx": b"PK\3\4", "images/cat_0.png": png(0)})
    with pytest.raises(UserError, match=r"labels\.xlsx is a spreadsheet: save it as CSV"):
        run(tmp_path, monkeypatch, source, "manifest", table="labels.xlsx")


def parquet(path: Path, labels: list[int], with_bytes: bool) -> Path:
    pictures = [png(number, height=40, width=40) if with_bytes else None for number in range(len(labels))]
    image = pa.array(
        [{"bytes": content, "path": f"{number}.png"} for number, content in enumerate(pictures)],
        pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    )
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    about = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    pq.write_table(pa.table({"image": image, "label": labels}).replace_schema_metadata(about), path)
    return path


def test_rows_without_a_label_are_counted(tmp_path, monkeypatch):
    source = parquet(tmp_path / "x.parquet", [0] * 10 + [1] * 10 + [-1] * 4, with_bytes=True)
    summary, places = run(tmp_path, monkeypatch, source, "parquet")
    assert places == CAT_DOG and summary["skipped"]["row without a label"]["files"] == 4
    assert cleaned(tmp_path)[1]["kept"] == 20


def test_rows_with_paths_alone_are_named(tmp_path, monkeypatch):
    source = parquet(tmp_path / "x.parquet", [0, 1] * 6, with_bytes=False)
    with pytest.raises(UserError, match="12 rows hold only a path, not the content"):
        run(tmp_path, monkeypatch, source, "parquet")


def deep(kind: str, most: float, number: int, **how) -> bytes:
    """A deep picture whose values reach over 0 to ``most``."""
    values = (noise(number, 40, 40, how.pop("bands", 3)) / 255 * most).astype(kind)
    return tiff(values, how.pop("photometric", 2 if values.shape[-1] == 3 else 1), **how)


GRAY12 = [Image.fromarray(noise(n, 40, 40, 1)[..., 0].astype(np.uint16) * 16) for n in range(20)]


def saved(picture: Image.Image, kind: str = "PNG", **how) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **how)
    return content.getvalue()


def broken_exif(number: int) -> bytes:
    content, garbage = png(number, height=40, width=40), b"eXIfgarbage"
    return content[:33] + struct.pack(">I", 7) + garbage + struct.pack(">I", zlib.crc32(garbage)) + content[33:]


@pytest.mark.parametrize(
    ("made", "scaled", "flagged"),
    [
        (lambda n: saved(GRAY12[n]), [0, 4095], set()),
        (lambda n: deep("float32", 1, n, bands=1), [0, 1], set()),
        (lambda n: deep("uint16", 65535, n, planar=2), [0, 65535], set()),
        (lambda n: deep("uint16", 65535, n, bands=1, photometric=0), [0, 65535], set()),
        (broken_exif, None, {"metadata"}),
        (lambda n: saved(Image.fromarray(noise(n, 40, 40, 3)), "JPEG")[:-2], None, {"metadata"}),
        (lambda n: saved(Image.fromarray(noise(n, 40, 40, 3)), icc_profile=ADOBE), None, set()),
    ],
    ids=["12 bits in 16", "float", "planes", "white is zero", "broken EXIF", "no end", "Adobe RGB"],
)
def test_pixels_that_mean_something_else_are_kept(tmp_path, monkeypatch, capfd, made, scaled, flagged):
    files = {f"{label}/{n}.img": made(n + 10 * place) for place, label in enumerate(("cat", "dog")) for n in range(10)}
    assert run(tmp_path, monkeypatch, written(tmp_path / "source", files))[1] == CAT_DOG
    found, summary = cleaned(tmp_path)
    fields = summary["parts"]["image"]["conversion"]
    assert summary["kept"] == 20 and fields.get("range") == scaled
    assert {reason for reason, count in summary["flagged"].items() if count} == flagged
    # The stored pixels are those of the golden tests' decoder, by the conversion that is kept.
    conversion = Conversion(**fields)
    kept = whole(found, *dataset.SPLITS)
    for identity, pixels in zip(kept.ids, kept.parts["image"], strict=True):
        assert (pixels == decoding.convert(files[identity], conversion)).all() and pixels.std() > 20
    assert capfd.readouterr().err == ""


def test_what_has_too_many_bands_is_named_in_one_sentence(tmp_path, monkeypatch, capfd):
    bands = np.arange(40 * 40 * 13, dtype=np.uint16).reshape(40, 40, 13)
    files = {f"{label}/{n}.tif": tiff(bands + n, 1) for label in ("cat", "dog") for n in range(3)}
    run(tmp_path, monkeypatch, written(tmp_path / "source", files))
    with pytest.raises(UserError, match="6 x TIFF with 13 bands of 16-bit values: not read, save it as gray or RGB"):
        cleaned(tmp_path)
    assert capfd.readouterr().err == ""


def test_a_group_of_all_labels_leaves_each_class_its_splits(tmp_path, monkeypatch):
    rows = [(f"{n}.png", "abcd"[n % 4], "all") for n in range(60)]
    rows += [(f"{60 + n}.png", "abcd"[n % 4], f"g{n}") for n in range(80)]
    files = {name: png(n, height=16, width=16) for n, (name, *_) in enumerate(rows)}
    files["manifest.csv"] = "\n".join(["path,label,group", *map(",".join, rows)]).encode()
    run(tmp_path, monkeypatch, written(tmp_path / "source", files), "manifest")
    _, summary = cleaned(tmp_path)
    shares = {split: [counts[label] / 35 for label in "abcd"] for split, counts in summary["splits"].items()}
    assert all(0.1 <= share <= 0.3 for share in shares["test"])
    assert all(share > 0 for share in shares["validation"]) and not summary["uneven"]


def test_classes_of_three_images_share_validation(tmp_path, monkeypatch):
    files = images_in(*(f"c{n:02}" for n in range(60)), each=3)
    run(tmp_path, monkeypatch, written(tmp_path / "source", files))
    splits = cleaned(tmp_path)[1]["splits"]
    assert [sum(splits[name].values()) for name in dataset.SPLITS] == [108, 12, 60]


def test_different_things_of_one_kind_stay(tmp_path, monkeypatch):
    pictures = things(120, 64)
    places = ("train/cat", "train/dog", "test/cat", "test/dog")
    files = {f"{places[n % 4]}/{n}.png": saved(Image.fromarray(picture)) for n, picture in enumerate(pictures)}
    run(tmp_path, monkeypatch, written(tmp_path / "source", files))
    _, summary = cleaned(tmp_path)
    assert summary["kept"] == 120 and summary["flagged"]["near_duplicate"] == 0
