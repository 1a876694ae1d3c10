"""Images that a table lists: a manifest of paths and labels, or Parquet that holds the images themselves."""

import fnmatch
import itertools
import json
import posixpath
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kiln import params
from kiln.core.errors import UserError
from kiln.core.formats import HEAD, sniff
from kiln.sources import locating
from kiln.sources.containers import Container
from kiln.sources.records import (
    POINTERS,
    SPLIT_NAMES,
    TIDIED,
    Groups,
    Place,
    Record,
    Source,
    Surprises,
    Tally,
    folded,
    is_hidden,
    split_words,
    tidy,
    visible,
)
from kiln.sources.rows import PARQUET, SUFFIXES, Table, listed, open_text, shown, text_of

DEFAULT_COLUMNS = {"split": "split", "group": "group"}
# The names of Hugging Face's imagefolder besides Kiln's own.
PATH_NAMES = ("path", "file_name", "image_file_name")
IMAGE_NAMES = ("image", "img")
# Columns of yes and no that tell a split, as in fastai's tables.
FLAGS = {"is_valid": "validation", "is_test": "test"}
_TRUTH = {"1": True, "1.0": True, "1,0": True, "true": True, "": False, "0": False, "0.0": False, "0,0": False} | {
    "false": False
}
# Text that other tools write where there is no label; it may be a name as well.
_DOUBTFUL = frozenset(["nan", "none", "null", "na", "n/a", "#n/a", "<na>", "-1"])
# Labels are few, and rows many.
_tidied = lru_cache(4096)(tidy)
# As many as an archive may have members; few bytes of Parquet can claim any number of rows.
MAX_ROWS = 10_000_000
_ROWS = 256
# Rows that are looked at to see what a column holds.
_SAMPLE = 1000


class _Kind(NamedTuple):
    """Types that a column may have, as Arrow's checks and in words."""

    checks: tuple[Callable[[pa.DataType], bool], ...]
    words: str


_TEXT = _Kind((pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null), "text")
_NAME = _Kind((*_TEXT.checks, pa.types.is_integer, pa.types.is_boolean), "text or whole numbers")
_NUMBER = _Kind((*_NAME.checks, pa.types.is_floating), "0 and 1")
_PATH = _Kind(_TEXT.checks, "text, or a struct with a field path")
_IMAGE = _Kind(
    (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view), "bytes, or a struct with a field bytes"
)


class _Columns(NamedTuple):
    """Names of the columns that are read; several labels are one-hot: a column for each class."""

    image: str
    labels: tuple[str, ...]
    split: str | None
    group: str | None

    def besides_image(self) -> list[str]:
        return [name for name in (*self.labels, self.split, self.group) if name]

    def kinds(self, image: _Kind) -> dict[str, _Kind]:
        """Name -> what the column may hold."""
        kinds = {self.image: image} | dict.fromkeys(self.labels, _NAME if len(self.labels) == 1 else _NUMBER)
        kinds |= {self.split: _NAME if self.split in FLAGS else _TEXT} if self.split else {}
        return kinds | ({self.group: _NAME} if self.group else {})


def _labels(settings: params.Fetch) -> tuple[str, ...]:
    label = settings.source.label_column
    return (label,) if isinstance(label, str) else tuple(label)


def _columns(
    names: Collection[str],
    settings: params.Fetch,
    images: tuple[str, ...],
    where: str,
    hint: Callable[[Collection[str]], str],
) -> _Columns:
    """Find the columns of image, label, split and group; the last two may be absent where their names are the default.

    Args:
        names: of all columns.
        settings: the fetch section.
        images: names that the image column may have where it is auto.
        where: for errors.
        hint: gives from the names what may help where the image or the label is missing.

    Raises:
        UserError: one is missing, naming those that are there.
    """
    names = list(names)
    images = images if settings.parts["image"].column == "auto" else (settings.parts["image"].column,)
    image = next((name for name in images if name in names), None)
    labels = _labels(settings)
    split, group = (
        _unless_default(key, getattr(settings.source, f"{key}_column"), names) for key in ("split", "group")
    )
    flags = [name for name in FLAGS if name in names]
    if split is None and len(flags) > 1:
        raise UserError(f"{where} has the columns {' and '.join(flags)}: put train, validation or test into one")
    found = _Columns(image, labels, split or next(iter(flags), None), group)
    wanted = [("image", image or " or ".join(images)), *(("label", name) for name in labels)]
    wanted += [("split", found.split), ("group", group)]
    for key, name in wanted:
        if name and names.count(name) > 1:
            raise UserError(f"{where} has several columns {shown(name)}: give each a name of its own")
        if name and name not in names:
            help_ = hint(names) if key in ("image", "label") else ""
            param = "fetch.image.column" if key == "image" else f"fetch.source.{key}_column"
            raise UserError(f"{where} has no column {name}, but {listed(names)}: name it by {param}{help_}")
    return found


def _unless_default(key: str, name: str, names: list[str]) -> str | None:
    return None if name == DEFAULT_COLUMNS[key] and name not in names else name


def _one_hot(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Find the columns that look one-hot: 0 and 1 alone, and one 1 at most in a row."""
    rows = list(itertools.islice(rows, _SAMPLE))
    values = {name: [row[name].strip().lower() for row in rows] for name in (rows[0] if rows else ())}
    looks = [name for name, column in values.items() if set(column) - {""} and set(column) <= _TRUTH.keys()]
    looks = [name for name in looks if name not in FLAGS]
    single = all(sum(_TRUTH[values[name][row]] for name in looks) <= 1 for row in range(len(rows)))
    return looks if len(looks) > 1 and single else []


def _told(columns: list[str]) -> str:
    if not columns:
        return ""
    return f"; {listed(columns)} look one-hot, which fetch.source.label_column: [{listed(columns)}] reads"


def _meaning(row: Mapping[str, str], columns: _Columns, where: str) -> tuple[str, str | None, str | None]:
    """Read label ("" for none), split and group from the texts of a row.

    Raises:
        UserError: the sentence begins with ``where``.
    """
    if len(columns.labels) == 1:
        label = row[columns.labels[0]]
    else:
        ones = [name for name in columns.labels if _yes(row[name], name, where)]
        if len(ones) > 1:
            raise UserError(f"{where}: {listed(ones)} are 1 at once, but an image has one class: leave one of them")
        label = ones[0] if ones else ""
    split = _split(row[columns.split], columns.split, where) if columns.split else None
    return label, split, (tidy(row[columns.group]) or None) if columns.group else None


def _yes(value: str, name: str, where: str) -> bool:
    try:
        return _TRUTH[value.strip().lower()]
    except KeyError:
        raise UserError(f"{where}: {shown(name)} is {shown(value)}, but should be 0 or 1") from None


def _split(value: str, column: str, where: str) -> str | None:
    if not value.strip():
        return None
    if column in FLAGS:
        return FLAGS[column] if _yes(value, column, where) else "train"
    words = split_words(value)
    if len(words) != 1:
        raise UserError(f"{where}: the split '{shown(value)}' is none of {', '.join(SPLIT_NAMES)}")
    return words.pop()


class _Classes:
    """Tidies labels, and sees to it that no two classes look the same."""

    def __init__(self, notes: Tally, source: object):
        self._notes, self._source = notes, source
        self._labels: set[str] = set()
        self._known: dict[str, str] = {}

    def read(self, text: str | None) -> str | None:
        """Give the label as it is used, None where there is none.

        Raises:
            UserError: another label differs from it by what is hardly seen.
        """
        label = _tidied(text or "")
        if label and label != text:
            self._notes.add(TIDIED, visible(text)[:100])
        if label and label not in self._labels:
            self._labels.add(label)
            self._compare(label)
        return label or None

    def _compare(self, label: str) -> None:
        other = self._known.setdefault(folded(label), label)
        if other != label and len(label) > 1:
            raise UserError(
                f"{self._source} has the classes {visible(other)[:100]} and {visible(label)[:100]}, which differ only "
                "by case, blanks or Unicode form: give one class one name"
            )
        if other != label:  # Sets of handwriting tell a from A.
            self._notes.add("class that differs from another only by case or Unicode form", label)
        if label.casefold() in _DOUBTFUL:
            self._notes.add("class called like a missing label; leave the label empty if it is one", label)


def _labelled(rows: int, labels: tuple[str, ...], where: object) -> UserError:
    return UserError(f"{where}: none of {rows:,} rows has a label in {listed(labels)}: set fetch.source.label_column")


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
    splits = _tables(container, settings.source.manifest, path)
    classes = _Classes(surprises.notes, path)
    places: dict[str, Place] = {}
    lines: dict[str, tuple[str, int]] = {}
    passed: set[str] = set(splits)
    pending: list[_Listed] = []
    number, names = 0, _labels(settings)

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
        raise _labelled(number, names, path)
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
        manifest: fetch.source.manifest: a path, perhaps below further folders, or a pattern with * or ?.
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
        raise UserError(
            f"{path} holds no {shown(manifest)}{found}: set fetch.source.manifest to the table's name inside it"
        )
    if len(tables) == 1:
        return dict.fromkeys(tables)
    splits = {name: _split_of(name, f"{path}: {name}") for name in tables}
    if any(splits.values()) and not all(splits.values()):
        telling, silent = (next(name for name in tables if bool(splits[name]) is told) for told in (True, False))
        raise UserError(
            f"{path} holds {len(tables)} tables {shown(manifest)}: the name of {shown(silent)} tells no split, while "
            f"that of {shown(telling)} does: set fetch.source.manifest to one of them"
        )
    return splits


def _listed_rows(
    table: str, content: bytes, container: Container, settings: params.Fetch, split: str | None, where: str
) -> Iterator[_Listed]:
    """Yield the rows of one table; ``split`` is what its name tells."""
    schema = None
    if table.lower().endswith(PARQUET) or content.startswith(b"PAR1"):
        opened, schema = _open_packed(content, where)
    else:
        own = settings.parts["image"].column, settings.source.split_column, settings.source.group_column
        known = {*PATH_NAMES, *_labels(settings), *own}
        opened = open_text(content, table, known, where)

    def hint(names: Collection[str]) -> str:
        words = {word: name for name in names for word in (name, *name.split()[:1])}
        rows = [word for word in words if word and locating.at(posixpath.dirname(table), word, container.names)]
        if rows:
            blanks = "" if rows[0] == words[rows[0]] else ", and commas in place of the blanks"
            return f"; its first line seems to be an image's: put one with the names of the columns above it{blanks}"
        alone = [name for name in names if names.count(name) == 1 and (schema is None or _is_number(schema, name))]
        try:
            return _told(_one_hot(row for _, row in opened.rows(alone)))
        except UserError:
            return ""  # What is wrong with a row is not what is to be said first.

    columns = _columns(opened.columns, settings, PATH_NAMES, where, hint)
    if schema:
        _check(schema, columns.kinds(_PATH), where)
    for line, row in opened.rows([columns.image, *columns.besides_image()]):
        label, own, group = _meaning(row, columns, f"{where} line {line}")
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
        split = splits[row.table] or _split_of(row.table)
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


def _open_packed(content: bytes, where: str) -> tuple[Table, pa.Schema]:
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


def _is_number(schema: pa.Schema, name: str) -> bool:
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
        return f"is a {kind}, which stands for the file: {POINTERS[kind]}"
    if kind and kind != "Parquet":
        return f"is no Parquet file, but of the kind {kind}: copy or download it again, or unpack it if it is packed"
    return "is no Parquet file, or a damaged one: copy it again"


def _check(schema: pa.Schema, kinds: Mapping[str, _Kind], where: str) -> None:
    """Refuse columns of other types than those that are read, such as extension types, whose meaning is unknown."""
    for name, allowed in kinds.items():
        field = schema.field(name)
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        extended = isinstance(kind, pa.BaseExtensionType) or b"ARROW:extension:name" in (field.metadata or {})
        inner = "bytes" if allowed is _IMAGE else "path" if allowed is _PATH else None
        if inner and pa.types.is_struct(kind) and kind.get_field_index(inner) >= 0:
            kind = kind.field(inner).type
        if extended or not any(check(kind) for check in allowed.checks):
            found = f"{field.type!s:.80}{' of an extension type' if extended else ''}"
            paths = allowed is _IMAGE and any(check(kind) for check in _TEXT.checks)
            other = "; for a table of paths set fetch.source.name to manifest" if paths else ""
            raise UserError(f"{where}: the column {shown(name)} is {found}, but should be {allowed.words}{other}")


def open_parquet(path: Path, settings: params.Fetch, surprises: Surprises) -> Source:
    """Read Parquet that holds the images, as the datasets of Hugging Face do.

    The image column holds bytes, or a struct of bytes and path; integer labels
    get their names from the schema's metadata. The split comes from the split
    column, else from a word of the file's name, or of the nearest folder that has
    one (``train-00000-of-00002.parquet``, ``mnist_test.parquet``, ``test/0.parquet``).
    All rows but for the images are read at once, so that what is wrong is said
    before the long work.

    Args:
        path: a file, or a folder of files.
        settings: the fetch section: the columns.
        surprises: filled with what was passed over.

    Raises:
        UserError: there is no Parquet, it lacks a column or all images of a class,
            a group lies in two splits, or names do not tell the splits.
    """
    found = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    files = [file for file in found if file == path or not is_hidden(file.relative_to(path).parts)]
    if not files:
        raise UserError(f"fetch.path {path} holds no .parquet file: give a file or a folder of them")

    names = {file: file.relative_to(path).as_posix() if path.is_dir() else file.name for file in files}
    telling = next((name for name in names.values() if _split_of(name)), None)

    def rows(with_images: bool) -> Iterator[tuple[Place, object]]:
        for file, name in names.items():
            yield from _images(file, name, telling, settings, with_images)

    def places() -> Iterator[Place]:
        for place, _ in rows(with_images=False):
            if label := _tidied(place.label):
                yield place._replace(label=label)

    groups, classes, number = Groups(), _Classes(surprises.notes, path), 0
    found: set[str] = set()
    for place, _ in rows(with_images=False):
        number += 1
        if label := classes.read(place.label):
            found.add(label)
            groups.add(place, f"{path}: row {place.id}")
    if not number:
        raise UserError(f"{path}: its Parquet holds no row: write or download it again")
    if not found:
        raise _labelled(number, _labels(settings), path)

    def records(wanted):
        reasons, without, held = Counter(), {}, set()
        for place, image in rows(with_images=True):
            if wanted is not None and place.id not in wanted:
                continue
            content = image if isinstance(image, bytes) else (image or {}).get("bytes")
            label = _tidied(place.label)
            if not label:
                surprises.skipped.add("row without a label", place.id)
            elif content is None:
                location = None if isinstance(image, bytes) else (image or {}).get("path")
                reason = "row without an image" if location is None else "row with only the path of an image"
                surprises.skipped.add(reason, place.id)
                reasons[reason] += 1
                without.setdefault(label, place.id if location is None else str(location))
            else:
                held.add(label)
                yield Record(place.id, label, place.split, place.group, content, None)
        lost = without.keys() - held
        # Of a few that were drawn, those without an image say nothing of the others.
        if lost and (wanted is None or not held):
            raise _without_images(path, reasons, without[min(lost)], sorted(lost))

    return Source(places, records)


def _without_images(path: Path, reasons: Counter, example: str, lost: list[str]) -> UserError:
    """Say that classes have no image at all.

    Args:
        path: of the source.
        reasons: what is the matter with how many rows.
        example: one of them.
        lost: the classes of which nothing is left.
    """
    found = " and ".join(f"{count:,} of the kind '{reason}'" for reason, count in sorted(reasons.items()))
    if list(reasons) == ["row with only the path of an image"]:
        found = f"{reasons.total():,} rows hold no image, only its path"
    return UserError(
        f"{path}: {found} (such as {shown(example)}), and no image is left of {listed(lost)}: "
        "write the Parquet with the images' bytes in it, or, where the files are at hand, set fetch.source.name to "
        "manifest with a table of their paths"
    )


def _images(
    file: Path, name: str, telling: str | None, settings: params.Fetch, with_images: bool
) -> Iterator[tuple[Place, object]]:
    """Yield the rows of a file, the label as it stands there and "" for none.

    ``telling`` is a file of the source whose name tells a split, if there is one.
    """
    with _parquet(file, str(file)) as parquet:
        schema = parquet.schema_arrow

        def hint(names: Collection[str]) -> str:
            numbers = [one for one in names if names.count(one) == 1 and _is_number(schema, one)]
            batch = next(parquet.iter_batches(_SAMPLE, columns=numbers), None) if numbers else None
            return _told(_one_hot(_as_text(row, str(file)) for row in (batch.to_pylist() if batch else ())))

        columns = _columns(schema.names, settings, IMAGE_NAMES, str(file), hint)
        _check(schema, columns.kinds(_IMAGE), str(file))
        classes = _class_names(schema, columns.labels[0]) if len(columns.labels) == 1 else None
        of_file = None if columns.split else _split_of(name, str(file))
        if telling and not (columns.split or of_file):
            raise UserError(
                f"{file}: its name tells no split, while that of {telling} does: put train, validation or test into "
                "each name or none, or give the tables a split column"
            )
        texts = columns.besides_image()
        number = 0
        for batch in parquet.iter_batches(_ROWS, columns=[*texts, columns.image] if with_images else texts):
            for row in batch.to_pylist():
                where = f"{file}: row {number}"
                image = row.pop(columns.image, None)
                if classes is not None:
                    row[columns.labels[0]] = _class_name(row[columns.labels[0]], classes, where)
                label, split, group = _meaning(_as_text(row, where), columns, where)
                identity = f"{name.removesuffix('.parquet')}/{number}"
                yield Place(identity, label, split if columns.split else of_file, group), image
                number += 1


def _as_text(row: Mapping[str, object], where: str) -> dict[str, str]:
    return {name: text_of(value, where) for name, value in row.items()}


def _class_name(label: int | None, names: list[str], where: str) -> str | None:
    # Hugging Face writes -1 where a label is withheld, as in the test splits of contests.
    if label is None or label == -1:
        return None
    if not 0 <= label < len(names):
        raise UserError(f"{where} has the label {label}, but names are {len(names)}")
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


def _split_of(name: str, where: str | None = None) -> str | None:
    """Read a split from the words of a file's name, else of the nearest folder's that has one.

    Args:
        name: the path below the source, such as ``data/test-00000-of-00001.parquet``.
        where: for the error; None: a name with the words of several splits is passed over.

    Raises:
        UserError: the name has the words of several splits.
    """
    for step in reversed(posixpath.splitext(name)[0].split("/")):
        found = sorted(split_words(step))
        if len(found) > 1 and where:
            raise UserError(
                f"{where}: the name {step} tells several splits, {' and '.join(found)}: leave one of them in it, or "
                "give the table a split column"
            )
        if len(found) == 1:
            return found[0]
    return None
