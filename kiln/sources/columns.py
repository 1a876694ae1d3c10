"""Which columns of a table are read, and what a row's label, split and group are."""

import difflib
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import pyarrow as pa

from kiln import params
from kiln.core.errors import UserError
from kiln.modalities.base import FileKinds
from kiln.sources.names import SPLIT_NAMES, split_words, tidy
from kiln.sources.rows import TOLD, listed, shown

DEFAULT_COLUMNS = {"split": "split", "group": "group"}
# Columns of yes and no that give a split, as in fastai's tables.
FLAGS = {"is_valid": "validation", "is_test": "test"}
_TRUTH = {"1": True, "1.0": True, "1,0": True, "true": True, "": False, "0": False, "0.0": False, "0,0": False} | {
    "false": False
}
# Rows that are looked at to see what a column holds.
SAMPLE = 1000


class Kind(NamedTuple):
    """Types that a column may have, as Arrow's checks and in words."""

    checks: tuple[Callable[[pa.DataType], bool], ...]
    words: str


TEXT = Kind((pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null), "text")
_NAME = Kind((*TEXT.checks, pa.types.is_integer, pa.types.is_boolean), "text or whole numbers")
_NUMBER = Kind((*_NAME.checks, pa.types.is_floating), "0 and 1")
PATH = Kind(TEXT.checks, "text, or a struct with a field path")
BYTES = Kind(
    (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view), "bytes, or a struct with a field bytes"
)

CELL = Kind((*TEXT.checks, *BYTES.checks), "text or bytes")


class Columns(NamedTuple):
    """Names of the columns that are read.

    Attributes:
        contents: part -> the columns of its content, or the one of the path to it.
        labels: the column of the label; several are one-hot: a column for each class.
        split, group: None where there is none.
    """

    contents: Mapping[str, tuple[str, ...]]
    labels: tuple[str, ...]
    split: str | None
    group: str | None

    def besides_contents(self) -> list[str]:
        """Names of the columns of label, split and group."""
        return [name for name in (*self.labels, self.split, self.group) if name]

    def of_contents(self) -> list[str]:
        """Names of the columns of all parts, each once."""
        return list(dict.fromkeys(itertools.chain.from_iterable(self.contents.values())))

    def kinds(self, contents: Mapping[str, Kind]) -> dict[str, Kind]:
        """Name -> what the column may hold; ``contents`` says it by part."""
        kinds = {name: contents[part] for part, names in self.contents.items() for name in names}
        kinds |= dict.fromkeys(self.labels, _NAME if len(self.labels) == 1 else _NUMBER)
        kinds |= {self.split: _NAME if self.split in FLAGS else TEXT} if self.split else {}
        return kinds | ({self.group: _NAME} if self.group else {})


def label_columns(settings: params.Fetch) -> tuple[str, ...]:
    """Give fetch.source.label_column as a tuple of names."""
    label = settings.source.label_column
    return (label,) if isinstance(label, str) else tuple(label)


def asked_columns(settings: params.Fetch, part: str) -> tuple[str, ...]:
    """Give fetch.<part>.column as a tuple of names, () for auto."""
    asked = settings.parts[part].column
    return () if asked == "auto" else (asked,) if isinstance(asked, str) else tuple(asked)


def usual_columns(parts: Mapping[str, FileKinds]) -> dict[str, tuple[str, ...]]:
    """Give the usual names of the columns that hold contents: that of the part, and of the only one of its modality."""
    kinds = Counter(modality.name for modality in parts.values())
    return {
        part: tuple(dict.fromkeys((part, *(modality.columns if kinds[modality.name] == 1 else ()))))
        for part, modality in parts.items()
    }


def known_names(settings: params.Fetch, candidates: Mapping[str, tuple[str, ...]]) -> set[str]:
    """Give all names that columns may have which are read."""
    known = {*label_columns(settings), settings.source.split_column, settings.source.group_column}
    return known.union(*(asked_columns(settings, part) or names for part, names in candidates.items()))


def find_columns(
    names: Collection[str],
    settings: params.Fetch,
    candidates: Mapping[str, tuple[str, ...]],
    where: str,
    hint: Callable[[Collection[str]], str],
) -> Columns:
    """Find the columns of contents, label, split and group.

    The last two may be absent where their names are the default.

    Args:
        names: of all columns.
        settings: the fetch section.
        candidates: part -> names that its column may have where it is auto.
        where: for errors.
        hint: gives from the names what may help where a content or the label is missing.

    Raises:
        UserError: one is missing, naming those that are there.
    """
    names = list(names)
    contents, wanted = {}, []
    for part, usual in candidates.items():
        there = [name for name in usual if name in names]
        contents[part] = asked_columns(settings, part) or tuple(there[:1] or [" or ".join(usual)])
        wanted += [(f"fetch.{part}.column", name) for name in contents[part]]
    labels = label_columns(settings)
    split, group = (
        _unless_default(key, getattr(settings.source, f"{key}_column"), names) for key in ("split", "group")
    )
    flags = [name for name in FLAGS if name in names]
    if split is None and len(flags) > 1:
        raise UserError(f"{where} has the columns {' and '.join(flags)}: put train, validation or test into one")
    found = Columns(contents, labels, split or next(iter(flags), None), group)
    hinted = len(wanted) + len(labels)
    wanted += [("fetch.source.label_column", name) for name in labels]
    wanted += [("fetch.source.split_column", found.split), ("fetch.source.group_column", group)]
    for number, (key, name) in enumerate(wanted):
        if name and names.count(name) > 1:
            raise UserError(f"{where} has several columns {shown(name)}: give each a different name")
        if name and name not in names:
            help_ = hint(names) if number < hinted else ""
            # Of very many, the nearest are told.
            near = difflib.get_close_matches(name, names, cutoff=0.5) if len(names) > TOLD else []
            there = listed([*near, *(other for other in names if other not in near)])
            raise UserError(f"{where} has no column {name}, but {there}: name it by {key}{help_}")
    return found


def _unless_default(key: str, name: str, names: list[str]) -> str | None:
    return None if name == DEFAULT_COLUMNS[key] and name not in names else name


def find_one_hot(rows: Iterable[Mapping[str, str]]) -> list[str]:
    """Find the columns that look one-hot: 0 and 1 alone, and one 1 at most in a row."""
    rows = list(itertools.islice(rows, SAMPLE))
    values = {name: [row[name].strip().lower() for row in rows] for name in (rows[0] if rows else ())}
    looks = [name for name, column in values.items() if set(column) - {""} and set(column) <= _TRUTH.keys()]
    looks = [name for name in looks if name not in FLAGS]
    single = all(sum(_TRUTH[values[name][row]] for name in looks) <= 1 for row in range(len(rows)))
    return looks if len(looks) > 1 and single else []


def hint_one_hot(columns: list[str]) -> str:
    """Say how columns that look one-hot are read, "" where there are none."""
    if not columns:
        return ""
    return f"; {listed(columns)} look one-hot, which fetch.source.label_column: [{listed(columns)}] reads"


def read_meaning(row: Mapping[str, str], columns: Columns, where: str) -> tuple[str, str | None, str | None]:
    """Read label ("" for none), split and group from the texts of a row.

    Raises:
        UserError: the sentence begins with ``where``.
    """
    if len(columns.labels) == 1:
        label = row[columns.labels[0]]
    else:
        ones = [name for name in columns.labels if _yes(row[name], name, where)]
        if len(ones) > 1:
            raise UserError(f"{where}: {listed(ones)} are 1 at once, but a sample has one class: keep one of them")
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


def check_types(schema: pa.Schema, kinds: Mapping[str, Kind], where: str) -> None:
    """Refuse columns of other types than those that are read, such as extension types, whose meaning is unknown."""
    for name, allowed in kinds.items():
        field = schema.field(name)
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        extended = isinstance(kind, pa.BaseExtensionType) or b"ARROW:extension:name" in (field.metadata or {})
        inner = "bytes" if allowed is BYTES else "path" if allowed is PATH else None
        if inner and pa.types.is_struct(kind) and kind.get_field_index(inner) >= 0:
            kind = kind.field(inner).type
        if extended or not any(check(kind) for check in allowed.checks):
            found = f"{field.type!s:.80}{' of an extension type' if extended else ''}"
            paths = allowed is BYTES and any(check(kind) for check in TEXT.checks)
            other = "; for a table of paths set fetch.source.name to manifest" if paths else ""
            raise UserError(f"{where}: the column {shown(name)} is {found}, but should be {allowed.words}{other}")


def none_labelled(rows: int, labels: tuple[str, ...], where: object) -> UserError:
    """Build the error for a table without a single label."""
    return UserError(f"{where}: none of {rows:,} rows has a label in {listed(labels)}: set fetch.source.label_column")
