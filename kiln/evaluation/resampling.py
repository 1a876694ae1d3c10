"""The metrics of a split under any weights, and those of its resamples.

A unit is a set of samples that belong together: a single sample, all samples of a
patient, or copies of one another. A resample is a weight per unit (how often it is
drawn), so that one function scores the split itself, with all weights 1, and
thousands of resamples at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from kiln.core import scores

BINS = 15
_CELLS = 2**20  # samples (or classes) x resamples per chunk


@dataclass(frozen=True)
class Scores:
    """Metrics under R weightings: of the split, name -> [R]; per class, name -> [R, K]."""

    whole: dict[str, np.ndarray]
    classes: dict[str, np.ndarray]


@dataclass(frozen=True)
class Resamples:
    """Metrics of R resamples: of the split, name -> [R]; per class the variance of F1, [K]."""

    whole: dict[str, np.ndarray]
    f1_variance: np.ndarray


class Split:
    """Samples with labels and probabilities, ready to be scored under any weights.

    Args:
        labels: int [N].
        probabilities: floats [N, K], rows that sum to 1.
        units: names or numbers [N]; samples that share one are drawn together. By
            default each sample is a unit.

    Attributes:
        apart: effective number of units (Kish's: fewer if their sizes differ).
        if_wrong: mean losses if each sample's label were one of the other classes.
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray, units: np.ndarray | None = None):
        confidence, predictions = probabilities.max(axis=1), probabilities.argmax(axis=1)
        # By ascending confidence, as the bins of the calibration error need.
        order = np.argsort(confidence, kind="stable")
        self.samples, self.classes = probabilities.shape
        self.labels, self.predictions = labels[order].astype(np.int64), predictions[order]
        names = np.arange(self.samples) if units is None else np.unique(units, return_inverse=True)[1].ravel()
        self.unit = names[order]
        self.units = int(names.max()) + 1
        self.apart = float(self.samples**2 / np.square(np.bincount(names)).sum())
        hits = self.predictions == self.labels
        self.surplus = confidence[order].astype(float) - hits
        self.label_of, self.predicted_as = self._columns(self.labels), self._columns(self.predictions)
        self.hit_of = self._columns(self.labels, hits)
        self.means = {
            "log_loss": scores.cross_entropy(probabilities, labels)[order],
            "brier": scores.squared_error(probabilities, labels)[order],
        }
        self.if_wrong = _losses_if_wrong(probabilities, labels)
        rank = _rank(labels, probabilities)[order]
        self.right = {"accuracy": hits} | {f"top{k}_accuracy": rank < k for k in (2, 5) if k < self.classes}
        self.means |= {name: right.astype(float) for name, right in self.right.items() if name != "accuracy"}
        self.right["weighted_recall"] = hits  # the same as accuracy, by definition
        self.above, self.below, self.auc = self._placements(labels, probabilities, order)

    def _columns(self, classes: np.ndarray, values: np.ndarray | None = None) -> csr_array:
        values = np.ones(self.samples, np.float32) if values is None else values.astype(np.float32)
        return csr_array((values, classes, np.arange(self.samples + 1)), shape=(self.samples, self.classes))

    def _placements(
        self, labels: np.ndarray, probabilities: np.ndarray, order: np.ndarray
    ) -> tuple[csr_array, np.ndarray, np.ndarray]:
        """Proportion of the opposite side that each sample is ranked correctly against, one class against the rest.

        Returns:
            of the samples of the class [N, K] (sparse), of all other samples [N, K], and
            the area under the ROC curve [K], which is the mean of either; NaN for
            a class that has no sample, or all of them.
        """
        inner, rest = np.zeros(self.samples), np.zeros((self.samples, self.classes), np.float32)
        areas = np.full(self.classes, np.nan)
        place = np.argsort(order)
        for index in np.unique(labels):
            member = labels == index
            score = probabilities[:, index]
            inside, outside = np.sort(score[member]), np.sort(score[~member])
            if not len(outside):
                continue
            inner[place[member]] = _share_below(outside, score[member])
            rest[place[~member], index] = 1 - _share_below(inside, score[~member])
            areas[index] = inner[place[member]].mean()
        return self._columns(self.labels, inner), rest, areas

    def score(self, weights: np.ndarray) -> Scores:
        """Score the samples under weights: float32 [R, N], integer values, each row with a sum above 0."""
        total = weights.sum(axis=1)
        support, predicted, hits = (
            (weights @ columns).astype(float) for columns in (self.label_of, self.predicted_as, self.hit_of)
        )
        table = scores.rates(hits, support, predicted)
        macro = scores.macro(table)
        whole = {"accuracy": hits.sum(axis=1) / total, "balanced_accuracy": macro["recall"], **macro}
        whole |= {f"weighted_{name}": value for name, value in scores.weighted(table).items()}
        means = weights.astype(float) @ np.stack(list(self.means.values()), axis=1) / total[:, None]
        whole |= dict(zip(self.means, means.T, strict=True))
        whole |= {"ece": self._calibration_error(weights), "auc": self._area(weights, support, total)}
        return Scores(whole, {name: table[name] for name in ("precision", "recall", "f1")})

    def _calibration_error(self, weights: np.ndarray) -> np.ndarray:
        """Expected calibration error over bins of equal mass (Nguyen and O'Connor, EMNLP 2015): [R]."""
        starts = bin_starts(weights)
        sums = np.zeros((len(weights), self.samples + 1))
        np.cumsum(weights * self.surplus.astype(np.float32), axis=1, out=sums[:, 1:])
        gaps = np.diff(np.take_along_axis(sums, starts, axis=1), axis=1)
        return np.abs(gaps).sum(axis=1) / weights.sum(axis=1)

    def _area(self, weights: np.ndarray, support: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Mean area under the ROC curve, one class against the rest: [R]; 0.5 if no class has both sides.

        To first order in the weights: the means of the placements are recomputed, the
        placements themselves are not (DeLong, DeLong and Clarke-Pearson, 1988).
        """
        rest = total[:, None] - support
        known = ~np.isnan(self.auc) & (support > 0) & (rest > 0)
        above = np.divide(weights @ self.above, support, out=np.zeros_like(support), where=known)
        below = np.divide(weights @ self.below, rest, out=np.zeros_like(support), where=known)
        areas = np.where(known, np.clip(above + below - self.auc, 0, 1), 0)
        return np.where(known.any(axis=1), areas.sum(axis=1) / np.maximum(known.sum(axis=1), 1), 0.5)

    def point(self) -> Scores:
        """Score the split itself: R is 1."""
        return self.score(np.ones((1, self.samples), np.float32))

    def resample(self, resamples: int, generator: np.random.Generator) -> Resamples:
        """Score resamples of all units, drawn with replacement (Efron, 1979; with units: Field and Welsh, 2007)."""
        whole, sums = [], np.zeros((2, self.classes))
        for weights in draw(self.unit, resamples, generator, max(self.samples, self.classes)):
            drawn = self.score(weights)
            whole.append(drawn.whole)
            sums += drawn.classes["f1"].sum(axis=0), np.square(drawn.classes["f1"]).sum(axis=0)
        mean, square = sums / resamples
        joined = {name: np.concatenate([part[name] for part in whole]) for name in whole[0]}
        return Resamples(joined, np.maximum(square - mean**2, 0))

    def count_by_class(self, of: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Count samples and effective units per class: [K] each.

        Args:
            of: int [N], the class of each sample.

        Returns:
            samples, units (Kish's effective number: fewer if their sizes differ), units of all other classes.
        """
        pairs, size = np.unique(of * self.units + self.unit, return_counts=True)
        owner, whole = pairs // self.units, np.bincount(self.unit)
        squares = np.bincount(owner, size**2, self.classes)
        both = np.bincount(owner, size * whole[pairs % self.units], self.classes)
        samples = np.bincount(of, minlength=self.classes)
        rest = np.square(whole).sum() - 2 * both + squares
        return samples, samples**2 / np.maximum(squares, 1), (self.samples - samples) ** 2 / np.maximum(rest, 1)


def draw(unit: np.ndarray, resamples: int, generator: np.random.Generator, width: int) -> Iterator[np.ndarray]:
    """Draw units with replacement.

    Args:
        unit: of each sample, int [N], from 0.
        resamples: their number.
        generator: draws them.
        width: numbers per resample that the caller computes at a time, which limits how many come together.

    Yields:
        How often each sample is drawn, float32 [R, N].
    """
    units, at_once = int(unit.max()) + 1, max(1, _CELLS // width)
    for start in range(0, resamples, at_once):
        number = min(at_once, resamples - start)
        rows = generator.integers(0, units, (number, units))
        rows += np.arange(number)[:, None] * units
        weights = np.bincount(rows.ravel(), minlength=number * units).astype(np.float32)
        yield weights.reshape(number, units)[:, unit]


def bin_starts(weights: np.ndarray) -> np.ndarray:
    """Divide samples, in their order, into bins of equal mass, for the calibration error and its plot.

    Args:
        weights: floats [R, N], integer values.

    Returns:
        int [R, BINS + 1]: where each bin starts, and N. Bins are empty if there are fewer samples than bins.
    """
    reached = np.cumsum(weights, axis=1, dtype=float)
    edges = np.floor(reached[:, -1:] * np.arange(BINS) / BINS)
    starts = [np.searchsorted(row, edge, "right") for row, edge in zip(reached, edges, strict=True)]
    return np.column_stack([np.stack(starts), np.full(len(weights), weights.shape[1])])


def _rank(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Count the classes ranked before the label; ties go to the first class, as with argmax: [N]."""
    rows = max(1, _CELLS // probabilities.shape[1])
    ranks = []
    for start in range(0, len(labels), rows):
        label, chunk = labels[start : start + rows, None], probabilities[start : start + rows]
        true = np.take_along_axis(chunk, label, axis=1)
        ranks.append(((chunk > true) | ((chunk == true) & (np.arange(chunk.shape[1]) < label))).sum(axis=1))
    return np.concatenate(ranks)


def _losses_if_wrong(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Mean losses if each sample's label were one of the other classes."""
    others = max(probabilities.shape[1] - 1, 1)
    other = (1 - probabilities[np.arange(len(labels)), labels].astype(float)) / others
    squares = np.einsum("nk,nk->n", probabilities, probabilities, dtype=float)
    return {
        "log_loss": float(-np.log(np.clip(other, scores.SMALLEST, 1)).mean()),
        "brier": float((squares - 2 * other + 1).mean()),
    }


def _share_below(others: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Proportion of sorted others below each value; ties count half."""
    sides = (np.searchsorted(others, values, side) for side in ("left", "right"))
    return sum(sides) / (2 * len(others))
