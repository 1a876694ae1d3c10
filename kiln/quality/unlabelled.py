"""Samples without labels: decoded as the others are, and none that copies a sample of validation or test.

A network that has read the test samples before it trains is scored too well. So a copy, exact or near, is set aside
whatever the settings do with copies among labelled samples.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from kiln.core import randomness
from kiln.core.components import components
from kiln.modalities.base import Part, qualify
from kiln.params import Clean
from kiln.quality import decoding
from kiln.quality.examination import Examined
from kiln.store import dataset

COPY = "copy_of_held_out"
HELD_OUT = ("validation", "test")
NAME = "unlabelled"  # of the folder inside those of fetch and clean
SCRATCH = f".{NAME}.partial"


def clean(
    raw: dataset.Dataset,
    folder: Path,
    examined: Examined,
    parts: Mapping[str, Part],
    values: Mapping[str, np.ndarray],
    settings: Clean,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Decode samples without labels, and find those that may not be learnt from.

    Args:
        raw: as fetch wrote them.
        folder: for files that are needed on the way.
        examined: the labelled samples.
        parts: what samples are made of.
        values: of the labelled samples, part -> [N, ...].
        settings: the clean section.
        seed: of the search for copies.

    Returns:
        One row per sample: id, reason (undecodable, too_large or ``COPY``; None: it is kept) and detail. And part ->
        values [M, ...].
    """
    place = folder / SCRATCH
    place.mkdir()
    facts, own = decoding.decode_all(raw, parts, settings, place)
    held = np.flatnonzero(examined.kept & examined.facts["split"].isin(HELD_OUT))
    reason, detail = facts["failure"].copy(), facts["detail"].copy()
    key = int(randomness.key(seed, "clean", "unlabelled copies") % np.uint64(2**31))
    for name, part in parts.items():
        joint = _join(part, place / f"{name}.joint", (values[name], held), (own[name], np.arange(len(facts))))
        part_facts = facts.rename(columns={qualify(parts, name, fact): fact for fact in part.modality.facts})
        usable = np.flatnonzero(facts["failure"].isna() & part.modality.comparable(part_facts))
        rows = np.concatenate([np.arange(len(held)), len(held) + usable])
        original = _trace_copies(part.modality.find_copies(joint, rows, key, settings.parts[name]).pairs, len(held))
        copies = np.array([row - len(held) for row in original], np.int64)
        reason[copies] = COPY
        detail[copies] = [examined.facts["id"].iloc[held[row]] for row in original.values()]
    return pd.DataFrame({"id": facts["id"], "reason": reason, "detail": detail}), own


def _join(part: Part, path: Path, *some: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Spool chosen rows of several values, one after the other."""
    with path.open("wb") as file:
        for values, rows in some:
            for start in range(0, len(rows), 4096):
                part.storage.spool(values[rows[start : start + 4096]], file)
    return part.storage.open_spool(path, sum(len(rows) for _, rows in some))


def _trace_copies(pairs: pd.DataFrame, held: int) -> dict[int, int]:
    """Find rows from ``held`` on that are connected with one before it: row -> the first such row.

    By connected sets, since not every two samples of a set are listed as a pair.
    """
    first, second = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    rows = np.unique(np.concatenate([first, second]))
    crowd = components(len(rows), np.searchsorted(rows, first), np.searchsorted(rows, second))
    known: dict[int, int] = {}
    for row, one in zip(rows.tolist(), crowd.tolist(), strict=True):
        if row < held:
            known.setdefault(one, row)
    return {
        row: known[one] for row, one in zip(rows.tolist(), crowd.tolist(), strict=True) if row >= held and one in known
    }


def list_kept(
    judged: pd.DataFrame, parts: Mapping[str, Part], values: Mapping[str, np.ndarray]
) -> Iterator[tuple[str, pa.Table]]:
    """Yield (split, table) of the samples that are kept: all of train, which alone may learn from them."""
    rows = np.flatnonzero(judged["reason"].isna())
    size = dataset.rows_per_group(parts)
    for start in range(0, len(rows), size):
        group = rows[start : start + size]
        labels = np.full(len(group), dataset.NO_LABEL, np.int32)
        chosen = {name: array[group] for name, array in values.items()}
        yield "train", dataset.clean_table(parts, judged["id"].iloc[group].tolist(), labels, chosen)


def summarize(judged: pd.DataFrame) -> dict:
    """Count: samples, kept and set_aside (reason -> samples)."""
    gone = judged["reason"].value_counts()
    counts = {name: int(count) for name, count in sorted(gone.items())}
    return {"samples": len(judged), "kept": len(judged) - sum(counts.values()), "set_aside": counts}


def describe(counts: dict) -> str:
    """Describe ``summarize``'s counts in a few words."""
    gone = ", ".join(f"{count:,} {reason}" for reason, count in counts["set_aside"].items())
    return f"{counts['kept']:,} of {counts['samples']:,} without labels kept; set aside: {gone or 'none'}"
