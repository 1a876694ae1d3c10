"""Zip and tar archives: names, and contents by name, never unpacked to disk.

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
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from kiln.core import formats
from kiln.core.errors import UserError
from kiln.sources.listing import (
    CHUNK,
    MAX_FILE,
    SECOND,
    UNPRINTABLE,
    Container,
    Listing,
    are_windows,
    escaped,
    is_unprintable,
    read_whole,
    with_slashes,
)
from kiln.sources.records import Tally
from kiln.sources.shelf import Shelf

# What an archive may give in all: images hardly shrink, flat bitmaps a hundredfold, bombs a thousandfold and more.
MAX_RATIO, FLOOR = 200, 2 * 2**30
# Seven times the largest sets of today; a zip's directory of so many takes 7 GB of memory.
MAX_MEMBERS = 10_000_000
MAX_DIRECTORY = 100 * MAX_MEMBERS
# Names and attributes that precede a member of a tar, read whole into memory; archivers write some kB.
MAX_HEADER = 2**20
_MAX_GLOBALS = 100
# The standard library inflates the other methods of zip, such as bzip2, without measure: 4 kB may give 4 GB.
_MEASURED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Bit of a zip's member: its name is UTF-8. Numbers of the systems that write its members: DOS, NTFS and VFAT.
_UTF8, _WINDOWS = 0x800, (0, 6, 10, 11, 14)
_AS_UTF8 = "name in a zip that does not declare its encoding, read as UTF-8"
_AS_LATIN = "name in a zip that does not declare its encoding, read as Latin-1 by guess"
_AS_CP437 = "name in a zip that does not declare its encoding, read as code page 437 by guess"
# What people give by mistake, and what to do.
_REMEDIES = {
    "RAR": "a RAR archive: unpack it, and give the folder",
    "7z": "a 7z archive: unpack it, and give the folder",
    "zstd": "compressed by zstd: unpack it, and give the folder",
    "HTML": "a web page, as servers send in place of a file, such as one to log in: download the file again",
    "Git LFS pointer": "a Git LFS pointer in place of the file: run `git lfs pull` where it lies",
    "DVC pointer": "a DVC pointer: run `dvc pull` where it lies, and give the file or folder that it names",
    "Parquet": "Parquet: set fetch.source.name to parquet",
    "zip": "a zip archive without its end, or one part of several: download or copy it again, whole",
    **dict.fromkeys(
        ["gzip", "bzip2", "xz"], "compressed, but not a tar archive: unpack it, and give the folder of the samples"
    ),
    "text": "text: for a table of paths and labels set fetch.source.name to manifest, fetch.path to the folder that "
    "holds it, and fetch.source.manifest to its name; for a table of the texts themselves set fetch.source.name to "
    "table",
    "JSON": "JSON, as servers send in place of a file: look into it, and download the file again",
    "empty file": "an empty file: download or copy it again",
}
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open, b"]\0\0": lzma.open}


def open_zip(archive: Path, skipped: Tally) -> Container:
    """List a zip; the standard library keeps its directory in memory, some 0.7 kB a file.

    Raises:
        UserError: the archive is damaged, encrypted, compressed in an unusual way or a bomb.
    """
    guard = _Guard(archive.open("rb"), archive)
    guard.allow(MAX_DIRECTORY)
    with _readable(archive):
        file = zipfile.ZipFile(guard)
    listing = Listing(skipped)
    _count(archive, len(file.infolist()))
    # Newer versions of the standard library check this by themselves.
    if any(start + size > following for (start, size), (following, _) in pairwise(_extents(file))):
        raise _bomb(archive)
    back = are_windows(info.filename for info in file.infolist())
    members = [(*_decoded(info), place, info) for place, info in enumerate(file.infolist())]
    for name, guess, place, info in sorted(members, key=itemgetter(0)):
        if info.flag_bits & 1:
            raise UserError(f"{archive} is encrypted ({name[:80]!a}): give an archive without a password")
        if info.compress_type not in _MEASURED:
            raise UserError(f"{archive} is not compressed by deflate, as zips are ({name[:80]!a}): pack it again")
        own = back or (info.create_system in _WINDOWS and "/" not in name and guess != _AS_CP437)
        # info.is_dir() fails on an empty name before Python 3.12.
        if name.endswith(("/", "\\") if own else "/"):
            continue
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            listing.skip("not a regular file", name)
        else:
            listing.add(name, place, own)
            if guess:
                listing.notes.add(guess, escaped(name))

    def contents(wanted: Callable[[str], bool], first: int | None = None) -> Iterator[tuple[str, bytes]]:
        left = guard.end
        for name, place in listing.names.items():
            if wanted(name):
                guard.allow(MAX_FILE + 2 * CHUNK)
                with _readable(archive), file.open(file.infolist()[place]) as member:
                    content = read_whole(member, f"{archive}: {name}", first)
                left -= len(content)
                if left < 0:
                    raise _bomb(archive)
                yield name, content

    return Container(listing.names, contents, [], listing.passed, listing.notes)


def _decoded(info: zipfile.ZipInfo) -> tuple[str, str | None]:
    """Give a member's name, and how its encoding was guessed where the archive does not declare it."""
    name = info.filename
    # A name that differs comes from a field of its own, in UTF-8.
    if name.isascii() or info.flag_bits & _UTF8 or not info.orig_filename.startswith(name):
        return name, None
    for encoding, guess in (("utf-8", _AS_UTF8), ("latin-1", _AS_LATIN)):
        if encoding == "utf-8" or info.create_system not in _WINDOWS:
            try:
                decoded = name.encode("cp437").decode(encoding)
            except UnicodeError:
                continue
            if not is_unprintable(decoded):
                return decoded, guess
    return name, _AS_CP437


def _extents(file: zipfile.ZipFile) -> list[tuple[int, int]]:
    return sorted((info.header_offset, info.compress_size) for info in file.infolist())


def open_tar(archive: Path, skipped: Tally) -> Container:
    """List a tar, compressed or not, in its own order, since a compressed one cannot seek.

    Raises:
        UserError: the file is not a tar archive, damaged or a bomb.
    """
    found, listing = Shelf(), Listing(skipped)
    for place, (info, _) in enumerate(_members(archive)):
        if not _is_file(info):
            if not info.isdir():
                listing.skip("not a regular file", info.name)
        elif is_unprintable(info.name):
            listing.skip(UNPRINTABLE, info.name)
        elif not found.add(info.name, place):
            skipped.add(SECOND, info.name)
    back = are_windows(found)
    for name, place in found.items():
        listing.add(name, place, back)

    def contents(wanted: Callable[[str], bool], first: int | None = None) -> Iterator[tuple[str, bytes]]:
        for place, (info, read) in enumerate(_members(archive)):
            if not _is_file(info) or is_unprintable(info.name):
                continue
            name = with_slashes(info.name) if back else info.name
            # Of several members of one name the first that was listed.
            if listing.names.get(name) == place and wanted(name):
                yield name, read(first)

    return Container(listing.names, contents, [], listing.passed, listing.notes)


def _is_file(info: tarfile.TarInfo) -> bool:
    # A sparse file's holes are bytes that the archive does not hold.
    return info.isreg() and not info.issparse()


def _members(archive: Path) -> Iterator[tuple[tarfile.TarInfo, Callable[[int | None], bytes]]]:
    with archive.open("rb") as file:
        magic = file.read(6)
    opener = next((opener for begin, opener in _COMPRESSED.items() if magic.startswith(begin)), Path.open)
    with _readable(archive), closing(_Guard(opener(archive, "rb"), archive)) as guard:
        guard.allow(MAX_HEADER)
        try:
            tar = tarfile.open(fileobj=guard, mode="r:")  # noqa: SIM115
        except tarfile.ReadError:
            raise no_archive(archive) from None

        def read(info: tarfile.TarInfo, first: int | None) -> bytes:
            guard.allow(MAX_FILE + 2 * CHUNK)
            with _readable(archive):
                return read_whole(tar.extractfile(info), f"{archive}: {info.name}", first)

        number = 0
        while info := tar.next():
            number += 1
            _count(archive, number)
            if len(tar.pax_headers) > _MAX_GLOBALS:
                raise _bomb(archive)
            info.name = info.name.removeprefix("./")  # as `tar -c .` writes them, unlike tables
            yield info, lambda first, info=info: read(info, first)
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


def no_archive(path: Path) -> UserError:
    """Build the error for a file that is neither a zip nor a tar, with what it is."""
    with path.open("rb") as file:
        kind = formats.sniff(file.read(formats.HEAD))
    but = _REMEDIES.get(kind) or (f"one file ({kind}): give the folder that holds the class folders" if kind else "")
    return UserError(
        f"fetch.path {path} is neither a folder nor a readable zip or tar archive" + (f", but {but}" if but else "")
    )


def _count(archive: Path, number: int) -> None:
    if number > MAX_MEMBERS:
        raise UserError(f"{archive} has more than {MAX_MEMBERS:,} members: split it, or unpack it into a folder")


def _bomb(archive: Path) -> UserError:
    return UserError(
        f"{archive} looks like a decompression bomb (far more data than its size, or huge headers): "
        "if you trust its source, unpack it and give the folder"
    )


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
        raise UserError(f"{archive} is a damaged archive ({what}): create or download it again") from None
