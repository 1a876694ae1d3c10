"""Temperature scaling: calibrate probabilities by one number, fitted on validation.

Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import softmax

LOWEST, HIGHEST = 0.01, 100.0
_SMALLEST = np.finfo(np.float32).smallest_subnormal
_CELLS = 2**20  # samples x classes per chunk
_STEP = 1.25  # factor per step of the search for the ends of an interval


def logarithms(probabilities: np.ndarray) -> np.ndarray:
    """Return log-probabilities, which serve as logits; a float32 probability of 0 is taken as e**-103."""
    return np.log(np.maximum(probabilities, _SMALLEST, dtype=float))


def scaled(probabilities: np.ndarray, temperature: float, logits: np.ndarray | None = None) -> np.ndarray:
    """Divide the logits of probabilities by a temperature: above 1 lowers confidence, below 1 raises it.

    Args:
        probabilities: floats [N, K].
        temperature: above 0.
        logits: floats [N, K] of the probabilities, if available.

    Returns:
        float32 [N, K], rows that sum to 1; the ranking of the classes is unchanged.
    """
    logits = logarithms(probabilities) if logits is None else logits.astype(float)
    return softmax(logits / temperature, axis=1).astype(np.float32)


def fit(labels: np.ndarray, probabilities: np.ndarray, logits: np.ndarray | None = None, units=None) -> float:
    """Find the temperature, from 0.01 to 100, with the lowest log-loss.

    The loss is convex in the inverse of the temperature, so there is one minimum,
    where its slope is 0. The loss must not be clipped: a clipped loss has false
    minima where errors no longer count. If every sample is classified correctly the
    loss has no minimum; then the result is the value in ``interval`` closest to 1,
    since a finite number of correct samples does not prove certainty.

    Args:
        labels: int [N].
        probabilities: floats [N, K].
        logits: floats [N, K] of the probabilities, if available: float32
            probabilities below 1e-38 are lost.
        units: as for ``interval``; used only if every sample is classified correctly.
    """
    moments = _moments(labels, logarithms(probabilities) if logits is None else logits)
    temperature = 1 / _best(moments)
    if temperature > LOWEST * (1 + 1e-9):
        return temperature
    return float(np.clip(1.0, *interval(labels, probabilities, logits, units)))


def interval(
    labels: np.ndarray, probabilities: np.ndarray, logits: np.ndarray | None = None, units: np.ndarray | None = None
) -> tuple[float, float]:
    """95 % confidence interval of the temperature: low, high, within 0.01 to 100.

    It holds the temperatures at which the slope of the loss, a sum over samples, does
    not differ significantly from 0 (Rao's score interval). The variance is the one
    that the model predicts at that temperature, so that a finite number of correct
    samples does not prove certainty.

    Args:
        labels, probabilities, logits: as for ``fit``.
        units: [N]; the slopes of samples that share a unit are taken to be as correlated as
            they are at the best temperature. By default each sample is a unit.
    """
    moments = _moments(labels, logarithms(probabilities) if logits is None else logits)
    unit = np.arange(len(labels)) if units is None else np.unique(units, return_inverse=True)[1].ravel()
    effective = len(labels) ** 2 / np.square(np.bincount(unit)).sum()
    width = stats.t.ppf(0.975, max(effective - 1, 1))
    best = _best(moments)
    slopes = moments(best)[0]
    squares = np.square(slopes).sum()
    # From 1, independent samples, to that of units whose samples are all alike.
    inflation = np.clip(
        np.square(np.bincount(unit, slopes)).sum() / squares if squares else 1, 1, len(labels) / effective
    )

    def beyond(inverse: float, side: int) -> float:
        slope, variance = (values.sum() for values in moments(inverse))
        return side * slope - width * np.sqrt(inflation * variance)

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
    """Find the inverse temperature at which the slope of the loss is 0; an end of the range if there is none."""

    def slope(exponent: float) -> float:
        return moments(np.exp(exponent))[0].sum()

    low, high = np.log(1 / HIGHEST), np.log(1 / LOWEST)
    if slope(low) >= 0:
        return 1 / HIGHEST
    if slope(high) <= 0:
        return 1 / LOWEST
    return float(np.exp(brentq(slope, low, high, xtol=1e-7)))


def _moments(labels: np.ndarray, logits: np.ndarray) -> Callable[[float], tuple[np.ndarray, np.ndarray]]:
    """Return a function: inverse temperature -> slope of the loss per sample, and its variance, [N] each."""
    rows = max(1, _CELLS // logits.shape[1])

    def at(inverse: float) -> tuple[np.ndarray, np.ndarray]:
        slopes, variances = [], []
        for start in range(0, len(labels), rows):
            chunk = logits[start : start + rows].astype(float)
            # Relative to the label's logit, so that a slope near 0 is not a difference of large numbers.
            chunk -= np.take_along_axis(chunk, labels[start : start + rows, None].astype(np.int64), axis=1)
            weights = softmax(inverse * chunk, axis=1)
            mean = (weights * chunk).sum(axis=1)
            slopes.append(mean)
            variances.append((weights * np.square(chunk - mean[:, None])).sum(axis=1))
        return np.concatenate(slopes), np.concatenate(variances)

    return at
