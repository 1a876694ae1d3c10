"""What a manifest lists: rows with the paths of files, and the samples that these make up."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from kiln.core.errors import UserError
from kiln.sources import locating
from kiln.sources.records import Groups, Place, Surprises
from kiln.sources.rows import shown
from kiln.sources.shelf import Shelf


class Row(NamedTuple):
    """A row of a manifest, with the path of each part that has a file, and the text of each that stands in the row."""

    table: str
    line: int
    paths: tuple[str, ...]
    texts: tuple[str, ...]
    label: str | None
    split: str | None
    group: str | None


class Samples:
    """The samples that rows list, by id: the path of the only part's file, or those of all parts, with `` + `` between.

    Where texts stand in the rows, the same files may be listed again, with other
    texts: then the id names the row as well.

    Args:
        path: of the container, for errors.
        surprises: filled with what is listed twice.
    """

    def __init__(self, path: Path, surprises: Surprises):
        self._path, self._surprises = path, surprises
        self.places: dict[str, Place] = {}
        self.unlabelled: set[str] = set()
        self.texts = Shelf()  # id -> texts, where there are any
        self._lines: dict[str, tuple[str, int]] = {}
        self._files: dict[str, tuple[str, ...]] = {}  # only where they are not the id
        self._known: dict[tuple[str, bytes], str] = {}  # files and digest of the texts -> id

    def add(self, row: Row, files: tuple[str, ...]) -> None:
        """Add what a row lists.

        Raises:
            UserError: another row says something else of the same files.
        """
        if row.label is None:
            self.unlabelled.update(files)
            return
        identity = self._identify(row, files)
        place = Place(identity, row.label, row.split, row.group)
        if identity not in self.places:
            self.places[identity], self._lines[identity] = place, (row.table, row.line)
            if files != (identity,):
                self._files[identity] = files
            if row.texts:
                self.texts.add(identity, row.texts)
        elif self.places[identity] == place:
            self._surprises.skipped.add("listed twice", row.paths[0])
        else:
            raise UserError(
                f"{self._path}: {row.table} line {row.line}: {shown(row.paths[0])} was listed before with another "
                "label, split or group"
            )

    def _identify(self, row: Row, files: tuple[str, ...]) -> str:
        identity = " + ".join(files)
        if not row.texts:
            return identity
        digest = hashlib.sha256(json.dumps(row.texts).encode()).digest()
        other = identity if identity not in self.places else f"{identity} ({row.table}:{row.line})"
        return self._known.setdefault((identity, digest), other)

    def files(self, identity: str) -> tuple[str, ...]:
        """Give the files of a sample, one per part."""
        return self._files.get(identity, (identity,))

    def split_by_folders(self) -> None:
        """Take the splits from the folders of the first part where those of all name one, and not all the same."""
        splits = {identity: locating.split_by_folders(self.files(identity)[0]) for identity in self.places}
        if None in splits.values() or len(set(splits.values())) < 2:
            return
        for identity, split in splits.items():
            self._surprises.notes.add("split read from the file's folder", identity)
            self.places[identity] = self.places[identity]._replace(split=split)

    def check_groups(self) -> None:
        """Refuse a group in two splits."""
        groups = Groups()
        for identity, place in self.places.items():
            groups.add(place, "{}: {} line {}".format(self._path, *self._lines[identity]))
