"""Tables whose rows hold the samples themselves, as texts: CSV, JSON lines and Parquet."""

import posixpath
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path

from kiln import params
from kiln.core.errors import UserError
from kiln.core.formats import HEAD, sniff
from kiln.modalities.base import FileKinds
from kiln.sources import containers, held, parquet
from kiln.sources.columns import find_columns, find_one_hot, hint_one_hot, known_names, read_meaning, usual_columns
from kiln.sources.encoded import Held, find_encoding, open_bytes
from kiln.sources.names import is_hidden, split_of
from kiln.sources.records import Content, Place, Source, Surprises
from kiln.sources.rows import PARQUET, SUFFIXES, TEXTS, Form, Table, content_of, examine, refuse_surrogates, shown

# In a folder, a .txt is read by what is written in it, not as a table.
_FOUND = frozenset([*TEXTS, *PARQUET]) - {".txt"}
_HEADLESS = "; if its first line is data already, put a line of column names above it"


def open_tables(path: Path, settings: params.Fetch, parts: Mapping[str, FileKinds], surprises: Surprises) -> Source:
    """Read samples that the rows of tables hold.

    A part's content is a cell, or those of several columns with the modality's separator
    between. Ids are the table's name and the line that its row ends in
    (``train.csv:17``), or Parquet's (``train/16``). Where there is no split column,
    several tables are splits if their names or folders say so.

    Args:
        path: a table, or a folder or archive that holds one or several.
        settings: the fetch section: the columns.
        parts: name -> modality.
        surprises: filled with what was passed over or is worth knowing.

    Raises:
        UserError: there is no table, or one that cannot be read; a label, split or group is wrong.
    """
    tables = _Tables(path, surprises)
    # A table alone is no split, whatever it is called.
    telling = next((name for name in tables.names if split_of(name)), None) if len(tables.names) > 1 else ""
    texts = _Texts(settings, parts, surprises)

    def rows(with_contents: bool) -> Iterator[held.Row]:
        for name, source in tables.sources():
            where = str(path) if tables.alone else f"{path}: {name}"
            if name.lower().endswith(PARQUET) or _kind(source) == "Parquet":
                yield from parquet.read_rows(source, name, telling, settings, parts, with_contents, where)
            else:
                yield from texts.read(source, name, telling, with_contents, where)

    return held.open_rows(rows, settings, surprises, path, " holds no row: write a line per sample below the names")


class _Tables:
    """The tables at a path: itself, or those in a folder or archive.

    Attributes:
        names: below the path.
        alone: the path is the table itself.
    """

    def __init__(self, path: Path, surprises: Surprises):
        if not path.exists():
            raise UserError(f"fetch.path {path} does not exist: give a table, or a folder or archive of tables")
        # Whatever it is called, as after a download.
        self.alone = path.is_file() and (path.suffix.lower() in SUFFIXES or _kind(path) in ("text", "Parquet"))
        self._path = path
        if self.alone:
            self.names = [path.name]
            return
        self._container = containers.open_container(path, surprises.skipped)
        surprises.notes.merge(self._container.notes)
        self.names = []
        for name in self._container.names:
            # A name on disk may have other separators than it is listed with.
            there = not path.is_dir() or (path / name).is_file()
            if there and posixpath.splitext(name)[1].lower() in _FOUND and not is_hidden(name.split("/")):
                self.names.append(name)
            else:
                surprises.skipped.add("not a table", name)
        if not self.names:
            raise UserError(
                f"{path} holds no table ({', '.join(sorted(_FOUND))}): set fetch.path to the table, or to a folder or "
                "archive that holds it; files of text, one for each sample, are read by fetch.source.name: texts"
            )

    def sources(self) -> Iterator[tuple[str, Held]]:
        """Yield the tables, with name; those of a folder are not read into memory."""
        if self.alone:
            yield self.names[0], self._path
        elif self._path.is_dir():
            for name in self.names:
                yield name, self._path / name
        else:
            yield from self._container.contents(frozenset(self.names).__contains__)


def _kind(source: Held) -> str | None:
    with open_bytes(source) as file:
        return sniff(file.read(HEAD))


class _Texts:
    """Reads the rows of tables of text, and keeps in mind how each is written.

    Args:
        settings: the fetch section.
        parts: name -> modality.
        surprises: filled.
    """

    def __init__(self, settings: params.Fetch, parts: Mapping[str, FileKinds], surprises: Surprises):
        self._settings, self._parts, self._surprises = settings, parts, surprises
        self._candidates = usual_columns(parts)
        self._known = known_names(settings, self._candidates)
        self._forms: dict[str, Form] = {}

    def read(self, source: Held, name: str, telling: str | None, with_contents: bool, where: str) -> Iterator[held.Row]:
        """Yield the rows of a table; ``telling`` as in ``held.split_of_table``."""
        table = self._open(source, name, where)
        hint = partial(_hint, table, self._known)
        columns = find_columns(table.columns, self._settings, self._candidates, where, hint)
        split = held.split_of_table(name, telling, bool(columns.split), where)
        meaning = columns.besides_contents()
        contents = columns.of_contents() if with_contents else []
        for line, row in table.rows(list(dict.fromkeys([*meaning, *contents]))):
            at = f"{where} line {line}"
            for column in meaning:
                if not row[column].isascii():
                    refuse_surrogates(row[column], f"{at}: the column {shown(column)}")
            label, own, group = read_meaning(row, columns, at)
            values = {
                part: Content(content_of(self._parts[part].separator.join(row[one] for one in names), table.errors))
                for part, names in columns.contents.items()
                if with_contents
            }
            yield Place(f"{name}:{line}", label, own if columns.split else split, group), values

    def _open(self, source: Held, name: str, where: str) -> Table:
        if name not in self._forms:
            asked, notes = self._settings.source.encoding, self._surprises.notes
            self._forms[name] = examine(
                source,
                name,
                self._known,
                where,
                lambda: find_encoding(source, asked, name, notes, where),
                may_be_bare=True,
                key="fetch.path",
            )
        return self._forms[name].of(source)


def _hint(table: Table, known: Collection[str], names: Collection[str]) -> str:
    """Say what may help where a content or the label is missing: columns that look one-hot, or a line of names."""
    try:
        alone = [name for name in names if names.count(name) == 1]
        one_hot = hint_one_hot(find_one_hot(row for _, row in table.rows(alone)))
    except UserError:
        one_hot = ""  # What is wrong with a row is not what is to be said first.
    return one_hot or ("" if set(names) & set(known) else _HEADLESS)
