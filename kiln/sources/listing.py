"""The files of a folder or archive by name, and what is wrong with some names."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from kiln.core.errors import UserError
from kiln.sources.records import Tally
from kiln.sources.shelf import Shelf

# A file is held in memory whole: three times CIFAR-100's largest, more than 100 million pixels in 16-bit colour.
MAX_FILE = 640 * 2**20
CHUNK = 2**18
# They turn the line around, so that a name shows as another.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
UNPRINTABLE, SECOND = "unprintable name", "second file of one name"


@dataclass(frozen=True)
class Container:
    """A folder or archive; its names lie on disk, so that a million need no memory.

    Attributes:
        names: of its regular files, with ``/``, in a fixed order.
        contents: gives (name, bytes) of the names for which a function says so,
            in the order of ``names``; no more of each file than its first bytes
            where a second argument says how many.
        empty: names of folders that hold nothing.
        passed: names that are not in ``names``, and why; those of links to
            folders end with ``/``.
        notes: what is odd about names that were taken.
    """

    names: Shelf
    contents: Callable[..., Iterator[tuple[str, bytes]]]
    empty: list[str]
    passed: Shelf = field(default_factory=Shelf)
    notes: Tally = field(default_factory=Tally)


class Listing:
    """The names of a container as they are read, and those that are passed over."""

    def __init__(self, skipped: Tally):
        self.names, self.passed, self.notes, self._skipped = Shelf(), Shelf(), Tally(), skipped

    def add(self, name: str, value: object, windows: bool) -> None:
        """List a file; of a name with Windows' separators, the path that it means."""
        if is_unprintable(name):
            self.skip(UNPRINTABLE, name)
            return
        path = with_slashes(name) if windows else name
        if not self.names.add(path, value):
            self._skipped.add(SECOND, path)
        elif path != name:
            self.notes.add("name with Windows' separators, read with /", name)

    def skip(self, reason: str, name: str) -> None:
        """Pass over a file."""
        self.count(reason, escaped(name))
        self.passed.add(escaped(name), reason)

    def count(self, reason: str, name: str) -> None:
        """Count a file that is passed over; its name can be shown."""
        self._skipped.add(reason, f"'{name}'" if reason == UNPRINTABLE else name)


def with_slashes(name: str) -> str:
    """Give the path that a name with Windows' separators means."""
    return name.replace("\\", "/")


def are_windows(names: Iterable[str]) -> bool:
    """Tell whether names have Windows' separators: some have a backslash, and none has a slash."""
    some = False
    for name in names:
        if "/" in name:
            return False
        some = some or "\\" in name
    return some


def is_unprintable(name: str) -> bool:
    """Tell whether a name cannot be shown in a line of text, or would show as another."""
    return not name.isprintable() and any(
        letter in _TURNING or not (letter.isprintable() or unicodedata.category(letter) in ("Cf", "Zs"))
        for letter in name
    )


def escaped(name: str) -> str:
    """Give a name with codes for what cannot be shown."""
    return "".join(ascii(letter)[1:-1] if is_unprintable(letter) else letter for letter in name)


def read_whole(file: BinaryIO, name: object, first: int | None) -> bytes:
    """Read a file, or its first bytes.

    Raises:
        UserError: it is larger than ``MAX_FILE``.
    """
    if first is not None:
        return file.read(first)
    content = bytearray()
    while part := file.read(CHUNK):
        content += part
        if len(content) > MAX_FILE:
            raise UserError(f"{name} has more than {MAX_FILE / 2**20:.0f} MiB, more than Kiln reads: take it out")
    return bytes(content)
