"""Names of classes: tidied, and no two that look the same."""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from kiln.core.errors import UserError
from kiln.sources.layouts import Spot
from kiln.sources.names import folded, is_unlabelled, split_words, tidy, visible
from kiln.sources.records import Tally

# Why a label differs from what the source holds; one text for folders and tables.
TIDIED = "class read without blanks at its ends or invisible characters, in one Unicode form"
# Text that other tools write where there is no label; it may be a name as well.
_AMBIGUOUS = frozenset(["nan", "none", "null", "na", "n/a", "#n/a", "<na>", "-1"])
# Labels are few, and rows many.
tidied = lru_cache(4096)(tidy)
# How systems name the copy of a folder.
_COPY = re.compile(r" \(\d+\)| ?[-_]? ?\b(copy|copia|copie|kopie)( \(?\d+\)?)?")


class FolderClasses:
    """The classes that have samples: names of their folders, and labels."""

    def __init__(self, source: Path):
        self.labels: dict[str, str] = {}
        self.spots: set[tuple[str | None, str]] = set()
        self._source, self._known = source, {}

    def add(self, spot: Spot) -> str:
        """Give the label of a sample.

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


class TableClasses:
    """Tidies labels, and sees to it that no two classes look the same."""

    def __init__(self, notes: Tally, source: object):
        self._notes, self._source = notes, source
        self._labels: set[str] = set()
        self._known: dict[str, str] = {}

    def read(self, text: str | None) -> str | None:
        """Give the label as it is used, None where there is none.

        Raises:
            UserError: another label differs from it by what is hardly seen.
        """
        label = tidied(text or "")
        if label and label != text:
            self._notes.add(TIDIED, visible(text)[:100])
        if label and label not in self._labels:
            self._labels.add(label)
            self._compare(label)
        return label or None

    def _compare(self, label: str) -> None:
        other = self._known.setdefault(folded(label), label)
        if other != label and len(label) > 1:
            raise UserError(
                f"{self._source} has the classes {visible(other)[:100]} and {visible(label)[:100]}, which differ only "
                "by case, blanks or Unicode form: give one class one name"
            )
        if other != label:  # Sets of handwriting distinguish a from A.
            self._notes.add("class that differs from another only by case or Unicode form", label)
        if label.casefold() in _AMBIGUOUS:
            self._notes.add("class name that may stand for a missing label; leave the label empty if it does", label)
