"""The range of values of deep images (more than 8 bits, or floating point), and their conversion to 8 bits."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Range = tuple[float, float]
# Quantiles of an image, so that single hot or dead pixels do not count.
_INNER = (0.001, 0.999)
# Quantile of a set: images beyond it are considered, but cannot set the range on their own.
_OUTER = 0.05
_TABLE = 2**16
# Floats beyond this mean no data, such as the smallest float32.
_NOTHING = 1e30


class Span(NamedTuple):
    """The span of an image's values, and whether they are floating-point numbers."""

    low: float
    high: float
    floating: bool


def span(values: np.ndarray, void: np.ndarray | None = None) -> Span | None:
    """Compute the span of an image's values: their 0.1 % and 99.9 % quantiles.

    Args:
        values: integers or floats, [height, width] or [height, width, C].
        void: bool [height, width]: where there are no data.

    Returns:
        None if there are no data.
    """
    known = np.ones(values.shape, bool)
    if values.dtype.kind == "f":
        known = np.abs(values) < min(_NOTHING, float(np.finfo(values.dtype).max))
    if void is not None:
        known &= ~void if values.ndim == void.ndim else ~void[..., None]
    known = values[known]
    if not known.size:
        return None
    places = [round(share * (known.size - 1)) for share in _INNER]
    low, high = np.partition(known, places)[places]
    return Span(float(low), float(high), values.dtype.kind == "f")


def fit(spans: Sequence[Span]) -> Range:
    """Find the common range of a set of images from the span of each.

    The range covers all spans except outliers, which exceed the range of the inner
    90 % by more than its width. If the values fill at least half of 0 to 1, 0 to 3,
    ... 0 to 255, 0 to 4095, 0 to 65535, the range is that full one: what the scanner
    or camera can represent, and stable when images are added.

    Args:
        spans: as returned by ``span``, at least one.

    Returns:
        (low, high), low below high.
    """
    lows, highs, _ = np.array(spans, np.float64).T
    least = np.quantile(lows, _OUTER, method="higher")
    most = max(np.quantile(highs, 1 - _OUTER, method="lower"), least)
    low, high = lows[lows >= 2 * least - most].min(), highs[highs <= 2 * most - least].max()
    if low >= 0 and high > 0:
        full = 2.0 ** max(1, math.ceil(math.log2(high + 1))) - 1
        if high - low >= full / 2:
            return 0.0, full
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1)


def beyond(spans: Sequence[Span], within: Range) -> int:
    """Count the images whose values exceed a range."""
    low, high = within
    return sum(span.low < low or span.high > high for span in spans)


def scale(values: np.ndarray, within: Range) -> np.ndarray:
    """Convert values to uint8: the range to 0 to 255, rounded; values beyond are clipped, NaN is 0.

    Args:
        values: integers or floats, any shape.
        within: (low, high).
    """
    if values.dtype in (np.uint16, np.int16):
        # By a table, which takes one byte per pixel where floats would take eight.
        return _scaled(np.arange(_TABLE, dtype=np.uint16).view(values.dtype), within)[values.view(np.uint16)]
    return _scaled(values, within)


def _scaled(values: np.ndarray, within: Range) -> np.ndarray:
    low, high = within
    scaled = values.astype(np.float64)
    # Extreme numbers are clipped first, since their differences would overflow.
    np.clip(np.nan_to_num(scaled, copy=False, nan=low, posinf=high, neginf=low), low, high, out=scaled)
    scaled -= low
    scaled *= 255
    scaled /= high - low
    scaled += 0.5
    return scaled.astype(np.uint8)


def describe(within: Sequence[float] | None) -> str:
    """Describe the effect of a range, for the end of a list; empty if there is none."""
    return f", deep values {within[0]:g} to {within[1]:g} as 0 to 255" if within else ""
