"""CSV in all its dialects, read row by row: separators, quotation marks, lines of Excel and PowerShell."""

import csv
import itertools
import re
from collections.abc import Collection, Iterator
from io import TextIOWrapper
from typing import NamedTuple

from kiln.core.errors import UserError
from kiln.sources.encoded import MAX_ROW, Encoding, Held, lines, open_lines
from kiln.sources.names import tidy

# The first wins where a header decides nothing.
_SEPARATORS = (",", ";", "\t", "|")
# Neither Excel's own line, such as sep=; nor PowerShell's of a type is a row.
_TOLD = re.compile(r'"?sep=([^\w\s"]|\t)"?[ \t]*[\r\n]+', re.IGNORECASE)
_TYPE = re.compile(r"#TYPE [^\r\n]*[\r\n]+")


class Dialect(NamedTuple):
    """How a table of text is written.

    Attributes:
        separator: between fields.
        skipped: lines before that of the column names.
        blanks: blanks stand before quotation marks, and are no part of a field.
        quoted: quotation marks enclose fields; otherwise they are letters.
    """

    separator: str
    skipped: int
    blanks: bool
    quoted: bool = True


class _Rows:
    """The lines of a stream for csv.reader, up to ``MAX_ROW`` characters for each row."""

    def __init__(self, stream: TextIOWrapper, where: str):
        self._stream, self._where = stream, where
        self.number, self.left = 0, MAX_ROW

    def __iter__(self) -> "_Rows":
        return self

    def __next__(self) -> str:
        line = self._stream.readline(self.left + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self.left -= len(line)
        if self.left < 0:
            raise UserError(
                f"{self._where} line {self.number}: a row has more than {MAX_ROW:,} characters up to here: look for a "
                "quotation mark without its partner"
            )
        return line


def read(source: Held, encoding: Encoding, dialect: Dialect, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows, that of the column names first, each with the number of its last line; empty ones are left out.

    Raises:
        UserError: a row is too long.
        csv.Error: quotation marks stand where they cannot.
    """
    with open_lines(source, encoding) as stream:
        for _ in range(dialect.skipped):
            stream.readline(MAX_ROW)
        rows = _Rows(stream, where)
        quoting = csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE
        reader = csv.reader(
            rows, delimiter=dialect.separator, skipinitialspace=dialect.blanks, quoting=quoting, strict=True
        )
        while (row := _next(reader)) is not None:
            if any(map(str.strip, row)):
                yield rows.number + dialect.skipped, row
            rows.left = MAX_ROW


def _next(reader) -> list[str] | None:
    """Read a row: its fields may be as long as itself, which the library sets for all readers at once."""
    usual = csv.field_size_limit(MAX_ROW)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(usual)


def find(
    source: Held, encoding: Encoding, known: Collection[str], where: str, may_be_bare: bool
) -> tuple[Dialect, list[str]]:
    """Find the dialect of a table, and the names of its columns.

    Args:
        source: the table.
        encoding: of it.
        known: names of columns that are looked for: which separator gives most of them is the table's.
        where: for errors.
        may_be_bare: quotation marks may be letters; taken so if the table makes sense in no other way.

    Raises:
        UserError: it is not readable as CSV.
    """
    with open_lines(source, encoding) as stream:
        first = stream.readline(MAX_ROW)
        told = _TOLD.fullmatch(first)
        skipped = int(bool(told or _TYPE.fullmatch(first)))
        separators = [*([told[1]] if told else []), *_SEPARATORS]
    with open_lines(source, encoding) as stream:
        blanks = _find_blanks(lines(stream, where), separators)
    headers, problem = {}, None
    for separator in separators:
        dialect = Dialect(separator, skipped, separator in blanks)
        try:
            _, names = next(read(source, encoding, dialect, where), (0, []))
            headers.setdefault(dialect, [tidy(cell) for cell in names])
        except csv.Error as error:
            problem = problem or error
    if not headers:
        raise UserError(f"{where}: not readable as CSV: {problem}")
    dialect = max(headers, key=lambda one: (len(set(headers[one]) & set(known)), len(headers[one])))
    columns = headers[dialect]
    dialect = dialect._replace(blanks=dialect.blanks and _has_blanks(source, encoding, dialect, where))
    if may_be_bare and _is_bare(source, encoding, dialect, len(columns), where):
        dialect = dialect._replace(quoted=False)
    return dialect, columns


def _find_blanks(rows: Iterator[str], separators: Collection[str]) -> set[str]:
    """Find the separators that blanks and a quotation mark follow, be it within a text."""
    pattern = re.compile(f'([{re.escape("".join(separators))}]) +"')
    found: set[str] = set()
    for line in rows:
        if ' "' in line:
            found.update(pattern.findall(line))
    return found


def _has_blanks(source: Held, encoding: Encoding, dialect: Dialect, where: str) -> bool:
    """Check whether fields begin with blanks and a quotation mark, if blanks are read as part of them.

    Elsewhere they are kept, so that blanks around a label are reported.
    """
    try:
        rows = read(source, encoding, dialect._replace(blanks=False), where)
        return any(cell.startswith(" ") and cell.lstrip(" ").startswith('"') for _, row in rows for cell in row)
    except (csv.Error, UserError):
        return True


def fits(row: list[str], columns: int) -> bool:
    """Check whether a row has as many fields as there are columns; spreadsheets add empty ones."""
    return len(row) == columns or (len(row) > columns and not any(map(str.strip, row[columns:])))


def _is_bare(source: Held, encoding: Encoding, dialect: Dialect, columns: int, where: str) -> bool:
    """Check whether quotation marks are letters: every line is a row, and some fields begin with one, but end without.

    So are tables of tabs that were written without quoting, such as those of GLUE. With another
    separator, a text of two lines may look so: then the table must not be readable in the usual way.
    """
    unclosed = False
    with open_lines(source, encoding) as stream:
        for line in itertools.islice(lines(stream, where), dialect.skipped, None):
            row = line.rstrip("\r\n").split(dialect.separator)
            if line.strip() and not fits(row, columns):
                return False
            unclosed = unclosed or ('"' in line and any(map(_is_unclosed, row)))
    return unclosed and (dialect.separator == "\t" or not _is_readable(source, encoding, dialect, columns, where))


def _is_readable(source: Held, encoding: Encoding, dialect: Dialect, columns: int, where: str) -> bool:
    try:
        return all(fits(row, columns) for _, row in read(source, encoding, dialect, where))
    except (csv.Error, UserError):
        return False


def _is_unclosed(field: str) -> bool:
    field = field.strip(" ")
    if not field.startswith('"'):
        return False
    return len(field) == 1 or not field.endswith('"') or '"' in field[1:-1].replace('""', "")
