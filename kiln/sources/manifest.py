"""Samples that a manifest lists: one table, or several, of paths and labels."""

import fnmatch
import itertools
import posixpath
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from kiln import params
from kiln.core.errors import UserError
from kiln.modalities.base import FileKinds
from kiln.sources import locating
from kiln.sources.classnames import TableClasses
from kiln.sources.columns import (
    PATH,
    TEXT,
    asked_columns,
    check_types,
    find_columns,
    find_one_hot,
    hint_one_hot,
    known_names,
    label_columns,
    none_labelled,
    read_meaning,
    usual_columns,
)
from kiln.sources.entries import Row, Samples
from kiln.sources.listing import Container
from kiln.sources.names import is_hidden, split_of
from kiln.sources.parquet import is_number, open_table
from kiln.sources.records import Content, Place, Record, Source, Surprises
from kiln.sources.rows import PARQUET, SUFFIXES, content_of, listed, open_text, refuse_surrogates, shown

_COMPLETED = "path that was completed, or matched but for case or Unicode form"


def open_manifest(
    container: Container, settings: params.Fetch, parts: Mapping[str, FileKinds], surprises: Surprises, path: Path
) -> Source:
    """Read the samples that a table, or several, in a folder or archive list.

    Tables are CSV (separated by comma, semicolon, tab or bar, as the header
    shows), JSON lines or Parquet, with a column of paths for each part; a text beside
    other parts stands in its column itself. Paths are
    relative to the table, or to a folder around it, and stay within the container;
    one that lacks the extension or folders is completed where exactly one file
    fits. Where there is no split column, several tables are splits if their names
    or folders say so (``train/metadata.jsonl``), and samples if the folders of all
    do. Labels are text as written, but for blanks at the ends and what cannot be
    seen.

    Args:
        container: that holds the tables and the files.
        settings: the fetch section: the table's name and columns.
        parts: name -> modality.
        surprises: filled with what was passed over.
        path: of the container, for errors.

    Raises:
        UserError: the table or a file is missing, or a row contradicts another.
    """
    _check_parts(parts, settings)
    splits = _tables(container, settings.source.manifest, path)
    samples = Samples(path, surprises)
    pending, number = [], 0
    for row, files in _labelled_rows(container, settings, parts, splits, surprises, path):
        number += 1
        if None in files:
            pending.append((row, files))
        else:
            samples.add(row, files)
    for row, files in _completed(pending, container, _with_files(parts), splits, path):
        if row.label:
            for written, file in zip(row.paths, files, strict=True):
                if locating.at(posixpath.dirname(row.table), written, container.names) != file:
                    surprises.notes.add(_COMPLETED, f"{written}: {file}")
        samples.add(row, files)
    if not number:
        raise UserError(f"{path}: {listed(splits)} lists nothing: write a line per sample below the column names")
    if not samples.places:
        raise none_labelled(number, label_columns(settings), path)
    if len(splits) == 1 and all(place.split is None for place in samples.places.values()):
        samples.split_by_folders()
    samples.check_groups()
    used = {file for identity in samples.places for file in samples.files(identity)} if len(parts) > 1 else ()
    for name in container.names:
        if not (name in samples.places or name in used or name in samples.unlabelled or name in splits):
            surprises.skipped.add("not in the table", name)
    return _single(container, samples.places, *parts) if len(parts) == 1 else _paired(container, samples, parts)


def _check_parts(parts: Mapping[str, FileKinds], settings: params.Fetch) -> None:
    """Refuse parts without a file, and several columns for the path of one.

    Raises:
        UserError: there are such.
    """
    files = _with_files(parts)
    if not files:
        raise UserError(
            f"fetch.source.name manifest lists files, but the parts {listed(parts)} are texts, which stand in the rows "
            "themselves: set fetch.source.name to table"
        )
    for part in files:
        if len(asked_columns(settings, part)) > 1:
            raise UserError(
                f"fetch.{part}.column names several columns, but fetch.source.name manifest reads one, of paths: name "
                f"that{_hint_table(parts)}"
            )


def _hint_table(parts: Mapping[str, FileKinds]) -> str:
    alone = next(iter(parts.values()))
    return (
        f"; for a table of the {alone.noun}s themselves set fetch.source.name to table"
        if len(parts) == 1 and alone.separator is not None
        else ""
    )


def _single(container: Container, places: Mapping[str, Place], part: str) -> Source:
    """Read samples of one part, in the order of the container."""

    def records(wanted):
        for name, content in container.contents(lambda name: name in places and (wanted is None or name in wanted)):
            yield Record(*places[name], {part: Content(content, posixpath.basename(name))})

    return Source(lambda: (places[name] for name in container.names if name in places), records)


def _paired(container: Container, samples: Samples, parts: Mapping[str, FileKinds]) -> Source:
    """Read samples of several parts, in the order of the rows.

    Their files lie anywhere in the container, which may not seek: they are copied to a
    temporary file first, which takes their size on disk.
    """
    with_files = _with_files(parts)
    in_rows = [part for part in parts if part not in with_files]

    def records(wanted):
        chosen = [identity for identity in samples.places if wanted is None or identity in wanted]
        files = {file for identity in chosen for file in samples.files(identity)}
        extents: dict[str, tuple[int, int]] = {}
        with tempfile.TemporaryFile() as spool:
            for name, content in container.contents(files.__contains__):
                extents[name] = spool.tell(), len(content)
                spool.write(content)

            def read(name: str) -> Content:
                start, size = extents[name]
                spool.seek(start)
                return Content(spool.read(size), posixpath.basename(name))

            for identity in chosen:
                contents = dict(zip(with_files, map(read, samples.files(identity)), strict=True))
                texts = zip(in_rows, samples.texts.get(identity) or (), strict=True)
                contents |= {part: Content(content_of(text, "strict")) for part, text in texts}
                yield Record(*samples.places[identity], contents)

    return Source(lambda: iter(samples.places.values()), records)


def _labelled_rows(
    container: Container,
    settings: params.Fetch,
    parts: Mapping[str, FileKinds],
    splits: Mapping[str, str | None],
    surprises: Surprises,
    path: Path,
) -> Iterator[tuple[Row, tuple[str | None, ...]]]:
    """Yield the rows of all tables with the file of each part, None where a path names none as it stands.

    Raises:
        UserError: a row lacks a path, or one leads outside.
    """
    classes = TableClasses(surprises.notes, path)
    for table, content in container.contents(lambda name: name in splits):
        folder = posixpath.dirname(table)
        for row in _rows(table, content, container, settings, parts, splits[table], f"{path}: {table}"):
            where = f"{path}: {table} line {row.line}"
            row = row._replace(label=classes.read(row.label))
            files = []
            for (part, modality), written in zip(_with_files(parts).items(), row.paths, strict=True):
                if not written:
                    lacks = "a path" if len(parts) == 1 else f"the path of its {part}"
                    raise UserError(f"{where}: lacks {lacks}: write that of the {modality.noun}, or take the line out")
                locating.refuse_foreign(written, path, where)
                files.append(locating.at(folder, written, container.names))
                if files[-1] is None and row.label and locating.leads_outside(folder, written):
                    raise UserError(
                        f"{where}: {shown(written)} lies outside of {path}: list paths relative to the table"
                    )
            if row.label is None:
                surprises.skipped.add("row without a label", row.paths[0])
            yield row, tuple(files)


def _tables(container: Container, manifest: str, path: Path) -> dict[str, str | None]:
    """Find the tables, with the split that a name gives where there are several.

    Args:
        container: where to look.
        manifest: fetch.source.manifest: a path, perhaps below further folders, or a pattern with * or ?.
        path: of the container, for errors.

    Raises:
        UserError: there is none, or only some of them name a split.
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
        raise UserError(
            f"{path} holds no {shown(manifest)}{found}: set fetch.source.manifest to the table's name inside it"
        )
    if len(tables) == 1:
        return dict.fromkeys(tables)
    splits = {name: split_of(name, f"{path}: {name}") for name in tables}
    if any(splits.values()) and not all(splits.values()):
        telling, silent = (next(name for name in tables if bool(splits[name]) is told) for told in (True, False))
        raise UserError(
            f"{path} holds {len(tables)} tables {shown(manifest)}: the name of {shown(silent)} names no split, while "
            f"that of {shown(telling)} does: set fetch.source.manifest to one of them"
        )
    return splits


def _rows(
    table: str,
    content: bytes,
    container: Container,
    settings: params.Fetch,
    parts: Mapping[str, FileKinds],
    split: str | None,
    where: str,
) -> Iterator[Row]:
    """Yield the rows of one table; ``split`` is what its name gives."""
    files = _with_files(parts)
    candidates = usual_columns(parts) | {part: _usual_columns(part, alone=len(parts) == 1) for part in files}
    schema = None
    if table.lower().endswith(PARQUET) or content.startswith(b"PAR1"):
        opened, schema = open_table(content, where)
    else:
        opened = open_text(content, table, known_names(settings, candidates), where)

    def hint(names: Collection[str]) -> str:
        words = {word: name for name in names for word in (name, *name.split()[:1])}
        rows = [word for word in words if word and locating.at(posixpath.dirname(table), word, container.names)]
        if rows:
            blanks = "" if rows[0] == words[rows[0]] else ", and commas in place of the blanks"
            return f"; its first line looks like data: put a line of column names above it{blanks}"
        alone = [name for name in names if names.count(name) == 1 and (schema is None or is_number(schema, name))]
        try:
            return _hint_table(parts) or hint_one_hot(find_one_hot(row for _, row in opened.rows(alone)))
        except UserError:
            return ""  # What is wrong with a row is not what is to be said first.

    columns = find_columns(opened.columns, settings, candidates, where, hint)
    if schema:
        check_types(schema, columns.kinds({part: PATH if part in files else TEXT for part in parts}), where)
    refused = [*columns.besides_contents(), *(name for part in files for name in columns.contents[part])]
    for line, row in opened.rows(list(dict.fromkeys([*columns.of_contents(), *columns.besides_contents()]))):
        for column in refused:
            refuse_surrogates(row[column], f"{where} line {line}: the column {shown(column)}")
        label, own, group = read_meaning(row, columns, f"{where} line {line}")
        paths = tuple(row[columns.contents[part][0]].strip() for part in files)
        texts = tuple(
            parts[part].separator.join(row[column] for column in names)
            for part, names in columns.contents.items()
            if part not in files
        )
        yield Row(table, line, paths, texts, label, own if columns.split else split, group)


def _with_files(parts: Mapping[str, FileKinds]) -> dict[str, FileKinds]:
    """Give the parts that rows give the paths of; texts beside others stand in the rows themselves."""
    return {part: modality for part, modality in parts.items() if len(parts) == 1 or modality.separator is None}


def _usual_columns(part: str, alone: bool) -> tuple[str, ...]:
    """Give the usual names of the column of a part's paths, among them those of Hugging Face's imagefolder."""
    return ("path", "file_name", f"{part}_file_name") if alone else (part, f"{part}_file_name", f"{part}_path")


def _completed(
    pending: list[tuple[Row, tuple[str | None, ...]]],
    container: Container,
    parts: Mapping[str, FileKinds],
    splits: Mapping[str, str | None],
    path: Path,
) -> Iterator[tuple[Row, tuple[str, ...]]]:
    """Find the files of rows whose paths are not quite right.

    Raises:
        UserError: none fits one that has a label, or several do.
    """
    if not pending:
        return
    wanted = [[(posixpath.dirname(row.table), row.paths[place]) for row, _ in pending] for place in range(len(parts))]
    extensions = [modality.extensions for modality in parts.values()]
    searches = [locating.Search(container.names, *about) for about in zip(wanted, extensions, strict=True)]
    lost = []
    for row, files in pending:
        for place, file in enumerate(files):
            if file is None:
                fits = _fitting(searches[place], row, row.paths[place], splits, path)
                files = (*files[:place], fits, *files[place + 1 :])
                if fits is None and row.label:
                    lost.append((row, place))
        if None not in files:
            yield row, files
    if lost:
        row, place = lost[0]
        raise UserError(
            f"{path}: {row.table} lists {len(lost)} files that {path} does not hold, {shown(row.paths[place])} first; "
            + _remedy(row.table, row.paths[place], container, extensions[place])
            + _hint_table(parts)
        )


def _fitting(
    search: locating.Search, row: Row, written: str, splits: Mapping[str, str | None], path: Path
) -> str | None:
    """Give the one file that a path fits, None where there is none, or several and no label.

    Raises:
        UserError: it fits several, and the row has a label.
    """
    split = splits[row.table] or split_of(row.table)
    fits = search.fitting(posixpath.dirname(row.table), written, split)
    if len(fits) > 1 and row.label:
        raise UserError(
            f"{path}: {row.table} line {row.line}: {shown(written)} fits {len(fits)} files, "
            f"{' and '.join(map(shown, fits[:2]))} among them: list paths with folder and extension"
        )
    return fits[0] if len(fits) == 1 else None


def _remedy(table: str, written: str, container: Container, extensions: Collection[str]) -> str:
    if passed := locating.at(posixpath.dirname(table), written, container.passed):
        return f"it is passed over there ({container.passed.get(passed)}): put the file itself in its place"
    there = ", ".join(map(shown, locating.lookalikes(written, container.names, extensions)))
    return (f"there is {there}: " if there else "") + "list paths relative to the table"
