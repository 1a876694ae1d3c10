"""Compare two states of the project: params, metrics, classes, and whether differences exceed noise."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from kiln.core.errors import UserError
from kiln.evaluation import metrics

SIGNIFICANT = 0.05
_Z = stats.norm.ppf(1 - SIGNIFICANT / 2)
# Variance of a single sample as a function of the metric's value: as its score interval has it.
_VARIANCES = {
    **{
        name: lambda value: value * (1 - value)
        for name, (_, better) in metrics.SPLIT_METRICS.items()
        if better == "higher"
    },
    **{name: lambda value: value for name in ("log_loss", "brier")},
}
OPTIONAL_IN_BASE = {"test.units"}  # an earlier Kiln did not write them
EARLIER_COUNT, COUNT = "images", "samples"  # as an earlier Kiln named the number of samples, and its name now
REQUIRED = [
    *(f"{split}.{name}" for split in ("train", "validation", "test") for name in (COUNT, *metrics.SPLIT_METRICS)),
    *(f"test.{name}_ci95.{end}" for name in metrics.SPLIT_METRICS for end in ("low", "high")),
    *("test.units", f"clean.{COUNT}", "clean.kept", "model.parameters", "test_calibrated.temperature", "gap.accuracy"),
]


def flat(tree: Mapping, prefix: str = "") -> dict[str, object]:
    """Flatten nested mappings: {"a": {"b": 1}} becomes {"a.b": 1}."""
    result = {}
    for name, value in tree.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return result


def read_metrics(text: str, name: str, older: bool = False) -> dict[str, float]:
    """Read metrics.json: flat, every value a finite number, all required keys present.

    Args:
        text: its content.
        name: of the file, for error messages.
        older: whether an earlier Kiln may have written it.

    Raises:
        UserError: it is truncated, holds a value that is not a finite number, or lacks a key.
    """

    def reject(constant: str) -> None:
        raise UserError(f"{name} contains {constant}, which is not a finite number: fix its cause and run `dvc repro`")

    try:
        content = json.loads(text, parse_constant=reject)
    except ValueError as error:
        raise UserError(f"{name} is truncated or not valid JSON ({error}): run `dvc repro` and commit it") from None
    if not isinstance(content, dict):
        raise UserError(f"{name} is not a JSON object: run `dvc repro` and commit it")
    values = flat(content)
    if older:
        values = {re.sub(rf"(?<=\.){EARLIER_COUNT}$", COUNT, key): value for key, value in values.items()}
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"{name}: {key} is {value!r}, not a finite number: run `dvc repro` and commit it")
    needed = [key for key in REQUIRED if not any(f".{many}" in key for many in metrics.MANY_CLASSES)]
    if missing := [key for key in needed if key not in values and not (older and key in OPTIONAL_IN_BASE)]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{name} lacks {missing[0]}{more}: run `dvc repro` and commit it")
    return values


@dataclass(frozen=True)
class Change:
    """A metric in the base and now; ``beyond``: whether the change exceeds noise, None if the noise is unknown."""

    key: str
    base: float
    now: float
    beyond: bool | None

    @property
    def worse(self) -> float:
        """By how much it is worse: negative if it is better; 0 if neither direction is better."""
        sign = {"higher": -1, "lower": 1, None: 0}[metrics.direction(self.key)]
        return sign * (self.now - self.base)


def by_intervals(base: Mapping[str, float], now: Mapping[str, float], key: str) -> bool | None:
    """Whether two values of a metric differ by more than their 95 % intervals explain; None without intervals.

    An interval of width 0, as an earlier Kiln wrote if every sample was classified
    correctly, counts as none: no sample makes a metric certain.

    The half-widths of two independent intervals are combined as the root of the sum of
    their squares, each on the side of the other value. Near 0 and 1 that is too liberal:
    it finds five errors against none significant, where exact tests give p = 0.06.
    A score interval implies its number of samples, so there the two are tested as
    proportions of that many samples by the score test with Yates' correction
    ("Contingency tables involving small numbers and the chi-squared test", Supplement
    to the JRSS 1, 1934), which is close to the exact test.
    """
    ends = [side.get(f"{key}_ci95.{end}") for side in (base, now) for end in ("low", "high")]
    if None in ends or ends[0] == ends[1] or ends[2] == ends[3]:
        return None
    low, high = sorted((base, now), key=lambda side: side[key])
    facing = (low[key], low[f"{key}_ci95.high"]), (high[key], high[f"{key}_ci95.low"])
    gap, halves = high[key] - low[key], [abs(value - end) for value, end in facing]
    variance = _VARIANCES.get(key.rpartition(".")[2])
    if variance is None or gap <= max(halves):
        return gap > math.hypot(*halves)
    first, second = (half**2 / (_Z**2 * variance(end)) for half, (_, end) in zip(halves, facing, strict=True))
    pooled = (low[key] * second + high[key] * first) / (first + second)
    return bool(gap - (first + second) / 2 > _Z * math.sqrt(variance(pooled) * (first + second)))


@dataclass(frozen=True)
class McNemar:
    """The exact paired test of two classifiers.

    Attributes:
        lost, won: number of samples that only the base, and that only the other, classifies correctly.
        p: two-sided p value of the hypothesis that neither is better.
        units: their number if some samples belong together, else None.
    """

    lost: int
    won: int
    p: float
    units: int | None = None


def mcnemar(base_right: np.ndarray, now_right: np.ndarray, units: np.ndarray | None = None) -> McNemar:
    """Test whether two classifiers are equally accurate on the same samples, some of which may belong together.

    If neither is better, the predictions of the two on a unit are exchangeable: the
    difference between the numbers of correct samples of a unit is as likely to have
    the opposite sign. The p value is the proportion of all sign assignments, counted
    exactly, whose sum is at least as large as the observed one (R. A. Fisher, "The
    design of experiments", 1935, 21). With one sample per unit this is McNemar's
    exact test (Q. McNemar, "Note on the sampling error of the difference between
    correlated proportions or percentages", Psychometrika 12, 1947).

    Args:
        base_right, now_right: bool [N], in the same order of samples.
        units: [N], names or numbers; by default each sample is a unit.
    """
    change = base_right.astype(int) - now_right
    names = np.arange(len(change)) if units is None else np.unique(units, return_inverse=True)[1].ravel()
    surplus = np.bincount(names, change).round().astype(int)
    sizes, counts = np.unique(np.abs(surplus[surplus != 0]), return_counts=True)
    # Distribution of the number of samples in favour of the base, one size of units at a time.
    distribution = np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        of_size = np.zeros(size * count + 1)
        of_size[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        distribution = np.convolve(distribution, of_size)
    sums = 2 * np.arange(len(distribution)) - (len(distribution) - 1)
    p = min(1.0, float(distribution[np.abs(sums) >= abs(surplus.sum())].sum()))
    lost, won = int((change > 0).sum()), int((change < 0).sum())
    return McNemar(lost, won, p, len(surplus) if len(surplus) < len(change) else None)


def paired(base: pd.DataFrame, now: pd.DataFrame) -> McNemar | None:
    """Compare two tables of predictions (id, split, label, prediction, unit) on test; None if ids or labels differ.

    Units are those of ``now``, or of ``base`` if only that has them; otherwise each sample is a unit.
    """
    sides = []
    for table in (base, now):
        test = table[table["split"] == "test"].sort_values("id", kind="stable")
        sides.append(test.assign(right=test["label"] == test["prediction"]))
    if any(sides[0][name].tolist() != sides[1][name].tolist() for name in ("id", "label")):
        return None
    units = next((side["unit"].to_numpy(str) for side in sides[::-1] if "unit" in side), None)
    return mcnemar(*(side["right"].to_numpy() for side in sides), units)


def changes(base: Mapping[str, float], now: Mapping[str, float], test: McNemar | None) -> list[Change]:
    """List the metrics that both have, except the ends of intervals, in the order of ``now``.

    Args:
        base, now: of ``read_metrics``.
        test: of the predictions on test; decides on test.accuracy and test.weighted_recall, which are the same.
    """
    listed = []
    for key, value in now.items():
        if "_ci95." in key or key not in base:
            continue
        beyond = by_intervals(base, now, key)
        if key in ("test.accuracy", "test.weighted_recall") and test:
            beyond = test.p < SIGNIFICANT
        listed.append(Change(key, base[key], value, beyond))
    return listed


def params_changed(base: Mapping, now: Mapping) -> list[tuple[str, object, object]]:
    """List (key, base, now) of params that differ; None stands for a missing key."""
    before, after = flat(base), flat(now)
    return [(key, before.get(key), after.get(key)) for key in {**before, **after} if before.get(key) != after.get(key)]


def classes_changed(base: pd.DataFrame, now: pd.DataFrame) -> list[tuple[str, str, float, float]]:
    """List (class, metric, base, now) of classes whose recall or precision changes beyond noise, largest loss first.

    Args:
        base, now: per-class tables, as evaluate writes them (class, precision, precision_low, ...).
    """
    both = base.merge(now, on="class", suffixes=("", "_now"))
    changed = []
    for row in both.to_dict("records"):
        for name in ("recall", "precision"):
            before = {name: row[name], f"{name}_ci95.low": row[f"{name}_low"], f"{name}_ci95.high": row[f"{name}_high"]}
            after = {key: row[f"{key.replace('_ci95.', '_')}_now"] for key in before}
            # Without samples the interval is NaN, and no change is significant.
            if by_intervals(before, after, name):
                changed.append((row["class"], name, row[name], row[f"{name}_now"]))
    return sorted(changed, key=lambda row: row[3] - row[2])


def failures(now: Mapping[str, float], listed: list[Change], floors: Mapping, drops: Mapping) -> list[str]:
    """List the failures of the gate, one sentence each.

    Args:
        now: of ``read_metrics``.
        listed: of ``changes``; empty if there is no base.
        floors: key -> minimum of a metric (maximum, if lower is better).
        drops: key -> by how much the metric may be worse than in the base.

    Raises:
        UserError: the metric does not exist, or neither direction is better.
    """
    for section, keys in (("floors", floors), ("drops", drops)):
        for key in keys:
            if key not in now or not metrics.direction(key):
                raise UserError(
                    f"params.yaml: compare.{section}: {key} is not a metric of metrics.json with a better direction: "
                    "choose one such as test.accuracy"
                )
    sentences = []
    for key, floor in floors.items():
        over = metrics.direction(key) == "lower"
        if now[key] > floor if over else now[key] < floor:
            sentences.append(f"{key} is {now[key]:.6g}, {'above' if over else 'below'} the floor of {floor:.6g}")
    changed = {change.key: change for change in listed}
    for key, allowed in drops.items():
        change = changed.get(key)
        # Metrics are rounded to six digits; a drop of exactly what is allowed passes.
        if change and change.worse > allowed + 1e-9:
            noise = {True: ", beyond test-sample noise", False: ", within test-sample noise", None: ""}[change.beyond]
            sentences.append(
                f"{key} went from {change.base:.6g} to {change.now:.6g}, worse by {change.worse:.6g}, where "
                f"{allowed:.6g} is allowed{noise}"
            )
    return sentences
