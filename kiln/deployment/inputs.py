"""What is to be classified: files, typed texts, and rows of tables, each with a name and how to get its content."""

import codecs
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kiln.core import formats, phrases
from kiln.core.errors import UserError
from kiln.modalities.base import FileKinds
from kiln.sources import encoded, names, parquet, rows
from kiln.sources.records import Tally

TABLES = frozenset(rows.SUFFIXES) - {".txt"}
_WHERE = "the table"  # in sentences, which follow its path


class Input(NamedTuple):
    """A sample to be classified.

    Attributes:
        kind: what the name is: ``path`` or ``text``.
        name: a path, a table's path with a line, or a typed text itself.
        content: a file to be read, the bytes themselves, or the error that there is instead.
    """

    kind: str
    name: str
    content: Path | bytes | UserError


def type_in(texts: Iterable[str], kinds: FileKinds) -> Iterator[Input]:
    """Give typed texts, of which the bytes are as the terminal sent them.

    Raises:
        UserError: samples of these kinds cannot be typed.
    """
    for text in texts:
        if kinds.separator is None:
            raise UserError(f"--text: the model takes {phrases.with_article(kinds.noun)}, not a text: give its path")
        yield Input("text", text, os.fsencode(text))


def list_files(arguments: Iterable[str], lines: Iterable[bytes], kinds: FileKinds) -> Iterator[Input]:
    """List the files that arguments name, in their order.

    Args:
        arguments: paths of files and folders, and ``-`` for the paths on standard input.
        lines: of standard input, one path each; read only for ``-``.
        kinds: which files of a folder are samples.

    Yields:
        For a folder its samples, sorted, including those of subfolders and links, without hidden ones; for a folder
        without samples the folder itself, which ``predictor.read`` reports.
    """
    for path in _list_paths(arguments, lines, kinds):
        inside = _inside(path, kinds)
        for file in (next(inside, path), *inside):
            yield Input("path", str(file), file)


def list_rows(
    arguments: Iterable[str], lines: Iterable[bytes], columns: Sequence[str], kinds: FileKinds
) -> Iterator[Input]:
    """List the rows of tables (CSV or JSON lines in any encoding, Parquet) as fetch reads them, in their order.

    Args:
        arguments, lines, kinds: as for ``list_files``; but each path is a table.
        columns: which hold the sample; the values of several are joined as in fetch.

    Yields:
        Each row by the table's path and the line that it ends in, such as ``new.csv:17``, or its number in Parquet,
        from 1; for a table that cannot be read, or not from a row on, its path and the error.

    Raises:
        UserError: samples of these kinds cannot stand in a cell.
    """
    if kinds.separator is None:
        raise UserError(f"--column: the model takes {phrases.with_article(kinds.noun)}, not a text: give its path")
    for path in _list_paths(arguments, lines, kinds):
        try:
            for line, content in _read_rows(path, columns, kinds.separator):
                yield Input("path", f"{path}:{line}", content)
        except (OSError, UserError, ValueError) as error:
            yield Input("path", str(path), error if isinstance(error, UserError) else explain(error, path, kinds))


def _read_rows(path: Path, columns: Sequence[str], separator: str) -> Iterator[tuple[int, bytes]]:
    if path.exists() and not path.is_file():
        raise UserError("it is no file on disk: give the table itself, which is read more than once")
    if path.suffix.lower() in rows.PARQUET:
        _check_columns(columns, parquet.open_table(path, _WHERE)[0].columns)
        yield from parquet.read_texts(path, list(columns), separator, _WHERE)
        return

    def find_encoding() -> encoded.Encoding:
        return encoded.find_encoding(path, "auto", path.name, Tally(), _WHERE)

    wanted = [names.tidy(column) for column in columns]
    table = rows.examine(path, path.name, wanted, _WHERE, find_encoding, may_be_bare=True, key="the path").of(path)
    _check_columns(wanted, table.columns)
    for line, row in table.rows(wanted):
        yield line, rows.content_of(separator.join(row[column] for column in wanted), table.errors)


def _check_columns(wanted: Sequence[str], columns: Sequence[str]) -> None:
    for column in wanted:
        if column not in columns:
            raise UserError(
                f"{_WHERE} has no column {rows.shown(column)}: name one of its columns by --column: "
                f"{rows.listed(columns)}"
            )


def explain(error: OSError | ValueError, path: Path, kinds: FileKinds) -> UserError:
    """Say in a sentence why a path cannot be read, and what to do."""
    match error:
        case FileNotFoundError():
            return UserError("it does not exist: check the path")
        case IsADirectoryError() if not os.access(path, os.R_OK | os.X_OK):
            return UserError("the folder cannot be opened: check its permissions")
        case IsADirectoryError():
            extensions = " ".join(sorted(kinds.extensions))
            return UserError(f"the folder holds no {kinds.noun} file ({extensions}): check the path")
        case OSError():
            return UserError(f"it cannot be read ({error.strerror}): check the path and its permissions")
    sample = phrases.with_article(kinds.noun)
    return UserError(f"it is not a path: give one path per line, or /dev/stdin for {sample} on standard input")


def _list_paths(arguments: Iterable[str], lines: Iterable[bytes], kinds: FileKinds) -> Iterator[Path]:
    for argument in arguments:
        yield from _named(lines, kinds) if argument == "-" else [Path(argument)]


def _named(lines: Iterable[bytes], kinds: FileKinds) -> Iterator[Path]:
    for number, line in enumerate(lines):
        if not number and line[:1] > b"\x7f" and kinds.reads(line[: formats.HEAD]):  # not BMW/1.png
            line = b"\0"  # not a path, so that a sample on standard input gives one error, as below
        # Lists from Windows have a byte-order mark and CRLF line ends.
        if name := (line if number else line.removeprefix(codecs.BOM_UTF8)).rstrip(b"\r\n"):
            yield Path(os.fsdecode(name))
        if b"\0" in name:
            return  # a sample itself, not a list of paths: one error is enough


def _inside(path: Path, kinds: FileKinds, parents: frozenset[str] = frozenset()) -> Iterator[Path]:
    try:
        parents = parents | {os.path.realpath(path)}  # links may form a cycle
        with os.scandir(path) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except (OSError, ValueError):  # not a folder, or not readable: ``read`` reports it
        yield path
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if os.path.realpath(entry) not in parents:
                yield from _inside(path / entry.name, kinds, parents)
        # Not a pipe, which might never end.
        elif (entry.is_symlink() or entry.is_file()) and _is_sample(path / entry.name, kinds):
            yield path / entry.name


def _is_sample(path: Path, kinds: FileKinds) -> bool:
    """Whether a file is a sample, as fetch decides: by a known extension, else by content."""
    if path.suffix.lower() in kinds.extensions:
        return True
    if path.suffix.lower() in kinds.refused:
        return False
    try:
        if not path.is_file():  # a link to a pipe, which might never end
            return False
        with path.open("rb") as file:
            return kinds.reads(file.read(formats.HEAD))
    except OSError:
        return False
