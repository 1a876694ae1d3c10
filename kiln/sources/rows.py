"""Tables of text as columns and rows: CSV in all its dialects, and JSON lines."""

import codecs
import csv
import io
import json
import math
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

from kiln.core.errors import UserError
from kiln.core.formats import HEAD, sniff
from kiln.sources.names import tidy, visible
from kiln.sources.records import POINTERS

# The first wins where a header decides nothing.
_SEPARATORS = (",", ";", "\t", "|")
# The longer first: that of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LINES = (".jsonl", ".ndjson", ".jsonlines")
_SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".numbers")
TEXTS = (".csv", ".tsv", ".tab", ".txt", *_LINES)
PARQUET = (".parquet", ".pq")
SUFFIXES = (*TEXTS, *PARQUET, ".json", *_SPREADSHEETS)
_SPREADSHEET = 'is a spreadsheet: save it as CSV (in Excel: "CSV UTF-8") and set fetch.source.manifest to that'
# Other kinds of files, by what ``formats.sniff`` calls them.
_OTHERS = {
    **dict.fromkeys(["zip", "Office or Thumbs.db (OLE)"], _SPREADSHEET),
    **dict.fromkeys(
        ["gzip", "bzip2", "xz", "zstd", "7z", "RAR"],
        "is compressed: unpack it and set fetch.source.manifest to what comes out",
    ),
    "HTML": "is a web page, as servers send in place of a file, such as one to log in: download the table again",
    **{kind: f"is a {kind} in place of the table: {remedy}" for kind, remedy in POINTERS.items()},
}
_TOLD = 20


class Table(NamedTuple):
    """A table that can be read again and again.

    Attributes:
        columns: their names, tidied.
        rows: gives the line and {column: text} of every row, of the columns that
            are asked for; "" where there is nothing.
    """

    columns: list[str]
    rows: Callable[[Collection[str]], Iterator[tuple[int, dict[str, str]]]]


def shown(text: str) -> str:
    """Give a text for a sentence: as it is where it is short and can be seen."""
    text = text if len(text) <= 80 else f"{text[:80]}..."
    return text if text.isprintable() else visible(text)


def listed(names: Iterable[str]) -> str:
    """Give some names for a sentence."""
    names = [shown(name) for name in names]
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more


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
    try:
        str(value).encode()
    except UnicodeEncodeError:
        raise UserError(f"{where} holds half a surrogate pair: save the table in UTF-8") from None
    return str(value)


def open_text(content: bytes, name: str, known: Collection[str], where: str) -> Table:
    """Open a table of text.

    Args:
        content: the file.
        name: of the file: its extension marks JSON lines; all else is read as CSV.
        known: names of columns that are looked for: which separator gives most of them is the table's.
        where: for errors.

    Raises:
        UserError: it is another kind of file, not in Unicode or not readable; rows
            raise it as well.
    """
    suffix = posixpath.splitext(name)[1].lower()
    other = _OTHERS.get(sniff(content[:HEAD])) or (_SPREADSHEET if suffix in _SPREADSHEETS else None)
    if suffix == ".json":
        other = (
            "is JSON: write JSON lines, one {...} per sample (.jsonl), or CSV, and set fetch.source.manifest to that"
        )
    if other:
        raise UserError(f"{where} {other}")
    text = _decoded(content, where)
    table = _json_lines(text, where) if suffix in _LINES else _separated(text, known, where)
    if not table.columns:
        raise UserError(f"{where} is empty: write the column names, and a line per sample")
    return table


def _decoded(content: bytes, where: str) -> str:
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise UserError(f"{where} starts as {encoding.upper()} but is damaged: save it as CSV in UTF-8") from None
        byte = content[error.start : error.start + 1]
        guess = byte.decode("cp1252", "replace")
        what = f"{guess!r} in Windows-1252" if guess.isprintable() and guess != "\ufffd" else "no letter there"
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{where} is not UTF-8 (line {line} holds the byte 0x{byte.hex()}, {what}): save it as CSV in UTF-8 (in "
            'Excel: "CSV UTF-8")'
        ) from None
    if "\0" in text:
        raise UserError(f"{where} holds zero bytes, as UTF-16 without its mark does: save it as CSV in UTF-8")
    return text


def _separated(text: str, known: Collection[str], where: str) -> Table:
    # Neither Excel's own line, such as sep=; nor PowerShell's of a type is a row.
    told = re.match(r'"?sep=([^\w\s"]|\t)"?[ \t]*(\r\n|\n|\r)', text, re.IGNORECASE)
    first = told or re.match(r"#TYPE [^\r\n]*(\r\n|\n|\r)", text)
    text, skipped = (text[first.end() :], 1) if first else (text, 0)

    def lines(separator: str) -> Iterator[tuple[int, list[str]]]:
        # Elsewhere blanks are kept, so that blanks around a label are reported.
        quotes = re.search(f'{re.escape(separator)} +"', text) is not None
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=quotes, strict=True)
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num + skipped, row

    headers, problem = {}, None
    for separator in ([told[1]] if told else []) + [*_SEPARATORS]:
        try:
            _, first = next(lines(separator), (0, []))
            headers.setdefault(separator, [tidy(cell) for cell in first])
        except csv.Error as error:
            problem = problem or error
    if not headers:
        raise UserError(f"{where}: not readable as CSV: {problem}")
    separator = max(headers, key=lambda one: (len(set(headers[one]) & set(known)), len(headers[one])))
    columns = headers[separator]

    def rows(wanted: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
        places = {name: columns.index(name) for name in wanted}
        try:
            found = lines(separator)
            next(found, None)
            for line, row in found:
                # Spreadsheets end lines with empty cells.
                if len(row) < len(columns) or any(cell.strip() for cell in row[len(columns) :]):
                    raise UserError(f"{where} line {line}: has a different number of fields than the first line")
                yield line, {name: row[place] for name, place in places.items()}
        except csv.Error as error:
            raise UserError(f"{where}: not readable as CSV: {error}") from None

    return Table(columns, rows)


def _json_lines(text: str, where: str) -> Table:
    def lines() -> Iterator[tuple[int, dict]]:
        # Of the ends of lines that Unicode knows, JSON escapes \n alone.
        for number, line in enumerate(io.StringIO(text, newline="\n"), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                what = getattr(error, "msg", "a value is too long or too deep")
                raise UserError(f"{where} line {number}: not readable as JSON: {what}") from None
            if not isinstance(row, dict):
                raise UserError(f"{where} line {number}: should be {{...}} with a value for each column")
            yield number, row

    def rows(wanted: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
        for number, row in lines():
            at = f"{where} line {number}: the column"
            yield number, {name: text_of(row.get(name), f"{at} {shown(name)}") for name in wanted}

    return Table(list(dict.fromkeys(name for _, row in lines() for name in row)), rows)
