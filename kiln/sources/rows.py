"""Tables of text as columns and rows: CSV in all its dialects, and JSON lines."""

import csv
import json
import math
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from kiln.core.errors import UserError
from kiln.core.formats import HEAD, sniff
from kiln.sources import dialects
from kiln.sources.encoded import MAX_ROWS, Encoding, Held, check_encoding, lines, open_bytes, open_lines, too_many
from kiln.sources.names import visible
from kiln.sources.records import POINTERS

_LINES = (".jsonl", ".ndjson", ".jsonlines")
_SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers")
TEXTS = (".csv", ".tsv", ".tab", ".txt", *_LINES)
PARQUET = (".parquet", ".pq")
SUFFIXES = (*TEXTS, *PARQUET, ".json", *_SPREADSHEETS)
# KEY stands for the key of params.yaml that names the table.
_SPREADSHEET = 'is a spreadsheet: save it as CSV (in Excel: "CSV UTF-8") and set KEY to that'
# Other kinds of files, by what ``formats.sniff`` calls them.
_OTHERS = {
    **dict.fromkeys(["zip", "Office or Thumbs.db (OLE)"], _SPREADSHEET),
    **dict.fromkeys(
        ["gzip", "bzip2", "xz", "zstd", "7z", "RAR"],
        "is compressed: unpack it and set KEY to what comes out",
    ),
    "HTML": "is a web page, as servers send in place of a file, such as one to log in: download the table again",
    **{kind: f"is a {kind} in place of the table: {remedy}" for kind, remedy in POINTERS.items()},
}
# Names that a sentence lists.
TOLD = 20
_HALVES = re.compile("[\ud800-\udfff]")


class Table(NamedTuple):
    """A table that can be read again and again.

    Attributes:
        columns: their names, tidied.
        rows: gives the line and {column: text} of every row, of the columns that
            are asked for; "" where there is nothing.
        errors: as in ``Encoding``, for ``content_of``.
    """

    columns: list[str]
    rows: Callable[[Collection[str]], Iterator[tuple[int, dict[str, str]]]]
    errors: str = "strict"


class Form(NamedTuple):
    """How a table of text is read: columns and errors as in ``Table``; ``read`` gives the rows of a file."""

    columns: list[str]
    errors: str
    read: Callable[[Held, Collection[str]], Iterator[tuple[int, dict[str, str]]]]

    def of(self, source: Held) -> Table:
        """Give the table that a file of this form is."""
        return Table(self.columns, partial(self.read, source), self.errors)


def shown(text: str) -> str:
    """Give a text for a sentence: as it is where it is short and can be seen."""
    text = text if len(text) <= 80 else f"{text[:80]}..."
    return text if text.isprintable() else visible(text)


def listed(names: Iterable[str]) -> str:
    """Give some names for a sentence."""
    names = [shown(name) for name in names]
    more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
    return ", ".join(names[:TOLD]) + more


def text_of(value: Any, where: str) -> str:
    """Give a value of JSON or Parquet as a table of text would hold it, "" where there is none.

    Raises:
        UserError: it is a list or the like; the sentence begins with ``where``.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise UserError(f"{where} holds {type(value).__name__} where text or a number should stand: write one value")
    return str(value)


def refuse_surrogates(text: str, where: str) -> None:
    """Refuse a label, path or the like that is no text: half a surrogate pair of JSON, or a byte that is not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(
            f"{where} holds half a surrogate pair, or bytes that are no text: save the table in UTF-8"
        ) from None


def content_of(text: str, errors: str) -> bytes:
    """Give the bytes of a cell that is a sample's own text.

    Args:
        text: the cell.
        errors: as in ``Encoding``: with surrogateescape, the bytes that were no text are there again.
    """
    try:
        return text.encode("utf-8", errors)
    except UnicodeEncodeError:  # halves of surrogate pairs, as JSON may escape them
        return _HALVES.sub("\ufffd", text).encode()


def open_text(source: Held, name: str, known: Collection[str], where: str) -> Table:
    """Open a table of paths, as ``examine`` does; it should be UTF-8, or UTF-16 with a mark."""
    return examine(source, name, known, where, lambda: check_encoding(source, where)).of(source)


def examine(
    source: Held,
    name: str,
    known: Collection[str],
    where: str,
    find_encoding: Callable[[], Encoding],
    may_be_bare: bool = False,
    key: str = "fetch.source.manifest",
) -> Form:
    """Find out how a table of text is to be read.

    Args:
        source: the table.
        name: of the file: its extension marks JSON lines; all else is read as CSV.
        known: names of columns that are looked for: which separator gives most of them is the table's.
        where: for errors.
        find_encoding: called once it is known that the table is text.
        may_be_bare: as in ``dialects.find``.
        key: of params.yaml, that names the table.

    Raises:
        UserError: it is another kind of file, not in Unicode or not readable; rows
            raise it as well.
    """
    suffix = posixpath.splitext(name)[1].lower()
    with open_bytes(source) as file:
        other = _OTHERS.get(sniff(file.read(HEAD))) or (_SPREADSHEET if suffix in _SPREADSHEETS else None)
    if suffix == ".json":
        other = "is JSON: write JSON lines, one {...} per sample (.jsonl), or CSV, and set KEY to that"
    if other:
        raise UserError(f"{where} {other.replace('KEY', key)}")
    encoding = find_encoding()
    if suffix in _LINES:
        form = Form(_json_columns(source, encoding, where), encoding.errors, partial(_json_rows, encoding, where))
    else:
        dialect, columns = dialects.find(source, encoding, known, where, may_be_bare)
        form = Form(columns, encoding.errors, partial(_separated_rows, encoding, dialect, columns, where))
    if not form.columns:
        raise UserError(f"{where} is empty: write the column names, and a line per sample")
    return form


def _separated_rows(
    encoding: Encoding, dialect: dialects.Dialect, columns: list[str], where: str, source: Held, wanted: Collection[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    places = {name: columns.index(name) for name in wanted}
    try:
        found = dialects.read(source, encoding, dialect, where)
        next(found, None)
        for number, (line, row) in enumerate(found, start=1):
            if number > MAX_ROWS:
                raise too_many(where, MAX_ROWS)
            if not dialects.fits(row, len(columns)):
                raise UserError(f"{where} line {line}: has a different number of fields than the first line")
            yield line, {name: row[place] for name, place in places.items()}
    except csv.Error as error:
        raise UserError(f"{where}: not readable as CSV: {error}") from None


def _json_objects(encoding: Encoding, where: str, source: Held) -> Iterator[tuple[int, dict]]:
    # Of the ends of lines that Unicode knows, JSON escapes \n alone.
    with open_lines(source, encoding, newline="\n") as stream:
        for number, line in enumerate(lines(stream, where), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                what = getattr(error, "msg", "a value is too long or too deep")
                raise UserError(f"{where} line {number}: not readable as JSON: {what}") from None
            if number > MAX_ROWS:
                raise too_many(where, MAX_ROWS)
            if not isinstance(row, dict):
                raise UserError(f"{where} line {number}: should be {{...}} with a value for each column")
            yield number, row


def _json_rows(
    encoding: Encoding, where: str, source: Held, wanted: Collection[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    for number, row in _json_objects(encoding, where, source):
        texts = {name: row.get(name) for name in wanted}
        for name, value in texts.items():
            if not isinstance(value, str):
                texts[name] = text_of(value, f"{where} line {number}: the column {shown(name)}")
        yield number, texts


def _json_columns(source: Held, encoding: Encoding, where: str) -> list[str]:
    return list(dict.fromkeys(name for _, row in _json_objects(encoding, where, source) for name in row))
