"""Tables and exhibits of what clean decided: the splits, sample sheets, and the measures of kept samples."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from kiln.core import randomness
from kiln.modalities.base import Exhibit, Part, qualify
from kiln.quality.examination import Examined
from kiln.store import dataset

SAMPLES_PER_CLASS, SAMPLE_CLASSES = 8, 12


def list_kept(
    examined: Examined,
    classes: list[str],
    parts: Mapping[str, Part],
    values: Mapping[str, np.ndarray],
    seed: int,
) -> Iterator[tuple[str, pa.Table]]:
    """Yield (split, table) of the kept samples.

    Each split is in a seeded random order, so that any part of it holds a mixture
    of the classes, whatever the order of the source.

    Args:
        examined: result of ``examine``.
        classes: their names, in the order of the labels.
        parts: what the samples are made of.
        values: part -> its values [N, ...].
        seed: of the order.
    """
    index = {name: number for number, name in enumerate(classes)}
    rows = dataset.rows_per_group(parts)
    kept = examined.facts[examined.kept]
    order = randomness.key(seed, "clean", "order", randomness.item_keys(kept["id"]))
    kept = kept.iloc[np.argsort(order, kind="stable")]
    for split in dataset.SPLITS:
        inside = kept[kept["split"] == split]
        for start in range(0, len(inside), rows):
            group = inside.iloc[start : start + rows]
            labels = group["label"].map(index).to_numpy(np.int32)
            chosen = {name: array[group.index] for name, array in values.items()}
            yield split, dataset.clean_table(parts, group["id"].tolist(), labels, chosen, group["unit"].tolist())


def show_samples(
    examined: Examined, classes: list[str], parts: Mapping[str, Part], values: Mapping[str, np.ndarray]
) -> tuple[list[str], dict[str, Exhibit]]:
    """Show the first few kept training samples of the first classes.

    Returns:
        The class names shown, and part -> a sheet with one row per class.
    """
    shown = classes[:SAMPLE_CLASSES]
    train = examined.facts[examined.kept & (examined.facts["split"] == "train")]
    rows = [train.index[train["label"] == name][:SAMPLES_PER_CLASS] for name in shown]
    sheets = {
        name: part.modality.sheet([values[name][row] for row in rows], SAMPLES_PER_CLASS)
        for name, part in parts.items()
    }
    return shown, sheets


def list_measures(examined: Examined, parts: Mapping[str, Part]) -> pd.DataFrame:
    """List id, split and the measures by which evaluate slices, of the kept samples."""
    measures = [qualify(parts, name, measure) for name, part in parts.items() for measure in part.modality.slices]
    return examined.facts.loc[examined.kept, ["id", "split", *measures]]
