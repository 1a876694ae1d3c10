"""Images that a manifest lists: one table, or several, of paths and labels."""

import fnmatch
import itertools
import posixpath
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from kiln import params
from kiln.core.errors import UserError
from kiln.sources import locating
from kiln.sources.classnames import TableClasses
from kiln.sources.columns import (
    PATH,
    PATH_NAMES,
    check_types,
    find_columns,
    find_one_hot,
    hint_one_hot,
    label_columns,
    none_labelled,
    read_meaning,
)
from kiln.sources.listing import Container
from kiln.sources.names import is_hidden, split_of
from kiln.sources.parquet import is_number, open_table
from kiln.sources.records import Groups, Place, Record, Source, Surprises, Tally
from kiln.sources.rows import PARQUET, SUFFIXES, listed, open_text, shown


class _Listed(NamedTuple):
    """A row of a manifest."""

    table: str
    line: int
    path: str
    label: str | None
    split: str | None
    group: str | None


def open_manifest(container: Container, settings: params.Fetch, surprises: Surprises, path: Path) -> Source:
    """Read the images that a table, or several, in a folder or archive list.

    Tables are CSV (separated by comma, semicolon, tab or bar, as the header
    tells), JSON lines or Parquet. Paths are relative to the table, or to a folder
    around it, and stay within the container; one that lacks the extension or
    folders is completed where exactly one file fits. Where there is no split
    column, several tables are splits if their names or folders say so
    (``train/metadata.jsonl``), and images if the folders of all do. Labels are
    text as written, but for blanks at the ends and what cannot be seen.

    Args:
        container: that holds the tables and the images.
        settings: the fetch section: the table's name and columns.
        surprises: filled with what was passed over.
        path: of the container, for errors.

    Raises:
        UserError: the table or an image is missing, or a row contradicts another.
    """
    splits = _tables(container, settings.manifest, path)
    classes = TableClasses(surprises.notes, path)
    places: dict[str, Place] = {}
    lines: dict[str, tuple[str, int]] = {}
    passed: set[str] = set(splits)
    pending: list[_Listed] = []
    number, names = 0, label_columns(settings)

    def put(row: _Listed, target: str) -> None:
        if row.label is None:
            passed.add(target)
            return
        place = Place(target, row.label, row.split, row.group)
        if target not in places:
            places[target], lines[target] = place, (row.table, row.line)
        elif places[target] == place:
            surprises.skipped.add("listed twice", row.path)
        else:
            raise UserError(
                f"{path}: {row.table} line {row.line}: {shown(row.path)} was listed before with another label, split "
                "or group"
            )

    for table, content in container.contents(lambda name: name in splits):
        folder = posixpath.dirname(table)
        for row in _listed_rows(table, content, container, settings, splits[table], f"{path}: {table}"):
            number += 1
            where = f"{path}: {table} line {row.line}"
            if not row.path:
                raise UserError(f"{where}: lacks a path: write the image's, or take the line out")
            locating.refuse_foreign(row.path, path, where)
            target = locating.at(folder, row.path, container.names)
            label = classes.read(row.label)
            if label is None:
                surprises.skipped.add("row without a label", row.path)
            row = row._replace(label=label)
            if target:
                put(row, target)
            elif label and locating.leads_outside(folder, row.path):
                raise UserError(f"{where}: {shown(row.path)} lies outside of {path}: list paths relative to the table")
            else:
                pending.append(row)
    for row, target in _found(pending, container, splits, path):
        if row.label:
            surprises.notes.add(
                "path that was completed, or matched but for case or Unicode form", f"{row.path}: {target}"
            )
        put(row, target)
    if number and not places:
        raise none_labelled(number, names, path)
    if not number:
        raise UserError(f"{path}: {listed(splits)} lists no image: write a line for each below that of the columns")
    if len(splits) == 1 and all(place.split is None for place in places.values()):
        _split_by_folders(places, surprises.notes)
    groups = Groups()
    for target, place in places.items():
        groups.add(place, "{}: {} line {}".format(path, *lines[target]))
    for name in container.names:
        if name not in places and name not in passed:
            surprises.skipped.add("not in the table", name)

    def records(wanted):
        for name, image in container.contents(lambda name: name in places and (wanted is None or name in wanted)):
            yield Record(*places[name], image, posixpath.basename(name))

    return Source(lambda: (places[name] for name in container.names if name in places), records)


def _tables(container: Container, manifest: str, path: Path) -> dict[str, str | None]:
    """Find the tables, with the split that a name tells where there are several.

    Args:
        container: where to look.
        manifest: fetch.manifest: a path, perhaps below further folders, or a pattern with * or ?.
        path: of the container, for errors.

    Raises:
        UserError: there is none, or the names of some only tell a split.
    """
    asked = posixpath.normpath(locating.spelled(manifest))
    tables = [name for name in container.names if name == asked]
    if not tables:
        ending = f"/{asked}"
        fits = (name for name in container.names if name.endswith(ending) or fnmatch.fnmatchcase(name, asked))
        tables = [name for name in fits if not is_hidden(name.split("/"))]
    if not tables:
        there = (name for name in container.names if posixpath.splitext(name)[1].lower() in SUFFIXES)
        there = list(itertools.islice(there, 6))
        found = f", but {', '.join(map(shown, there[:5]))}{' and more' if len(there) > 5 else ''}" if there else ""
        raise UserError(f"{path} holds no {shown(manifest)}{found}: set fetch.manifest to the table's name inside it")
    if len(tables) == 1:
        return dict.fromkeys(tables)
    splits = {name: split_of(name, f"{path}: {name}") for name in tables}
    if any(splits.values()) and not all(splits.values()):
        telling, silent = (next(name for name in tables if bool(splits[name]) is told) for told in (True, False))
        raise UserError(
            f"{path} holds {len(tables)} tables {shown(manifest)}: the name of {shown(silent)} tells no split, while "
            f"that of {shown(telling)} does: set fetch.manifest to one of them"
        )
    return splits


def _listed_rows(
    table: str, content: bytes, container: Container, settings: params.Fetch, split: str | None, where: str
) -> Iterator[_Listed]:
    """Yield the rows of one table; ``split`` is what its name tells."""
    schema = None
    if table.lower().endswith(PARQUET) or content.startswith(b"PAR1"):
        opened, schema = open_table(content, where)
    else:
        known = {
            *PATH_NAMES,
            *label_columns(settings),
            settings.image_column,
            settings.split_column,
            settings.group_column,
        }
        opened = open_text(content, table, known, where)

    def hint(names: Collection[str]) -> str:
        words = {word: name for name in names for word in (name, *name.split()[:1])}
        rows = [word for word in words if word and locating.at(posixpath.dirname(table), word, container.names)]
        if rows:
            blanks = "" if rows[0] == words[rows[0]] else ", and commas in place of the blanks"
            return f"; its first line seems to be an image's: put one with the names of the columns above it{blanks}"
        alone = [name for name in names if names.count(name) == 1 and (schema is None or is_number(schema, name))]
        try:
            return hint_one_hot(find_one_hot(row for _, row in opened.rows(alone)))
        except UserError:
            return ""  # What is wrong with a row is not what is to be said first.

    columns = find_columns(opened.columns, settings, PATH_NAMES, where, hint)
    if schema:
        check_types(schema, columns.kinds(PATH), where)
    for line, row in opened.rows([columns.image, *columns.besides_image()]):
        label, own, group = read_meaning(row, columns, f"{where} line {line}")
        yield _Listed(table, line, row[columns.image].strip(), label, own if columns.split else split, group)


def _found(
    rows: list[_Listed], container: Container, splits: Mapping[str, str | None], path: Path
) -> Iterator[tuple[_Listed, str]]:
    """Find the files of rows whose paths are not quite right.

    Raises:
        UserError: none fits one that has a label, or several do.
    """
    if not rows:
        return
    search = locating.Search(container.names, ((posixpath.dirname(row.table), row.path) for row in rows))
    lost = []
    for row in rows:
        split = splits[row.table] or split_of(row.table)
        fits = search.fitting(posixpath.dirname(row.table), row.path, split)
        if len(fits) > 1 and row.label:
            raise UserError(
                f"{path}: {row.table} line {row.line}: {shown(row.path)} fits {len(fits)} files, "
                f"{' and '.join(map(shown, fits[:2]))} among them: list paths with folder and extension"
            )
        if len(fits) == 1:
            yield row, fits[0]
        elif row.label:
            lost.append(row)
    if lost:
        raise UserError(
            f"{path}: {lost[0].table} lists {len(lost)} files that {path} does not hold, {shown(lost[0].path)} first; "
            + _remedy(lost[0], container)
        )


def _remedy(row: _Listed, container: Container) -> str:
    if passed := locating.at(posixpath.dirname(row.table), row.path, container.passed):
        return f"it is passed over there ({container.passed.get(passed)}): put the file itself in its place"
    there = ", ".join(map(shown, locating.lookalikes(row.path, container.names)))
    return (f"there is {there}: " if there else "") + "list paths relative to the table"


def _split_by_folders(places: dict[str, Place], notes: Tally) -> None:
    """Take the splits from the images' folders where those of all tell one, and not all the same."""
    told = {target: locating.split_by_folders(target) for target in places}
    if None in told.values() or len(set(told.values())) < 2:
        return
    for target, split in told.items():
        notes.add("split read from the image's folder", target)
        places[target] = places[target]._replace(split=split)
