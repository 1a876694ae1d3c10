"""Folders and archives as one thing: names, and contents by name, never unpacked to disk."""

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from stages.lib.errors import UserError
from stages.lib.records import Tally


@dataclass(frozen=True)
class Container:
    """A folder or archive.

    Attributes:
        names: of its regular files, with ``/``, in a fixed order.
        contents: (name, bytes) of the names asked for, in the order of ``names``.
        empty: names of folders that hold nothing.
    """

    names: list[str]
    contents: Callable[[Iterable[str]], Iterator[tuple[str, bytes]]]
    empty: list[str]


def open_container(path: Path, skipped: Tally) -> Container:
    """Open a folder, a zip or a tar archive.

    Raises:
        UserError: it is none of them, or damaged.
    """
    if path.is_dir():
        return open_folder(path, skipped)
    if not path.is_file():
        raise UserError(f"fetch.path {path} does not exist: give the path of a folder, a zip or a tar")
    if zipfile.is_zipfile(path):
        return open_zip(path, skipped)
    if tarfile.is_tarfile(path):
        return open_tar(path, skipped)
    raise UserError(f"fetch.path {path} is neither a folder nor a readable zip or tar archive")


def open_folder(folder: Path, skipped: Tally) -> Container:
    """List a folder; symbolic links are not followed."""
    names, empty = [], []
    for root, directories, entries in os.walk(folder):
        if not directories and not entries:
            empty.append(Path(root).relative_to(folder).as_posix())
        for entry in directories + entries:
            path = Path(root, entry)
            name = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                skipped.add("symbolic link", name)
            elif stat.S_ISREG(mode):
                names.append(name)
            elif not stat.S_ISDIR(mode):
                skipped.add("not a regular file", name)
    contents = lambda wanted: ((name, (folder / name).read_bytes()) for name in wanted)  # noqa: E731
    return Container(sorted(names), contents, sorted(empty))


def open_zip(archive: Path, skipped: Tally) -> Container:
    """List a zip; nothing is unpacked to disk.

    Raises:
        UserError: the archive is damaged or encrypted.
    """
    with _readable(archive):
        file = zipfile.ZipFile(archive)
    entries = [info for info in file.infolist() if not info.is_dir()]
    locked = [info.filename for info in entries if info.flag_bits & 1]
    if locked:
        raise UserError(f"{archive} is encrypted ({locked[0]}): give an archive without a password")
    regular = [stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG) for info in entries]
    names = sorted(_once(zip((info.filename for info in entries), regular, strict=True), skipped))
    first = {info.filename: info for info in reversed(list(compress(entries, regular)))}

    def contents(wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        for name in wanted:
            with _readable(archive):
                content = file.read(first[name])
            yield name, content

    return Container(names, contents, [])


def open_tar(archive: Path, skipped: Tally) -> Container:
    """List a tar, compressed or not, in its own order, since a compressed one cannot seek.

    Raises:
        UserError: the archive is damaged.
    """
    with _readable(archive), tarfile.open(archive) as file:
        names = _once(((info.name, info.isfile()) for info in file if not info.isdir()), skipped)

    def contents(wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        left = set(wanted)
        with _readable(archive), tarfile.open(archive) as file:
            for info in file:
                file.members = []  # else it keeps every member that it has passed
                if info.isfile() and info.name in left:
                    left.remove(info.name)
                    yield info.name, file.extractfile(info).read()

    return Container(names, contents, [])


def _once(members: Iterable[tuple[str, bool]], skipped: Tally) -> list[str]:
    names = {}
    for name, regular in members:
        if not regular:
            skipped.add("not a regular file", name)
        elif name in names:
            skipped.add("second file of one name", name)
        else:
            names[name] = None
    return list(names)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        raise UserError(f"{archive} is a damaged archive ({error}): make it or copy it again") from None
