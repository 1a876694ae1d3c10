"""Files of text as streams of characters: their encoding is declared, checked, or found out."""

import codecs
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from kiln.core import encodings
from kiln.core.errors import UserError
from kiln.sources.records import Tally

# A line, a row and a field may have so many characters, so that a quotation mark without its partner fills no memory.
MAX_ROW = 2**24
# As many rows as an archive may have members, each of ten lines: more of them, such as short ones, take hours.
MAX_ROWS = 10_000_000
_MAX_LINES = 10 * MAX_ROWS
_CHUNK = 2**20
# Bytes of lines beyond ASCII by which an encoding is guessed.
_SAMPLE = 2**16
# Lines beyond ASCII by which UTF-8 with a few wrong bytes is told from other encodings.
_JUDGED = 10_000
# Groups of such lines that are guessed apart where no encoding fits all of them.
_GROUPS = 16
# The longer first: that of UTF-32 begins like that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZEROS = "holds zero bytes, as UTF-16 without its mark does: save it as CSV in UTF-8"

Held = Path | bytes  # a file on disk, or what an archive holds


class Encoding(NamedTuple):
    """How a file's bytes become characters.

    Attributes:
        name: as Python calls it.
        errors: what happens to bytes that are none: strict, replace, or surrogateescape, which keeps them.
    """

    name: str
    errors: str = "strict"


class _Scan(NamedTuple):
    """What reading a whole file in one encoding has shown.

    Attributes:
        fault: the first byte that is wrong, None if all are right.
        line: of that byte.
        zeros, characters: counts up to there.
    """

    fault: bytes | None
    line: int
    zeros: int
    characters: int


def open_bytes(source: Held) -> BinaryIO:
    """Open a file from its beginning."""
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def open_lines(source: Held, encoding: Encoding, newline: str = "") -> io.TextIOWrapper:
    """Open a file as text; lines keep their ends."""
    return io.TextIOWrapper(open_bytes(source), encoding.name, encoding.errors, newline)


def lines(stream: io.TextIOWrapper, where: str) -> Iterator[str]:
    """Yield the lines of a text.

    Raises:
        UserError: one is longer than ``MAX_ROW``, or there are too many.
    """
    number = 1
    while line := stream.readline(MAX_ROW + 1):
        if len(line) > MAX_ROW:
            raise UserError(f"{where} line {number}: has more than {MAX_ROW:,} characters: cut it, or take it out")
        if number > _MAX_LINES:
            raise too_many(where, MAX_ROWS)
        yield line
        number += 1


def too_many(where: str, most: int) -> UserError:
    """Build the error for a table of more than so many rows."""
    return UserError(f"{where} has more than {most:,} rows: split it into several sources")


def check_encoding(source: Held, where: str) -> Encoding:
    """Give the encoding of a file that should be UTF-8, or UTF-16 or UTF-32 with a mark.

    Raises:
        UserError: it is not.
    """
    marked = _find_mark(source)
    scan = _scan(source, marked or "utf-8")
    if scan.fault is not None:
        raise _damaged(marked, where) if marked else _not_unicode(scan, where)
    if scan.zeros:
        raise UserError(f"{where} {_ZEROS}")
    return Encoding(marked or "utf-8")


def find_encoding(source: Held, asked: str, name: str, notes: Tally, where: str) -> Encoding:
    """Find out the encoding of a table of texts; unless it is UTF-8, that is noted.

    A mark decides. Without one, a file that is UTF-8 but for a few lines is read as
    such, and their bytes are kept, for clean to decode. Any other encoding is guessed.

    Args:
        source: the table.
        asked: fetch.source.encoding: auto, or the encoding where there is no mark.
        name: of the table, for the notes.
        notes: filled.
        where: for errors.

    Raises:
        UserError: no encoding fits, or the one that is asked for does not.
    """
    marked = _find_mark(source)
    told = marked or asked
    scan = _scan(source, "utf-8" if told == "auto" else told)
    if marked:
        if scan.fault is not None:
            raise _damaged(marked, where)
        if marked != "utf-8-sig":
            notes.add(f"table read as {marked.upper()}, as its mark says", name)
        return Encoding(marked)
    if scan.fault is None:
        # A few zeros are the texts' own, and clean's to remove.
        if scan.zeros > scan.characters / 10:
            raise UserError(f"{where} {_ZEROS}")
        return Encoding("utf-8" if asked == "auto" else asked)
    if asked != "auto":
        raise UserError(
            f"{where} line {scan.line}: holds the byte 0x{scan.fault.hex()}, which is not {asked}: set "
            "fetch.source.encoding to auto, or to the right one"
        )
    sample, valid = _sample(source)
    if b"\0" in sample:
        raise UserError(f"{where} {_ZEROS}")
    if valid > 0.5:
        notes.add("table in UTF-8 with lines that are not, whose texts are left to clean as they are", name)
        return Encoding("utf-8", "surrogateescape")
    return _guess(source, sample, name, notes, where)


def _guess(source: Held, sample: bytes, name: str, notes: Tally, where: str) -> Encoding:
    guess = encodings.guess(sample) or _vote(sample)
    if guess is None:
        raise UserError(
            f"{where} is not UTF-8, and no other encoding makes sense of it: save it as CSV in UTF-8, or set "
            "fetch.source.encoding to its encoding"
        )
    wrong = _scan(source, guess).fault is not None
    notes.add(
        f"table that does not declare its encoding, read as {guess} by guess"
        + ", with U+FFFD for bytes that are none of it" * wrong,
        name,
    )
    return Encoding(guess, "replace" if wrong else "strict")


def _vote(sample: bytes) -> str | None:
    """Guess by groups of lines, of which some may hold bytes that are wrong in any encoding."""
    rows = sample.splitlines(keepends=True)
    size = max(1, len(rows) // _GROUPS)
    guesses = Counter(encodings.guess(b"".join(rows[start : start + size])) for start in range(0, len(rows), size))
    del guesses[None]
    return guesses.most_common(1)[0][0] if guesses else None


def _find_mark(source: Held) -> str | None:
    """Give the encoding that a file's mark names, None without a mark."""
    with open_bytes(source) as file:
        head = file.read(4)
    return next((encoding for mark, encoding in _MARKS if head.startswith(mark)), None)


def _damaged(marked: str, where: str) -> UserError:
    return UserError(f"{where} starts as {marked.upper()} but is damaged: save it as CSV in UTF-8")


def _not_unicode(scan: _Scan, where: str) -> UserError:
    guess = scan.fault.decode("cp1252", "replace")
    what = f"{guess!r} in Windows-1252" if guess.isprintable() and guess != "\ufffd" else "no letter there"
    return UserError(
        f"{where} is not UTF-8 (line {scan.line} holds the byte 0x{scan.fault.hex()}, {what}): save it as CSV in UTF-8 "
        '(in Excel: "CSV UTF-8")'
    )


def _scan(source: Held, encoding: str) -> _Scan:
    decoder = codecs.getincrementaldecoder(encoding)()
    line, zeros, characters = 1, 0, 0
    with open_bytes(source) as file:
        while True:
            chunk = file.read(_CHUNK)
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                line += error.object.count(b"\n", 0, error.start)
                return _Scan(error.object[error.start : error.start + 1], line, zeros, characters)
            if not chunk:
                return _Scan(None, line, zeros, characters)
            zeros, characters, line = zeros + text.count("\0"), characters + len(text), line + chunk.count(b"\n")


def _sample(source: Held) -> tuple[bytes, float]:
    """Give lines beyond ASCII, and the fraction of such lines that are UTF-8."""
    sample, judged, valid = bytearray(), 0, 0
    with open_bytes(source) as file:
        while judged < _JUDGED and (line := file.readline(_CHUNK)):
            if line.isascii():
                continue
            judged += 1
            try:
                line.decode()
                valid += 1
            except UnicodeDecodeError:
                sample += line[: _SAMPLE - len(sample)]
    return bytes(sample), valid / max(judged, 1)
