"""Measures of single images that reveal bad exposure, blur and lack of content."""

import cv2
import numpy as np
import pandas as pd

from kiln.modalities.base import Check

# In the order of examination: an image that is set aside for one reason is not examined for the next.
CHECKS = {
    "too_small": Check("short_side", "below", "min_side"),
    "odd_aspect": Check("aspect", "above", "max_aspect"),
    "constant": Check("contrast", "below", "min_contrast"),
    "too_dark": Check("highlight", "below", "min_highlight"),
    "too_bright": Check("shadow", "above", "max_shadow"),
    "blurry": Check("sharpness", "below", "min_sharpness"),
    "low_information": Check("entropy", "below", "min_entropy"),
}
# measure by which test images are sliced -> (title, name of the lowest slice, of the highest)
SLICES = {
    "brightness": ("brightness", "darkest", "brightest"),
    "sharpness": ("sharpness", "blurriest", "sharpest"),
    "short_side": ("size of the original", "smallest", "largest"),
}
LARGEST = 64


def measure(pixels: np.ndarray) -> pd.DataFrame:
    """Measure images as the model sees them, since faults that resizing removes do no harm.

    Images with a shorter side above 64 pixels are shrunk to that first, so that
    one threshold of sharpness holds for all sizes.

    Args:
        pixels: uint8 [N, H, W, C].

    Returns:
        One row per image, float32: contrast (the largest standard deviation of
        a channel, 0 to 127.5), brightness (mean luminance), highlight and shadow
        (its 99th and 5th percentile, all 0 to 255), sharpness (the standard deviation of
        the Laplacian over that of luminance; NaN where there is no contrast),
        entropy (of luminance, in bits, 0 to 8).
    """
    pixels = _shrunk(pixels)
    count, height, width, channels = pixels.shape
    values = pixels.reshape(count, -1, channels).astype(np.float32)
    variance = np.einsum("nic,nic->nc", values, values) / values.shape[1] - values.mean(axis=1) ** 2
    contrast = np.sqrt(np.maximum(variance, 0)).max(axis=1)
    gray = pixels.reshape(count * height, width, channels)
    gray = (gray[..., 0] if channels == 1 else cv2.cvtColor(gray, cv2.COLOR_RGB2GRAY)).reshape(count, height, width)
    ordered = np.sort(gray.reshape(count, -1), axis=1, kind="stable")
    size = ordered.shape[1]
    offset = np.arange(count)[:, None] * 256
    histogram = np.bincount((offset + ordered).ravel(), minlength=count * 256).reshape(count, 256) / size
    levels = np.arange(256)
    brightness = histogram @ levels
    structure = np.sqrt(np.maximum(histogram @ levels**2 - brightness**2, 0))
    entropy = -(histogram * np.log2(histogram, where=histogram > 0, out=np.zeros_like(histogram))).sum(axis=1)
    return pd.DataFrame(
        {
            "contrast": contrast,
            "brightness": brightness,
            "highlight": ordered[:, int(0.99 * (size - 1))],
            "shadow": ordered[:, int(0.05 * (size - 1))],
            "sharpness": _sharpness(gray, structure),
            "entropy": entropy,
        },
        dtype=np.float32,
    )


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    count, height, width, channels = pixels.shape
    factor = LARGEST / min(height, width)
    if factor >= 1:
        return pixels
    size = (max(LARGEST, round(width * factor)), max(LARGEST, round(height * factor)))
    shrunk = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in pixels]
    return np.stack(shrunk).reshape(count, size[1], size[0], channels)


def _sharpness(gray: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """Divide the contrast of fine structure by that of all structure: [N]; NaN below 3 pixels or without contrast.

    Args:
        gray: uint8 [N, H, W].
        structure: standard deviation of each image, [N].
    """
    count, height, width = gray.shape
    if min(height, width) < 3:
        return np.full(count, np.nan, np.float32)
    level = gray.astype(np.int16)
    laplacian = (
        level[:, :-2, 1:-1] + level[:, 2:, 1:-1] + level[:, 1:-1, :-2] + level[:, 1:-1, 2:] - 4 * level[:, 1:-1, 1:-1]
    )
    fine = laplacian.astype(np.float32).reshape(count, -1)
    fine = np.sqrt(np.maximum(np.einsum("ni,ni->n", fine, fine) / fine.shape[1] - fine.mean(axis=1) ** 2, 0))
    return np.where(structure >= 1, fine / np.maximum(structure, 1), np.nan)
