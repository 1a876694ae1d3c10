"""A split's figures from its probabilities, and their 95 % intervals by resampling its units.

A unit is what may not be parted: one image, or all images of a patient, or
copies of one another. A resample is a weight a unit (how often it is drawn), so
one function scores the split itself, all weights 1, and thousands of resamples
at once.

Resamples tell how much a figure varies, but not how far it may be from the
truth: where every image is right, all resamples are too. So only their variance
is taken, as the number of independent images that would vary as much, to which
one image is added whose outcome is not known; the ends are those of a score
interval of so many images.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special, stats
from scipy.sparse import csr_array

from kiln.core import scores

BINS = 15
_CELLS = 2**20  # images (or classes) times resamples at once
_Z = 1.959963984540054  # 97.5 % of the normal distribution lie below
_ONE_SIDED = 0.07


def wilson(successes, trials):
    """Score interval of a proportion, 95 %, held to the exact bound near 0 and 1.

    E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22 (1927). Unlike the bootstrap it does not shrink to a
    point where every trial succeeds. Where a single success or failure is seen
    it covers too seldom (84 %), so there the end goes to the exact one-sided 7 %
    bound, as Brown, Cai and DasGupta propose (Statistical Science 16, 2001, 4.1.1;
    they take 5 %). So it covers 93 % or more (tests/bench/coverage.py).

    Args:
        successes, trials: floats above 0 (trials), numbers or arrays.

    Returns:
        low, high, in which the share of successes lies; nan for no trials.
    """
    successes, trials = np.asarray(successes, float), np.asarray(trials, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        share, spread = successes / trials, _Z**2 / trials
        center = (share + spread / 2) / (1 + spread)
        half = _Z / (1 + spread) * np.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    low = np.minimum(center - half, _exact_low(successes, trials))
    high = np.maximum(center + half, 1 - _exact_low(trials - successes, trials))
    return np.clip(np.minimum(low, share), 0, 1), np.clip(np.maximum(high, share), 0, 1)


def _exact_low(successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    some = successes > 1e-9
    bound = special.betaincinv(np.where(some, successes, 1), np.maximum(trials - successes, 0) + 1, _ONE_SIDED)
    return np.where(some, bound, 0)


def _factor(units) -> np.ndarray:
    """How many times the normal's width few units need: Student's t with one degree of freedom less than units."""
    return stats.t.ppf(0.975, np.maximum(np.asarray(units, float) - 1, 1)) / _Z


def _freedom(squares: np.ndarray, fourths: np.ndarray, units: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """How many units a jackknife variance is as uncertain with, were influences normal: 2 to ``apart``.

    Args:
        squares, fourths: sums of the units' influences, squared and to the fourth.
        units: how many.
        apart: how many of one size would be worth as much.
    """
    freedom = 2 * squares**2 / (fourths - squares**2 / units)
    # Without any movement, or with all of one size (up to rounding), nothing speaks against all units.
    return np.where(freedom > 0, np.clip(freedom, 2, apart), apart)


def shares(right: np.ndarray, owner: np.ndarray, unit: np.ndarray, owners: int) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of shares of images that are right, where images of a unit may be right together.

    The score interval of the effective number of images: that which would vary as
    much if images were independent (Kish, "Survey sampling", 1965; Dean and Pagano,
    "Evaluating confidence interval methods for binomial proportions in clustered
    surveys", JSSAM 3, 2015). The variance is the jackknife's over units, widened
    by Student's t. Where a few units make most of it, it is more uncertain than
    their number says, and comes out too small where none of them was drawn: the
    degrees of freedom are those of the influences' kurtosis (Satterthwaite, "An
    approximate distribution of estimates of variance components", Biometrics
    Bulletin 2, 1946; Valliant and Rust, "Degrees of freedom approximations and
    rules-of-thumb", Journal of Official Statistics 26, 2010). The number lies
    between that of units, all equal or as uneven as they are, and that of images;
    with an image a unit it is that of images.

    Args:
        right: bool [N].
        owner: int [N], whose share an image counts for, below ``owners``.
        unit: int [N].
        owners: how many.

    Returns:
        low, high [owners]; nan for an owner without images.
    """
    pairs, pair = np.unique(owner.astype(np.int64) * (int(unit.max(initial=0)) + 1) + unit, return_inverse=True)
    of = pairs // (int(unit.max(initial=0)) + 1)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(of, values, owners)

    size, hits = np.bincount(pair, minlength=len(pairs)), np.bincount(pair, right, len(pairs))
    images, units = total(size), np.bincount(of, minlength=owners)
    with np.errstate(divide="ignore", invalid="ignore"):
        share, part = total(hits) / images, size / images[of]
        apart = 1 / total(part**2)
        moved = np.nan_to_num((hits - size * share[of]) / images[of] / (1 - part), posinf=0, neginf=0)
        squares = total(moved**2)
        variance = np.where(units > 1, (units - 1) / units * squares, share * (1 - share))
        number = _number(share, variance, images, apart, _freedom(squares, total(moved**4), units, apart))
    number = np.clip(number, apart, images)
    return wilson(share * number, number)


def share(right: np.ndarray, unit: np.ndarray) -> tuple[float, float]:
    """95 % interval of the share of images that are right; see ``shares``."""
    low, high = shares(right, np.zeros(len(right), np.int64), unit, 1)
    return float(low[0]), float(high[0])


def _number(value, variance, images, apart, freedom):
    """How many independent images would vary as a figure between 0 and 1 does, with one that is not known.

    Args:
        value, variance: of the figure.
        images: how many count for it, were they independent.
        apart: how many, were those of a unit all alike.
        freedom: units that the variance comes from.
    """
    return (value * (1 - value) + 1 / images) / (variance + 1 / (images * apart)) / _factor(freedom) ** 2


@dataclass(frozen=True)
class Figures:
    """Figures under R weightings: of the whole split, name -> [R]; of each class, name -> [R, K]."""

    whole: dict[str, np.ndarray]
    classes: dict[str, np.ndarray]


@dataclass(frozen=True)
class Resamples:
    """Figures of R resamples: of the whole split, name -> [R]; of each class the variance of F1, [K]."""

    whole: dict[str, np.ndarray]
    f1_variance: np.ndarray


class Sample:
    """Images with labels and probabilities, ready to be scored under any weights.

    Args:
        labels: int [N].
        probabilities: floats [N, K], rows that sum to 1.
        units: names or numbers [N]; images that share one are drawn together. By
            default each image is a unit.
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray, units: np.ndarray | None = None):
        confidence, predictions = probabilities.max(axis=1), probabilities.argmax(axis=1)
        # Surest last, as the calibration's bins need them.
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

    def point(self) -> Figures:
        """Score the split itself: R is 1."""
        return self.figures(np.ones((1, self.images), np.float32))

    def resampled(self, resamples: int, generator: np.random.Generator) -> Resamples:
        """Score samples of as many units, drawn with replacement (Efron, 1979; with units: Field and Welsh, 2007)."""
        at_once = max(1, _CELLS // max(self.images, self.classes))
        whole, sums = [], np.zeros((2, self.classes))
        for start in range(0, resamples, at_once):
            number = min(at_once, resamples - start)
            rows = generator.integers(0, self.units, (number, self.units))
            rows += np.arange(number)[:, None] * self.units
            weights = np.bincount(rows.ravel(), minlength=number * self.units).astype(np.float32)
            drawn = self.figures(weights.reshape(number, self.units)[:, self.unit])
            whole.append(drawn.whole)
            sums += drawn.classes["f1"].sum(axis=0), np.square(drawn.classes["f1"]).sum(axis=0)
        mean, square = sums / resamples
        joined = {name: np.concatenate([part[name] for part in whole]) for name in whole[0]}
        return Resamples(joined, np.maximum(square - mean**2, 0))

    def _counts(self, of: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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

    def intervals(self, point: Figures, drawn: Resamples) -> dict[str, tuple[float, float]]:
        """95 % interval of every figure of the whole split, which lies in it: name -> low, high."""
        images, units, rest = self._counts(self.labels)
        # Where each unit has images of several classes, the classes together still have no more than all units.
        macro = _even(images), min(_even(units), self.apart)
        area = (
            _even(np.minimum(images, self.images - images)),
            min(_even(np.minimum(units, rest)), self.apart),
        )
        of_all = self.images, self.apart
        spread = float((1 / units[images > 0]).mean())
        missed = float((1 / units[images > 0] ** 2).sum() / np.count_nonzero(images) ** 2)
        result = {}
        for name, values in point.whole.items():
            value = float(values[0])
            # The bootstrap's variance is too small by the share that a unit has of its own mean.
            variance = float(drawn.whole[name].var()) * self.apart / max(self.apart - 1, 1)
            if name in self.right:
                ends = share(self.right[name], self.unit)
            elif name in self.if_wrong:
                ends = self._around_loss(value, variance, self.if_wrong[name])
            elif name == "ece":
                ends = self._around_error(value, variance, drawn.whole[name])
            else:
                many, apart = of_all if name.startswith("weighted") else area if name == "auc" else macro
                if not name.startswith("weighted"):
                    # A class's own variance comes out too small by one of its images (all of it where it has one).
                    variance += value * (1 - value) * missed
                if name in ("precision", "f1"):
                    # Ratios, biased by about a third of a class's variance, which no resample shows (coverage.py).
                    variance += (value * (1 - value) * spread / 3) ** 2
                ends = self._around_share(value, variance, many, apart)
            result[name] = float(ends[0]), float(ends[1])
        return result

    def _around_share(self, value, variance, images, apart):
        """Ends of a figure between 0 and 1 that is no share of images."""
        if self.units == 1:
            variance = value * (1 - value)
        number = _number(value, variance, images, apart, np.minimum(apart, self.apart))
        return wilson(value * number, number)

    def _around_loss(self, value: float, variance: float, if_wrong: float) -> tuple[float, float]:
        """Ends of a mean loss, whose variance grows with it, as that of a count: the score interval.

        Args:
            value, variance: of the mean.
            if_wrong: loss of the one image whose outcome is not known.
        """
        if self.units == 1:
            variance = value * if_wrong
        pseudo = if_wrong / self.images
        scale = (variance + pseudo * if_wrong / self.apart) / (value + pseudo) * (_Z * _factor(self.apart)) ** 2
        half = math.sqrt(scale * value + scale**2 / 4)
        return max(0.0, value + scale / 2 - half), value + scale / 2 + half

    def _around_error(self, value: float, variance: float, drawn: np.ndarray) -> tuple[float, float]:
        """Ends of the calibration error, to which chance adds.

        What chance adds to a resample's square beyond the split's, it has added to
        the split's too: the interval lies around the rest, and is widened to hold
        the error itself.
        """
        center = math.sqrt(max(0.0, 2 * value**2 - float(np.square(drawn).mean())))
        half = _Z * float(_factor(self.apart)) * math.sqrt(variance + 1 / (self.images * self.apart))
        return max(0.0, min(value, center - half)), min(1.0, max(value, center + half))

    def class_intervals(self, point: Figures, drawn: Resamples) -> dict[str, np.ndarray]:
        """95 % intervals of each class: recall_low, recall_high, ... of precision and f1, [K]; nan without images."""
        right = self.labels == self.predictions
        ends = {
            "recall": shares(right, self.labels, self.unit, self.classes),
            "precision": shares(right, self.predictions, self.unit, self.classes),
        }
        labelled, predicted = self._counts(self.labels), self._counts(self.predictions)
        images, apart = ((one + other) / 2 for one, other in zip(labelled[:2], predicted[:2], strict=True))
        variance = drawn.f1_variance * self.apart / max(self.apart - 1, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ends["f1"] = self._around_share(point.classes["f1"][0], variance, images, apart)
        return {
            f"{name}_{end}": side
            for name, pair in ends.items()
            for end, side in zip(("low", "high"), pair, strict=True)
        }


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


def _even(counts: np.ndarray) -> float:
    """How many images a mean over classes is worth: as many in equal classes would make it vary as much."""
    counts = counts[counts > 0]
    return float(len(counts) ** 2 / (1 / counts).sum()) if len(counts) else 1.0


def _share_below(others: np.ndarray, scores_: np.ndarray) -> np.ndarray:
    """Share of sorted others below each score, equals by half."""
    sides = (np.searchsorted(others, scores_, side) for side in ("left", "right"))
    return sum(sides) / (2 * len(others))


def scored(
    labels: np.ndarray,
    probabilities: np.ndarray,
    resamples: int = 0,
    generator: np.random.Generator | None = None,
    units: np.ndarray | None = None,
) -> tuple[dict, dict[str, np.ndarray]]:
    """Score a split, with intervals where ``resamples`` are asked for.

    Args:
        labels: int [N], N of 1 or more.
        probabilities: floats [N, K].
        resamples: how many; 0 for no intervals.
        generator: of the draws.
        units: [N], as ``Sample`` takes them.

    Returns:
        The contract of metrics.json: images, accuracy, balanced_accuracy,
        precision, recall, f1 (macro), weighted_precision, weighted_recall,
        weighted_f1, log_loss, brier, top2_accuracy and top5_accuracy (where there
        are more classes), ece, auc; with intervals units (how many) and beside
        each NAME_ci95 of low and high. And of each class, [K]: precision, recall,
        f1, and NAME_low and NAME_high.
    """
    sample = Sample(labels, probabilities, units)
    point = sample.point()
    figures = {name: float(values[0]) for name, values in point.whole.items()}
    classes = {name: values[0] for name, values in point.classes.items()}
    if not resamples:
        return {"images": len(labels), **figures}, classes
    drawn = sample.resampled(resamples, generator)
    result = {"images": len(labels), "units": sample.units}
    for name, (low, high) in sample.intervals(point, drawn).items():
        result |= {name: figures[name], f"{name}_ci95": {"low": low, "high": high}}
    return result, classes | sample.class_intervals(point, drawn)
