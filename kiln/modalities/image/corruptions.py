"""Eight corruptions of images, at three strengths each.

After Hendrycks and Dietterich, "Benchmarking neural network robustness to common
corruptions and perturbations", ICLR 2019; lengths are fractions of a side, so that
a strength means the same at every size.
"""

from collections.abc import Callable

import cv2
import numpy as np

from kiln.modalities.base import STRENGTHS, Corruption


def _noise(pixels, amount, generator):
    return pixels + 255 * amount * generator.standard_normal(pixels.shape, np.float32)


def _blur(pixels, amount, _):
    sigma = amount * min(pixels.shape[1:3])
    return _each(pixels, lambda image, _: cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def _brightness(pixels, amount, generator):
    return pixels + 255 * amount * _signs(len(pixels), generator)[:, None, None, None]


def _contrast(pixels, amount, _):
    mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
    return mean + (1 - amount) * (pixels - mean)


def _jpeg(pixels, amount, _):
    def squeezed(image, _):
        # OpenCV expects and returns BGR, and JPEG keeps less of blue than of red; gray is not affected.
        _, content = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(amount)])
        return cv2.imdecode(content, cv2.IMREAD_UNCHANGED).reshape(image.shape)[..., ::-1]

    return _each(pixels, squeezed)


def _rotation(pixels, amount, generator):
    height, width = pixels.shape[1:3]
    turns = amount * _signs(len(pixels), generator)

    def turned(image, index):
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turns[index], 1)
        return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)

    return _each(pixels, turned)


def _shift(pixels, amount, generator):
    height, width = pixels.shape[1:3]
    angles = generator.uniform(0, 2 * np.pi, len(pixels))
    right, down = amount * width * np.cos(angles), amount * height * np.sin(angles)

    def shifted(image, index):
        matrix = np.array([[1, 0, right[index]], [0, 1, down[index]]])
        return cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)

    return _each(pixels, shifted)


def _occlusion(pixels, amount, generator):
    height, width = pixels.shape[1:3]
    rows, columns = max(1, round(amount * height)), max(1, round(amount * width))
    tops, lefts = (generator.integers(0, side + 1, len(pixels)) for side in (height - rows, width - columns))
    covered = pixels.copy()
    for image, top, left in zip(covered, tops, lefts, strict=True):
        image[top : top + rows, left : left + columns] = 128
    return covered


def _signs(count: int, generator: np.random.Generator) -> np.ndarray:
    return generator.integers(0, 2, count).astype(np.float32) * 2 - 1


def _each(pixels: np.ndarray, change: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    return np.stack([change(image, index).reshape(image.shape) for index, image in enumerate(pixels)])


CORRUPTIONS = {
    "noise": Corruption((0.05, 0.1, 0.2), "standard deviation, of the full range"),
    "blur": Corruption((0.02, 0.04, 0.08), "standard deviation, of the shorter side"),
    "brightness": Corruption((0.1, 0.2, 0.4), "added or taken away, of the full range"),
    "contrast": Corruption((0.3, 0.6, 0.85), "taken away"),
    "jpeg": Corruption((50, 20, 7), "quality"),
    "rotation": Corruption((10, 20, 40), "degrees, either way"),
    "shift": Corruption((0.06, 0.12, 0.25), "of a side, any way, borders reflected"),
    "occlusion": Corruption((0.2, 0.35, 0.5), "of each side, a gray patch anywhere"),
}
_CHANGES = {
    "noise": _noise,
    "blur": _blur,
    "brightness": _brightness,
    "contrast": _contrast,
    "jpeg": _jpeg,
    "rotation": _rotation,
    "shift": _shift,
    "occlusion": _occlusion,
}


def corrupt(pixels: np.ndarray, name: str, strength: str, generator: np.random.Generator) -> np.ndarray:
    """Corrupt every image.

    Args:
        pixels: uint8 [N, H, W, C], C 1 or 3.
        name: of ``CORRUPTIONS``.
        strength: of ``STRENGTHS``.
        generator: draws noise, directions and positions.

    Returns:
        uint8 [N, H, W, C].
    """
    amount = CORRUPTIONS[name].amounts[STRENGTHS.index(strength)]
    changed = _CHANGES[name](pixels, amount, generator)
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8)
