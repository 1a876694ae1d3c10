"""Images that a table lists: a manifest of paths and labels, or Parquet that holds the images themselves."""

import csv
import io
import json
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib import params
from stages.lib.containers import Container
from stages.lib.errors import UserError
from stages.lib.records import SPLIT_NAMES, Groups, Place, Record, Source, Surprises, split_words

DEFAULT_COLUMNS = {"split": "split", "group": "group"}
IMAGE_NAMES = ("image", "img")
# As many as an archive may have members; few bytes of Parquet can claim any number of rows.
MAX_ROWS = 10_000_000
_ROWS = 256


class _Kind(NamedTuple):
    """Types that a column may have, as Arrow's checks and in words."""

    checks: tuple[Callable[[pa.DataType], bool], ...]
    words: str


_TEXT = _Kind((pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null), "text")
_NAME = _Kind((*_TEXT.checks, pa.types.is_integer, pa.types.is_boolean), "text or whole numbers")
_IMAGE = _Kind(
    (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view), "bytes, or a struct with a field bytes"
)
_OF_MANIFEST = {"image": _TEXT, "label": _NAME, "split": _TEXT, "group": _NAME}
_OF_IMAGES = {**_OF_MANIFEST, "image": _IMAGE}


def _columns(
    names: Iterable[str], settings: params.Fetch, images: tuple[str, ...], where: str
) -> dict[str, str | None]:
    """Find the columns of image, label, split and group; the last two may be absent where their names are the default.

    Raises:
        UserError: one is missing, naming those that are there.
    """
    names = list(names)
    image = settings.image_column
    found = {"image": next((name for name in images if name in names), None) if image == "auto" else image}
    found |= {key: getattr(settings, f"{key}_column") for key in ("label", "split", "group")}
    for key, name in found.items():
        if names.count(name) > 1:
            raise UserError(f"{where} has several columns {name}: give each a name of its own")
        if name not in names:
            if name and DEFAULT_COLUMNS.get(key) == name:
                found[key] = None
                continue
            asked = name or " or ".join(images)
            raise UserError(f"{where} has no column {asked}, but {', '.join(names)}: name it by fetch.{key}_column")
    return found


def _split(value: str | None, where: str) -> str | None:
    if not value:
        return None
    if value.lower() not in SPLIT_NAMES:
        raise UserError(f"{where}: the split {value!r} is none of {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[value.lower()]


def open_manifest(container: Container, settings: params.Fetch, surprises: Surprises, path: Path) -> Source:
    """Read the images that a CSV or Parquet table in a folder or archive lists.

    Paths are relative to the table and stay within the container, labels are
    text as written.

    Args:
        container: that holds the table and the images.
        settings: the fetch section: the table's name and columns.
        surprises: filled with what was passed over.
        path: of the container, for errors.

    Raises:
        UserError: the table or an image is missing, or a row contradicts another.
    """
    tables = [name for name in container.names if name == settings.manifest]
    tables = tables or [name for name in container.names if name.partition("/")[2] == settings.manifest]
    if len(tables) != 1:
        raise UserError(f"{path} holds no {settings.manifest}: set fetch.manifest to the table's name inside it")
    table, where = tables[0], f"{path}: {tables[0]}"
    ((_, content),) = container.contents(lambda name: name == table)
    folder = posixpath.dirname(table)
    places: dict[str, Place] = {}
    groups = Groups()
    missing = []
    for line, (name, label, split, group) in _rows(content, table, settings, where):
        target = posixpath.normpath(posixpath.join(folder, name))
        if name.startswith("/") or target.startswith("../"):
            raise UserError(f"{where} line {line}: {name} lies outside of {path}: list paths relative to the table")
        if not name or not label:
            raise UserError(f"{where} line {line}: lacks a path or a label")
        place = Place(target, label, _split(split, f"{where} line {line}"), group or None)
        if target not in container.names:
            missing.append(name)
        elif target not in places:
            places[target] = place
        elif places[target] == place:
            surprises.skipped.add("listed twice", name)
        else:
            raise UserError(f"{where} line {line}: {name} was listed before with another label, split or group")
        groups.add(place, f"{where} line {line}")
    if missing:
        raise UserError(f"{where} lists {len(missing)} files that {path} does not hold, {missing[0]} first")
    for name in container.names:
        if name not in places and name != table:
            surprises.skipped.add("not in the table", name)

    def records(wanted):
        for name, image in container.contents(lambda name: name in places and (wanted is None or name in wanted)):
            yield Record(*places[name], image, posixpath.basename(name))

    return Source(lambda: (places[name] for name in container.names if name in places), records)


def _rows(content: bytes, name: str, settings: params.Fetch, where: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, [path, label, split, group]) as text, the last two "" where there are none."""
    if name.lower().endswith(".parquet"):
        with _parquet(pa.BufferReader(content), where) as file:
            columns = _columns(file.schema_arrow.names, settings, ("path",), where)
            _check(file.schema_arrow, columns, _OF_MANIFEST, where)
            if file.metadata.num_rows > MAX_ROWS:
                raise UserError(f"{where} has more than {MAX_ROWS:,} rows: split it into several sources")
            table = file.read(columns=[name for name in columns.values() if name])
        texts = [table[name].cast(pa.string()).to_pylist() if name else [""] * len(table) for name in columns.values()]
        for line, row in enumerate(zip(*texts, strict=True), start=1):
            yield line, [value or "" for value in row]
        return
    try:
        lines = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        columns = _columns(lines.fieldnames or [], settings, ("path",), where)
        for row in lines:
            if None in row or None in row.values():
                raise UserError(f"{where} line {lines.line_num}: has not as many fields as the first line")
            yield lines.line_num, [row[name] if name else "" for name in columns.values()]
    except UnicodeDecodeError:
        raise UserError(f"{where} is not UTF-8: save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{where}: not readable as CSV: {error}") from None


@contextmanager
def _parquet(source, where: str) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(source) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno:
            raise  # of the system
        raise UserError(f"{where} is no Parquet file, or a damaged one: copy it again") from None


def _check(schema: pa.Schema, columns: Mapping[str, str | None], allowed: Mapping[str, _Kind], where: str) -> None:
    """Refuse columns of other types than those that are read, such as extension types, whose meaning is unknown."""
    for key, name in columns.items():
        if name is None:
            continue
        field = schema.field(name)
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        extended = isinstance(kind, pa.BaseExtensionType) or b"ARROW:extension:name" in (field.metadata or {})
        if allowed[key] is _IMAGE and pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            kind = kind.field("bytes").type
        if extended or not any(check(kind) for check in allowed[key].checks):
            found = f"{field.type!s:.80}{' of an extension type' if extended else ''}"
            raise UserError(f"{where}: the column {name} is {found}, but should be {allowed[key].words}")


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
        UserError: there is no Parquet, it lacks a column, a group lies in two
            splits, or names do not tell the splits.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files:
        raise UserError(f"fetch.path {path} holds no .parquet file: give a file or a folder of them")

    names = {file: file.relative_to(path).as_posix() if path.is_dir() else file.name for file in files}
    telling = next((name for name in names.values() if _split_of(name)), None)

    def rows(with_images: bool) -> Iterator[tuple[Place, object]]:
        for file, name in names.items():
            yield from _images(file, name, telling, settings, with_images)

    groups = Groups()
    for place, _ in rows(with_images=False):
        if place.label is not None:
            groups.add(place, f"{path}: row {place.id}")

    def skip(reason: str, identity: str) -> None:
        surprises.skipped.add(reason, identity)

    def records(wanted):
        for place, image in rows(with_images=True):
            if wanted is not None and place.id not in wanted:
                continue
            content = image if isinstance(image, bytes) else (image or {}).get("bytes")
            if content is None:
                skip("row without an image", place.id)
            elif place.label is None:
                skip("row without a label", place.id)
            else:
                yield Record(*place, content, None)

    return Source(lambda: (place for place, _ in rows(with_images=False) if place.label is not None), records)


def _images(
    file: Path, name: str, telling: str | None, settings: params.Fetch, with_images: bool
) -> Iterator[tuple[Place, object]]:
    """Yield the rows of a file; ``telling`` is a file of the source whose name tells a split, if there is one."""
    with _parquet(file, str(file)) as parquet:
        schema = parquet.schema_arrow
        columns = _columns(schema.names, settings, IMAGE_NAMES, str(file))
        _check(schema, columns, _OF_IMAGES, str(file))
        names = _class_names(schema, columns["label"])
        of_file = None if columns["split"] else _split_of(name, str(file))
        if telling and not (columns["split"] or of_file):
            raise UserError(
                f"{file}: its name tells no split, while that of {telling} does: put train, validation or test into "
                "each name or none, or give the tables a split column"
            )
        wanted = [column for key, column in columns.items() if column and (with_images or key != "image")]
        number = 0
        for batch in parquet.iter_batches(_ROWS, columns=wanted):
            for row in batch.to_pylist():
                label = row[columns["label"]]
                if names is not None and label is not None:
                    if not 0 <= label < len(names):
                        raise UserError(f"{file}: row {number} has the label {label}, but names are {len(names)}")
                    label = names[label]
                split = _split(row[columns["split"]], str(file)) if columns["split"] else of_file
                group = row[columns["group"]] if columns["group"] else None
                identity = f"{name.removesuffix('.parquet')}/{number}"
                text = None if label in (None, "") else str(label)
                group = None if group in (None, "") else str(group)
                yield Place(identity, text, split, group), row.get(columns["image"])
                number += 1


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
    for step in reversed(name.removesuffix(".parquet").split("/")):
        found = sorted(split_words(step))
        if len(found) > 1 and where:
            raise UserError(
                f"{where}: the name {step} tells several splits, {' and '.join(found)}: leave one of them in it, or "
                "give the table a split column"
            )
        if found:
            return found[0]
    return None
