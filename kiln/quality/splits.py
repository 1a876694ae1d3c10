"""Train, validation and test: who goes where, with nothing alike on both sides of a border."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, hstack

from kiln.core import randomness
from kiln.core.components import components

# A draw is left as it is where every class is this near to its quota, as a fraction of it; a split may be as much
# larger where classes would have none of it.
_NEAR = 0.1
# What a unit that leaves the split of its rank must gain, in squared relative deviations, so that few do.
_STAY = 0.01
# Up to so many units, exchanges of two are tried as well.
_FEW = 40
# Bounds the search for a better draw, in entries of the table of units and classes: a few seconds.
_WORK = 2e8


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


def drawn(split: pd.Series, test: float, validation: float) -> dict[str, float]:
    """Say which splits Kiln has to draw: those of which the source brings no image.

    Args:
        split: as the source gives it (or None), one row an image.
        test, validation: the fractions asked for.

    Returns:
        split -> fraction, in the order in which they are drawn: validation is a fraction of what test leaves.
    """
    asked = {"test": test, "validation": validation}
    return {name: fraction for name, fraction in asked.items() if not (split == name).any()}


def assign(facts: pd.DataFrame, unit: pd.Series, test: float, validation: float, seed: int) -> pd.Series:
    """Give every image its split, stratified by the labels of all images of a unit, no unit across a border.

    What the source says stands; the rest is drawn from the units of which the
    source has put no image into validation or test. Units are ranked by seed and
    name, so their order in the source is no matter and further images move few of
    them: each class fills its quotas by rank, a unit goes where most of its images
    would, and what is then missing or too much is put right by moving the units
    that help most (scikit-learn's StratifiedGroupKFold is as greedy, but knows
    folds of one size only, and may leave a fold without a class).

    Args:
        facts: label, split (or None), one row an image.
        unit: of each image, as ``units`` names them.
        test: fraction of all images.
        validation: fraction of the images left for train.
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
    """Settle how many images of each class each drawn split should have.

    Fractions of an image are carried over between classes (largest remainders,
    classes first that would have none), so that a split of many small classes has
    its size. A class that keeps a unit and two images for train owes the split
    one image at least.

    Args:
        counts: images, units by classes.
        fractions: of each drawn split, of what those before it leave.
        ties: decides between equal remainders, one number a class.

    Returns:
        Images [1 + drawn, K], and where a class must be present (bool, of the same shape); row 0 is train, from
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
        # A few images more than that are worth it where a class would have none.
        more = max(size - quota.sum(), min((able & (quota == 0)).sum(), np.ceil(_NEAR * size)))
        order = np.lexsort((ties, quota - ideal, quota > 0))
        order = order[(able & (quota < ideal - 1e-9))[order]]
        quota[order[: int(more)]] += 1
        quotas.append(quota)
        needed.append(owed)
        left, units = left - quota, units - (quota > 0)
    return np.array(quotas), np.array(needed)


def _by_rank(counts: csr_array, quotas: np.ndarray) -> np.ndarray:
    """Let each class fill its quotas by the rank of its images; a unit goes where most of its images would.

    Args:
        counts: images, units (by rank) by classes.
        quotas: as ``_quotas`` gives them.

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
    """The fewest images of each class that a unit with any of it holds: [K], of images by units and classes."""
    by_class = counts.tocsc()
    return np.minimum.reduceat(by_class.data, by_class.indptr[:-1])


class _Search:
    """Move units between splits until every class is where it must be and near its quotas.

    What is made small is, first, how many classes are absent where they must be
    present (train before all, test before validation) and, second, the squared
    deviations of every class and of all images from their quotas, as fractions of these.

    Args:
        counts: images, units by classes.
        place: the split of each unit to start from.
        quotas, needed: as ``_quotas`` gives them.
    """

    def __init__(self, counts: csr_array, place: np.ndarray, quotas: np.ndarray, needed: np.ndarray):
        self.has = (counts > 0).astype(float)
        # All images are one more class.
        self.images = csr_array(hstack([counts, counts.sum(axis=1)[:, None]]))
        self.quotas = np.hstack([quotas, quotas.sum(axis=1, keepdims=True)])
        self.weight = 1 / np.maximum(self.quotas, 1) ** 2
        self.weight[0] = 0
        # Whole numbers: a class that train lacks outweighs all others.
        self.owed = needed * np.array([[10.0 * counts.shape[1]], [3], [2]])[: len(quotas)]
        self.own = self.images.multiply(self.images) @ self.weight.T
        self.start = np.arange(len(place)) * len(quotas)
        self.place = place.copy()
        share = self.images @ np.sqrt(self.weight[1:]).mean(axis=0)
        self.away = (np.arange(len(quotas)) != place[:, None]) * np.minimum(_STAY, 5 * _STAY * share)[:, None]
        member = csr_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(len(quotas), len(place)))
        self.total, self.units = (member @ self.images).toarray(), (member @ self.has).toarray()
        # No nearer than that can a class be brought for sure: to an image, or half of its smallest unit.
        self.finest = np.maximum(_smallest(counts) / 2, 1)
        self.work = _WORK

    def run(self) -> np.ndarray:
        """Search.

        Returns:
            The split of each unit, an index into the quotas.
        """
        self._descend()
        rows, better = self._troubled(), True
        while len(rows) and better and self.work > 0:
            # A sum, since every unit has its try.
            better = sum(self._try((row, split)) for row in rows for split in range(len(self.quotas))) > 0
            rows = self._troubled()
            if not better and len(self.place) <= _FEW:
                pairs = ((row, other) for row in rows for other in range(len(self.place)))
                better = any(self._try((row, self.place[other]), (other, self.place[row])) for row, other in pairs)
        return self.place

    def _troubled(self) -> np.ndarray:
        """The units that hold a class that is absent where it must be present, or off its quota."""
        off = np.abs(self.total - self.quotas)[1:, :-1] > np.maximum(_NEAR * self.quotas[1:, :-1], self.finest)
        off |= (self.owed > 0)[1:] & (self.units == 0)[1:]
        return np.flatnonzero(self.has @ off.any(axis=0).astype(float))

    def _descend(self, kept: Sequence[int] = ()) -> None:
        """Make the move that helps most until none does; the units ``kept`` stay where they are."""
        while self.work > 0:
            absent, deviation = self._costs()
            absent[kept, :] = deviation[kept, :] = 0
            least = absent.min()
            best = int(np.where(absent == least, deviation, np.inf).argmin())
            row, split = divmod(best, len(self.quotas))
            if least == 0 and deviation[row, split] > -1e-9:
                return
            self._move(row, split)

    def _costs(self) -> tuple[np.ndarray, np.ndarray]:
        """What each unit would change in each split: absent classes, and deviation: float64 [N, S] each."""
        self.work -= self.images.nnz + 20_000
        slope = 2 * (self.images @ (self.weight * (self.total - self.quotas)).T)
        found = self.has @ (self.owed * (self.units == 0)).T
        lost = self.has @ (self.owed * (self.units == 1)).T
        here = self.start + self.place
        absent = lost.ravel()[here][:, None] - found
        enter, leave = self.own + slope + self.away, self.own - slope - self.away
        deviation = enter + leave.ravel()[here][:, None]
        absent.ravel()[here] = deviation.ravel()[here] = 0
        return absent, deviation

    def _move(self, row: int, split: int) -> None:
        for table, totals in ((self.images, self.total), (self.has, self.units)):
            entries = slice(table.indptr[row], table.indptr[row + 1])
            totals[self.place[row], table.indices[entries]] -= table.data[entries]
            totals[split, table.indices[entries]] += table.data[entries]
        self.place[row] = split

    def _try(self, *moves: tuple[int, int]) -> bool:
        """Move units and put right what follows; undo it all unless that helped."""
        if self.work <= 0 or any(split == self.place[row] for row, split in moves):
            return False
        before, state = self._height(), (self.place.copy(), self.total.copy(), self.units.copy())
        for row, split in moves:
            self._move(row, split)
        self._descend([row for row, _ in moves])
        after = self._height()
        if (after[0], after[1] + 1e-9) < before:
            return True
        self.place, self.total, self.units = state
        return False

    def _height(self) -> tuple[float, float]:
        deviation = (self.weight * (self.total - self.quotas) ** 2).sum() + self.away.ravel()[
            self.start + self.place
        ].sum()
        return float((self.owed * (self.units == 0)).sum()), float(deviation)
