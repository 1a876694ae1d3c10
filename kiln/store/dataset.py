"""The one format in which stages exchange samples, and its only reader and writer.

A dataset is a folder of Parquet shards and, written last, ``manifest.json``::

    {"schema": 3, "kind": "raw" | "clean" | "unlabelled", "parts": ..., ...,
     "shards": [{"file", "split", "rows", "sha256"}, ...]}

kind ``raw``      one series of shards (split null): id, label, split, group, and per
                  part a column of its name: {bytes, path}, the Hugging Face layout;
                  "parts": [name, ...]
kind ``clean``    one folder per split: id, label (int32, an index into "classes"),
                  unit (the name that copies and groups share: they are never
                  split up), and per part a column of its decoded values; "parts":
                  {name: {"modality", "conversion"}}
kind ``unlabelled``  as ``clean``, of train alone, and every label is ``NO_LABEL``

A row group is the unit of streaming. The same tables give the same bytes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from kiln.core import files
from kiln.core.errors import UserError
from kiln.modalities import registry
from kiln.modalities.base import Part
from kiln.params.schema import COLUMNS

SCHEMA = 3
MANIFEST = "manifest.json"
SHARD_BYTES = 64 * 2**20
ROW_GROUP_BYTES = 4 * 2**20
SPLITS = ("train", "validation", "test")
# evaluate counts pairs of label and prediction, which takes 0.8 GB for this many.
MAX_CLASSES = 10_000
NO_LABEL = -1
_FILE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class _ShardEntry(_Strict):
    """A shard as the manifest lists it; never outside the folder."""

    file: Annotated[str, Field(pattern=r"^([a-z]+/)?[0-9]{5,}\.parquet$")]
    split: Literal[SPLITS] | None
    rows: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _in_its_split(self):
        if self.file.rpartition("/")[0] != (self.split or ""):
            raise ValueError("is in the folder of another split")
        return self


def _part_name(name: str) -> str:
    if name in COLUMNS:
        raise ValueError("is a column that every dataset has")
    return name


PartName = Annotated[str, AfterValidator(_part_name)]


class _Raw(_Strict):
    shards: list[_ShardEntry]
    parts: Annotated[list[PartName], Field(min_length=1)]


class _Part(_Strict):
    modality: str
    conversion: dict


class _Clean(_Strict):
    shards: list[_ShardEntry]
    classes: Annotated[list[str], Field(min_length=1, max_length=MAX_CLASSES)]
    parts: Annotated[dict[PartName, _Part], Field(min_length=1)]

    @model_validator(mode="after")
    def _distinct(self):
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("names a class twice")
        return self


def raw_schema(parts: Iterable[str]) -> pa.Schema:
    """Return the schema of kind ``raw`` for samples of some parts."""
    texts = [(name, pa.string()) for name in ("id", "label", "split", "group")]
    return pa.schema([*texts, *((name, _FILE) for name in parts)])


def clean_schema(parts: Mapping[str, Part]) -> pa.Schema:
    """Return the schema of kind ``clean`` for samples of some parts."""
    fixed = [("id", pa.string()), ("label", pa.int32()), ("unit", pa.string())]
    return pa.schema([*fixed, *((name, part.storage.column) for name, part in parts.items())])


def raw_table(records: Sequence, parts: Sequence[str]) -> pa.Table:
    """Make a table of kind ``raw`` from ``records.Record`` tuples of some parts."""
    ids, labels, splits, groups, contents = zip(*records, strict=True)
    columns = [[sample[part]._asdict() for sample in contents] for part in parts]
    schema = raw_schema(parts)
    return pa.table(dict(zip(schema.names, (ids, labels, splits, groups, *columns), strict=True)), schema=schema)


def clean_table(
    parts: Mapping[str, Part],
    ids: Sequence[str],
    labels: np.ndarray,
    values: Mapping[str, np.ndarray],
    units: Sequence[str] | None = None,
) -> pa.Table:
    """Make a table of kind ``clean``.

    Args:
        parts: what the samples are made of.
        ids: N strings.
        labels: integers [N].
        values: part -> its values [N, ...].
        units: N strings; by default each sample is its own unit.
    """
    columns = {
        "id": pa.array(ids, pa.string()),
        "label": pa.array(np.asarray(labels, np.int32)),
        "unit": pa.array(ids if units is None else units, pa.string()),
    }
    return pa.table(columns | {name: part.storage.pack(values[name]) for name, part in parts.items()})


def rows_per_group(parts: Mapping[str, Part]) -> int:
    """Number of samples in a row group, the batch to read and write."""
    return int(np.clip(ROW_GROUP_BYTES // bytes_per_sample(parts), 1, 4096))


def bytes_per_sample(parts: Mapping[str, Part]) -> int:
    """Number of bytes of a sample's values."""
    return sum(part.storage.bytes_per_sample for part in parts.values())


def write(folder: Path, tables: Iterable[tuple[str | None, pa.Table]], kind: str, **about) -> None:
    """Write a dataset; the manifest comes last.

    Args:
        folder: an empty folder, or one that does not exist.
        tables: (split, table) in any order of splits; each table is a row group.
        kind: ``raw``, ``clean`` or ``unlabelled``.
        about: further entries of the manifest, such as ``classes`` and ``parts``.
    """
    open_shards, done = {}, {}
    for split, table in tables:
        if split not in open_shards:
            shards = done.setdefault(split, [])
            open_shards[split] = _Shard(folder, split, len(shards), table.schema)
        shard = open_shards[split]
        shard.append(table)
        if shard.bytes >= SHARD_BYTES:
            done[split].append(open_shards.pop(split).close())
    for split, shard in open_shards.items():
        done[split].append(shard.close())
    order = [None, *SPLITS]
    shards = [shard for split in sorted(done, key=order.index) for shard in done[split]]
    files.write_json(folder / MANIFEST, {"schema": SCHEMA, "kind": kind, **about, "shards": shards})


class _Shard:
    def __init__(self, folder: Path, split: str | None, number: int, schema: pa.Schema):
        self.file = f"{split}/{number:05d}.parquet" if split else f"{number:05d}.parquet"
        self.split = split
        self.path = folder / self.file
        self.partial = self.path.with_suffix(".partial")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.writer = pq.ParquetWriter(
            self.partial, schema, compression="none", use_dictionary=False, write_statistics=False
        )
        self.rows = self.bytes = 0

    def append(self, table: pa.Table) -> None:
        self.writer.write_table(table, row_group_size=len(table))
        self.rows += len(table)
        self.bytes += table.nbytes

    def close(self) -> dict:
        self.writer.close()
        self.partial.rename(self.path)
        return {"file": self.file, "split": self.split, "rows": self.rows, "sha256": files.sha256(self.path)}


@dataclass(frozen=True)
class Samples:
    """Consecutive samples of a split in memory.

    Attributes:
        ids: N strings.
        labels: int32 [N].
        units: N strings.
        parts: name -> values [N, ...].
    """

    ids: np.ndarray
    labels: np.ndarray
    units: np.ndarray
    parts: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A dataset on disk with a checked manifest; create one with ``open_dataset``."""

    folder: Path
    manifest: dict
    parts: dict[str, Part]
    _checked: set = field(default_factory=set)

    @property
    def classes(self) -> list[str]:
        """Class names; a label is an index into them."""
        return self.manifest["classes"]

    def rows(self, split: str | None = None) -> int:
        """Number of samples of a split (0 if there is no such split)."""
        return sum(shard["rows"] for shard in self._shards(split))

    def row_groups(self, split: str | None = None) -> Iterator["RowGroup"]:
        """Yield the row groups of a split in order; each shard's digest and schema are checked first.

        Raises:
            UserError: a shard is missing or its content has changed.
        """
        for shard in self._shards(split):
            path = self.folder / shard["file"]
            if shard["file"] not in self._checked:
                if not path.is_file():
                    raise files.spoilt(path, self.folder, "is missing")
                if files.sha256(path) != shard["sha256"]:
                    raise self.changed(path)
            metadata = self._metadata(path, shard["rows"])
            self._checked.add(shard["file"])
            for number in range(metadata.num_row_groups):
                yield RowGroup(self, path, number, metadata.row_group(number).num_rows)

    def _metadata(self, path: Path, rows: int) -> pq.FileMetaData:
        raw = self.manifest["kind"] == "raw"
        expected = raw_schema(self.manifest["parts"]) if raw else clean_schema(self.parts)
        try:
            metadata = pq.read_metadata(path)
            whole = metadata.num_rows == rows and metadata.schema.to_arrow_schema().equals(expected)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, MemoryError) or getattr(error, "errno", None):
                raise  # an error of the machine, not of the file
            whole = False
        if not whole:
            raise self.changed(path)
        return metadata

    def changed(self, path: Path) -> UserError:
        """Build the error for a shard that does not hold what the manifest says."""
        return files.spoilt(path, self.folder, f"is not what {MANIFEST} says was written")

    def tables(self, split: str | None = None, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Stream a split, one row group at a time; see ``row_groups``."""
        for group in self.row_groups(split):
            yield group.table(columns)

    def batches(self, split: str) -> Iterator[Samples]:
        """Stream a split of kind ``clean``, one row group at a time."""
        for group in self.row_groups(split):
            yield group.samples()

    def _shards(self, split: str | None) -> list[dict]:
        return [shard for shard in self.manifest["shards"] if shard["split"] == split]


@dataclass(frozen=True)
class RowGroup:
    """The unit of reading: part of a shard, with its dataset, file, number in the file, and number of rows."""

    data: Dataset
    path: Path
    number: int
    rows: int

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """Read all or some of its columns.

        Raises:
            UserError: kind ``clean`` or ``unlabelled`` lacks a value, or a label is out of range.
        """
        with pq.ParquetFile(self.path) as file:
            table = file.read_row_group(self.number, columns=columns, use_threads=False)
        kind = self.data.manifest["kind"]
        if kind != "raw":
            whole = not any(column.null_count for column in table.columns)
            if whole and len(table) and "label" in table.column_names:
                labels = table["label"].to_numpy()
                lowest, end = (NO_LABEL, NO_LABEL + 1) if kind == "unlabelled" else (0, len(self.data.classes))
                whole = lowest <= labels.min() <= labels.max() < end
            if not whole:
                raise self.data.changed(self.path)
        return table

    def samples(self) -> Samples:
        """Read the samples of a dataset of kind ``clean``."""
        table = self.table()
        return Samples(
            ids=table["id"].to_numpy(zero_copy_only=False),
            labels=table["label"].to_numpy(),
            units=table["unit"].to_numpy(zero_copy_only=False),
            parts={name: part.storage.unpack(table[name]) for name, part in self.data.parts.items()},
        )


def open_dataset(folder: Path, kind: str) -> Dataset:
    """Open a dataset that another stage wrote and check its manifest.

    Raises:
        UserError: the manifest is missing or damaged, or has another schema version
            or kind.
    """
    path = folder / MANIFEST
    manifest = files.read_json(path)
    if manifest.get("schema") != SCHEMA or manifest.get("kind") != kind:
        raise UserError(
            f"{path} is of schema {manifest.get('schema')!r:.40}, kind {manifest.get('kind')!r:.40}, but this "
            f"version of Kiln reads schema {SCHEMA}, kind {kind!r}: delete {folder} and run `dvc repro`"
        )
    try:
        {"raw": _Raw, "clean": _Clean, "unlabelled": _Clean}[kind].model_validate(manifest)
        parts = {} if kind == "raw" else registry.read_parts(manifest["parts"])
    except (ValidationError, KeyError, TypeError, ValueError):
        raise files.damaged(path) from None
    return Dataset(folder, manifest, parts)
