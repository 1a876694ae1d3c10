"""95 % intervals of the metrics of a split, by resampling its units.

Resamples show how much a metric varies, but not how far it may be from the true
value: if every sample is classified correctly, all resamples are too. So only
their variance is used. It is converted to the number of independent samples that
would vary as much, plus one sample of unknown outcome; the ends are those of a
score interval for that number of samples.
"""

import math

import numpy as np

from kiln.evaluation.proportions import Z, effective_number, share, shares, widening_factor, wilson
from kiln.evaluation.resampling import Resamples, Scores, Split


def find_intervals(split: Split, point: Scores, drawn: Resamples) -> dict[str, tuple[float, float]]:
    """95 % interval of every metric of the split, which holds the metric itself: name -> low, high."""
    samples, units, rest = split.count_by_class(split.labels)
    worth = _find_worth(split, samples, units, rest)
    present = samples > 0
    spread = float((1 / units[present]).mean())
    missed = float((1 / units[present] ** 2).sum() / np.count_nonzero(present) ** 2)
    result = {}
    for name, values in point.whole.items():
        value = float(values[0])
        # The bootstrap underestimates the variance by the factor (units - 1) / units.
        variance = float(drawn.whole[name].var()) * split.apart / max(split.apart - 1, 1)
        if name in split.right:
            ends = share(split.right[name], split.unit)
        elif name in split.if_wrong:
            ends = _around_loss(split, value, variance, split.if_wrong[name])
        elif name == "ece":
            ends = _around_error(split, value, variance, drawn.whole[name])
        elif name.startswith("weighted"):
            ends = _around_share(split, value, variance, split.samples, split.apart)
        else:
            # The variance within a class is underestimated by one of its samples (entirely if it has only one).
            variance += value * (1 - value) * missed
            if name in ("precision", "f1"):
                # Ratios, biased by about a third of a class's variance, which resamples do not show (coverage.py).
                variance += (value * (1 - value) * spread / 3) ** 2
            ends = _around_share(split, value, variance, *worth["auc" if name == "auc" else "macro"])
        result[name] = float(ends[0]), float(ends[1])
    return result


def _find_worth(split: Split, samples: np.ndarray, units: np.ndarray, rest: np.ndarray) -> dict[str, tuple]:
    """Effective numbers of samples and units of means over classes: macro over each class, auc over both sides."""
    # If units have samples of several classes, there are still no more units than in the split.
    return {
        "macro": (_even(samples), min(_even(units), split.apart)),
        "auc": (
            _even(np.minimum(samples, split.samples - samples)),
            min(_even(np.minimum(units, rest)), split.apart),
        ),
    }


def _around_share(split: Split, value, variance, samples, apart):
    """Interval of a metric between 0 and 1 that is not a proportion of samples."""
    if split.units == 1:
        variance = value * (1 - value)
    number = effective_number(value, variance, samples, apart, np.minimum(apart, split.apart))
    return wilson(value * number, number)


def _around_loss(split: Split, value: float, variance: float, if_wrong: float) -> tuple[float, float]:
    """Score interval of a mean loss, whose variance is proportional to it, as that of a count.

    Args:
        split: whose loss it is.
        value, variance: of the mean.
        if_wrong: loss of the one sample of unknown outcome.
    """
    if split.units == 1:
        variance = value * if_wrong
    pseudo = if_wrong / split.samples
    scale = (variance + pseudo * if_wrong / split.apart) / (value + pseudo) * (Z * widening_factor(split.apart)) ** 2
    half = math.sqrt(scale * value + scale**2 / 4)
    return max(0.0, value + scale / 2 - half), value + scale / 2 + half


def _around_error(split: Split, value: float, variance: float, drawn: np.ndarray) -> tuple[float, float]:
    """Interval of the calibration error, which sampling noise biases upwards.

    The square of the error grows from the split to its resamples by as much as it has
    grown from the truth to the split: the interval is centred on the error less that
    bias, and is widened to hold the error itself.
    """
    center = math.sqrt(max(0.0, 2 * value**2 - float(np.square(drawn).mean())))
    half = Z * float(widening_factor(split.apart)) * math.sqrt(variance + 1 / (split.samples * split.apart))
    return max(0.0, min(value, center - half)), min(1.0, max(value, center + half))


def find_class_intervals(split: Split, point: Scores, drawn: Resamples) -> dict[str, np.ndarray]:
    """95 % intervals per class, [K]: recall_low, recall_high, and so for precision and f1; NaN without samples."""
    right = split.labels == split.predictions
    ends = {
        "recall": shares(right, split.labels, split.unit, split.classes),
        "precision": shares(right, split.predictions, split.unit, split.classes),
    }
    labelled, predicted = split.count_by_class(split.labels), split.count_by_class(split.predictions)
    samples, apart = ((one + other) / 2 for one, other in zip(labelled[:2], predicted[:2], strict=True))
    variance = drawn.f1_variance * split.apart / max(split.apart - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ends["f1"] = _around_share(split, point.classes["f1"][0], variance, samples, apart)
    return {
        f"{name}_{end}": side for name, pair in ends.items() for end, side in zip(("low", "high"), pair, strict=True)
    }


def _even(counts: np.ndarray) -> float:
    """Effective number of samples of a mean over classes: with that many in equal classes it would vary as much."""
    counts = counts[counts > 0]
    return float(len(counts) ** 2 / (1 / counts).sum()) if len(counts) else 1.0


def scored(
    labels: np.ndarray,
    probabilities: np.ndarray,
    resamples: int = 0,
    generator: np.random.Generator | None = None,
    units: np.ndarray | None = None,
) -> tuple[dict, dict[str, np.ndarray]]:
    """Score a split, with intervals if ``resamples`` is not 0.

    Args:
        labels: int [N], N of 1 or more.
        probabilities: floats [N, K].
        resamples: their number; 0 computes no intervals.
        generator: for the draws.
        units: [N], as ``Split`` takes them.

    Returns:
        The metrics as in metrics.json: samples, accuracy, balanced_accuracy,
        precision, recall, f1 (macro), weighted_precision, weighted_recall,
        weighted_f1, log_loss, brier, top2_accuracy and top5_accuracy (if there
        are more classes), ece, auc; with intervals also units (their number) and
        NAME_ci95 with low and high. And per class, [K]: precision, recall, f1,
        with intervals also NAME_low and NAME_high.
    """
    split = Split(labels, probabilities, units)
    point = split.point()
    metrics = {name: float(values[0]) for name, values in point.whole.items()}
    classes = {name: values[0] for name, values in point.classes.items()}
    if not resamples:
        return {"samples": len(labels), **metrics}, classes
    drawn = split.resample(resamples, generator)
    result = {"samples": len(labels), "units": split.units}
    for name, (low, high) in find_intervals(split, point, drawn).items():
        result |= {name: metrics[name], f"{name}_ci95": {"low": low, "high": high}}
    return result, classes | find_class_intervals(split, point, drawn)
