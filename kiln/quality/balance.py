"""Properties of splits: origin, effective size, classes that are missing or uneven, and whether they suffice."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from kiln.core.errors import UserError
from kiln.core.phrases import plural
from kiln.store import dataset

# A class is far off its share beyond this fraction of it and, where the source gives the split, beyond chance.
_FAR, _CHANCE = 0.25, 3.0


def describe_makers(drawn: Collection[str], noun: str) -> dict[str, str]:
    """Describe the origin of each split: given by the source, or drawn by Kiln, and from what.

    Args:
        drawn: the splits that Kiln drew.
        noun: for a sample.

    Returns:
        split -> phrase, in the order of the splits.
    """
    whole = len(drawn) == 2
    drawn_splits = {
        "test": f"drawn by Kiln from {f'all {noun}s' if whole else 'train'}",
        "validation": "drawn by Kiln from train",
    }
    train = {0: "given by the source", 1: "given by the source, less what Kiln drew", 2: "what Kiln did not draw"}
    origins = {"train": train[len(drawn)]} | {name: drawn_splits[name] for name in drawn}
    return {name: origins.get(name, "given by the source") for name in dataset.SPLITS}


def count_effective(split: pd.Series, unit: pd.Series) -> dict[str, float]:
    """Estimate the effective sample size of each split, as if all samples of a unit were identical: a lower bound.

    Kish, "Survey Sampling", 1965: n = (sum of unit sizes)^2 / (sum of squared unit sizes).

    Args:
        split, unit: of each sample.

    Returns:
        split -> n; the number of samples where each is its own unit.
    """
    sizes = unit.groupby([split, unit]).size()
    return {name: round(float(inside.sum() ** 2 / (inside**2).sum()), 1) for name, inside in sizes.groupby(level=0)}


def list_uneven(facts: pd.DataFrame, unit: pd.Series, fractions: Mapping[str, float]) -> list[dict]:
    """List the classes that are missing from validation or test, or far off their share of it.

    The expected count of a class is the requested fraction where Kiln drew the
    split, else the class's share of all samples, times the size of the split.
    A class is far off if its count differs from that by more than a quarter of it,
    by more than its smallest unit (at least one sample) and, where the source gives
    the split, by more than chance (three standard deviations of a Poisson count).

    Args:
        facts: label, split (final), one row per kept sample.
        unit: of each sample.
        fractions: of the splits that Kiln drew, as returned by ``splits.drawn``.

    Returns:
        One entry per split and class: split, class, samples (0: missing), expected.
    """
    counts = pd.crosstab(facts["label"], facts["split"]).reindex(columns=dataset.SPLITS, fill_value=0)
    finest = facts.groupby([facts["label"], unit]).size().groupby(level=0).min().clip(lower=1)
    whole = counts.sum(axis=1)
    left = counts[["train", *fractions]].sum(axis=1)
    expected = {}
    for name, fraction in fractions.items():
        expected[name] = fraction * left
        left = left - counts[name]
    uneven = []
    for name in ("validation", "test"):
        present = counts[name]
        share = expected.get(name, present.sum() * whole / whole.sum())
        chance = 0 if name in fractions else _CHANCE * np.sqrt(share)
        allowed = np.maximum(np.maximum(_FAR * share, finest), chance)
        for label in counts.index[(present == 0) | ((present - share).abs() > allowed)]:
            about = {"samples": int(present[label]), "expected": round(float(share[label]), 1)}
            uneven.append({"split": name, "class": label, **about})
    return uneven


def describe_uneven(uneven: Sequence[Mapping], noun: str, most: int = 3) -> list[str]:
    """Describe what ``list_uneven`` lists: one phrase per split and kind, each naming at most ``most`` classes."""
    phrases = []
    for split in ("validation", "test"):
        listed = [about for about in uneven if about["split"] == split]
        absent = [about["class"] for about in listed if not about["samples"]]
        far = [
            f"{about['class']} ({about['samples']:,}, expected {about['expected']:,.1f})"
            for about in listed
            if about["samples"]
        ]
        for what, names in ((f"no {split} {noun} of", absent), (f"far off their share of {split}:", far)):
            more = f" and {plural(len(names) - most, 'more class', 'more classes')}" if len(names) > most else ""
            phrases += [f"{what} {', '.join(names[:most])}{more}"] if names else []
    return phrases


def check_counts(counts: pd.DataFrame, noun: str) -> None:
    """Raise if no classifier can be trained or evaluated on the splits.

    Args:
        counts: samples per class (rows) and split (columns).
        noun: for a sample.

    Raises:
        UserError: naming the class or split that lacks samples.
    """
    if len(counts) < 2:
        left = f"{plural(len(counts), 'class is', 'classes are')} left"
        raise UserError(f"{left} after cleaning, but a classifier needs two: add {noun}s")
    if counts.to_numpy().sum() == 0:
        raise UserError(
            f"no {noun} is left after cleaning: run `python -m stages.clean --dry-run` to see why, then fix the "
            "source, or choose flag for a reason"
        )
    if counts["train"].sum() == 0:
        raise UserError(
            f"no {noun} is left for train: the source assigns all of them to validation or test, by its names or its "
            f"split column: add {noun}s for train, or remove these names"
        )
    lacking = counts.index[counts["train"] == 0]
    if len(lacking):
        held = [split for split in dataset.SPLITS if counts.loc[lacking[0], split]]
        only = f", only for {' and '.join(held)}" if held else ""
        raise UserError(
            f"class {lacking[0]} has no {noun} left for train{only}: add {noun}s of it or remove its folder"
        )
    for split in dataset.SPLITS:
        if counts[split].sum() == 0:
            raise UserError(
                f"no {noun} is left for {split}: every {noun} that could move there is needed elsewhere, or is a copy "
                f"or in a group of one that is: add {noun}s"
            )
