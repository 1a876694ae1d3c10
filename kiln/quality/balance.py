"""What the splits are like: who made them, what they are worth, which classes they lack, and whether that will do."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from kiln.core.errors import UserError
from kiln.core.phrases import plural
from kiln.store import dataset

# A class is far off its share beyond this fraction of it, and beyond chance where the source made the split.
_FAR, _CHANCE = 0.25, 3.0


def describe_makers(drawn: Collection[str]) -> dict[str, str]:
    """Say who made each split: the source, or Kiln and from what.

    Args:
        drawn: the splits that Kiln drew.

    Returns:
        split -> a few words, in the order of the splits.
    """
    whole = len(drawn) == 2
    made = {
        "test": f"drawn by Kiln from {'all images' if whole else 'train'}",
        "validation": "drawn by Kiln from train",
    }
    train = {0: "given by the source", 1: "given by the source, less what Kiln drew", 2: "what Kiln did not draw"}
    said = {"train": train[len(drawn)]} | {name: made[name] for name in drawn}
    return {name: said.get(name, "given by the source") for name in dataset.SPLITS}


def count_effective(split: pd.Series, unit: pd.Series) -> dict[str, float]:
    """Count the independent images that a split is worth at least: were the images of a unit all alike.

    By Kish's formula, n = (sum of sizes)^2 / (sum of squared sizes), "Survey Sampling", 1965.

    Args:
        split, unit: of each image.

    Returns:
        split -> n, the number of images where each is a unit of its own.
    """
    sizes = unit.groupby([split, unit]).size()
    return {name: round(float(own.sum() ** 2 / (own**2).sum()), 1) for name, own in sizes.groupby(level=0)}


def list_uneven(facts: pd.DataFrame, unit: pd.Series, fractions: Mapping[str, float]) -> list[dict]:
    """List the classes that validation or test lacks, or that are far off their share of it.

    The share that is expected of a class is the fraction asked for where Kiln
    drew the split; else the class's part of all images, times those of the split.
    A class is far off where its count differs from that by more than a quarter
    of it, by more than its smallest unit and an image, and, where the source made
    the split, by more than chance (three standard deviations of a Poisson count).

    Args:
        facts: label, split (final), one row an image that stays.
        unit: of each image.
        fractions: of the splits that Kiln drew, as ``drawn`` gives them.

    Returns:
        split, class, images (0: absent) and expected each, by split and class.
    """
    counts = pd.crosstab(facts["label"], facts["split"]).reindex(columns=dataset.SPLITS, fill_value=0)
    finest = facts.groupby([facts["label"], unit]).size().groupby(level=0).min().clip(lower=1)
    whole = counts.sum(axis=1)
    left = counts[["train", *fractions]].sum(axis=1)
    expected = {}
    for name, fraction in fractions.items():
        expected[name] = fraction * left
        left = left - counts[name]
    found = []
    for name in ("validation", "test"):
        own = counts[name]
        share = expected.get(name, own.sum() * whole / whole.sum())
        chance = 0 if name in fractions else _CHANCE * np.sqrt(share)
        allowed = np.maximum(np.maximum(_FAR * share, finest), chance)
        for label in counts.index[(own == 0) | ((own - share).abs() > allowed)]:
            about = {"images": int(own[label]), "expected": round(float(share[label]), 1)}
            found.append({"split": name, "class": label, **about})
    return found


def describe_uneven(found: Sequence[Mapping], most: int = 3) -> list[str]:
    """Put what ``list_uneven`` lists into words: a phrase a split and kind, with a few classes each."""
    phrases = []
    for split in ("validation", "test"):
        own = [about for about in found if about["split"] == split]
        absent = [about["class"] for about in own if not about["images"]]
        far = [
            f"{about['class']} ({about['images']:,}, expected {about['expected']:,.1f})"
            for about in own
            if about["images"]
        ]
        for what, names in ((f"no {split} image of", absent), (f"far off their share of {split}:", far)):
            more = f" and {plural(len(names) - most, 'more class', 'more classes')}" if len(names) > most else ""
            phrases += [f"{what} {', '.join(names[:most])}{more}"] if names else []
    return phrases


def check_counts(counts: pd.DataFrame) -> None:
    """Refuse splits that no classifier can be trained or judged on.

    Args:
        counts: images, classes by splits.

    Raises:
        UserError: naming the class or split that lacks images.
    """
    if len(counts) < 2:
        left = f"{plural(len(counts), 'class is', 'classes are')} left"
        raise UserError(f"{left} after cleaning, but a classifier needs two: add images")
    if counts.to_numpy().sum() == 0:
        raise UserError(
            "no image is left after cleaning: look at why with `python -m stages.clean --dry-run`, then fix the "
            "source, or choose flag for a reason"
        )
    if counts["train"].sum() == 0:
        raise UserError(
            "no image is left for train: the source gives all of them to validation or test, by its names or its "
            "split column: add those of train, or take these names away"
        )
    lacking = counts.index[counts["train"] == 0]
    if len(lacking):
        held = [split for split in dataset.SPLITS if counts.loc[lacking[0], split]]
        only = f", only for {' and '.join(held)}" if held else ""
        raise UserError(
            f"class {lacking[0]} has no image left for train{only}: add images of it or take its folder out"
        )
    for split in dataset.SPLITS:
        if counts[split].sum() == 0:
            raise UserError(
                f"no image is left for {split}: no class has one to spare that shares no group and is no copy of "
                "those that the other splits need: add images"
            )
