"""Folders and archives as one thing: names, and contents by name."""

import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from kiln.core.errors import UserError
from kiln.sources import archives
from kiln.sources.listing import UNPRINTABLE, Container, Listing, are_windows, escaped, is_unprintable, read_whole
from kiln.sources.records import Tally
from kiln.sources.shelf import Shelf


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
        return archives.open_zip(path, skipped)
    return archives.open_tar(path, skipped)


def open_folder(folder: Path, skipped: Tally) -> Container:
    """List a folder; symbolic links are not followed."""
    found, listing, empty, waiting = Shelf(), Listing(skipped), [], [""]
    while waiting:
        here, holds = waiting.pop(), False
        with os.scandir(folder / here) as entries:
            for entry in entries:
                holds = True
                name = f"{here}/{entry.name}".lstrip("/")
                if entry.is_symlink():
                    listing.passed.add(escaped(f"{name}/" if entry.is_dir() else name), "symbolic link")
                elif entry.is_dir():
                    waiting.append(name)
                elif not entry.is_file():
                    listing.passed.add(escaped(name), "not a regular file")
                elif is_unprintable(name):
                    listing.passed.add(escaped(name), UNPRINTABLE)
                else:
                    found.add(name)
        if not holds:
            empty.append(escaped(here))
    for name, reason in listing.passed.items(in_order=True):
        listing.count(reason, name)
    back = are_windows(found)
    for name, _ in found.items(in_order=True):
        listing.add(name, name if back else None, back)

    def contents(wanted: Callable[[str], bool], first: int | None = None) -> Iterator[tuple[str, bytes]]:
        for name, other in listing.names.items():
            if wanted(name):
                with (folder / (other or name)).open("rb") as file:
                    yield name, read_whole(file, folder / name, first)

    return Container(listing.names, contents, sorted(empty), listing.passed, listing.notes)
