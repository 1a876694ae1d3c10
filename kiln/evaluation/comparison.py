"""Compare two states of the project: params, figures, classes, and whether a difference is beyond noise."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from kiln.core.errors import UserError
from kiln.evaluation import metrics

SIGNIFICANT = 0.05
_Z = stats.norm.ppf(1 - SIGNIFICANT / 2)
# Variance of a single image, by the value of the figure: those of its score interval.
_VARIANCES = {
    **{
        name: lambda value: value * (1 - value)
        for name, (_, better) in metrics.SPLIT_METRICS.items()
        if better == "higher"
    },
    **{name: lambda value: value for name in ("log_loss", "brier")},
}
YOUNGER = {"test.units"}  # keys that a base of an earlier Kiln may lack
REQUIRED = [
    *(f"{split}.{name}" for split in ("train", "validation", "test") for name in ("images", *metrics.SPLIT_METRICS)),
    *(f"test.{name}_ci95.{end}" for name in metrics.SPLIT_METRICS for end in ("low", "high")),
    *("test.units", "clean.images", "clean.kept", "model.parameters", "test_calibrated.temperature", "gap.accuracy"),
]


def flat(tree: Mapping, prefix: str = "") -> dict[str, object]:
    """Flatten nested mappings: {"a": {"b": 1}} becomes {"a.b": 1}."""
    result = {}
    for name, value in tree.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return result


def read_metrics(text: str, name: str, older: bool = False) -> dict[str, float]:
    """Read metrics.json: flat, every value a finite number, no key of the contract missing.

    Args:
        text: its content.
        name: of the file, for the error.
        older: whether an earlier Kiln may have written it.

    Raises:
        UserError: it is cut off, holds something else than finite numbers, or lacks a key.
    """

    def refuse(constant: str) -> None:
        raise UserError(f"{name} holds {constant}, which is no figure: run `dvc repro`, and mend what gave it")

    try:
        content = json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise UserError(f"{name} is cut off or no JSON ({error}): run `dvc repro` and commit it") from None
    if not isinstance(content, dict):
        raise UserError(f"{name} is no JSON object: run `dvc repro` and commit it")
    found = flat(content)
    for key, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"{name}: {key} is {value!r}, not a finite number: run `dvc repro` and commit it")
    needed = [key for key in REQUIRED if not any(f".{many}" in key for many in metrics.MANY_CLASSES)]
    if missing := [key for key in needed if key not in found and not (older and key in YOUNGER)]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{name} lacks {missing[0]}{more}: run `dvc repro` and commit it")
    return found


@dataclass(frozen=True)
class Change:
    """A figure in the base and now; ``beyond`` noise is None where nothing tells how noisy it is."""

    key: str
    base: float
    now: float
    beyond: bool | None

    @property
    def worse(self) -> float:
        """By how much it is worse: above 0; below 0 by how much it is better; 0 where neither way is better."""
        sign = {"higher": -1, "lower": 1, None: 0}[metrics.direction(self.key)]
        return sign * (self.now - self.base)


def by_intervals(base: Mapping[str, float], now: Mapping[str, float], key: str) -> bool | None:
    """Whether two figures differ by more than their 95 % intervals together explain; None without intervals.

    An interval without width, as an earlier Kiln gave where every image was right, is none: no
    sample makes a figure certain.

    The halves of two independent intervals add up as the root of the sum of their
    squares; each half is the one that faces the other figure. Near 0 and 1 that
    claims too much, as five errors against none, for which exact tests give p = 0.06.
    So where an interval is a score interval, which tells of how many images it is,
    the two are tested as shares of so many by the score test with Yates' correction
    ("Contingency tables involving small numbers and the chi-squared test", Supplement
    to the JRSS 1, 1934), which comes close to the exact test.
    """
    ends = [side.get(f"{key}_ci95.{end}") for side in (base, now) for end in ("low", "high")]
    if None in ends or ends[0] == ends[1] or ends[2] == ends[3]:
        return None
    low, high = sorted((base, now), key=lambda figures_: figures_[key])
    facing = (low[key], low[f"{key}_ci95.high"]), (high[key], high[f"{key}_ci95.low"])
    gap, halves = high[key] - low[key], [abs(value - end) for value, end in facing]
    varies = _VARIANCES.get(key.rpartition(".")[2])
    if varies is None or gap <= max(halves):
        return gap > math.hypot(*halves)
    first, second = (half**2 / (_Z**2 * varies(end)) for half, (_, end) in zip(halves, facing, strict=True))
    pooled = (low[key] * second + high[key] * first) / (first + second)
    return bool(gap - (first + second) / 2 > _Z * math.sqrt(varies(pooled) * (first + second)))


@dataclass(frozen=True)
class McNemar:
    """Images that only the base gets right, that only the other does, and the exact two-sided p value.

    Attributes:
        lost, won: how many images.
        p: of the hypothesis that neither is better.
        units: how many the images make where some belong together, else None.
    """

    lost: int
    won: int
    p: float
    units: int | None = None


def mcnemar(base_right: np.ndarray, now_right: np.ndarray, units: np.ndarray | None = None) -> McNemar:
    """Test whether two classifiers are equally often right on the same images, some of which belong together.

    If neither is better, either may have made either's predictions on a unit: every
    unit's surplus of images that one of the two alone gets right had as well come out
    for the other. The p value is the share of all such exchanges, counted exactly,
    that sum to as much as what was found (R. A. Fisher, "The design of experiments",
    1935, 21). With an image a unit that is McNemar's exact test (Q. McNemar, "Note on
    the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12, 1947).

    Args:
        base_right, now_right: bool [N], in one order of the images.
        units: [N], names or numbers; by default each image is a unit.
    """
    change = base_right.astype(int) - now_right
    names = np.arange(len(change)) if units is None else np.unique(units, return_inverse=True)[1].ravel()
    surplus = np.bincount(names, change).round().astype(int)
    sizes, counts = np.unique(np.abs(surplus[surplus != 0]), return_counts=True)
    # How likely each number of images is to turn to the base: units of one size at once.
    chance = np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        spread = np.zeros(size * count + 1)
        spread[::size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chance = np.convolve(chance, spread)
    sums = 2 * np.arange(len(chance)) - (len(chance) - 1)
    p = min(1.0, float(chance[np.abs(sums) >= abs(surplus.sum())].sum()))
    lost, won = int((change > 0).sum()), int((change < 0).sum())
    return McNemar(lost, won, p, len(surplus) if len(surplus) < len(change) else None)


def paired(base: pd.DataFrame, now: pd.DataFrame) -> McNemar | None:
    """Test two tables of predictions (id, split, label, prediction, unit) on test; None where images or labels differ.

    Units are those of ``now``; of ``base`` where only that has them; else each image is one.
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
    """List every figure that both have and that is not an interval's end, in the order of ``now``.

    Args:
        base, now: of ``read_metrics``.
        test: of the predictions on test, which settles test.accuracy, and what is the same by another name.
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
    """List (key, base, now) of params that differ; None stands for a key that is not there."""
    before, after = flat(base), flat(now)
    return [(key, before.get(key), after.get(key)) for key in {**before, **after} if before.get(key) != after.get(key)]


def classes_changed(base: pd.DataFrame, now: pd.DataFrame) -> list[tuple[str, str, float, float]]:
    """List (class, figure, base, now) of classes whose recall or precision differs beyond noise, the worst loss first.

    Args:
        base, now: tables of classes, as evaluate writes them (class, precision, precision_low, ...).
    """
    both = base.merge(now, on="class", suffixes=("", "_now"))
    found = []
    for row in both.to_dict("records"):
        for name in ("recall", "precision"):
            before = {name: row[name], f"{name}_ci95.low": row[f"{name}_low"], f"{name}_ci95.high": row[f"{name}_high"]}
            after = {key: row[f"{key.replace('_ci95.', '_')}_now"] for key in before}
            # Without images there is no interval: NaN, which is beyond nothing.
            if by_intervals(before, after, name):
                found.append((row["class"], name, row[name], row[f"{name}_now"]))
    return sorted(found, key=lambda row: row[3] - row[2])


def failures(now: Mapping[str, float], listed: list[Change], floors: Mapping, drops: Mapping) -> list[str]:
    """Say in a sentence each what the gate does not let through.

    Args:
        now: of ``read_metrics``.
        listed: of ``changes``; empty where there is no base.
        floors: key -> the least that a figure may be (the most, where lower is better).
        drops: key -> by how much it may be worse than in the base.

    Raises:
        UserError: there is no such figure, or neither way is better.
    """
    for section, keys in (("floors", floors), ("drops", drops)):
        for key in keys:
            if key not in now or not metrics.direction(key):
                raise UserError(
                    f"params.yaml: compare.{section}: {key} is no figure of metrics.json that can be better or worse: "
                    "name one such as test.accuracy"
                )
    said = []
    for key, floor in floors.items():
        over = metrics.direction(key) == "lower"
        if now[key] > floor if over else now[key] < floor:
            said.append(f"{key} is {now[key]:.6g}, {'above' if over else 'below'} the floor of {floor:.6g}")
    changed = {change.key: change for change in listed}
    for key, allowed in drops.items():
        change = changed.get(key)
        # Figures are rounded to six digits; a drop of just what is allowed passes.
        if change and change.worse > allowed + 1e-9:
            noise = {True: ", beyond test-sample noise", False: ", within test-sample noise", None: ""}[change.beyond]
            said.append(
                f"{key} went from {change.base:.6g} to {change.now:.6g}, worse by {change.worse:.6g}, where "
                f"{allowed:.6g} is allowed{noise}"
            )
    return said
