"""Decode raw files to values and a frame of facts, in one parallel pass over the raw dataset."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from kiln.core import parallel, progress
from kiln.modalities import registry
from kiln.modalities.base import Part, TooLarge, Undecodable, qualify
from kiln.params import Clean
from kiln.store import dataset

SLICE = 256
_TEXTS = ("id", "label", "split", "group", "digest", "failure", "detail")


def settle_parts(raw: dataset.Dataset, inputs: Mapping[str, str], settings: Clean) -> dict[str, Part]:
    """Choose each part's conversion; where its settings are ``auto``, from all of its files.

    Args:
        raw: the dataset that fetch wrote.
        inputs: part -> modality.
        settings: the clean section.
    """
    parts = {}
    for name, kind in inputs.items():
        modality = registry.get(kind)
        contents = (_contents(part[name]) for table in raw.tables(columns=[name]) for part in _slices(table, SLICE))
        parts[name] = Part(name, modality, modality.settle(contents, settings.parts[name]))
    return parts


def decode_all(
    raw: dataset.Dataset, parts: Mapping[str, Part], settings: Clean, folder: Path
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Decode all samples: values into one file per part, facts into a frame.

    Args:
        raw: the dataset that fetch wrote.
        parts: what the samples are made of.
        settings: the clean section.
        folder: for the files, ``<part>.spool``.

    Returns:
        The facts, one row per sample: id, label, split, group; digest (of all parts' values; None where
        undecodable); failure (undecodable or too_large, else None) and detail (why); and per part, under
        ``qualify``'d names: notes (faults outside the value, or None), the facts of ``decode`` and the columns of
        ``measure`` (NaN where undecodable). And part -> values [N, ...], blank where undecodable.
    """

    def decode_table(table: pa.Table) -> tuple[dict[str, np.ndarray], pd.DataFrame]:
        decoded = {name: _decode_part(part, _contents(table[name]), settings) for name, part in parts.items()}
        frame = _joined(parts, {name: facts for name, (_, facts) in decoded.items()})
        fixed = table.select(["id", "label", "split", "group"]).to_pandas()
        return {name: values for name, (values, _) in decoded.items()}, pd.concat([fixed, frame], axis=1)

    frames = []
    # Each core holds a few slices; the larger the samples, the fewer in a slice.
    rows = min(SLICE, dataset.rows_per_group(parts))
    tables = (part for table in raw.tables() for part in _slices(table, rows))
    spools = {name: (folder / f"{name}.spool").open("wb") for name in parts}
    try:
        decoded = parallel.ordered_map(decode_table, tables)
        for values, frame in progress.track(decoded, "clean", raw.rows(), size=lambda part: len(part[1])):
            for name, part in parts.items():
                part.storage.spool(values[name], spools[name])
            frames.append(frame)
    finally:
        for spool in spools.values():
            spool.close()
    facts = pd.concat(frames, ignore_index=True)
    texts = [*_TEXTS, *(qualify(parts, name, "notes") for name in parts)]
    facts[texts] = facts[texts].astype(object).where(facts[texts].notna(), None)
    opened = {name: part.storage.open_spool(folder / f"{name}.spool", len(facts)) for name, part in parts.items()}
    return facts, opened


def _contents(column: pa.ChunkedArray) -> list[bytes]:
    return [file["bytes"] for file in column.to_pylist()]


def _slices(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    return (table.slice(start, rows) for start in range(0, len(table), rows))


def _decode_part(part: Part, contents: list[bytes], settings: Clean) -> tuple[np.ndarray, pd.DataFrame]:
    """Decode one part of some samples: its values, and a frame of digest, failure, detail, notes, facts, measures."""
    values, facts = [], []
    for content in contents:
        try:
            value, measured, notes = part.modality.decode(content, part.conversion, settings.parts[part.name])
            values.append(value)
            facts.append({"failure": None, "detail": None, "notes": "; ".join(notes) or None, **measured})
        except Undecodable as error:
            failure = "too_large" if isinstance(error, TooLarge) else "undecodable"
            values.append(None)
            nothing = dict.fromkeys(part.modality.facts, np.nan)
            facts.append({"failure": failure, "detail": str(error), "notes": None, **nothing})
    stacked, frame = part.storage.stack(values), pd.DataFrame(facts)
    digests = [None if value is None else _digest(row) for value, row in zip(values, stacked, strict=True)]
    measures = part.modality.measure(stacked).where(frame["failure"].isna())
    return stacked, pd.concat([frame.assign(digest=pd.Series(digests, dtype=object)), measures], axis=1)


def _digest(value) -> bytes:
    content = value.encode() if isinstance(value, str) else value.tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def _joined(parts: Mapping[str, Part], facts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join the facts of all parts; a sample is undecodable if one of its parts is."""
    digest, failure, detail, measures = None, None, None, []
    for name, frame in facts.items():
        digest = frame["digest"] if digest is None else digest.where(digest.isna(), digest + frame["digest"])
        prefixed = frame["detail"] if len(parts) == 1 else f"{name}: " + frame["detail"]
        failure = frame["failure"] if failure is None else failure.where(failure.notna(), frame["failure"])
        detail = prefixed if detail is None else detail.where(detail.notna(), prefixed)
        part_facts = frame.drop(columns=["digest", "failure", "detail"])
        measures.append(part_facts.rename(columns={column: qualify(parts, name, column) for column in part_facts}))
    broken = failure.notna()
    return pd.concat(
        [pd.DataFrame({"digest": digest.mask(broken, None), "failure": failure, "detail": detail}), *measures], axis=1
    )
