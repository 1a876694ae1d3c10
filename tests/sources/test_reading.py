import hashlib
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.images import png
from makers.records import IMAGE
from makers.settings import change

from kiln import params
from kiln.core import download
from kiln.core.errors import UserError
from kiln.modalities import registry
from kiln.params import image, schema
from kiln.params.modalities import MODALITIES
from kiln.sources import cifar, reading, records

INPUTS = {"image": "image"}


def settings(inputs=INPUTS, **changes) -> params.Fetch:
    """Make the default fetch section for the parts of a sample, with changes."""
    return change(schema.model_for(inputs).model_fields["fetch"].annotation(), **changes)


def fill(folder: Path, classes: str = "ab", each: int = 20) -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(each):
            (folder / name / f"{index}.png").write_bytes(png(index))
    return folder


def test_digits():
    found = list(reading.read(settings(), INPUTS, 0, records.Surprises()))
    assert len(found) == 1797
    assert (found[0].id, found[0].label, found[1796].id) == ("0", "0", "1796")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"path": "/photos"}, r"fetch\.source\.name is digits, which reads no path"),
        ({"url": "http://x/y.zip"}, r"fetch\.source\.url is set, but fetch\.source\.name is digits"),
        (
            {"name": "images", "url": "http://x/y.zip", "path": "/photos"},
            r"but fetch\.source\.url is set: choose one",
        ),
        ({"name": "images", "sha256": "0" * 64}, r"fetch\.source\.sha256 is set, but nothing is downloaded"),
        ({"name": "images", "path": "/nowhere"}, "does not exist"),
        ({"name": "parquet", "path": "/nowhere"}, "does not exist"),
        (
            {"name": "manifest", "path": "/x/list.csv"},
            r"set fetch\.path to the folder .* and fetch\.source\.manifest to list\.csv",
        ),
    ],
)
def test_settings_that_would_be_ignored_are_refused(changes, says):
    with pytest.raises(UserError, match=says):
        reading.read(settings(**changes), INPUTS, 0, records.Surprises())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, r"holds a, but fetch\.source\.name is digits"),
        (
            {"name": "images", "url": "http://x/y.zip"},
            r"holds a, but fetch\.source\.url is set: clear fetch\.source\.url",
        ),
    ],
)
def test_the_users_images_are_never_passed_over(tmp_path, monkeypatch, changes, says):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "data/source")
    with pytest.raises(UserError, match=says):
        reading.read(settings(**changes), INPUTS, 0, records.Surprises())


@pytest.mark.parametrize(
    ("changes", "url", "sha256"),
    [
        ({"name": "cifar10"}, cifar.OFFICIAL + "cifar-10-binary.tar.gz", cifar.SHA256["cifar-10-binary.tar.gz"]),
        ({"name": "cifar100"}, cifar.OFFICIAL + "cifar-100-binary.tar.gz", cifar.SHA256["cifar-100-binary.tar.gz"]),
        (
            {"name": "cifar10", "url": "http://mirror/cifar-10-python.tar.gz"},
            "http://mirror/cifar-10-python.tar.gz",
            cifar.SHA256["cifar-10-python.tar.gz"],
        ),
        ({"name": "images", "url": "s3://b/x.zip", "sha256": "1" * 64}, "s3://b/x.zip", "1" * 64),
        ({"name": "images", "url": "s3://b/x.zip"}, "s3://b/x.zip", ""),
    ],
)
def test_what_is_downloaded_and_how_it_is_pinned(tmp_path, monkeypatch, changes, url, sha256):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "fetch", lambda *asked: asked)
    assert reading.locate(settings(**changes)) == (url, sha256, settings().source.deadline)


def test_a_limit_draws_by_seed_and_grows_steadily(tmp_path):
    folder = fill(tmp_path / "images")
    drawn = {
        (limit, seed): [
            record.id
            for record in reading.read(
                settings(name="images", path=str(folder), limit=limit), INPUTS, seed, records.Surprises()
            )
        ]
        for limit, seed in [(3, 0), (7, 0), (3, 1), (50, 0)]
    }
    assert [sum(name.startswith(label) for name in drawn[3, 0]) for label in "ab"] == [3, 3]
    assert set(drawn[3, 0]) < set(drawn[7, 0]) < set(drawn[50, 0])
    assert set(drawn[3, 0]) != set(drawn[3, 1])
    assert len(drawn[50, 0]) == 40 and drawn[3, 0] == [name for name in drawn[50, 0] if name in drawn[3, 0]]


@pytest.mark.parametrize("order", [1, -1])
def test_the_draw_does_not_depend_on_the_order(order):
    places = [records.Place(str(number), "a", None) for number in range(9000)][::order]
    digest = hashlib.sha256(" ".join(sorted(records.choose(places, 5, 0))).encode()).hexdigest()
    assert digest == hashlib.sha256(" ".join(sorted(records.choose(places[::-1], 5, 0))).encode()).hexdigest()


def test_a_limit_counts_each_split_apart():
    places = [records.Place(f"{split}{n}", "a", split) for split in ("train", "test") for n in range(10)]
    chosen = records.choose(places, 4, 0)
    assert sum(name.startswith("train") for name in chosen) == 4 and len(chosen) == 8


class Notes:
    """A modality of texts, as far as sources ask."""

    name, noun = "note", "note"
    extensions = frozenset([".txt"])
    refused, remedies = {}, {}
    usual_formats, columns, separator = "UTF-8 text", ("text",), None

    def reads(self, head: bytes) -> bool:
        return head.startswith(b"note")


TWO_PARTS = {"photo": "image", "title": "note"}


@pytest.fixture
def notes(monkeypatch):
    monkeypatch.setattr(registry, "get", {"image": IMAGE, "note": Notes(), "text": Notes()}.__getitem__)
    monkeypatch.setitem(MODALITIES, "note", {"fetch": image.Fetch})


def pairs(folder: Path) -> Path:
    for number in range(4):
        (folder / "img").mkdir(parents=True, exist_ok=True)
        (folder / f"img/{number}.png").write_bytes(png(number))
        (folder / f"{number}.txt").write_text(f"note {number}")
    rows = [f"{number % 3},img/{number}.png,{number}.txt,{'ab'[number % 2]}" for number in range(4)]
    (folder / "manifest.csv").write_text("\n".join(["other,photo,title_file_name,label", *rows]))
    return folder


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_manifest_gives_several_parts_in_the_order_of_its_rows(tmp_path, notes, kind):
    path = pairs(tmp_path / "set")
    if kind != "folder":
        path = Path(shutil.make_archive(str(tmp_path / "set"), kind, path))
    surprises = records.Surprises()
    found = list(reading.read(settings(TWO_PARTS, name="manifest", path=str(path)), TWO_PARTS, 0, surprises))
    assert [one.id for one in found] == [f"img/{number}.png + {number}.txt" for number in range(4)]
    assert found[2].contents == {
        "photo": records.Content(png(2), "2.png"),
        "title": records.Content(b"note 2", "2.txt"),
    }
    assert not surprises.skipped.counts
    limited = reading.read(
        settings(TWO_PARTS, name="manifest", path=str(path), limit=1), TWO_PARTS, 0, records.Surprises()
    )
    assert [one.label for one in limited] == ["a", "b"]


def test_files_may_be_of_several_samples_and_rows_lack_no_part(tmp_path, notes):
    path = pairs(tmp_path)
    rows = ["photo,title,label", "img/0.png,0.txt,a", "img/0,1,b", "img/0.png,0.txt,a"]
    (path / "manifest.csv").write_text("\n".join(rows))
    surprises = records.Surprises()
    found = list(reading.read(settings(TWO_PARTS, name="manifest", path=str(path)), TWO_PARTS, 0, surprises))
    assert [one.id for one in found] == ["img/0.png + 0.txt", "img/0.png + 1.txt"]
    assert surprises.skipped.counts == {"listed twice": 1, "not in the table": 5}
    assert surprises.notes.counts.total() == 2
    (path / "manifest.csv").write_text("\n".join([*rows, "img/1.png,,b"]))
    with pytest.raises(UserError, match="line 5: lacks the path of its title: write that of the note, or take the"):
        list(reading.read(settings(TWO_PARTS, name="manifest", path=str(path)), TWO_PARTS, 0, surprises))
    (path / "manifest.csv").write_text("\n".join([*rows, "img/1.png,9.txt,b"]))
    with pytest.raises(UserError, match=r"lists 1 files that .* not hold, 9\.txt first; there is 0\.txt, 1\.txt, 2"):
        list(reading.read(settings(TWO_PARTS, name="manifest", path=str(path)), TWO_PARTS, 0, surprises))
    (path / "manifest.csv").write_text("path,title,label\n")
    with pytest.raises(UserError, match=r"no column photo or photo_file_name or photo_path, .* fetch\.photo\.column"):
        list(reading.read(settings(TWO_PARTS, name="manifest", path=str(path)), TWO_PARTS, 0, surprises))


def test_parquet_gives_several_parts_and_reports_rows_that_lack_one(tmp_path, notes):
    titles = pa.array([b"note", None, b"note", b""])
    table = {"photo": pa.array([png(number) for number in range(4)]), "title": titles, "label": list("abab")}
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    surprises = records.Surprises()
    source = settings(TWO_PARTS, name="parquet", path=str(tmp_path))
    found = list(reading.read(source, TWO_PARTS, 0, surprises))
    assert [(one.id, {part: content.bytes for part, content in one.contents.items()}) for one in found] == [
        (f"x/{number}", {"photo": png(number), "title": titles[number].as_py()}) for number in (0, 2, 3)
    ]
    assert surprises.skipped.counts == {"row without its title": 1}
    pq.write_table(pa.table(table | {"title": pa.array([b"note", None, b"note", None])}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"2 of the kind 'row without its title' .* and nothing is left of b: write"):
        list(reading.read(source, TWO_PARTS, 0, surprises))


@pytest.mark.parametrize(
    ("source", "inputs", "says"),
    [
        (
            "images",
            TWO_PARTS,
            r"inputs has the parts photo, title, but fetch\.source\.name images gives one: .* or parquet",
        ),
        ("digits", TWO_PARTS, r"inputs has the parts photo, title, but fetch\.source\.name digits gives one"),
        (
            "cifar10",
            {"title": "note"},
            r"fetch\.source\.name cifar10 gives images, but inputs says that title is note: set",
        ),
        ("images", {"t": "text"}, r"images gives images, but .* t is text: .* fetch\.source\.name to texts, table or"),
        ("texts", {"image": "image"}, r"texts gives texts, but .* image is image: .* to images, manifest or parquet"),
        ("table", {"photo": "image", "t": "text"}, r"table gives texts, but .* photo is image: .* manifest or parquet"),
    ],
)
def test_parts_that_a_source_cannot_give_are_refused(notes, source, inputs, says):
    with pytest.raises(UserError, match=says):
        reading.read(settings(name=source), inputs, 0, records.Surprises())


def test_folders_of_another_modality_are_read_by_its_extensions_and_first_bytes(tmp_path, notes):
    for label in "ab":
        (tmp_path / label).mkdir()
        for name, content in {"1.txt": b"x", "2": b"note", "3.png": png(0), "4": b"other"}.items():
            (tmp_path / label / name).write_bytes(content)
    surprises = records.Surprises()
    found = list(
        reading.read(settings({"title": "text"}, name="texts", path=str(tmp_path)), {"title": "text"}, 0, surprises)
    )
    assert [one.id for one in found] == ["a/1.txt", "a/2", "b/1.txt", "b/2"]
    assert found[0].contents == {"title": records.Content(b"x", "1.txt")}
    assert surprises.skipped.counts == {".png (PNG)": 2, "without extension (text)": 2}
