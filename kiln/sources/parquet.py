"""Parquet: tables of paths for a manifest, and files that hold the samples themselves."""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kiln import params
from kiln.core.errors import UserError
from kiln.core.formats import HEAD, sniff
from kiln.modalities.base import FileKinds
from kiln.sources import held
from kiln.sources.archives import FLOOR, MAX_RATIO
from kiln.sources.columns import (
    BYTES,
    CELL,
    SAMPLE,
    TEXT,
    Columns,
    check_types,
    find_columns,
    find_one_hot,
    hint_one_hot,
    read_meaning,
    usual_columns,
)
from kiln.sources.encoded import MAX_ROWS, Held, too_many
from kiln.sources.names import is_hidden, split_of
from kiln.sources.records import POINTERS, Content, Place, Source, Surprises
from kiln.sources.rows import Table, shown, text_of

# Rows are read in batches of so many rows and bytes at most.
_ROWS, _BATCH = 256, 2**26
# What a row group may expand to if that is far more than the file takes.
_MAX_GROUP = 2**29
# Files that are compressed less than this hold few values that stand for gigabytes.
_DENSE = 8


def open_table(content: Held, where: str) -> tuple[Table, pa.Schema]:
    """Open Parquet of text, as ``rows.open_text`` does CSV, with its schema; lines are counted from 1."""
    with _parquet(content, where) as file:
        schema = file.schema_arrow

    def rows(wanted: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
        line = 0
        with _parquet(content, where) as file:
            for batch in _batches(file, content, list(wanted), where):
                for row in zip(*(_texts(batch[name]) for name in wanted), strict=True):
                    line += 1
                    yield line, {name: value or "" for name, value in zip(wanted, row, strict=True)}

    return Table(schema.names, rows), schema


def _texts(column: pa.Array) -> list[str | None]:
    column = pc.struct_field(column, "path") if pa.types.is_struct(column.type) else column
    return column.cast(pa.string()).to_pylist()


def is_number(schema: pa.Schema, name: str) -> bool:
    """Tell whether a column holds numbers, or true and false."""
    kind = schema.field(name).type
    return pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)


@contextmanager
def _parquet(source: Held, where: str) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(source if isinstance(source, Path) else pa.BufferReader(source)) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # of the system
        if isinstance(source, Path):
            with source.open("rb") as file:
                head = file.read(HEAD)
        else:
            head = source[:HEAD]
        raise UserError(f"{where} {_no_parquet(head)}") from None


def _batches(parquet: pq.ParquetFile, source: Held, columns: list[str], where: str) -> Iterator[pa.RecordBatch]:
    """Read some columns in batches, within bounds of memory and of what the file may hold in all.

    Raises:
        UserError: it expands to far more than it is, as bombs do.
    """
    about = parquet.metadata
    if about.num_rows > MAX_ROWS:
        raise too_many(where, MAX_ROWS)
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    # Of columns, pyarrow's metadata is not read: where it is damaged, that ends the process.
    groups = [about.row_group(group).total_byte_size for group in range(about.num_row_groups)]
    if max(groups, default=0) > max(_MAX_GROUP, MAX_RATIO * size):
        raise _bomb(where)
    rows, left = _ROWS, max(FLOOR, MAX_RATIO * size)
    if sum(groups) > _DENSE * size:
        sparse = [group for group, expanded in enumerate(groups) if _ROWS * expanded > _BATCH]
        rows = min((_rows_at_once(source, group, columns, parquet.schema_arrow) for group in sparse), default=_ROWS)
    for batch in parquet.iter_batches(rows, columns=columns):
        decoded = {
            name: column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        batch = pa.RecordBatch.from_pydict(decoded)
        left -= batch.nbytes
        if left < 0:
            raise _bomb(where)
        yield batch


def _rows_at_once(source: Held, group: int, columns: list[str], schema: pa.Schema) -> int:
    """Choose how many rows of a group to read at a time: few where a dictionary holds long values.

    A dictionary holds each value once, while every row that has it gets a copy.
    """
    paths = [path for name in columns for path in _leaves(schema.field(name))]
    with pq.ParquetFile(source if isinstance(source, Path) else pa.BufferReader(source), read_dictionary=paths) as file:
        batch = next(file.iter_batches(1, row_groups=[group], columns=paths), None)
    rows, found = _ROWS, [] if batch is None else [*batch.columns]
    while found:
        column = found.pop()
        if pa.types.is_struct(column.type):
            found += column.flatten()
        elif pa.types.is_dictionary(column.type) and any(check(column.type.value_type) for check in CELL.checks):
            longest = pc.max(pc.binary_length(column.dictionary)).as_py() or 1
            rows = min(rows, max(1, _BATCH // longest))
    return rows


def _leaves(field: pa.Field) -> list[str]:
    """Give the paths of a column, or of the fields of a struct."""
    if not pa.types.is_struct(field.type):
        return [field.name]
    return [f"{field.name}.{leaf}" for inner in field.type for leaf in _leaves(inner)]


def _bomb(where: str) -> UserError:
    return UserError(
        f"{where} looks like a decompression bomb (far more data than its size): if you trust its source, write it "
        "anew without compression and dictionaries"
    )


def _no_parquet(head: bytes) -> str:
    """Say what a file is that is not read as Parquet, and what to do."""
    kind = sniff(head)
    if kind in POINTERS:
        return f"is a {kind} in place of the file: {POINTERS[kind]}"
    if kind and kind != "Parquet":
        return f"is not a Parquet file but of the kind {kind}: download it again, or unpack it if it is packed"
    return "is not a valid Parquet file: download it again"


def open_parquet(path: Path, settings: params.Fetch, parts: Mapping[str, FileKinds], surprises: Surprises) -> Source:
    """Read Parquet that holds the samples, as the datasets of Hugging Face do.

    The column of each part holds bytes, or a struct of bytes and path, or text; integer
    labels get their names from the schema's metadata. The split comes from the split
    column, else from a word of the file's name, or of the nearest folder that has
    one (``train-00000-of-00002.parquet``, ``mnist_test.parquet``, ``test/0.parquet``).
    All rows but for the contents are read at once, so that what is wrong is said
    before the long work.

    Args:
        path: a file, or a folder of files.
        settings: the fetch section: the columns.
        parts: name -> modality; a row without one of them is skipped.
        surprises: filled with what was passed over.

    Raises:
        UserError: there is no Parquet, it lacks a column or all samples of a class,
            a group lies in two splits, or names do not give the splits.
    """
    found = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    files = [file for file in found if file == path or not is_hidden(file.relative_to(path).parts)]
    if not files:
        raise UserError(f"fetch.path {path} holds no .parquet file: give a file or a folder of them")

    names = {file: file.relative_to(path).as_posix() if path.is_dir() else file.name for file in files}
    telling = next((name for name in names.values() if split_of(name)), None)

    def rows(with_contents: bool) -> Iterator[held.Row]:
        for file, name in names.items():
            yield from read_rows(file, name, telling, settings, parts, with_contents, str(file))

    return held.open_rows(rows, settings, surprises, path, ": its Parquet holds no row: write or download it again")


def read_rows(
    source: Held,
    name: str,
    telling: str | None,
    settings: params.Fetch,
    parts: Mapping[str, FileKinds],
    with_contents: bool,
    where: str,
) -> Iterator[held.Row]:
    """Yield the rows of a Parquet file.

    Args:
        source: the file.
        name: of it below the source.
        telling: as in ``held.split_of_table``.
        settings: the fetch section: the columns.
        parts: name -> modality.
        with_contents: read the contents as well.
        where: for errors.
    """
    with _parquet(source, where) as parquet:
        columns = _find_columns(parquet, settings, parts, where)
        schema = parquet.schema_arrow
        classes = _class_names(schema, columns.labels[0]) if len(columns.labels) == 1 else None
        of_file = held.split_of_table(name, telling, bool(columns.split), where)
        texts = columns.besides_contents()
        contents = columns.of_contents() if with_contents else []
        number = 0
        for batch in _batches(parquet, source, list(dict.fromkeys([*texts, *contents])), where):
            cells = {column: _contents(batch[column]) for column in contents}
            for place, row in enumerate(batch.select(texts).to_pylist()):
                at = f"{where}: row {number}"
                if classes is not None:
                    row[columns.labels[0]] = _class_name(row[columns.labels[0]], classes, at)
                text = {column: text_of(row[column], at) for column in texts}
                label, split, group = read_meaning(text, columns, at)
                values = {
                    part: _joined([cells[column][place] for column in names], parts[part].separator)
                    for part, names in columns.contents.items()
                    if with_contents
                }
                identity = f"{name.removesuffix('.parquet')}/{number}"
                yield Place(identity, label, split if columns.split else of_file, group), values
                number += 1


def read_texts(source: Held, columns: list[str], separator: str, where: str) -> Iterator[tuple[int, bytes]]:
    """Yield the number of each row, from 1, and the text that some columns hold together, "" where there is none.

    Raises:
        UserError: the file is damaged, or a column is there several times, or holds something else.
    """
    with _parquet(source, where) as parquet:
        schema = parquet.schema_arrow
        if several := [name for name in columns if schema.names.count(name) > 1]:
            raise UserError(f"{where} has several columns {shown(several[0])}: rename them")
        check_types(schema, dict.fromkeys(columns, CELL), where)
        number = 0
        for batch in _batches(parquet, source, columns, where):
            for values in zip(*(_contents(batch[column]) for column in columns), strict=True):
                number += 1
                yield number, _joined(list(values), separator).bytes


def _contents(column: pa.Array) -> list[bytes | Mapping[str, object] | None]:
    """Give the values of a column of contents; texts as bytes, which need not be UTF-8."""
    is_text = any(check(column.type) for check in TEXT.checks)
    return (column.cast(pa.large_binary()) if is_text else column).to_pylist()


def _joined(values: list[bytes | Mapping[str, object] | None], separator: str | None) -> Content:
    """Make the content of a part from the values of its columns: several texts are joined, and one may be missing."""
    if separator is not None:
        return Content(separator.encode().join(value or b"" for value in values))
    (value,) = values
    if value is None or isinstance(value, bytes):
        return Content(value)
    return Content(value.get("bytes"), value.get("path"))


def _find_columns(
    parquet: pq.ParquetFile, settings: params.Fetch, parts: Mapping[str, FileKinds], where: str
) -> Columns:
    """Find the columns that are read, and check their types."""
    schema = parquet.schema_arrow

    def hint(names: Collection[str]) -> str:
        numbers = [one for one in names if names.count(one) == 1 and is_number(schema, one)]
        batch = next(parquet.iter_batches(SAMPLE, columns=numbers), None) if numbers else None
        rows = batch.to_pylist() if batch else ()
        return hint_one_hot(find_one_hot({name: text_of(row[name], where) for name in row} for row in rows))

    columns = find_columns(schema.names, settings, usual_columns(parts), where, hint)
    kinds = {part: BYTES if modality.separator is None else CELL for part, modality in parts.items()}
    check_types(schema, columns.kinds(kinds), where)
    return columns


def _class_name(label: int | None, names: list[str], where: str) -> str | None:
    # Hugging Face writes -1 where a label is withheld, as in the test splits of contests.
    if label is None or label == -1:
        return None
    if not 0 <= label < len(names):
        raise UserError(f"{where}: label {label} is out of range: the file names {len(names)} classes")
    return names[label]


def _class_names(schema: pa.Schema, label: str) -> list[str] | None:
    """Names of integer labels by the metadata that Hugging Face writes, None where there are none."""
    if not pa.types.is_integer(schema.field(label).type):
        return None
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None
