import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import png

from stages.lib import sources
from stages.lib.errors import UserError

CLASSES = ["cats/1.png", "cats/2.PNG", "dogs/1.jpg", "dogs/deep/2.png"]
SPLITS = ["test/cats/1.png", "test/dogs/1.png", "train/cats/1.png", "train/cats/2.png", "train/dogs/1.png"]


def place(names, **skipped_counts):
    skipped = sources.Skipped()
    places = sources.layout(names, skipped, Path("src"))
    assert dict(skipped.counts) == skipped_counts
    return places


def test_class_folders():
    assert place(CLASSES) == {
        "cats/1.png": ("cats/1.png", "cats", None),
        "cats/2.PNG": ("cats/2.PNG", "cats", None),
        "dogs/1.jpg": ("dogs/1.jpg", "dogs", None),
        "dogs/deep/2.png": ("dogs/deep/2.png", "dogs", None),
    }


def test_split_folders():
    places = place(SPLITS)
    assert places["train/cats/2.png"] == ("train/cats/2.png", "cats", "train")
    assert places["test/dogs/1.png"] == ("test/dogs/1.png", "dogs", "test")


@pytest.mark.parametrize("names", [CLASSES, SPLITS])
def test_one_wrapping_folder_changes_nothing(names):
    wrapped = place([f"set/{name}" for name in names])
    assert list(wrapped.values()) == list(place(names).values())


@pytest.mark.parametrize("name", ["val", "valid", "Validation"])
def test_names_of_validation(name):
    places = place([*SPLITS, f"{name}/cats/1.png"])
    assert places[f"{name}/cats/1.png"][2] == "validation"


def test_surprises_are_skipped_and_counted():
    surprises = [
        ".DS_Store",
        "cats/.hidden.png",
        "__MACOSX/cats/._1.png",
        "cats/Thumbs.db",
        "README.md",
        "stray.png",
        "cats/a\nb.png",
        "cats/\udcff.png",
        "./cats/1.png",
    ]
    places = place(
        CLASSES + surprises,
        **{
            "hidden": 3,
            "not an image by its extension": 2,
            "outside of a class folder": 1,
            "unprintable name": 2,
            "second file of one name": 1,
        },
    )
    assert list(places) == CLASSES


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "no image in a class folder"),
        (["a.png", "b.png"], "no image in a class folder"),
        (["cats/1.png", "cats/2.png"], "only the class cats"),
        (["train/1.png", "test/2.png"], "mix splits and classes"),
        (["train/cats/1.png", "test/cats/2.png", "extra/3.png"], "mix splits and classes"),
    ],
)
def test_what_is_no_labelled_set_is_refused(names, says):
    with pytest.raises(UserError, match=says):
        sources.layout(names, sources.Skipped(), Path("src"))


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
    skipped = sources.Skipped()
    records = sorted(sources.read("images", path, skipped))
    assert [(record.id, record.label, record.split) for record in records] == [
        (name, name.split("/")[1], name.split("/")[0]) for name in SPLITS
    ]
    assert [record.content for record in records] == [png(seed) for seed in range(len(SPLITS))]
    assert records[0].path == "1.png"
    assert skipped.counts == {"not an image by its extension": 1}


def test_symbolic_links_are_not_followed(tmp_path):
    folder = as_folder(tmp_path)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/1.png").write_bytes(png(9))
    (folder / "set/train/secret").symlink_to(tmp_path / "secret")
    (folder / "set/train/cats/3.png").symlink_to(tmp_path / "secret/1.png")
    skipped = sources.Skipped()
    records = list(sources.read("images", folder, skipped))
    assert len(records) == len(SPLITS)
    assert skipped.counts["symbolic link"] == 2


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
    skipped = sources.Skipped()
    assert len(list(sources.read("images", path, skipped))) == 4
    assert skipped.counts == {"not a regular file": 1}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_members_of_one_name_the_first_regular_one_counts(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("cats/1.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        for seed, name in enumerate(["cats/1.png", "cats/1.png", "dogs/1.png"]):
            archive.writestr(name, png(seed))
    skipped = sources.Skipped()
    contents = {record.id: record.content for record in sources.read("images", path, skipped)}
    assert contents == {"cats/1.png": png(0), "dogs/1.png": png(2)}
    assert skipped.counts == {"not a regular file": 1, "second file of one name": 1}


@pytest.mark.parametrize("kind", ["zip", "gz", "xz"])
def test_a_truncated_archive_is_one_sentence(tmp_path, kind):
    path = as_zip(tmp_path) if kind == "zip" else as_tar(tmp_path, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=f"{path.name} is "):
        list(sources.read("images", path, sources.Skipped()))


def test_a_damaged_member_is_one_sentence(tmp_path):
    path = as_zip(tmp_path)
    content = bytearray(path.read_bytes())
    position = content.find(b"IDAT") + 6
    content[position] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged archive"):
        list(sources.read("images", path, sources.Skipped()))


def test_neither_folder_nor_archive(tmp_path):
    (tmp_path / "x.zip").write_text("hello")
    with pytest.raises(UserError, match="neither a folder nor a readable zip or tar"):
        sources.read("images", tmp_path / "x.zip", sources.Skipped())
    with pytest.raises(UserError, match="does not exist"):
        sources.read("images", tmp_path / "y.zip", sources.Skipped())


def test_digits_refuse_to_hide_the_users_images(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"fetch\.source is digits, which reads no path"):
        sources.read("digits", tmp_path, sources.Skipped())
    monkeypatch.chdir(tmp_path)
    Path("data/source/cats").mkdir(parents=True)
    with pytest.raises(UserError, match=r"holds cats, but fetch\.source is digits"):
        sources.read("digits", Path("data/source"), sources.Skipped())


def test_digits():
    records = list(sources.digits())
    assert len(records) == 1797
    assert (records[0].id, records[0].label, records[1796].id) == ("0", "0", "1796")
