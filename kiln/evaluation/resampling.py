"""A split's metrics from its probabilities, under any weights, and those of resamples.

A unit is what may not be separated: one image, or all images of a patient, or
copies of one another. A resample is a weight per unit (how often it is drawn), so
one function scores the split itself, all weights 1, and thousands of resamples
at once.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from kiln.core import scores

BINS = 15
_CELLS = 2**20  # images (or classes) times resamples at once


@dataclass(frozen=True)
class Scores:
    """Metrics under R weightings: of the whole split, name -> [R]; of each class, name -> [R, K]."""

    whole: dict[str, np.ndarray]
    classes: dict[str, np.ndarray]


@dataclass(frozen=True)
class Resamples:
    """Metrics of R resamples: of the whole split, name -> [R]; of each class the variance of F1, [K]."""

    whole: dict[str, np.ndarray]
    f1_variance: np.ndarray


class Split:
    """Images with labels and probabilities, ready to be scored under any weights.

    Args:
        labels: int [N].
        probabilities: floats [N, K], rows that sum to 1.
        units: names or numbers [N]; images that share one are drawn together. By
            default each image is a unit.
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray, units: np.ndarray | None = None):
        confidence, predictions = probabilities.max(axis=1), probabilities.argmax(axis=1)
        # Ascending confidence, as the calibration's bins need it.
        order = np.argsort(confidence, kind="stable")
        self.images, self.classes = probabilities.shape
        self.labels, self.predictions = labels[order].astype(np.int64), predictions[order]
        names = np.arange(self.images) if units is None else np.unique(units, return_inverse=True)[1].ravel()
        self.unit = names[order]
        self.units = int(names.max()) + 1
        self.apart = float(self.images**2 / np.square(np.bincount(names)).sum())
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
        self.right["weighted_recall"] = hits  # which is the same by its definition
        self.above, self.below, self.auc = self._placements(labels, probabilities, order)

    def _columns(self, classes: np.ndarray, values: np.ndarray | None = None) -> csr_array:
        values = np.ones(self.images, np.float32) if values is None else values.astype(np.float32)
        return csr_array((values, classes, np.arange(self.images + 1)), shape=(self.images, self.classes))

    def _placements(
        self, labels: np.ndarray, probabilities: np.ndarray, order: np.ndarray
    ) -> tuple[csr_array, np.ndarray, np.ndarray]:
        """Share of the others that an image's score is on the right side of, one class against the rest.

        Returns:
            of the class's own images [N, K] (sparse), of all others' [N, K], and
            the area under the ROC curve [K], which is the mean of either; nan for
            a class that has no image, or all of them.
        """
        own, rest = np.zeros(self.images), np.zeros((self.images, self.classes), np.float32)
        areas = np.full(self.classes, np.nan)
        place = np.argsort(order)
        for index in np.unique(labels):
            mine = labels == index
            score = probabilities[:, index]
            inside, outside = np.sort(score[mine]), np.sort(score[~mine])
            if not len(outside):
                continue
            own[place[mine]] = _share_below(outside, score[mine])
            rest[place[~mine], index] = 1 - _share_below(inside, score[~mine])
            areas[index] = own[place[mine]].mean()
        return self._columns(self.labels, own), rest, areas

    def score(self, weights: np.ndarray) -> Scores:
        """Score the images under weights: float32 [R, N], whole numbers, each row with a sum above 0."""
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
        sums = np.zeros((len(weights), self.images + 1))
        np.cumsum(weights * self.surplus.astype(np.float32), axis=1, out=sums[:, 1:])
        gaps = np.diff(np.take_along_axis(sums, starts, axis=1), axis=1)
        return np.abs(gaps).sum(axis=1) / weights.sum(axis=1)

    def _area(self, weights: np.ndarray, support: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Mean area under the ROC curve, one class against the rest: [R]; 0.5 where no class has both sides.

        To first order in the weights: the means of the placements move, the
        placements themselves do not (DeLong, DeLong and Clarke-Pearson, 1988).
        """
        rest = total[:, None] - support
        known = ~np.isnan(self.auc) & (support > 0) & (rest > 0)
        own = np.divide(weights @ self.above, support, out=np.zeros_like(support), where=known)
        other = np.divide(weights @ self.below, rest, out=np.zeros_like(support), where=known)
        areas = np.where(known, np.clip(own + other - self.auc, 0, 1), 0)
        return np.where(known.any(axis=1), areas.sum(axis=1) / np.maximum(known.sum(axis=1), 1), 0.5)

    def point(self) -> Scores:
        """Score the split itself: R is 1."""
        return self.score(np.ones((1, self.images), np.float32))

    def resample(self, resamples: int, generator: np.random.Generator) -> Resamples:
        """Score samples of as many units, drawn with replacement (Efron, 1979; with units: Field and Welsh, 2007)."""
        at_once = max(1, _CELLS // max(self.images, self.classes))
        whole, sums = [], np.zeros((2, self.classes))
        for start in range(0, resamples, at_once):
            number = min(at_once, resamples - start)
            rows = generator.integers(0, self.units, (number, self.units))
            rows += np.arange(number)[:, None] * self.units
            weights = np.bincount(rows.ravel(), minlength=number * self.units).astype(np.float32)
            drawn = self.score(weights.reshape(number, self.units)[:, self.unit])
            whole.append(drawn.whole)
            sums += drawn.classes["f1"].sum(axis=0), np.square(drawn.classes["f1"]).sum(axis=0)
        mean, square = sums / resamples
        joined = {name: np.concatenate([part[name] for part in whole]) for name in whole[0]}
        return Resamples(joined, np.maximum(square - mean**2, 0))

    def count_by_class(self, of: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images and effective units of each class and of all the rest: [K] each.

        Args:
            of: int [N], each image's class.

        Returns:
            images, units (Kish's number: fewer where they are uneven), units of the rest.
        """
        pairs, size = np.unique(of * self.units + self.unit, return_counts=True)
        owner, whole = pairs // self.units, np.bincount(self.unit)
        own = np.bincount(owner, size**2, self.classes)
        both = np.bincount(owner, size * whole[pairs % self.units], self.classes)
        images = np.bincount(of, minlength=self.classes)
        other = np.square(whole).sum() - 2 * both + own
        return images, images**2 / np.maximum(own, 1), (self.images - images) ** 2 / np.maximum(other, 1)


def bin_starts(weights: np.ndarray) -> np.ndarray:
    """Cut images in their order into bins of equal mass: the calibration error's, and those that are plotted.

    Args:
        weights: floats [R, N], whole numbers.

    Returns:
        int [R, BINS + 1]: where each bin starts, and N. Bins may be empty where there are fewer images.
    """
    reached = np.cumsum(weights, axis=1, dtype=float)
    edges = np.floor(reached[:, -1:] * np.arange(BINS) / BINS)
    starts = [np.searchsorted(row, edge, "right") for row, edge in zip(reached, edges, strict=True)]
    return np.column_stack([np.stack(starts), np.full(len(weights), weights.shape[1])])


def _rank(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """How many classes come before the label; among equals the first comes first, as argmax has it: [N]."""
    rows = max(1, _CELLS // probabilities.shape[1])
    ranks = []
    for start in range(0, len(labels), rows):
        label, part = labels[start : start + rows, None], probabilities[start : start + rows]
        true = np.take_along_axis(part, label, axis=1)
        ranks.append(((part > true) | ((part == true) & (np.arange(part.shape[1]) < label))).sum(axis=1))
    return np.concatenate(ranks)


def _losses_if_wrong(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Mean losses if each image's label were one of the other classes."""
    others = max(probabilities.shape[1] - 1, 1)
    other = (1 - probabilities[np.arange(len(labels)), labels].astype(float)) / others
    squares = np.einsum("nk,nk->n", probabilities, probabilities, dtype=float)
    return {
        "log_loss": float(-np.log(np.clip(other, scores.SMALLEST, 1)).mean()),
        "brier": float((squares - 2 * other + 1).mean()),
    }


def _share_below(others: np.ndarray, scores_: np.ndarray) -> np.ndarray:
    """Share of sorted others below each score, equals by half."""
    sides = (np.searchsorted(others, scores_, side) for side in ("left", "right"))
    return sum(sides) / (2 * len(others))
