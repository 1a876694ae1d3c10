"""Train, validation and test: who goes where, with nothing alike on both sides of a border."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.lib import dataset, randomness
from stages.lib.errors import UserError


def components(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Number the connected components of a graph.

    Args:
        count: rows, 0 to count - 1.
        first, second: the rows that each edge joins, integers [E].

    Returns:
        The component of each row, integers [count].
    """
    edges = coo_array((np.ones(len(first), bool), (first, second)), shape=(count, count))
    return connected_components(edges, directed=False)[1]


def units(facts: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """Name the sets of images that must share a split: copies of each other, and groups of the source.

    Args:
        facts: id and group (or None), one row an image.
        pairs: first and second, index values of ``facts``.

    Returns:
        A name a row, on the index of ``facts``, the same whatever the order of the images.
    """
    place = pd.Series(np.arange(len(facts)), index=facts.index)
    grouped = place[facts["group"].notna()]
    leader = grouped.groupby(facts["group"]).transform("first")
    first = np.concatenate([place[pairs["first"]].to_numpy(), grouped.to_numpy()])
    second = np.concatenate([place[pairs["second"]].to_numpy(), leader.to_numpy()])
    component = components(len(facts), first.astype(np.int64), second.astype(np.int64))
    name = facts["group"].where(facts["group"].notna(), "\0" + facts["id"])
    return name.groupby(component).transform("min")


def assign(facts: pd.DataFrame, unit: pd.Series, test: float, validation: float, seed: int) -> pd.Series:
    """Give every image its split, stratified by label, no unit across a border.

    What the source says stands. Where it brings no test split, a fraction of all
    is drawn; where it brings no validation split, a fraction of train is. The
    draw ranks units by seed and name, so their order in the source is no matter
    and further images move few of them.

    Args:
        facts: label, split (or None), one row an image.
        unit: of each image, as ``units`` names them.
        test: fraction of all images.
        validation: fraction of the images left for train.
        seed: of the draw.

    Returns:
        train, validation or test, on the index of ``facts``.
    """
    given = facts["split"].fillna("train")
    splits = given.copy()
    order = pd.Series(randomness.key(seed, "clean", randomness.item_keys(unit)), index=facts.index)
    for name, fraction in (("test", test), ("validation", validation)):
        if (given == name).any():
            continue
        pool = pd.DataFrame({"unit": unit, "label": facts["label"], "order": order})[splits == "train"]
        sized = pool.groupby("unit").agg(label=("label", "first"), order=("order", "first"), size=("label", "size"))
        sized = sized.sort_values("order")
        reach = sized.groupby("label")["size"].cumsum() - sized["size"] / 2
        # At least one image of a class that can spare it, never the last one.
        total = sized.groupby("label")["size"].transform("sum")
        wanted = (total * fraction).round().clip(lower=(total > 2).astype(float))
        taken = sized.index[(reach < wanted) & (wanted < total)]
        splits[pool.index[pool["unit"].isin(taken)]] = name
    return splits


def check(counts: pd.DataFrame) -> None:
    """Refuse splits that no classifier can be trained or judged on.

    Args:
        counts: images, classes by splits.

    Raises:
        UserError: naming the class or split that lacks images.
    """
    if len(counts) < 2:
        raise UserError(f"{len(counts)} class is left after cleaning, but a classifier needs two: add images")
    lacking = counts.index[counts["train"] == 0]
    if len(lacking):
        raise UserError(f"class {lacking[0]} has no image left for train: add images of it or take its folder out")
    for split in dataset.SPLITS:
        if counts[split].sum() == 0:
            raise UserError(f"no image is left for {split}: add images, or raise clean.{split}")
