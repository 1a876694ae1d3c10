"""Assignment to train, validation and test, with no copies or groups across splits."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, hstack

from kiln.core import randomness
from kiln.core.components import components

# A draw is accepted where every class is this near to its quota, as a fraction of it; a split may be larger by the
# same fraction if classes would be missing from it otherwise.
_NEAR = 0.1
# Minimal gain for moving a unit away from the split of its rank, in squared relative deviations, so that few move.
_STAY = 0.01
# Up to this many units, swaps of two are tried as well.
_FEW = 40
# Limit of the search for a better draw, in entries of the table of units and classes: a few seconds.
_WORK = 2e8


def units(facts: pd.DataFrame, pairs: pd.DataFrame) -> pd.Series:
    """Name the sets of samples that must share a split: copies of each other, and groups of the source.

    Args:
        facts: id and group (or None), one row per sample.
        pairs: first and second, index values of ``facts``.

    Returns:
        One name per row, on the index of ``facts``, independent of the order of the samples.
    """
    place = pd.Series(np.arange(len(facts)), index=facts.index)
    grouped = place[facts["group"].notna()]
    leader = grouped.groupby(facts["group"]).transform("first")
    first = np.concatenate([place[pairs["first"]].to_numpy(), grouped.to_numpy()])
    second = np.concatenate([place[pairs["second"]].to_numpy(), leader.to_numpy()])
    component = components(len(facts), first.astype(np.int64), second.astype(np.int64))
    name = facts["group"].where(facts["group"].notna(), "\0" + facts["id"])
    return name.groupby(component).transform("min")


def drawn(split: pd.Series, test: float, validation: float) -> dict[str, float]:
    """List the splits that Kiln has to draw: those without a sample in the source.

    Args:
        split: as given by the source (or None), one row per sample.
        test, validation: the requested fractions.

    Returns:
        split -> fraction, in the order of drawing: validation is a fraction of what test leaves.
    """
    fractions = {"test": test, "validation": validation}
    return {name: fraction for name, fraction in fractions.items() if not (split == name).any()}


def assign(facts: pd.DataFrame, unit: pd.Series, test: float, validation: float, seed: int) -> pd.Series:
    """Assign every sample to a split, stratified by the labels of all samples of a unit, with no unit across splits.

    Splits given by the source are kept; the others are drawn from the units of
    which the source has put no sample into validation or test. Units are ranked by
    seed and name, so their order in the source does not matter and additional
    samples move few of them: each class fills its quotas by rank, a unit goes where
    most of its samples would, and deviations are then corrected by moving the units
    that help most (scikit-learn's StratifiedGroupKFold is as greedy, but has folds
    of one size only, and may leave a fold without a class).

    Args:
        facts: label, split (or None), one row per sample.
        unit: of each sample, as returned by ``units``.
        test: fraction of all samples.
        validation: fraction of the samples that test leaves.
        seed: of the draw.

    Returns:
        train, validation or test, on the index of ``facts``.
    """
    fractions = drawn(facts["split"], test, validation)
    splits = facts["split"].fillna("train")
    free = (splits == "train") & ~unit.isin(unit[splits != "train"])
    if not fractions or not free.any():
        return splits
    number, names = pd.factorize(unit[free], sort=True)
    order = np.argsort(_ranks(seed, names), kind="stable")
    row = np.argsort(order, kind="stable")[number]
    column, labels = pd.factorize(facts["label"][free], sort=True)
    counts = csr_array((np.ones(len(row)), (row, column)), shape=(len(names), len(labels)))
    counts.sum_duplicates()
    quotas, needed = _quotas(counts, list(fractions.values()), _ranks(seed, labels))
    place = _Search(counts, _by_rank(counts, quotas), quotas, needed).run()
    splits[free] = np.array(["train", *fractions], object)[place[row]]
    return splits


def _ranks(seed: int, names: Sequence[str]) -> np.ndarray:
    return randomness.key(seed, "clean", randomness.item_keys(names))


def _quotas(counts: csr_array, fractions: Sequence[float], ties: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute how many samples of each class each drawn split should have.

    Fractions of a sample are carried over between classes (largest remainders,
    classes without a sample first), so that a split of many small classes has the
    requested size. A class that leaves a unit and two samples to train must have at
    least one sample in the split.

    Args:
        counts: samples per unit (rows) and class (columns).
        fractions: of each drawn split, of what the previous ones leave.
        ties: decides between equal remainders, one number per class.

    Returns:
        Samples [1 + drawn, K], and where a class must be present (bool, of the same shape); row 0 is train, from
        which no class may vanish and which takes what is left.
    """
    left, units = counts.sum(axis=0), (counts > 0).sum(axis=0)
    quotas, needed = [np.zeros_like(left)], [np.ones(len(left), bool)]
    for fraction in fractions:
        able = units > 1
        ideal = np.where(able, fraction * left, 0)
        owed = able & (left > 2)
        quota = np.maximum(np.floor(ideal), owed)
        size = max(np.floor(fraction * left.sum() + 0.5), 1)
        # A few more samples are accepted if a class would have none otherwise.
        more = max(size - quota.sum(), min((able & (quota == 0)).sum(), np.ceil(_NEAR * size)))
        order = np.lexsort((ties, quota - ideal, quota > 0))
        order = order[(able & (quota < ideal - 1e-9))[order]]
        quota[order[: int(more)]] += 1
        quotas.append(quota)
        needed.append(owed)
        left, units = left - quota, units - (quota > 0)
    return np.array(quotas), np.array(needed)


def _by_rank(counts: csr_array, quotas: np.ndarray) -> np.ndarray:
    """Let each class fill its quotas by the rank of its samples; a unit goes where most of its samples would.

    Args:
        counts: samples per unit (rows, by rank) and class (columns).
        quotas: as returned by ``_quotas``.

    Returns:
        The split of each unit, an index into ``quotas``.
    """
    by_class = counts.tocsc()
    by_class.sort_indices()
    before = np.cumsum(by_class.data) - by_class.data
    entries = np.diff(by_class.indptr)
    middle = before - np.repeat(before[by_class.indptr[:-1]], entries) + by_class.data / 2
    bounds = np.repeat(np.cumsum(quotas[1:], axis=0), entries, axis=1)
    passed = (middle >= bounds).sum(axis=0)
    split = np.where(passed < len(bounds), passed + 1, 0)
    votes = np.bincount(by_class.indices * len(quotas) + split, by_class.data, counts.shape[0] * len(quotas))
    return votes.reshape(-1, len(quotas)).argmax(axis=1)


def _smallest(counts: csr_array) -> np.ndarray:
    """Smallest number of samples of each class in a unit that has any: [K]."""
    by_class = counts.tocsc()
    return np.minimum.reduceat(by_class.data, by_class.indptr[:-1])


class _Search:
    """Local search: move units between splits until every class is present where required and near its quotas.

    It minimises, first, the number of classes that are missing where they must be
    present (train before test before validation) and, second, the squared relative
    deviations of every class and of all samples from their quotas.

    Args:
        counts: samples per unit (rows) and class (columns).
        place: the split of each unit to start from.
        quotas, needed: as returned by ``_quotas``.
    """

    def __init__(self, counts: csr_array, place: np.ndarray, quotas: np.ndarray, needed: np.ndarray):
        self.has = (counts > 0).astype(float)
        # All samples are one more class.
        self.samples = csr_array(hstack([counts, counts.sum(axis=1)[:, None]]))
        self.quotas = np.hstack([quotas, quotas.sum(axis=1, keepdims=True)])
        self.weight = 1 / np.maximum(self.quotas, 1) ** 2
        self.weight[0] = 0
        # Whole numbers: a class that is missing from train outweighs all others.
        self.owed = needed * np.array([[10.0 * counts.shape[1]], [3], [2]])[: len(quotas)]
        self.own = self.samples.multiply(self.samples) @ self.weight.T
        self.start = np.arange(len(place)) * len(quotas)
        self.place = place.copy()
        share = self.samples @ np.sqrt(self.weight[1:]).mean(axis=0)
        self.away = (np.arange(len(quotas)) != place[:, None]) * np.minimum(_STAY, 5 * _STAY * share)[:, None]
        member = csr_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(len(quotas), len(place)))
        self.total, self.units = (member @ self.samples).toarray(), (member @ self.has).toarray()
        # The resolution that can be guaranteed for a class: one sample, or half of its smallest unit.
        self.finest = np.maximum(_smallest(counts) / 2, 1)
        self.work = _WORK

    def run(self) -> np.ndarray:
        """Search.

        Returns:
            The split of each unit, an index into the quotas.
        """
        self._descend()
        rows, better = self._misplaced(), True
        while len(rows) and better and self.work > 0:
            # A sum, since every unit has its try.
            better = sum(self._try((row, split)) for row in rows for split in range(len(self.quotas))) > 0
            rows = self._misplaced()
            if not better and len(self.place) <= _FEW:
                pairs = ((row, other) for row in rows for other in range(len(self.place)))
                better = any(self._try((row, self.place[other]), (other, self.place[row])) for row, other in pairs)
        return self.place

    def _misplaced(self) -> np.ndarray:
        """Find the units with a class that is missing where it must be present, or off its quota."""
        off = np.abs(self.total - self.quotas)[1:, :-1] > np.maximum(_NEAR * self.quotas[1:, :-1], self.finest)
        off |= (self.owed > 0)[1:] & (self.units == 0)[1:]
        return np.flatnonzero(self.has @ off.any(axis=0).astype(float))

    def _descend(self, kept: Sequence[int] = ()) -> None:
        """Make the best move until none helps; the units ``kept`` are not moved."""
        while self.work > 0:
            absent, deviation = self._changes()
            absent[kept, :] = deviation[kept, :] = 0
            least = absent.min()
            best = int(np.where(absent == least, deviation, np.inf).argmin())
            row, split = divmod(best, len(self.quotas))
            if least == 0 and deviation[row, split] > -1e-9:
                return
            self._move(row, split)

    def _changes(self) -> tuple[np.ndarray, np.ndarray]:
        """Compute the change of cost for each unit and split: missing classes and deviation, float64 [N, S] each."""
        self.work -= self.samples.nnz + 20_000
        slope = 2 * (self.samples @ (self.weight * (self.total - self.quotas)).T)
        gained = self.has @ (self.owed * (self.units == 0)).T
        lost = self.has @ (self.owed * (self.units == 1)).T
        here = self.start + self.place
        absent = lost.ravel()[here][:, None] - gained
        enter, leave = self.own + slope + self.away, self.own - slope - self.away
        deviation = enter + leave.ravel()[here][:, None]
        absent.ravel()[here] = deviation.ravel()[here] = 0
        return absent, deviation

    def _move(self, row: int, split: int) -> None:
        for table, totals in ((self.samples, self.total), (self.has, self.units)):
            entries = slice(table.indptr[row], table.indptr[row + 1])
            totals[self.place[row], table.indices[entries]] -= table.data[entries]
            totals[split, table.indices[entries]] += table.data[entries]
        self.place[row] = split

    def _try(self, *moves: tuple[int, int]) -> bool:
        """Move units and descend from there; undo all of it unless the cost fell."""
        if self.work <= 0 or any(split == self.place[row] for row, split in moves):
            return False
        before, state = self._cost(), (self.place.copy(), self.total.copy(), self.units.copy())
        for row, split in moves:
            self._move(row, split)
        self._descend([row for row, _ in moves])
        after = self._cost()
        if (after[0], after[1] + 1e-9) < before:
            return True
        self.place, self.total, self.units = state
        return False

    def _cost(self) -> tuple[float, float]:
        deviation = (self.weight * (self.total - self.quotas) ** 2).sum() + self.away.ravel()[
            self.start + self.place
        ].sum()
        return float((self.owed * (self.units == 0)).sum()), float(deviation)
