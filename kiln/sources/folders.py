"""Images in folders: ``<class>/...`` or ``<split>/<class>/...``, as ``layouts`` reads them."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kiln.core import formats
from kiln.core.errors import UserError
from kiln.modalities.image import decoding
from kiln.sources import layouts
from kiln.sources.containers import Container
from kiln.sources.records import (
    POINTERS,
    TIDIED,
    Place,
    Record,
    Source,
    Surprises,
    Tally,
    folded,
    is_hidden,
    is_unlabelled,
    split_words,
    tidy,
    visible,
)
from kiln.sources.shelf import Shelf

# What lies beside images and is never taken for one.
_NOTES = frozenset(
    [".csv", ".html", ".ipynb", ".json", ".jsonl", ".log", ".md", ".tsv", ".txt", ".xml", ".yaml", ".yml"]
)
_OFFICE = frozenset([".doc", ".docx", ".pdf", ".ppt", ".pptx", ".py", ".sh", ".xls", ".xlsx"])
_DOCUMENTS = _NOTES | _OFFICE
_KINDS_OF_DOCUMENTS = frozenset(["HTML", "JSON", "Office or Thumbs.db (OLE)", "PDF", "PostScript", "XML", "text"])
# Images may be in them, but they are none.
_ARCHIVES = frozenset([".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"])
_TABLES = frozenset(
    [".arrow", ".h5", ".hdf5", ".mat", ".npy", ".npz", ".parquet", ".pickle", ".pkl", ".pt", ".tfrecord"]
)
_VIDEOS = frozenset([".avi", ".mkv", ".mov", ".mp4", ".mpg", ".webm"])
_HOLDERS = _ARCHIVES | _TABLES | _VIDEOS
# Tables that a manifest may be, and what such a table is not called.
_LISTS, _NO_LIST = (".csv", ".tsv", ".jsonl"), "submission"
# How systems name the copy of a folder.
_COPY = re.compile(r" \(\d+\)| ?[-_]? ?\b(copy|copia|copie|kopie)( \(?\d+\)?)?")
_SUFFIX = re.compile(r"\.([a-z0-9][a-z0-9_+-]{0,9})(?=$|[^a-z0-9._+-])", re.IGNORECASE)
_BARE = ", which has no class folders"
# Classes whose losses are counted: one is enough to stop.
_MOST = 1000


def open_source(container: Container, surprises: Surprises, path: Path) -> Source:
    """Read the images of a container by the folders that they lie in.

    Args:
        container: a folder or archive.
        surprises: filled with what was passed over or is worth knowing.
        path: of the container, for errors.

    Raises:
        UserError: as ``layout`` does.
    """
    places = layout(container, surprises, path)
    note(places, container.empty, surprises.notes)

    def records(wanted):
        def chosen(name: str) -> bool:
            place = places.get(name)
            return place is not None and (wanted is None or place[0] in wanted)

        for name, content in container.contents(chosen):
            yield Record(*places.get(name), content, name.rsplit("/", 1)[-1])

    return Source(lambda: (Place(*place) for _, place in places.items()), records)


def note(places: Shelf, empty: Iterable[str], notes: Tally) -> None:
    """Count what is taken but looks odd."""
    for name in empty:
        if not is_hidden(_steps(name)):
            notes.add("empty folder", name)
    classes, seen = Counter(), Shelf()
    for name, (identity, label, *_) in places.items():
        classes[label] += 1
        if name.startswith("/") or ".." in name.split("/"):
            notes.add("name that leads outside, read without its / or ..", name)
        if not seen.add(folded(identity)):
            notes.add("name that differs from another only by case or Unicode form", identity)
    for name, count in sorted(classes.items()):
        if count == 1:
            notes.add("class with one image", name)


def layout(container: Container, surprises: Surprises, source: Path) -> Shelf:
    """Find the images of a container, and read split and class from their paths.

    Files with the extension of an image are taken, those with one of another
    kind are not, and all others are looked into. Hidden files are skipped.
    Deeper folders belong to their class.

    Args:
        container: with names with ``/``.
        surprises: filled with what was passed over or is worth knowing.
        source: where the names come from, for errors.

    Returns:
        name -> the fields of its place, in the order of the names.

    Raises:
        UserError: the folders can be read in several ways, two classes' names look
            the same, a class has no image, or there are fewer than two classes.
    """
    looked = _looked(container)
    folders = Shelf()
    for name in container.names:
        steps = _steps(name)
        if _judge(name, looked).may_be_image and len(steps) > 1:
            folders.add("/".join(steps[:-1]))
    try:
        found = layouts.read(folders, source)
    except UserError as error:
        table = _table(container) if isinstance(error, layouts.NoClasses) else ""
        raise UserError(f"{error}{table}{''.join(f'; {links}' for links in _links(container))}") from None
    _refuse_links(container, found, source)
    places, ids, classes, losses = Shelf(), Shelf(), _Classes(source), _Losses(source)
    beside: set[tuple[str | None, str]] = set()
    for name in container.names:
        steps, verdict = _steps(name), _judge(name, looked)
        spot = found.spot(steps)
        if verdict.reason:
            surprises.skipped.add(verdict.reason, name)
            if spot and verdict.matters:
                losses.add(spot, verdict.reason, name)
            elif spot and verdict.reason != "hidden" and len(beside) < _MOST:
                beside.add(spot[:2])
        elif spot is None:
            surprises.skipped.add(_outside(found, steps), name)
        elif not ids.add(identity := "/".join(steps[len(found.prefix) :])):
            surprises.skipped.add("second file of one name", name)
        else:
            places.add(name, Place(identity, classes.add(spot), spot.split))
            if len(steps) > spot.depth + 1:
                surprises.notes.add("in a deeper folder, taken for its class", identity)
    for name, reason in container.passed.items(in_order=True):
        if not name.endswith("/") and _judge(name, looked).matters and (spot := found.spot(_steps(name))):
            losses.add(spot, reason, name)
    labels = sorted(set(classes.labels.values()))
    if labels:
        losses.check(classes.spots)
    if len(labels) < 2:
        raise _nothing(source, labels, surprises.skipped, _table(container))
    for spot in sorted(beside - classes.spots, key=str):
        surprises.notes.add("folder without an image, which makes no class", "/".join(filter(None, spot)))
    for reason, name in (*found.notes, *classes.notes()):
        surprises.notes.add(reason, name)
    return places


class _Verdict(NamedTuple):
    """Why a file is skipped (None: it is taken), and what it tells of its folder.

    Attributes:
        reason: such as ``.heic (HEIC)``.
        matters: a class of such files alone would be lost.
        may_be_image: such files make a folder one of images, whether or not they can be read.
    """

    reason: str | None
    matters: bool = True
    may_be_image: bool = True


def _judge(name: str, looked: Shelf) -> _Verdict:
    """Tell whether a file is an image: by its name where that tells, else by what ``looked`` says of it."""
    if verdict := _by_name(name):
        return verdict
    suffix, kind = posixpath.splitext(name)[1].lower(), looked.get(name)
    if kind in formats.READ and suffix not in formats.RAW:
        return _Verdict(None)
    kind = "camera raw" if suffix in formats.RAW else kind
    found = _SUFFIX.findall(name.rsplit("/", 1)[-1])
    reason = f".{found[-1].lower()}" if found else "without extension"
    reason += f" ({kind})" if kind else ""
    document = kind in _KINDS_OF_DOCUMENTS
    return _Verdict(reason, matters=not document, may_be_image=not document)


def _by_name(name: str) -> _Verdict | None:
    """Judge a file by its path and extension, None where they tell nothing."""
    if is_hidden(_steps(name)):
        return _Verdict("hidden", matters=False, may_be_image=False)
    suffix = posixpath.splitext(name)[1].lower()
    if suffix in decoding.EXTENSIONS:
        return _Verdict(None)
    if suffix in _DOCUMENTS:
        return _Verdict(suffix, matters=False, may_be_image=False)
    return _Verdict(suffix, may_be_image=False) if suffix in _HOLDERS else None


def _looked(container: Container) -> Shelf:
    """Look into the files whose name tells nothing: name -> what ``formats.sniff`` says."""

    def is_open(name: str) -> bool:
        return _by_name(name) is None

    looked = Shelf()
    # A packed tar is read once more for this.
    if any(map(is_open, container.names)):
        for name, head in container.contents(is_open, formats.HEAD):
            looked.add(name, formats.sniff(head))
    return looked


class _Classes:
    """The classes that have images: how their folders are called, and what they are called here."""

    def __init__(self, source: Path):
        self.labels: dict[str, str] = {}
        self.spots: set[tuple[str | None, str]] = set()
        self._source, self._known = source, {}

    def add(self, spot: layouts.Spot) -> str:
        """Give the label of an image.

        Raises:
            UserError: the class has no name, or one that looks like another's.
        """
        self.spots.add(spot[:2])
        if spot.label in self.labels:
            return self.labels[spot.label]
        label = self.labels[spot.label] = tidy(spot.label)
        other = self._known.setdefault(folded(label), spot.label)
        if not label:
            raise UserError(f"{self._source}: the class folder {visible(spot.label)} has a name of blanks: rename it")
        if other != spot.label:
            raise UserError(
                f"{self._source} has the classes {visible(other)} and {visible(spot.label)}, which differ only by case "
                "or Unicode form, blanks or invisible characters: give one class one name"
            )
        return label

    def notes(self) -> Iterator[tuple[str, str]]:
        """Yield (reason, name) of classes whose names should be known."""
        for name, label in sorted(self.labels.items()):
            if name != label:
                yield TIDIED, visible(name)
            if split_words(label) or is_unlabelled(label):
                yield "class with the name of a split", label
            if _COPY.sub("", folded(label)) in self._known.keys() - {folded(label)}:
                yield "class with the name of another's copy", label


class _Losses:
    """Files that are not read, by the class that they would be of."""

    def __init__(self, source: Path):
        self._source = source
        self._lost: dict[tuple[str | None, str], Tally] = {}

    def add(self, spot: layouts.Spot, reason: str, name: str) -> None:
        """Count one."""
        if spot[:2] in self._lost or len(self._lost) < _MOST:
            self._lost.setdefault(spot[:2], Tally()).add(reason, name)

    def check(self, spots: set[tuple[str | None, str]]) -> None:
        """Refuse to lose a class.

        Args:
            spots: (split, label) of the classes that have images.

        Raises:
            UserError: all files of one are skipped.
        """
        gone = [spot for spot in self._lost if spot not in spots]
        if not gone:
            return
        lost = Tally()
        for spot in gone:
            lost.merge(self._lost[spot])
        where = ", ".join("/".join(filter(None, spot))[:80] for spot in gone[:5]) + ", ..." * (len(gone) > 5)
        raise UserError(
            f"{self._source}: no image of {'the class' if len(gone) == 1 else 'the classes'} {where} can be read, but "
            f"there are {_told(lost)}: {_remedy(lost.counts)}"
        )


def _told(skipped: Tally) -> str:
    """Say what was skipped, most first, with a name or two of each."""
    parts = [
        f"{count:,} {reason} ({', '.join(name[-60:] for name in skipped.examples[reason][:2])})"
        for reason, count in skipped.counts.most_common(6)
    ]
    return ", ".join(parts) + ", ..." * (len(skipped.counts) > 6)


def _remedy(reasons: Iterable[str]) -> str:
    """Say what to do about files that are not read."""
    text = " ".join(reasons)
    for pointer, remedy in POINTERS.items():
        if pointer in text:
            return remedy
    if "symbolic link" in text:
        return "symbolic links are not followed: put the files themselves there, as `cp -rL` copies them"
    if any(reason.partition(" ")[0] in _ARCHIVES for reason in reasons):
        return "archives within are not opened: unpack them, and give the folder or one that holds images"
    if ".parquet" in reasons:
        return "to read images that are in Parquet, set fetch.source.name to parquet"
    if any(reason in _TABLES for reason in reasons):
        return "take the images out of these, as JPEG or PNG files"
    if any(reason in _VIDEOS for reason in reasons):
        return "take pictures out of the videos, as JPEG or PNG files"
    if "(HEIC)" in text:
        return (
            f"run `pip install {formats.HEIF_PLUGIN.replace('_', '-')}` in .venv to have HEIC read, or convert them to "
            "JPEG, or take their folder out"
        )
    if "unprintable" in text:
        return "rename them"
    return "convert them to JPEG or PNG, or take their folder out"


def _links(container: Container) -> list[str]:
    """Say which folders are symbolic links, if any are."""
    names = [name.rstrip("/") for name in container.passed if name.endswith("/") and not is_hidden(_steps(name))]
    return [_about_links(sorted(names))] if names else []


def _about_links(names: list[str]) -> str:
    some = ", ".join(name[-60:] for name in names[:5]) + ", ..." * (len(names) > 5)
    return (
        f"{some} {'is a symbolic link to a folder' if len(names) == 1 else 'are symbolic links to folders'}, "
        "which are not followed: put the folders themselves there, as `cp -rL` copies them, or set fetch.path to "
        "where they lie"
    )


def _refuse_links(container: Container, found: layouts.Layout, source: Path) -> None:
    """Refuse links where class folders lie.

    Raises:
        UserError: a class, or a split, would be lost.
    """
    names = (name.rstrip("/") for name in container.passed if name.endswith("/"))
    links = [name for name in names if not is_hidden(_steps(name)) and found.is_class_folder(_steps(name))]
    if links:
        raise UserError(f"{source}: {_about_links(sorted(links))}")


def _table(container: Container) -> str:
    """Say which tables may list the images, if there are any."""
    names = (name for name in container.names if name.lower().endswith(_LISTS) and not is_hidden(_steps(name)))
    tables = dict.fromkeys(name.rsplit("/", 1)[-1][-60:] for name in names if _NO_LIST not in name.lower())
    if not tables:
        return ""
    return (
        f"; if {' or '.join([*tables][:2])} lists them, set fetch.source.name to manifest and fetch.source.manifest to "
        "its name"
    )


def _nothing(source: Path, labels: list[str], skipped: Tally, table: str) -> UserError:
    found = f"only the class {labels[0][:80]}" if labels else "no image in a class folder"
    why = f" (skipped: {_told(skipped)})" if skipped.counts else ""
    ends = ("(text)", _BARE)
    beside = ("hidden", "outside of a class folder", "second file of one name", *_DOCUMENTS)
    unread = [reason for reason in skipped.counts if not reason.startswith(beside) and not reason.endswith(ends)]
    remedy = f"{_remedy(unread)}; else " if unread else ""
    return UserError(
        f"{source} holds {found}{why}: {remedy}arrange images as <class>/<image> or <split>/<class>/<image>, two "
        f"classes or more{table}"
    )


def _outside(found: layouts.Layout, steps: tuple[str, ...]) -> str:
    first = steps[len(found.prefix)] if len(steps) > len(found.prefix) else ""
    return f"in {first[:60]}{_BARE}" if first in found.unlabelled else "outside of a class folder"


def _steps(name: str) -> tuple[str, ...]:
    return tuple(step for step in name.split("/") if step not in ("", ".", ".."))
