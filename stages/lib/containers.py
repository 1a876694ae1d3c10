"""Folders and archives as one thing: names, and contents by name, never unpacked to disk.

Archives may come from strangers, so every size is checked while it is read,
whatever a header says of it.
"""

import bz2
import errno
import gzip
import lzma
import os
import stat
import struct
import tarfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from stages.lib.errors import UserError
from stages.lib.records import Tally
from stages.lib.shelf import Shelf

# A file is held in memory whole: three times CIFAR-100's largest, more than 100 million pixels in 16-bit colour.
MAX_FILE = 640 * 2**20
# What an archive may give in all: images hardly shrink, flat bitmaps a hundredfold, bombs a thousandfold and more.
MAX_RATIO, FLOOR = 200, 2 * 2**30
# Seven times the largest sets of today; a zip's directory of so many takes 7 GB of memory.
MAX_MEMBERS = 10_000_000
MAX_DIRECTORY = 100 * MAX_MEMBERS
# Names and attributes that precede a member of a tar, read whole into memory; archivers write some kB.
MAX_HEADER = 2**20
_MAX_GLOBALS = 100
_CHUNK = 2**18
# The standard library inflates the other methods of zip, such as bzip2, without measure: 4 kB may give 4 GB.
_MEASURED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open, b"]\0\0": lzma.open}


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
    return open_zip(path, skipped) if zipfile.is_zipfile(path) else open_tar(path, skipped)


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
        for name in names:
            if wanted(name):
                with (folder / name).open("rb") as file:
                    yield name, _whole(file, folder / name)

    return Container(names, contents, sorted(empty))


def open_zip(archive: Path, skipped: Tally) -> Container:
    """List a zip; the standard library keeps its directory in memory, some 0.7 kB a file.

    Raises:
        UserError: the archive is damaged, encrypted, compressed in an unusual way or a bomb.
    """
    guard = _Guard(archive.open("rb"), archive)
    guard.allow(MAX_DIRECTORY)
    with _readable(archive):
        file = zipfile.ZipFile(guard)
    names = Shelf()
    _count(archive, len(file.infolist()))
    # Newer versions of the standard library check this by themselves.
    if any(start + size > following for (start, size), (following, _) in pairwise(_extents(file))):
        raise _bomb(archive)
    for place, info in sorted(enumerate(file.infolist()), key=lambda entry: entry[1].filename):
        if info.flag_bits & 1:
            raise UserError(f"{archive} is encrypted ({info.filename[:80]!a}): give an archive without a password")
        if info.compress_type not in _MEASURED:
            raise UserError(
                f"{archive} is not compressed by deflate, as zips are ({info.filename[:80]!a}): pack it anew"
            )
        # info.is_dir() fails on an empty name before Python 3.12.
        if info.filename.endswith("/"):
            continue
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            skipped.add("not a regular file", info.filename)
        else:
            _list(names, info.filename, skipped, place)

    def contents(wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        left = guard.end
        for name, place in names.items():
            if wanted(name):
                guard.allow(MAX_FILE + 2 * _CHUNK)
                with _readable(archive), file.open(file.infolist()[place]) as member:
                    content = _whole(member, f"{archive}: {name}")
                left -= len(content)
                if left < 0:
                    raise _bomb(archive)
                yield name, content

    return Container(names, contents, [])


def _extents(file: zipfile.ZipFile) -> list[tuple[int, int]]:
    return sorted((info.header_offset, info.compress_size) for info in file.infolist())


def open_tar(archive: Path, skipped: Tally) -> Container:
    """List a tar, compressed or not, in its own order, since a compressed one cannot seek.

    Raises:
        UserError: the file is no tar, damaged or a bomb.
    """
    names = Shelf()
    for place, (info, _) in enumerate(_members(archive)):
        if _is_file(info):
            _list(names, info.name, skipped, place)
        elif not info.isdir():
            skipped.add("not a regular file", info.name)

    def contents(wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
        for place, (info, read) in enumerate(_members(archive)):
            # Of several members of one name the first that was listed.
            if _is_file(info) and info.name.isprintable() and names.get(info.name) == place and wanted(info.name):
                yield info.name, read()

    return Container(names, contents, [])


def _is_file(info: tarfile.TarInfo) -> bool:
    # A sparse file's holes are bytes that the archive does not hold.
    return info.isreg() and not info.issparse()


def _members(archive: Path) -> Iterator[tuple[tarfile.TarInfo, Callable[[], bytes]]]:
    with archive.open("rb") as file:
        magic = file.read(6)
    opener = next((opener for begin, opener in _COMPRESSED.items() if magic.startswith(begin)), Path.open)
    with _readable(archive), closing(_Guard(opener(archive, "rb"), archive)) as guard:
        guard.allow(MAX_HEADER)
        try:
            tar = tarfile.open(fileobj=guard, mode="r:")  # noqa: SIM115
        except tarfile.ReadError:
            raise UserError(f"fetch.path {archive} is neither a folder nor a readable zip or tar archive") from None

        def read(info: tarfile.TarInfo) -> bytes:
            guard.allow(MAX_FILE + 2 * _CHUNK)
            with _readable(archive):
                return _whole(tar.extractfile(info), f"{archive}: {info.name}")

        number = 0
        while info := tar.next():
            number += 1
            _count(archive, number)
            if len(tar.pax_headers) > _MAX_GLOBALS:
                raise _bomb(archive)
            yield info, lambda info=info: read(info)
            tar.members.clear()  # else it keeps every member that it has passed
            guard.allow(MAX_HEADER)
        # The library takes a damaged header for the end, and what follows would be lost.
        if guard.last.strip(b"\0"):
            raise tarfile.ReadError("a header is broken")


class _Guard:
    """A file that gives no more than is allowed, since libraries believe headers.

    Args:
        file: opened to read.
        archive: its path.
    """

    def __init__(self, file: BinaryIO, archive: Path):
        self.file, self.archive = file, archive
        self.end = FLOOR + MAX_RATIO * archive.stat().st_size
        self.left, self.last = 0, b""
        self.tell, self.close = file.tell, file.close
        weakref.finalize(self, file.close)  # not by __del__, which comes too late within a cycle

    def allow(self, size: int) -> None:
        """Let so many bytes be read from now on."""
        self.left = size

    def read(self, size: int = -1) -> bytes:
        if size > self.left or self.tell() + size > self.end:
            raise _bomb(self.archive)
        self.last = self.file.read(size)
        self.left -= len(self.last)
        return self.last

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if offset > self.end:
            raise _bomb(self.archive)
        return self.file.seek(offset, whence)

    def seekable(self) -> bool:
        return True


def _whole(file: BinaryIO, name: object) -> bytes:
    content = bytearray()
    while part := file.read(_CHUNK):
        content += part
        if len(content) > MAX_FILE:
            raise UserError(f"{name} has more than {MAX_FILE / 2**20:.0f} MiB, which no image has: take it out")
    return bytes(content)


def _count(archive: Path, number: int) -> None:
    if number > MAX_MEMBERS:
        raise UserError(f"{archive} has more than {MAX_MEMBERS:,} members: split it, or unpack it into a folder")


def _bomb(archive: Path) -> UserError:
    return UserError(
        f"{archive} unpacks to far more than its size, or has headers beyond all measure, as made to fill the memory: "
        "if you trust who made it, unpack it and give the folder"
    )


def _list(names: Shelf, name: str, skipped: Tally, place: int | None = None) -> None:
    if not name.isprintable():
        skipped.add("unprintable name", ascii(name))
    elif not names.add(name, place):
        skipped.add("second file of one name", name)


# What the libraries raise on hostile bytes; OSError is of gzip and bzip2.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    ValueError,
)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        # A position before the start is no fault of the system.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        what = f"{str(error) or type(error).__name__:.200}"  # some quote what they found at length
        raise UserError(f"{archive} is a damaged archive ({what}): make it or copy it again") from None
