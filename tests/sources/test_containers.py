import contextlib
import gzip
import io
import os
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from makers.images import png
from makers.records import IMAGE

from kiln.core.errors import UserError
from kiln.sources import archives, containers, folders, listing, records

CLASSES = ["cats/1.png", "cats/2.PNG", "dogs/1.jpg", "dogs/deep/2.png"]
SPLITS = ["test/cats/1.png", "test/dogs/1.png", "train/cats/1.png", "train/cats/2.png", "train/dogs/1.png"]


def read(path: Path, surprises: records.Surprises) -> list[records.Record]:
    container = containers.open_container(path, surprises.skipped)
    return list(folders.open_source(container, "image", IMAGE, surprises, path).records(None))


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
    assert [record.contents["image"].bytes for record in found] == [png(seed) for seed in range(len(SPLITS))]
    assert found[0].contents["image"].path == "1.png"
    assert surprises.skipped.counts == {".txt": 1}


def test_symbolic_links_are_not_followed(tmp_path):
    folder = as_folder(tmp_path)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/1.png").write_bytes(png(9))
    (folder / "set/train/cats/secret").symlink_to(tmp_path / "secret")
    (folder / "set/train/cats/3.png").symlink_to(tmp_path / "secret/1.png")
    surprises = records.Surprises()
    found = list(read(folder, surprises))
    assert len(found) == len(SPLITS)
    assert surprises.skipped.counts["symbolic link"] == 2
    (folder / "set/train/secret").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="set/train/secret is a symbolic link to a folder, which are not followed"):
        read(folder, records.Surprises())


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
    contents = {record.id: record.contents["image"].bytes for record in read(path, surprises)}
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


def zipped(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, contents: dict[str, bytes], **options) -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w", **options) as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def pack(folder: Path, kind: str, contents: dict[str, bytes]) -> Path:
    if kind == "folder":
        for name, content in contents.items():
            (folder / kind / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / kind / name).write_bytes(content)
        return folder / kind
    return (zipped if kind == "zip" else tarred)(folder / f"x.{kind}", contents)


@contextlib.contextmanager
def memory_below(most: int):
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


PLAIN = {"cats/1.png": png(0), "dogs/1.png": png(1), "dogs/2.png": png(2)}


@pytest.mark.parametrize("kind", ["zip", "tar", "gz"])
def test_names_that_lead_outside_stay_inside_and_are_noted(tmp_path, kind):
    path = pack(tmp_path, kind, {"../cats/1.png": png(0), "/dogs/1.png": png(1), "a/../../dogs/2.png": png(2)})
    surprises = records.Surprises()
    found = [record.id for record in read(path, surprises)]
    assert sorted(found) == ["a/dogs/2.png", "cats/1.png", "dogs/1.png"]
    assert surprises.notes.counts["name that leads outside, read without its / or .."] == 3
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_classes_of_an_archive_that_differ_by_case_are_refused(tmp_path, kind):
    path = pack(tmp_path, kind, {**PLAIN, "Cats/2.png": png(3)})
    with pytest.raises(
        UserError, match=r"'cats' and 'Cats', which differ only by case|'Cats' and 'cats', which differ"
    ):
        read(path, records.Surprises())


def test_devices_fifos_hard_links_and_sparse_files_in_a_tar_are_skipped(tmp_path):
    path = tarred(tmp_path / "x.tar", PLAIN)
    with tarfile.open(path, "a") as archive:
        for number, kind in enumerate([tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE]):
            info = tarfile.TarInfo(f"cats/d{number}.png")
            info.type, info.linkname = kind, "cats/1.png"
            archive.addfile(info)
        sparse = tarfile.TarInfo("cats/sparse.png")
        sparse.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**40)}
        sparse.size = 1
        archive.addfile(sparse, io.BytesIO(b"x"))
    surprises = records.Surprises()
    assert sorted(record.id for record in read(path, surprises)) == sorted(PLAIN)
    assert surprises.skipped.counts == {"not a regular file": 5}


@pytest.mark.parametrize("kind", ["zip", "gz", "bz2", "xz"])
def test_a_bomb_by_ratio_is_refused(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "FLOOR", 10**6)
    path = pack(tmp_path, kind, {**PLAIN, "dogs/3.png": bytes(10**7), "dogs/4.png": bytes(10**7)})
    with pytest.raises(UserError, match="looks like a decompression bomb"):
        read(path, records.Surprises())
    monkeypatch.setattr(archives, "FLOOR", 10**8)
    assert len(read(path, records.Surprises())) == 5


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "gz", "bz2", "xz"])
def test_a_huge_file_is_refused_while_it_is_read(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(listing, "MAX_FILE", 2**20)
    path = pack(tmp_path, kind, {**PLAIN, "dogs/3.png": bytes(2**20)})
    assert len(read(path, records.Surprises())) == 4
    path = pack(tmp_path, kind, {**PLAIN, "dogs/3.png": bytes(2**26)})
    with (
        memory_below(2**24),
        pytest.raises(UserError, match=r"dogs/3\.png has more than 1 MiB, more than Kiln reads: take it out"),
    ):
        read(path, records.Surprises())


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_of_zip_that_cannot_be_bounded_are_refused(tmp_path, method):
    path = zipped(tmp_path / "x.zip", {**PLAIN, "dogs/3.png": bytes(2**26)}, method)
    with memory_below(2**22), pytest.raises(UserError, match="is not compressed by deflate"):
        read(path, records.Surprises())
    path = zipped(tmp_path / "y.zip", {"cats/\n1.png": png(0)}, method)
    with pytest.raises(UserError, match=r"\('cats/\\n1\.png'\): pack it again"):
        read(path, records.Surprises())


@pytest.mark.parametrize("kind", ["zip", "tar", "gz"])
def test_too_many_members_are_refused(tmp_path, kind, monkeypatch):
    path = pack(tmp_path, kind, PLAIN)
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    with pytest.raises(UserError, match="has more than 2 members: split it"):
        read(path, records.Surprises())


def test_a_directory_beyond_measure_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = zipped(tmp_path / "x.zip", PLAIN)
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 180)
    with pytest.raises(UserError, match="looks like a decompression bomb"):
        read(path, records.Surprises())


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_of_a_tar_is_not_read_whole_into_memory(tmp_path, kind):
    long = tarfile.TarInfo("long")
    long.type, long.size = kind, 2**28
    path = tmp_path / "x.tar.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(long.tobuf() + bytes(2**28))
        file.write(tarfile.TarInfo("cats/1.png").tobuf())
    with memory_below(2**24), pytest.raises(UserError, match="looks like a decompression bomb"):
        read(path, records.Surprises())


def test_global_headers_do_not_pile_up(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(200):
            archive.fileobj.write(tarfile.TarInfo.create_pax_global_header({f"key{number}": "x" * 100}))
            archive.addfile(tarfile.TarInfo(f"cats/{number}.png"))
    with pytest.raises(UserError, match="looks like a decompression bomb"):
        read(tmp_path / "x.tar", records.Surprises())


@pytest.mark.parametrize("size", [1, 2**31])
def test_a_zip_that_lies_about_sizes_is_refused(tmp_path, size, monkeypatch):
    monkeypatch.setattr(listing, "MAX_FILE", 2**20)
    path = zipped(tmp_path / "x.zip", {"cats/1.png": bytes(2**26), **{name: PLAIN[name] for name in list(PLAIN)[1:]}})
    content = bytearray(path.read_bytes())
    # Where the first entry of the central directory holds the size of the file.
    struct.pack_into("<L", content, content.find(b"PK\1\2") + 24, size)
    path.write_bytes(content)
    with memory_below(2**22), pytest.raises(UserError, match=r"damaged archive|more than 1 MiB"):
        read(path, records.Surprises())


def test_a_zip_whose_members_overlap_is_refused(tmp_path):
    path = zipped(tmp_path / "x.zip", {"cats/1.png": bytes(2**20), "dogs/2.png": bytes(2**20)})
    content = bytearray(path.read_bytes())
    second = content.find(b"PK\1\2", content.find(b"PK\1\2") + 1)
    struct.pack_into("<L", content, second + 42, 0)  # both at the start of the file
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"looks like a decompression bomb|damaged archive .*[Oo]verlap"):
        read(path, records.Surprises())


def test_what_follows_a_broken_header_of_a_tar_is_not_lost_without_a_word(tmp_path):
    path = tarred(tmp_path / "x.tar", PLAIN)
    content = bytearray(path.read_bytes())
    content[content.find(b"dogs/2.png")] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="is a damaged archive"):
        read(path, records.Surprises())


def test_a_bomb_of_empty_members_is_refused(tmp_path, monkeypatch):
    path = tarred(tmp_path / "x.gz", {f"cats/{number}.png": b"" for number in range(5000)})
    monkeypatch.setattr(archives, "FLOOR", 10**5)
    monkeypatch.setattr(archives, "MAX_RATIO", 10)
    with pytest.raises(UserError, match="looks like a decompression bomb"):
        read(path, records.Surprises())


def test_a_member_beyond_measure_is_not_even_passed_over(tmp_path):
    endless = tarfile.TarInfo("notes.txt")
    endless.size = 2**32
    path = tmp_path / "x.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(endless.tobuf() + bytes(2**16))  # not whole: whoever tried to pass it over would say so
    with pytest.raises(UserError, match="looks like a decompression bomb"):
        read(path, records.Surprises())


def named(path: Path, names: list[bytes], system: int) -> Path:
    """A zip whose names are these bytes, without a word on their encoding, as by some system's tools."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            info = zipfile.ZipInfo("x" * len(name))
            info.create_system = system
            archive.writestr(info, png(number))
    content = path.read_bytes()
    for name in names:
        content = content.replace(b"x" * len(name), name, 1)
    for name in names:  # and once more in the directory
        content = content.replace(b"x" * len(name), name, 1)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("encoding", "system", "guess"),
    [
        ("utf-8", 3, "UTF-8"),
        ("utf-8", 0, "UTF-8"),
        ("cp437", 0, "code page 437 by guess"),
        ("latin-1", 3, "Latin-1 by"),
    ],
)
def test_names_in_a_zip_that_does_not_tell_their_encoding(tmp_path, encoding, system, guess):
    names = ["hus/1.png", "m\u00f6wef/2.png", "m\u00f6wef/3333.png", "hus/55555.png"]
    path = named(tmp_path / "x.zip", [name.encode(encoding) for name in names], system)
    skipped = records.Tally()
    container = containers.open_container(path, skipped)
    assert sorted(container.names) == sorted(names) and not skipped.counts
    assert [content for _, content in container.contents(lambda name: name == names[1])] == [png(1)]
    ((reason, count),) = container.notes.counts.items()
    assert guess in reason and count == 2


def test_names_of_a_zip_by_its_flag_or_by_its_own_field_are_no_guess(tmp_path):
    path = zipped(tmp_path / "x.zip", {"m\u00f6we/1.png": png(0), "hus/1.png": png(1)})
    container = containers.open_container(path, records.Tally())
    assert sorted(container.names) == ["hus/1.png", "m\u00f6we/1.png"] and not container.notes.counts


BACK = {name.replace("/", "\\"): content for name, content in PLAIN.items()}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "gz"])
def test_separators_of_windows_are_read(tmp_path, kind):
    path = pack(tmp_path, kind, BACK)
    surprises = records.Surprises()
    assert {record.id: record.contents["image"].bytes for record in read(path, surprises)} == PLAIN
    container = containers.open_container(path, records.Tally())
    assert container.notes.counts == {"name with Windows' separators, read with /": 3}


def test_a_zip_of_windows_with_folders_of_its_own(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"cats/": b"", "dogs\\": b"", "readme/a.txt": b"", **BACK}.items():
            info = zipfile.ZipInfo(name)
            info.create_system = 0
            archive.writestr(info, content)
    assert {record.id for record in read(path, records.Surprises())} == set(PLAIN)


def test_a_backslash_beside_slashes_is_a_letter(tmp_path):
    path = pack(tmp_path, "zip", {**PLAIN, "cats/a\\b.png": png(5)})
    assert "cats/a\\b.png" in {record.id for record in read(path, records.Surprises())}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_an_archive_of_archives_is_named(tmp_path, kind):
    path = pack(tmp_path, kind, {"set/train.zip": b"PK", "set/test1.zip": b"PK", "sample.csv": b"a"})
    with pytest.raises(UserError, match=r"2 \.zip \(set/t.*\.zip, set/t.*\.zip\), .*archives within are not opened"):
        read(path, records.Surprises())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"Rar!\x1a\x07\x01\0", "a RAR archive: unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
        (b"<!DOCTYPE html><html>sign in</html>", "a web page, .*: download the file again"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer.*git lfs pull"),
        (png(0), r"but one file \(PNG\): give the folder"),
        (b"", "but an empty file: download or copy it again"),
        (b"PK\3\4" + bytes(900), "a zip archive without its end, or one part of several"),
        (b"PK\7\x08PK\3\4" + bytes(900), "a zip archive without its end, or one part of several"),
        (b"path,label\na.png,cat\n", "but text: .* set fetch.source.name to manifest"),
        (b'{"error": "forbidden"}', "but JSON, as servers send"),
        (gzip.compress(b"no tar" * 200, mtime=0), "but compressed, but not a tar archive"),
        (b"%PDF-1.7", r"but one file \(PDF\)"),
        (b"\1\2\3" * 300, "neither a folder nor a readable zip or tar archive$"),
    ],
)
def test_what_is_no_archive_is_named(tmp_path, content, says):
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(UserError, match=says):
        read(tmp_path / "x.zip", records.Surprises())


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "gz"])
def test_first_bytes_are_read_alone(tmp_path, kind):
    path = pack(tmp_path, kind, {**PLAIN, "cats/raw": png(3)})
    container = containers.open_container(path, records.Tally())
    assert list(container.contents(lambda name: name == "cats/raw", 9)) == [("cats/raw", png(3)[:9])]
    assert "cats/raw" in {record.id for record in read(path, records.Surprises())}


@pytest.mark.parametrize("name", ["cats\u3000/1.png", "cats\u200b/1.png", "cats/\U0001f469\u200d\U0001f52c.png"])
@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_blanks_and_joiners_of_all_scripts_are_read(tmp_path, kind, name):
    found = read(pack(tmp_path, kind, {name: png(0), "dogs/1.png": png(1)}), records.Surprises())
    assert {(record.id, record.label) for record in found} == {(name, "cats"), ("dogs/1.png", "dogs")}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_class_whose_names_cannot_be_shown_stops_the_stage(tmp_path, kind):
    path = pack(tmp_path, kind, {**PLAIN, "birds/a\u202eb.png": png(0), "birds/a\nb.png": png(0)})
    with pytest.raises(UserError, match="no image of the class birds can be read, but there are 2 unprintable name"):
        read(path, records.Surprises())


def test_a_damage_that_a_library_quotes_at_length_is_told_shortly(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("cats/1.png", bytes(5000))
        file.writestr("dogs/1.png", bytes(5000))
    content = bytearray(path.read_bytes())
    content[26:28] = (4000).to_bytes(2, "little")  # the length of the name in the member's own header
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.zip is a damaged archive \(.{1,200}\): create or download it again$"):
        read(path, records.Surprises())
