"""The range of values that deep images (more than 8 bits, or floating point) use, and how it becomes 8 bits."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Range = tuple[float, float]
# Of an image, so that single hot or dead pixels do not count.
_INNER = (0.001, 0.999)
# Of a set: what the images beyond these spans reach is looked at, but cannot move the range by itself.
_OUTER = 0.05
_TABLE = 2**16
# Floats beyond that stand for nothing, such as the least of 32 bits.
_NOTHING = 1e30


class Span(NamedTuple):
    """What the values of an image span, and whether they are floating-point numbers."""

    low: float
    high: float
    floating: bool


def span(values: np.ndarray, void: np.ndarray | None = None) -> Span | None:
    """Find what the values of an image span: their 0.1 % and 99.9 % quantiles.

    Args:
        values: integers or floats, [height, width] or [height, width, C].
        void: bool [height, width]: where there is nothing.

    Returns:
        None where nothing is a value.
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
    """Find the one range of a set of images by the spans of each.

    The range reaches over all spans but those that lie far from nearly all: more
    than once the width of what the inner 90 % reach beyond that. Where the values
    fill half of 0 to 1, 0 to 3, ... 0 to 255, 0 to 4095, 0 to 65535, this is the
    range: what the scanner or camera can say, and the same when images are added.

    Args:
        spans: as ``span`` gives them, one at least.

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
    """Count the images whose values reach beyond a range."""
    low, high = within
    return sum(span.low < low or span.high > high for span in spans)


def scale(values: np.ndarray, within: Range) -> np.ndarray:
    """Bring values to uint8: the range to 0 to 255, rounded; what lies beyond is clipped, what is no number is 0.

    Args:
        values: integers or floats, any shape.
        within: (low, high).
    """
    if values.dtype in (np.uint16, np.int16):
        # By a table, which takes a byte a pixel where floats would take eight.
        return _scaled(np.arange(_TABLE, dtype=np.uint16).view(values.dtype), within)[values.view(np.uint16)]
    return _scaled(values, within)


def _scaled(values: np.ndarray, within: Range) -> np.ndarray:
    low, high = within
    scaled = values.astype(np.float64)
    # Numbers beyond all measure are clipped first, since their differences would be no numbers.
    np.clip(np.nan_to_num(scaled, copy=False, nan=low, posinf=high, neginf=low), low, high, out=scaled)
    scaled -= low
    scaled *= 255
    scaled /= high - low
    scaled += 0.5
    return scaled.astype(np.uint8)


def describe(within: Sequence[float] | None) -> str:
    """Say of a range what it does, for the end of a list; nothing where there is none."""
    return f", deep values {within[0]:g} to {within[1]:g} as 0 to 255" if within else ""
