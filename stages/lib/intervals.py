"""A split's figures from its probabilities, and their 95 % intervals by resampling its images.

A resample is a weight an image (how often it is drawn), so one function scores
the split itself, all weights 1, and thousands of resamples at once.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from stages.lib import scores

BINS = 15
_CELLS = 2**20  # images times resamples at once


def wilson(successes: int, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Score interval of a proportion, 95 % by default.

    E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22 (1927). Unlike the bootstrap it does not shrink to a
    point where every trial succeeds.
    """
    share, spread = successes / trials, z * z / trials
    center = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return max(0.0, center - half), min(1.0, center + half)


@dataclass(frozen=True)
class Figures:
    """Figures under R weightings: of the whole split, name -> [R]; of each class, name -> [R, K]."""

    whole: dict[str, np.ndarray]
    classes: dict[str, np.ndarray]


class Sample:
    """Images with labels and probabilities, ready to be scored under any weights.

    Args:
        labels: int [N].
        probabilities: floats [N, K], rows that sum to 1.
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray):
        # Surest last, as the calibration's bins need them.
        order = np.argsort(probabilities.max(axis=1), kind="stable")
        self.labels, self.probabilities = labels[order].astype(np.int64), probabilities[order]
        self.images, self.classes = self.probabilities.shape
        predictions = self.probabilities.argmax(axis=1)
        hits = predictions == self.labels
        self.surplus = self.probabilities.max(axis=1).astype(float) - hits
        self.label_of, self.predicted_as = self._columns(self.labels), self._columns(predictions)
        self.hit_of = self._columns(self.labels, hits)
        self.means = {
            "log_loss": scores.cross_entropy(self.probabilities, self.labels),
            "brier": scores.squared_error(self.probabilities, self.labels),
        }
        rank = self._rank()
        self.means |= {f"top{k}_accuracy": (rank < k).astype(float) for k in (2, 5) if k < self.classes}
        self.above, self.below, self.auc = self._placements()

    def _columns(self, classes: np.ndarray, values: np.ndarray | None = None) -> csr_array:
        values = np.ones(self.images, np.float32) if values is None else values.astype(np.float32)
        return csr_array((values, classes, np.arange(self.images + 1)), shape=(self.images, self.classes))

    def _rank(self) -> np.ndarray:
        """How many classes come before the label; among equals the first comes first, as argmax has it."""
        true = self.probabilities[np.arange(self.images), self.labels][:, None]
        earlier = np.arange(self.classes) < self.labels[:, None]
        return ((self.probabilities > true) | ((self.probabilities == true) & earlier)).sum(axis=1)

    def _placements(self) -> tuple[csr_array, np.ndarray, np.ndarray]:
        """Share of the others that an image's score is on the right side of, one class against the rest.

        Returns:
            of the class's own images [N, K] (sparse), of all others' [N, K], and
            the area under the ROC curve [K], which is the mean of either; nan for
            a class that has no image, or all of them.
        """
        own, rest = np.zeros(self.images), np.zeros((self.images, self.classes), np.float32)
        areas = np.full(self.classes, np.nan)
        for index in range(self.classes):
            mine = self.labels == index
            score = self.probabilities[:, index]
            inside, outside = np.sort(score[mine]), np.sort(score[~mine])
            if not len(inside) or not len(outside):
                continue
            own[mine] = _share_below(outside, score[mine])
            rest[~mine, index] = 1 - _share_below(inside, score[~mine])
            areas[index] = own[mine].mean()
        return self._columns(self.labels, own), rest, areas

    def figures(self, weights: np.ndarray) -> Figures:
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
        return Figures(whole, {name: table[name] for name in ("precision", "recall", "f1")})

    def _calibration_error(self, weights: np.ndarray) -> np.ndarray:
        """Expected calibration error over bins of equal mass (Nguyen and O'Connor, EMNLP 2015): [R]."""
        reached = np.cumsum(weights, axis=1)
        edges = reached[:, -1:] * (np.arange(BINS) / BINS)
        # Where each bin starts: bins may be empty where there are fewer images.
        starts = np.stack([np.searchsorted(row, edge, "right") for row, edge in zip(reached, edges, strict=True)])
        sums = np.zeros((len(weights), self.images + 1))
        np.cumsum(weights * self.surplus.astype(np.float32), axis=1, out=sums[:, 1:])
        ends = np.concatenate([starts[:, 1:], np.full((len(weights), 1), self.images)], axis=1)
        gaps = np.take_along_axis(sums, ends, axis=1) - np.take_along_axis(sums, starts, axis=1)
        return np.abs(gaps).sum(axis=1) / reached[:, -1]

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

    def point(self) -> Figures:
        """Score the split itself: R is 1."""
        return self.figures(np.ones((1, self.images), np.float32))

    def resampled(self, resamples: int, generator: np.random.Generator) -> Figures:
        """Score samples of as many images, drawn with replacement (Efron, 1979): R is ``resamples``."""
        at_once, drawn = max(1, _CELLS // self.images), []
        for start in range(0, resamples, at_once):
            number = min(at_once, resamples - start)
            rows = generator.integers(0, self.images, (number, self.images))
            rows += np.arange(number)[:, None] * self.images
            weights = np.bincount(rows.ravel(), minlength=number * self.images).astype(np.float32)
            drawn.append(self.figures(weights.reshape(number, self.images)))
        return Figures(
            *(
                {
                    name: np.concatenate([getattr(part, kind)[name] for part in drawn])
                    for name in getattr(drawn[0], kind)
                }
                for kind in ("whole", "classes")
            )
        )


def _share_below(others: np.ndarray, scores_: np.ndarray) -> np.ndarray:
    """Share of sorted others below each score, equals by half."""
    sides = (np.searchsorted(others, scores_, side) for side in ("left", "right"))
    return sum(sides) / (2 * len(others))


def percentile(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % percentile interval of resampled figures [R, ...]: low and high, [...]."""
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return low, high


def around(value: float, drawn: np.ndarray) -> tuple[float, float]:
    """95 % interval by the percentiles of the error, turned round (Davison and Hinkley, 1997, 5.2.1), not below 0.

    For the calibration error, which every resample overstates, since chance adds to
    it. Where chance is most of it, the interval is widened to hold the figure itself.
    """
    low, high = percentile(drawn)
    return max(0.0, min(value, float(2 * value - high))), max(value, float(2 * value - low))


def scored(
    labels: np.ndarray, probabilities: np.ndarray, resamples: int = 0, generator: np.random.Generator | None = None
) -> tuple[dict, dict[str, np.ndarray]]:
    """Score a split, with intervals where ``resamples`` are asked for.

    Args:
        labels: int [N], N of 1 or more.
        probabilities: floats [N, K].
        resamples: how many; 0 for no intervals.
        generator: of the draws.

    Returns:
        The contract of metrics.json: images, accuracy, balanced_accuracy,
        precision, recall, f1 (macro), weighted_precision, weighted_recall,
        weighted_f1, log_loss, brier, top2_accuracy and top5_accuracy (where there
        are more classes), ece, auc; beside each NAME_ci95 of low and high. And of
        each class, [K]: precision, recall, f1, and NAME_low and NAME_high.
        Intervals are Wilson's for shares of images (accuracy, a class's recall and
        precision), else of the bootstrap.
    """
    sample = Sample(labels, probabilities)
    point = sample.point()
    figures = {name: float(values[0]) for name, values in point.whole.items()}
    classes = {name: values[0] for name, values in point.classes.items()}
    if not resamples:
        return {"images": len(labels), **figures}, classes
    drawn = sample.resampled(resamples, generator)
    result = {"images": len(labels)}
    for name, value in figures.items():
        low, high = percentile(drawn.whole[name])
        if name == "accuracy":
            low, high = wilson(round(value * len(labels)), len(labels))
        elif name == "ece":
            low, high = around(value, drawn.whole[name])
        result |= {name: value, f"{name}_ci95": {"low": float(low), "high": float(high)}}
    ones = np.ones((1, sample.images), np.float32)
    support, predicted, hits = ((ones @ part)[0] for part in (sample.label_of, sample.predicted_as, sample.hit_of))
    classes["f1_low"], classes["f1_high"] = percentile(drawn.classes["f1"])
    for name, trials in (("recall", support), ("precision", predicted)):
        ends = [wilson(int(hit), int(n)) if n else (np.nan, np.nan) for hit, n in zip(hits, trials, strict=True)]
        classes[f"{name}_low"], classes[f"{name}_high"] = np.array(ends).T
    return result, classes
