"""Temperature scaling: one number, fitted on validation, that makes probabilities mean what they say.

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import softmax

LOWEST, HIGHEST = 0.01, 100.0
_SMALLEST = np.finfo(np.float32).smallest_subnormal
_CELLS = 2**20  # images times classes at once
_STEP = 1.25  # of the search for an interval's ends


def logarithms(probabilities: np.ndarray) -> np.ndarray:
    """Give log-probabilities, which are logits as good as any, but that a 0 of float32 stands for at most e**-103."""
    return np.log(np.maximum(probabilities, _SMALLEST, dtype=float))


def scaled(probabilities: np.ndarray, temperature: float, logits: np.ndarray | None = None) -> np.ndarray:
    """Divide the logits behind probabilities by a temperature: above 1 less sure, below 1 surer.

    Args:
        probabilities: floats [N, K].
        temperature: above 0.
        logits: floats [N, K] behind them, where they are at hand.

    Returns:
        float32 [N, K], rows that sum to 1; the order of the classes stays.
    """
    logits = logarithms(probabilities) if logits is None else logits.astype(float)
    return softmax(logits / temperature, axis=1).astype(np.float32)


def fit(labels: np.ndarray, probabilities: np.ndarray, logits: np.ndarray | None = None, units=None) -> float:
    """Find the temperature, from 0.01 to 100, with the least log-loss.

    The loss is convex in the inverse of the temperature, so there is one minimum,
    where its slope is 0. The loss must not be clipped for that: a clipped one has
    false minima where it no longer counts that the model is wrong. Where every
    image is right it falls for ever; then the temperature is that of ``interval``
    which is nearest to 1, since some right images do not prove certainty.

    Args:
        labels: int [N].
        probabilities: floats [N, K].
        logits: floats [N, K] behind them, where they are at hand: float32
            probabilities below 1e-38 are 0.
        units: as for ``interval``; needed for the case that every image is right.
    """
    moments = _moments(labels, logarithms(probabilities) if logits is None else logits)
    temperature = 1 / _best(moments)
    if temperature > LOWEST * (1 + 1e-9):
        return temperature
    return float(np.clip(1.0, *interval(labels, probabilities, logits, units)))


def interval(
    labels: np.ndarray, probabilities: np.ndarray, logits: np.ndarray | None = None, units: np.ndarray | None = None
) -> tuple[float, float]:
    """Temperatures that validation does not speak against, 95 %: low, high, within 0.01 to 100.

    Those for which the loss's slope, a sum over images, is within chance of 0 (Rao's
    score interval). Its variance is that which the model itself states at that
    temperature, so that images that are all right do not prove certainty.

    Args:
        labels, probabilities, logits: as for ``fit``.
        units: [N]; the slopes of images that share one are taken to be alike as far as they are
            at the best temperature. By default each image is a unit.
    """
    moments = _moments(labels, logarithms(probabilities) if logits is None else logits)
    unit = np.arange(len(labels)) if units is None else np.unique(units, return_inverse=True)[1].ravel()
    apart = len(labels) ** 2 / np.square(np.bincount(unit)).sum()
    width = stats.t.ppf(0.975, max(apart - 1, 1))
    best = _best(moments)
    slopes = moments(best)[0]
    alone = np.square(slopes).sum()
    # At least as if images were independent, at most as if those of a unit were all alike.
    alike = np.clip(np.square(np.bincount(unit, slopes)).sum() / alone if alone else 1, 1, len(labels) / apart)

    def beyond(inverse: float, side: int) -> float:
        slope, variance = (values.sum() for values in moments(inverse))
        return side * slope - width * np.sqrt(alike * variance)

    ends = []
    for side, limit in ((1, 1 / LOWEST), (-1, 1 / HIGHEST)):
        inside = outside = best
        while outside != limit and beyond(outside, side) <= 0:
            inside, outside = outside, float(np.clip(outside * _STEP**side, 1 / HIGHEST, 1 / LOWEST))
        if beyond(outside, side) > 0 and inside != outside:
            outside = brentq(beyond, inside, outside, args=(side,), rtol=1e-6)
        ends.append(1 / outside)
    return ends[0], ends[1]


def _best(moments: Callable) -> float:
    """Find the inverse temperature at which the loss's slope is 0; an end of the range where it is nowhere."""

    def slope(exponent: float) -> float:
        return moments(np.exp(exponent))[0].sum()

    low, high = np.log(1 / HIGHEST), np.log(1 / LOWEST)
    if slope(low) >= 0:
        return 1 / HIGHEST
    if slope(high) <= 0:
        return 1 / LOWEST
    return float(np.exp(brentq(slope, low, high, xtol=1e-7)))


def _moments(labels: np.ndarray, logits: np.ndarray) -> Callable[[float], tuple[np.ndarray, np.ndarray]]:
    """Give the function of an inverse temperature that returns each image's slope of the loss and its variance, [N]."""
    rows = max(1, _CELLS // logits.shape[1])

    def at(inverse: float) -> tuple[np.ndarray, np.ndarray]:
        slopes, variances = [], []
        for start in range(0, len(labels), rows):
            some = logits[start : start + rows].astype(float)
            # Against the label's, so that a slope near 0 is not the difference of large numbers.
            some -= np.take_along_axis(some, labels[start : start + rows, None].astype(np.int64), axis=1)
            share = softmax(inverse * some, axis=1)
            mean = (share * some).sum(axis=1)
            slopes.append(mean)
            variances.append((share * np.square(some - mean[:, None])).sum(axis=1))
        return np.concatenate(slopes), np.concatenate(variances)

    return at
