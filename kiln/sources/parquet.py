"""Parquet: tables of paths for a manifest, and files that hold the samples themselves."""

import json
from collections import Counter
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
from kiln.sources.classnames import TableClasses, tidied
from kiln.sources.columns import (
    BYTES,
    SAMPLE,
    Columns,
    check_types,
    find_columns,
    find_one_hot,
    hint_one_hot,
    label_columns,
    none_labelled,
    read_meaning,
)
from kiln.sources.names import is_hidden, split_of
from kiln.sources.records import POINTERS, Content, Groups, Place, Record, Source, Surprises
from kiln.sources.rows import Table, listed, shown, text_of

# As many as an archive may have members; few bytes of Parquet can claim any number of rows.
MAX_ROWS = 10_000_000
_ROWS = 256


def open_table(content: bytes, where: str) -> tuple[Table, pa.Schema]:
    """Open Parquet of text, as ``rows.open_text`` does CSV, with its schema; lines are counted from 1."""
    with _parquet(content, where) as file:
        schema, number = file.schema_arrow, file.metadata.num_rows

    def rows(wanted: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
        if number > MAX_ROWS:
            raise UserError(f"{where} has more than {MAX_ROWS:,} rows: split it into several sources")
        with _parquet(content, where) as file:
            table = file.read(columns=list(wanted))
            texts = {name: _texts(table[name]) for name in wanted}
        for line, row in enumerate(zip(*texts.values(), strict=True), start=1):
            yield line, {name: value or "" for name, value in zip(texts, row, strict=True)}

    return Table(schema.names, rows), schema


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    column = pc.struct_field(column, "path") if pa.types.is_struct(column.type) else column
    return column.cast(pa.string()).to_pylist()


def is_number(schema: pa.Schema, name: str) -> bool:
    """Tell whether a column holds numbers, or true and false."""
    kind = schema.field(name).type
    return pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)


@contextmanager
def _parquet(source: Path | bytes, where: str) -> Iterator[pq.ParquetFile]:
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

    The column of each part holds bytes, or a struct of bytes and path; integer labels
    get their names from the schema's metadata. The split comes from the split
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

    def rows(with_contents: bool) -> Iterator[tuple[Place, dict[str, object]]]:
        for file, name in names.items():
            yield from _rows(file, name, telling, settings, parts, with_contents)

    def places() -> Iterator[Place]:
        for place, _ in rows(with_contents=False):
            if label := tidied(place.label):
                yield place._replace(label=label)

    groups, classes, number = Groups(), TableClasses(surprises.notes, path), 0
    found: set[str] = set()
    for place, _ in rows(with_contents=False):
        number += 1
        if label := classes.read(place.label):
            found.add(label)
            groups.add(place, f"{path}: row {place.id}")
    if not number:
        raise UserError(f"{path}: its Parquet holds no row: write or download it again")
    if not found:
        raise none_labelled(number, label_columns(settings), path)

    def records(wanted):
        missing = _Missing(path)
        for place, values in rows(with_contents=True):
            if wanted is not None and place.id not in wanted:
                continue
            label = tidied(place.label)
            if not label:
                surprises.skipped.add("row without a label", place.id)
                continue
            contents = {part: _content(value) for part, value in values.items()}
            if reason := missing.look(place.id, label, contents):
                surprises.skipped.add(reason, place.id)
            else:
                yield Record(place.id, label, place.split, place.group, contents)
        # Of a few that were drawn, those without a content say nothing of the others.
        missing.check(complete=wanted is None)

    return Source(places, records)


def _content(value: bytes | Mapping[str, object] | None) -> Content:
    """Read a value of a column of contents; only its bytes may be read, only its path may be there, or neither."""
    if value is None or isinstance(value, bytes):
        return Content(value)
    return Content(value.get("bytes"), value.get("path"))


class _Missing:
    """Rows that lack the content of a part, by what they lack, and the classes that they are of."""

    def __init__(self, path: Path):
        self._path = path
        self._reasons: Counter = Counter()
        self._examples: dict[str, str] = {}
        self._held: set[str] = set()

    def look(self, identity: str, label: str, contents: dict[str, Content]) -> str | None:
        """Note a row: return why it cannot be used, or None; paths are dropped, since no file lies there."""
        for part, content in contents.items():
            if content.bytes is None:
                path = content.path
                reason = f"row without its {part}" if path is None else f"row with only the path of its {part}"
                self._reasons[reason] += 1
                self._examples.setdefault(label, identity if path is None else str(path))
                return reason
            contents[part] = Content(content.bytes)
        self._held.add(label)
        return None

    def check(self, complete: bool) -> None:
        """Refuse to lose a class.

        Args:
            complete: all rows were read, not some that were drawn.

        Raises:
            UserError: all rows of a class lack a content.
        """
        lost = sorted(self._examples.keys() - self._held)
        if not lost or not (complete or not self._held):
            return
        reasons = " and ".join(f"{count:,} of the kind '{reason}'" for reason, count in sorted(self._reasons.items()))
        if all(reason.startswith("row with only") for reason in self._reasons):
            reasons = f"{self._reasons.total():,} rows hold only a path, not the content"
        raise UserError(
            f"{self._path}: {reasons} (such as {shown(self._examples[lost[0]])}), and nothing is left of "
            f"{listed(lost)}: write the Parquet with the files' bytes in it, or, where the files are at hand, set "
            "fetch.source.name to manifest with a table of their paths"
        )


def _rows(
    file: Path,
    name: str,
    telling: str | None,
    settings: params.Fetch,
    parts: Mapping[str, FileKinds],
    with_contents: bool,
) -> Iterator[tuple[Place, dict[str, object]]]:
    """Yield the rows of a file: place (the label as it stands there, "" for none), and the values of the parts.

    ``telling`` is a file of the source whose name gives a split, if there is one.
    """
    with _parquet(file, str(file)) as parquet:
        columns = _find_columns(parquet, settings, parts, str(file))
        schema = parquet.schema_arrow
        classes = _class_names(schema, columns.labels[0]) if len(columns.labels) == 1 else None
        of_file = None if columns.split else split_of(name, str(file))
        if telling and not (columns.split or of_file):
            raise UserError(
                f"{file}: its name names no split, while that of {telling} does: put train, validation or test into "
                "each name or none, or give the tables a split column"
            )
        texts = columns.besides_contents()
        contents = [*dict.fromkeys(columns.contents.values())] if with_contents else []
        number = 0
        for batch in parquet.iter_batches(_ROWS, columns=[*texts, *contents]):
            for row in batch.to_pylist():
                where = f"{file}: row {number}"
                values = {part: row.get(column) for part, column in columns.contents.items()}
                if classes is not None:
                    row[columns.labels[0]] = _class_name(row[columns.labels[0]], classes, where)
                text = {column: text_of(row[column], where) for column in texts}
                label, split, group = read_meaning(text, columns, where)
                identity = f"{name.removesuffix('.parquet')}/{number}"
                yield Place(identity, label, split if columns.split else of_file, group), values
                number += 1


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

    alone = len(parts) == 1
    usual = {part: (part, *modality.columns) if alone else (part,) for part, modality in parts.items()}
    columns = find_columns(
        schema.names, settings, {part: tuple(dict.fromkeys(names)) for part, names in usual.items()}, where, hint
    )
    check_types(schema, columns.kinds(BYTES), where)
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
