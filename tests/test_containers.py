import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import png

from stages.lib import containers, folders, records
from stages.lib.errors import UserError

CLASSES = ["cats/1.png", "cats/2.PNG", "dogs/1.jpg", "dogs/deep/2.png"]
SPLITS = ["test/cats/1.png", "test/dogs/1.png", "train/cats/1.png", "train/cats/2.png", "train/dogs/1.png"]


def read(path: Path, surprises: records.Surprises) -> list[records.Record]:
    container = containers.open_container(path, surprises.skipped)
    return list(folders.open_source(container, surprises, path).records(None))


def fill(folder: Path) -> None:
    for seed, name in enumerate(SPLITS):
        path = folder / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed))
    (folder / "set/notes.txt").write_text("x")


def as_folder(folder: Path) -> Path:
    fill(folder / "f")
    return folder / "f"


def as_zip(folder: Path) -> Path:
    fill(folder / "z")
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        for path in sorted((folder / "z").rglob("*"), reverse=True):
            archive.write(path, path.relative_to(folder / "z"))
    return folder / "x.zip"


def as_tar(folder: Path, kind: str) -> Path:
    fill(folder / "t")
    with tarfile.open(folder / f"x.{kind}", f"w:{kind}" if kind != "tar" else "w") as archive:
        archive.add(folder / "t", ".")
    return folder / f"x.{kind}"


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "gz", "xz", "bz2"])
def test_a_folder_and_its_archives_hold_the_same_records(tmp_path, kind):
    path = {"folder": as_folder, "zip": as_zip}.get(kind, lambda folder: as_tar(folder, kind))(tmp_path)
    surprises = records.Surprises()
    found = sorted(read(path, surprises))
    assert [(record.id, record.label, record.split) for record in found] == [
        (name, name.split("/")[1], name.split("/")[0]) for name in SPLITS
    ]
    assert [record.content for record in found] == [png(seed) for seed in range(len(SPLITS))]
    assert found[0].path == "1.png"
    assert surprises.skipped.counts == {"not an image by its extension": 1}


def test_symbolic_links_are_not_followed(tmp_path):
    folder = as_folder(tmp_path)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/1.png").write_bytes(png(9))
    (folder / "set/train/secret").symlink_to(tmp_path / "secret")
    (folder / "set/train/cats/3.png").symlink_to(tmp_path / "secret/1.png")
    surprises = records.Surprises()
    found = list(read(folder, surprises))
    assert len(found) == len(SPLITS)
    assert surprises.skipped.counts["symbolic link"] == 2


def test_links_and_devices_in_archives_are_skipped(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name in CLASSES:
            info = tarfile.TarInfo(name)
            info.size = len(png(0))
            archive.addfile(info, io.BytesIO(png(0)))
        link = tarfile.TarInfo("cats/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    surprises = records.Surprises()
    assert len(list(read(path, surprises))) == 4
    assert surprises.skipped.counts == {"not a regular file": 1}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_members_of_one_name_the_first_regular_one_counts(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("cats/1.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        for seed, name in enumerate(["cats/1.png", "cats/1.png", "dogs/1.png"]):
            archive.writestr(name, png(seed))
    surprises = records.Surprises()
    contents = {record.id: record.content for record in read(path, surprises)}
    assert contents == {"cats/1.png": png(0), "dogs/1.png": png(2)}
    assert surprises.skipped.counts == {"not a regular file": 1, "second file of one name": 1}


@pytest.mark.parametrize("kind", ["zip", "gz", "xz"])
def test_a_truncated_archive_is_one_sentence(tmp_path, kind):
    path = as_zip(tmp_path) if kind == "zip" else as_tar(tmp_path, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=f"{path.name} is "):
        list(read(path, records.Surprises()))


def test_a_damaged_member_is_one_sentence(tmp_path):
    path = as_zip(tmp_path)
    content = bytearray(path.read_bytes())
    position = content.find(b"IDAT") + 6
    content[position] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged archive"):
        list(read(path, records.Surprises()))


def test_neither_folder_nor_archive(tmp_path):
    (tmp_path / "x.zip").write_text("hello")
    with pytest.raises(UserError, match="neither a folder nor a readable zip or tar"):
        read(tmp_path / "x.zip", records.Surprises())
    with pytest.raises(UserError, match="does not exist"):
        read(tmp_path / "y.zip", records.Surprises())


def test_empty_folders_and_names_that_are_no_text(tmp_path):
    folder = as_folder(tmp_path)
    (folder / "set/train/birds").mkdir()
    Path(os.fsdecode(os.fsencode(folder / "set/train/cats") + b"/\xff.png")).write_bytes(png(8))
    surprises = records.Surprises()
    assert len(read(folder, surprises)) == len(SPLITS)
    assert surprises.notes.examples["empty folder"] == ["set/train/birds"]
    assert surprises.skipped.examples["unprintable name"] == ["'set/train/cats/\\udcff.png'"]
