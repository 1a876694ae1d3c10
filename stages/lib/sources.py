"""Where labelled images come from: each source yields ``Record`` after ``Record``.

To add a source, write a function that yields records and name it in ``read``.
"""

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from stages.lib import images
from stages.lib.errors import UserError

DEFAULT_FOLDER = Path("data/source")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}


class Record(NamedTuple):
    """One image as the source gives it.

    Attributes:
        id: unique: the path below the wrapping folder, or the row number.
        label: the class's name.
        split: train, validation, test, or None where the source names none.
        group: what must never straddle splits (a patient, a video), or None.
        content: the image file's bytes, unchanged.
        path: the file's name, or None.
    """

    id: str
    label: str
    split: str | None
    group: str | None
    content: bytes
    path: str | None


@dataclass
class Skipped:
    """Files of the source that are no image of a class: a count and a few names a reason."""

    counts: Counter = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Count one file."""
        self.counts[reason] += 1
        if self.counts[reason] <= 5:
            self.examples.setdefault(reason, []).append(name)


class Container(NamedTuple):
    """A folder or an archive, opened.

    Attributes:
        names: paths of its regular files, each once, in a fixed order.
        contents: given some of the names, yields (name, bytes) for each of them.
    """

    names: list[str]
    contents: Callable[[Iterable[str]], Iterator[tuple[str, bytes]]]


def read(source: str, path: Path, skipped: Skipped) -> Iterator[Record]:
    """Yield the records of a source.

    Args:
        source: ``digits`` or ``images``.
        path: for ``images``: a folder, a zip or a tar archive.
        skipped: filled with what was passed over.

    Raises:
        UserError: nothing usable is there; the sentence says what was expected.
    """
    if source == "digits":
        refuse_unread(path)
        return digits()
    if path.is_dir():
        container = open_folder(path, skipped)
    elif not path.is_file():
        raise UserError(f"fetch.path {path} does not exist: give the path of a folder, a zip or a tar")
    elif zipfile.is_zipfile(path):
        container = open_zip(path, skipped)
    elif tarfile.is_tarfile(path):
        container = open_tar(path, skipped)
    else:
        raise UserError(f"fetch.path {path} is neither a folder nor a readable zip or tar archive")
    places = layout(container.names, skipped, path)
    return (
        Record(*places[name], None, content, name.rsplit("/", 1)[-1]) for name, content in container.contents(places)
    )


def refuse_unread(path: Path) -> None:
    """Refuse to train on the digits where the user has named or placed images.

    Raises:
        UserError: saying how to use the images.
    """
    if path != DEFAULT_FOLDER:
        raise UserError(
            f"fetch.path is set to {path}, but fetch.source is digits, which reads no path: "
            "set fetch.source to images (-S fetch.source=images) to use it"
        )
    own = {"README.md", ".gitignore", ".DS_Store"}
    present = sorted(entry.name for entry in path.iterdir() if entry.name not in own) if path.is_dir() else []
    if present:
        raise UserError(
            f"{path} holds {present[0]}, but fetch.source is digits: "
            f"set fetch.source to images to use it, or empty {path}"
        )


def digits() -> Iterator[Record]:
    """The 1,797 handwritten digits of scikit-learn, 8x8 gray, as PNG: the values 0..16 on 0..255."""
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = (data.images * 255 / 16).round().astype("uint8")
    for row, (image, label) in enumerate(zip(pixels, data.target, strict=True)):
        yield Record(str(row), str(label), None, None, images.encode_png(image[:, :, None]), None)


def open_folder(folder: Path, skipped: Skipped) -> Container:
    """List a folder; symbolic links are not followed."""
    names = []
    for root, directories, entries in os.walk(folder):
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
    return Container(sorted(names), lambda wanted: ((name, (folder / name).read_bytes()) for name in wanted))


def open_zip(archive: Path, skipped: Skipped) -> Container:
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

    return Container(names, contents)


def open_tar(archive: Path, skipped: Skipped) -> Container:
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
                if info.isfile() and info.name in left:
                    left.remove(info.name)
                    yield info.name, file.extractfile(info).read()

    return Container(names, contents)


def _once(members: Iterable[tuple[str, bool]], skipped: Skipped) -> list[str]:
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


def layout(names: Iterable[str], skipped: Skipped, source: Path) -> dict[str, tuple[str, str, str | None]]:
    """Read split and class from paths: ``<class>/...`` or ``<split>/<class>/...``.

    One folder around everything is taken off. Deeper folders belong to their
    class. Hidden files and those without the extension of an image are skipped.

    Args:
        names: paths with ``/``.
        skipped: filled with what was passed over.
        source: where the names come from, for the error.

    Returns:
        name -> (id, label, split or None), in the order of ``names``.

    Raises:
        UserError: there are no class folders with images, or they are mixed with split folders.
    """
    parts = {}
    for name in names:
        path = PurePosixPath(name)
        steps = tuple(step for step in path.parts if step not in ("/", ".", ".."))
        if not name.isprintable():
            skipped.add("unprintable name", ascii(name))
        elif any(step.startswith(".") or step == "__MACOSX" for step in steps):
            skipped.add("hidden", name)
        elif path.suffix.lower() not in images.EXTENSIONS:
            skipped.add("not an image by its extension", name)
        else:
            parts[name] = steps
    tops = {steps[0] for steps in parts.values()}
    nested = {steps[0] for steps in parts.values() if len(steps) > 2}
    if len(tops) == 1 and nested and not _splits(tops):
        parts = {name: steps[1:] for name, steps in parts.items()}
        tops = {steps[0] for steps in parts.values() if len(steps) > 1}
        nested = {steps[0] for steps in parts.values() if len(steps) > 2}
    in_splits = bool(nested) and _splits(tops)
    if not in_splits and (_splits(tops) or {"train", "test"} <= {SPLIT_NAMES.get(top.lower()) for top in nested}):
        raise UserError(
            f"{source}: its folders {', '.join(sorted(tops)[:5])} mix splits and classes: "
            "arrange the images as <class>/... or as <split>/<class>/..., with nothing beside"
        )
    places, ids = {}, set()
    for name, steps in parts.items():
        if len(steps) < 2 + in_splits:
            skipped.add("outside of a class folder", name)
        elif (identity := "/".join(steps)) in ids:
            skipped.add("second file of one name", name)
        else:
            ids.add(identity)
            split = SPLIT_NAMES[steps[0].lower()] if in_splits else None
            places[name] = (identity, steps[1 if in_splits else 0], split)
    labels = {label for _, label, _ in places.values()}
    if len(labels) < 2:
        found = f"only the class {labels.pop()}" if labels else "no image in a class folder"
        raise UserError(
            f"{source} holds {found}: arrange images as <class>/<image> or <split>/<class>/<image>, "
            f"two classes or more, with the extensions {' '.join(sorted(images.EXTENSIONS))}"
        )
    return places


def _splits(tops: set[str]) -> bool:
    return bool(tops) and all(top.lower() in SPLIT_NAMES for top in tops)
