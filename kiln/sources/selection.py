"""Which files are samples, by name and first bytes, and what to do about those that are not."""

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kiln.core import formats
from kiln.core.errors import UserError
from kiln.modalities.base import FileKinds
from kiln.sources.layouts import Spot
from kiln.sources.listing import Container
from kiln.sources.names import is_hidden
from kiln.sources.records import POINTERS, Tally
from kiln.sources.shelf import Shelf

# What lies beside samples and is never taken for one.
_NOTES = frozenset(
    [".csv", ".html", ".ipynb", ".json", ".jsonl", ".log", ".md", ".tsv", ".txt", ".xml", ".yaml", ".yml"]
)
_OFFICE = frozenset([".doc", ".docx", ".pdf", ".ppt", ".pptx", ".py", ".sh", ".xls", ".xlsx"])
DOCUMENTS = _NOTES | _OFFICE
_KINDS_OF_DOCUMENTS = frozenset(["HTML", "JSON", "Office or Thumbs.db (OLE)", "PDF", "PostScript", "XML", "text"])
# Samples may be in them, but they are none.
_ARCHIVES = frozenset([".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"])
_TABLES = frozenset(
    [".arrow", ".h5", ".hdf5", ".mat", ".npy", ".npz", ".parquet", ".pickle", ".pkl", ".pt", ".tfrecord"]
)
_VIDEOS = frozenset([".avi", ".mkv", ".mov", ".mp4", ".mpg", ".webm"])
_HOLDERS = _ARCHIVES | _TABLES | _VIDEOS
_SUFFIX = re.compile(r"\.([a-z0-9][a-z0-9_+-]{0,9})(?=$|[^a-z0-9._+-])", re.IGNORECASE)
# Classes whose losses are counted: one is enough to stop.
MOST = 1000


class Verdict(NamedTuple):
    """Why a file is skipped (None: it is taken), and what follows for its folder.

    Attributes:
        reason: such as ``.heic (HEIC)``.
        matters: a class of such files alone would be lost.
        may_be_sample: such files make a folder one of samples, whether or not they can be read.
    """

    reason: str | None
    matters: bool = True
    may_be_sample: bool = True


class Selector:
    """Judges files: by their names where these say enough, else by their first bytes.

    Args:
        container: whose files are judged; those whose names say nothing are looked into here.
        modality: that the samples are of.
    """

    def __init__(self, container: Container, modality: FileKinds):
        self._modality = modality
        self._kinds = Shelf()
        # A packed tar is read once more for this.
        if any(map(self._is_open, container.names)):
            for name, head in container.contents(self._is_open, formats.HEAD):
                self._kinds.add(name, (formats.sniff(head), modality.reads(head)))

    def judge(self, name: str) -> Verdict:
        """Tell whether a file is a sample."""
        if verdict := self._by_name(name):
            return verdict
        kind, is_read = self._kinds.get(name) or (None, False)
        if is_read:
            return Verdict(None)
        suffixes = _SUFFIX.findall(name.rsplit("/", 1)[-1])
        reason = f".{suffixes[-1].lower()}" if suffixes else "without extension"
        reason += f" ({kind})" if kind else ""
        document = kind in _KINDS_OF_DOCUMENTS
        return Verdict(reason, matters=not document, may_be_sample=not document)

    def _is_open(self, name: str) -> bool:
        return self._by_name(name) is None

    def _by_name(self, name: str) -> Verdict | None:
        """Judge a file by its path and extension, None where they say nothing."""
        if is_hidden(steps_of(name)):
            return Verdict("hidden", matters=False, may_be_sample=False)
        suffix = _extension(name)
        if suffix in self._modality.extensions:
            return Verdict(None)
        if kind := self._modality.refused.get(suffix):
            return Verdict(f"{suffix} ({kind})")
        if suffix in DOCUMENTS:
            return Verdict(suffix, matters=False, may_be_sample=False)
        return Verdict(suffix, may_be_sample=False) if suffix in _HOLDERS else None


def _extension(name: str) -> str:
    return posixpath.splitext(name)[1].lower()


class Losses:
    """Files that are not read, by the class that they would be of."""

    def __init__(self, source: Path, modality: FileKinds):
        self._source, self._modality = source, modality
        self._lost: dict[tuple[str | None, str], Tally] = {}

    def add(self, spot: Spot, reason: str, name: str) -> None:
        """Count one."""
        if spot[:2] in self._lost or len(self._lost) < MOST:
            self._lost.setdefault(spot[:2], Tally()).add(reason, name)

    def check(self, spots: set[tuple[str | None, str]]) -> None:
        """Refuse to lose a class.

        Args:
            spots: (split, label) of the classes that have samples.

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
            f"{self._source}: no {self._modality.noun} of the class{'es' * (len(gone) > 1)} {where} can be "
            f"read, but there are {describe_skipped(lost)}: {advise(lost.counts, self._modality)}"
        )


def describe_skipped(skipped: Tally) -> str:
    """Say what was skipped, most first, with a name or two of each."""
    parts = [
        f"{count:,} {reason} ({', '.join(name[-60:] for name in skipped.examples[reason][:2])})"
        for reason, count in skipped.counts.most_common(6)
    ]
    return ", ".join(parts) + ", ..." * (len(skipped.counts) > 6)


def advise(reasons: Iterable[str], modality: FileKinds) -> str:
    """Say what to do about files that are not read."""
    reasons = list(reasons)
    text = " ".join(reasons)
    for pointer, remedy in POINTERS.items():
        if pointer in text:
            return remedy
    if "symbolic link" in text:
        return "symbolic links are not followed: put the files themselves there, as `cp -rL` copies them"
    if any(reason.partition(" ")[0] in _ARCHIVES for reason in reasons):
        return f"archives within are not opened: unpack them, and give the folder or one that holds {modality.noun}s"
    if ".parquet" in reasons:
        return f"to read {modality.noun}s that are in Parquet, set fetch.source.name to parquet"
    if any(reason in _TABLES for reason in reasons):
        return f"take the {modality.noun}s out of these, as {modality.usual_formats} files"
    if any(reason in _VIDEOS for reason in reasons):
        return f"take {modality.noun}s out of the videos, as {modality.usual_formats} files"
    for kind, remedy in modality.remedies.items():
        if any(_is_of(reason, kind) for reason in reasons):
            return remedy
    if "unprintable" in text:
        return "rename them"
    return f"convert them to {modality.usual_formats}, or move their folder elsewhere"


def has_remedy(reason: str, modality: FileKinds) -> bool:
    """Check whether the modality knows what to do about files of a kind or extension that are not read."""
    return any(_is_of(reason, kind) for kind in modality.remedies)


def _is_of(reason: str, kind: str) -> bool:
    return reason == kind or f"({kind})" in reason


def steps_of(name: str) -> tuple[str, ...]:
    """Give the folders of a path, and its file, without what leads nowhere."""
    return tuple(step for step in name.split("/") if step not in ("", ".", ".."))
