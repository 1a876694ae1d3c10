"""Folders and archives as one thing: names, and contents by name, never unpacked to disk."""

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stages.lib.errors import UserError
from stages.lib.records import Tally
from stages.lib.shelf import Shelf


@dataclass(frozen=True)
class Container:
    """A folder or archive; its names lie on disk, so that a million need no memory.

    Attributes:
        names: of its regular files, with ``/``, in a fixed order.
        contents: gives (name, bytes) of the names for which a function says so,
            in the order of ``names``.
        empty: names of folders that hold nothing.
    """

    names: Shelf
    contents: Callable[[Callable[[str], bool]], Iterator[tuple[str, bytes]]]
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
    found, names, empty, waiting = Shelf(), Shelf(), [], [""]
    while waiting:
        here, holds = waiting.pop(), False
        with os.scandir(folder / here) as entries:
            for entry in entries:
                holds = True
                name = f"{here}/{entry.name}".lstrip("/")
                if entry.is_symlink():
                    skipped.add("symbolic link", name)
                elif entry.is_dir():
                    waiting.append(name)
                elif entry.is_file():
                    _list(found, name, skipped)
                else:
                    skipped.add("not a regular file", name)
        if not holds:
            empty.append(here)
    for name, _ in found.items(in_order=True):
        names.add(name)

    def contents(wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        return ((name, (folder / name).read_bytes()) for name in names if wanted(name))

    return Container(names, contents, sorted(empty))


def open_zip(archive: Path, skipped: Tally) -> Container:
    """List a zip; the standard library keeps its directory in memory, some 0.5 kB a file.

    Raises:
        UserError: the archive is damaged or encrypted.
    """
    with _readable(archive):
        file = zipfile.ZipFile(archive)
    names = Shelf()
    for place, info in sorted(enumerate(file.infolist()), key=lambda entry: entry[1].filename):
        if info.flag_bits & 1:
            raise UserError(f"{archive} is encrypted ({info.filename}): give an archive without a password")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG) and not info.is_dir():
            skipped.add("not a regular file", info.filename)
        elif not info.is_dir():
            _list(names, info.filename, skipped, place)

    def contents(wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        for name, place in names.items():
            if wanted(name):
                with _readable(archive):
                    content = file.read(file.infolist()[place])
                yield name, content

    return Container(names, contents, [])


def open_tar(archive: Path, skipped: Tally) -> Container:
    """List a tar, compressed or not, in its own order, since a compressed one cannot seek.

    Raises:
        UserError: the archive is damaged.
    """
    names = Shelf()
    for place, (info, _) in enumerate(_members(archive)):
        if info.isfile():
            _list(names, info.name, skipped, place)
        elif not info.isdir():
            skipped.add("not a regular file", info.name)

    def contents(wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        for place, (info, read) in enumerate(_members(archive)):
            # Of several members of one name the first that was listed.
            if info.isfile() and info.name.isprintable() and names.get(info.name) == place and wanted(info.name):
                yield info.name, read()

    return Container(names, contents, [])


def _members(archive: Path) -> Iterator[tuple[tarfile.TarInfo, Callable[[], bytes]]]:
    with _readable(archive), tarfile.open(archive) as file:
        while info := file.next():
            yield info, lambda info=info: file.extractfile(info).read()
            file.members.clear()  # else it keeps every member that it has passed


def _list(names: Shelf, name: str, skipped: Tally, place: int | None = None) -> None:
    if not name.isprintable():
        skipped.add("unprintable name", ascii(name))
    elif not names.add(name, place):
        skipped.add("second file of one name", name)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError) as error:
        raise UserError(f"{archive} is a damaged archive ({error}): make it or copy it again") from None
