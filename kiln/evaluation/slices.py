"""Accuracy on slices of a split: by what modalities measure, such as dark or bright images, by findings, ..."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from kiln.evaluation import proportions
from kiln.modalities.base import Part, qualify

PARTS = 4


def quarters(values: np.ndarray, lowest: str, highest: str) -> dict[str, np.ndarray]:
    """Divide samples into quarters by a measure; equal values stay together, so there may be fewer.

    Args:
        values: floats [N]; NaN is in none.
        lowest, highest: names of the first and the last quarter.

    Returns:
        name, with the range of the values -> bool [N]; empty if all values are equal.
    """
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.arange(1, PARTS) / PARTS, method="lower")) if len(known) else []
    inner = [edge for edge in edges if edge < known.max()]
    if not inner:
        return {}
    number = np.where(np.isnan(values), -1, np.searchsorted(inner, values, side="left"))
    # Enough digits that quarters of a single value have different names.
    least = next(digits for digits in range(3, 18) if len({_plain(edge, digits) for edge in inner}) == len(inner))
    parts = {}
    for index in range(len(inner) + 1):
        chosen = number == index
        title = lowest if index == 0 else highest if index == len(inner) else "between"
        parts[f"{title}, {_between(values[chosen].min(), values[chosen].max(), least)}"] = chosen
    return parts


def _between(low: float, high: float, least: int) -> str:
    """Format a range with enough digits to distinguish its ends, at least ``least``; one value if they are equal."""
    for digits in range(least, 18):
        ends = [_plain(value, digits) for value in (low, high)]
        if ends[0] != ends[1] or low == high:
            break
    return ends[0] if low == high else " to ".join(ends)


def _plain(value: float, digits: int) -> str:
    shown = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in shown else shown


def list_measures(parts: Mapping[str, Part]) -> dict[str, tuple[str, str, str]]:
    """List the measures to slice by: column of the facts -> (title, name of the lowest quarter, of the highest)."""
    return {
        qualify(parts, name, measure): (qualify(parts, name, title), *ends)
        for name, part in parts.items()
        for measure, (title, *ends) in {**part.modality.slices, **part.modality.fitted_slices}.items()
    }


def table(
    facts: pd.DataFrame, measures: Mapping[str, tuple[str, str, str]], right: np.ndarray, units: np.ndarray
) -> pd.DataFrame:
    """Compute the accuracy on each slice.

    Args:
        facts: one row per sample: the columns that ``measures`` names, and bool
            columns, each a slice with its complement.
        measures: as ``list_measures`` returns them.
        right: bool [N], whether the sample is classified correctly.
        units: int [N], the same for samples that belong together.

    Returns:
        about, slice, samples, accuracy, low, high (95 % interval, of ``proportions.share``); empty slices are
        left out.
    """
    parts = []
    for name, (about, lowest, highest) in measures.items():
        values = facts[name].to_numpy(float)
        parts += [(about, part, rows) for part, rows in quarters(values, lowest, highest).items()]
    for name in facts.select_dtypes(bool).columns:
        inside = facts[name].to_numpy()
        if inside.any():
            parts += [(name, "yes", inside), (name, "no", ~inside)]
    rows = []
    for about, part, chosen in parts:
        samples = int(chosen.sum())
        if samples:
            rows.append((about, part, samples, right[chosen].mean(), *proportions.share(right[chosen], units[chosen])))
    return pd.DataFrame(rows, columns=["about", "slice", "samples", "accuracy", "low", "high"])


def measure_fitted(
    batches: Iterable[Mapping[str, np.ndarray]], parts: Mapping[str, Part], fitted: Mapping[str, dict]
) -> pd.DataFrame:
    """Measure samples against train.

    Args:
        batches: part -> values [N, ...], of 1 sample or more.
        parts: of the samples.
        fitted: part -> what is fitted to train.

    Returns:
        One row per sample: the ``fitted_slices`` of each part; no rows where there are none.
    """
    measuring = {name: part.modality for name, part in parts.items() if part.modality.fitted_slices}
    if not measuring:
        return pd.DataFrame()

    def measure(batch: Mapping[str, np.ndarray]) -> pd.DataFrame:
        columns = {}
        for name, modality in measuring.items():
            measured = modality.measure_fitted(batch[name], fitted[name])
            columns |= {qualify(parts, name, column): measured[column] for column in measured}
        return pd.DataFrame(columns)

    return pd.concat(map(measure, batches), ignore_index=True)


def list_reasons(parts: Mapping[str, Part]) -> list[str]:
    """List the reasons of findings whose test samples are a slice."""
    return [qualify(parts, name, reason) for name, part in parts.items() for reason in part.modality.slice_reasons]


def gather_facts(
    ids: np.ndarray, measured: pd.DataFrame, findings: pd.DataFrame, reasons: Sequence[str] = ()
) -> pd.DataFrame:
    """Gather clean's measures and findings of test samples, for slices.

    Args:
        ids: of the samples [N].
        measured: clean's table of them: id, split and the measures.
        findings: clean's tables of flagged and excluded samples: id, reason, other.
        reasons: those that are a slice together.

    Returns:
        One row per sample in their order: the measures, whether the label is suspect,
        whether a near-duplicate was flagged or excluded, and, where there are reasons,
        whether it has a finding of any.
    """
    facts = measured.set_index("id").drop(columns="split").loc[ids].reset_index(drop=True)
    suspect = findings.loc[findings["reason"] == "label_error", "id"]
    pairs = findings[findings["reason"] == "near_duplicate"]
    facts["label doubted"] = np.isin(ids, suspect)
    facts["has a near-duplicate"] = np.isin(ids, pd.concat([pairs["id"], pairs["other"]]).dropna())
    if reasons:
        facts["flagged"] = np.isin(ids, findings.loc[findings["reason"].isin(reasons), "id"])
    return facts
