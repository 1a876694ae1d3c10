"""The normaliser: an affine map per channel, from exact statistics of uint8 pixels.

Statistics come from histograms, so they do not depend on the order or the
batches in which pixels are counted.
"""

import numpy as np

LEVELS = np.arange(256)


def histogram(pixels: np.ndarray) -> np.ndarray:
    """Count values per channel: uint8 [N, H, W, C] -> int64 [C, 256]."""
    channels = pixels.shape[-1]
    return np.stack([np.bincount(pixels[..., channel].ravel(), minlength=256) for channel in range(channels)])


def moments(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and standard deviation of each channel: int64 [C, 256] -> float64 [C] each."""
    total = counts.sum(axis=1)
    mean = counts @ LEVELS / total
    return mean, np.sqrt((counts * (LEVELS - mean[:, None]) ** 2).sum(axis=1) / total)


def fit(counts: np.ndarray, method: str) -> dict:
    """Fit the normaliser on the training images' histogram.

    Args:
        counts: int64 [C, 256].
        method: ``standard``, ``minmax``, ``per_image`` or ``none``.

    Returns:
        method, offset and scale: y = (x - offset) / scale per channel; the scale of
        a constant channel is 1. For ``per_image`` the map is (x - the image's mean) /
        its standard deviation, and offset and scale are those of the identity.
    """
    channels = len(counts)
    if method == "standard":
        offset, scale = moments(counts)
    elif method == "minmax":
        present = counts > 0
        offset = present.argmax(axis=1).astype(float)
        scale = 255 - present[:, ::-1].argmax(axis=1) - offset
    else:
        offset, scale = np.zeros(channels), np.ones(channels)
    scale = np.where(scale > 0, scale, 1.0)
    return {"method": method, "offset": offset.tolist(), "scale": scale.tolist()}


def describe(counts: np.ndarray, train: np.ndarray) -> dict:
    """Describe a split's pixel values against train's.

    Args:
        counts: int64 [C, 256] of the split.
        train: the same of train.

    Returns:
        Lists of one number per channel: mean, std, min, median, max on 0..255, and
        shift, the difference of the means in train's standard deviations.
    """
    mean, std = moments(counts)
    train_mean, train_std = moments(train)
    cumulated = counts.cumsum(axis=1)
    measures = {
        "mean": mean,
        "std": std,
        "min": (cumulated > 0).argmax(axis=1),
        "median": (cumulated >= cumulated[:, -1:] / 2).argmax(axis=1),
        "max": (cumulated >= cumulated[:, -1:]).argmax(axis=1),
        "shift": (mean - train_mean) / np.where(train_std > 0, train_std, 1.0),
    }
    return {name: np.round(values, 6).tolist() for name, values in measures.items()}
