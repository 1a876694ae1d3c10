"""Which regions of an image a network relies on: by occlusion and by Grad-CAM."""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from kiln.modalities.base import Exhibit
from kiln.modalities.explained import Explained, FeatureMaps
from kiln.modalities.image.pictures import encode_png

SIDE = 112  # smallest side of a picture, in pixels


def explain(network: Explained, pixels: np.ndarray, classes: np.ndarray) -> list[dict[str, Exhibit]]:
    """Show which regions a network relies on: for each image, title -> picture.

    Args:
        network: to be explained.
        pixels: uint8 [N, H, W, C].
        classes: int [N], the class to explain for each image.
    """
    maps = network.compute_maps()
    cams = None if maps is None else grad_cam(maps, pixels.shape[1:3], classes)
    shown = []
    for row, (image, index) in enumerate(zip(pixels, classes, strict=True)):
        pictures = {"occlusion": draw_heat(image, occlusion(partial(network.predict, row), image, index))}
        if cams is not None:
            pictures["grad_cam"] = draw_heat(image, cams[row])
        shown.append(pictures)
    return shown


def occlusion(predict: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, index: int) -> np.ndarray:
    """Measure how much the probability of a class falls where a gray patch hides the image.

    Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.
    The patch is a quarter of each side, moved in steps of half a patch.

    Args:
        predict: uint8 [M, H, W, C] -> probabilities [M, classes].
        pixels: uint8 [H, W, C].
        index: of the class.

    Returns:
        float [H, W]: the mean fall over the patches that cover a pixel; below 0 where hiding raises the probability.
    """
    height, width = pixels.shape[:2]
    rows, columns = max(1, height // 4), max(1, width // 4)

    def starts(side: int, patch: int) -> np.ndarray:
        return np.unique(np.append(np.arange(0, side - patch + 1, max(1, patch // 2)), side - patch))

    places = [(top, left) for top in starts(height, rows) for left in starts(width, columns)]
    hidden = np.repeat(pixels[None], len(places), axis=0)
    for image, (top, left) in zip(hidden, places, strict=True):
        image[top : top + rows, left : left + columns] = 128
    before = predict(pixels[None])[0, index]
    falls = before - predict(hidden)[:, index]
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for fall, (top, left) in zip(falls, places, strict=True):
        total[top : top + rows, left : left + columns] += fall
        count[top : top + rows, left : left + columns] += 1
    return total / count


def grad_cam(maps: FeatureMaps, size: tuple[int, int], classes: np.ndarray) -> np.ndarray:
    """Measure which positions of the last feature maps support a class.

    Selvaraju et al., "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", ICCV 2017. A map's weight, the mean of the logit's
    gradient over its positions, is the change of the logit when the whole map is
    raised: computed as a central difference, which works with every backend.

    Args:
        maps: of N images.
        size: (height, width) of the images.
        classes: int [N], one per image.

    Returns:
        floats [N, height, width] from 0 to 1.
    """
    step = 0.01 * max(float(maps.values.std()), 1e-6)
    channels = maps.values.shape[-1]
    pieces = [range(start, min(start + maps.batch, channels)) for start in range(0, channels, maps.batch)]
    heat = np.empty((len(maps.values), *size))
    for row, (one, index) in enumerate(zip(maps.values, classes, strict=True)):
        changes = np.concatenate([_change(maps, one, index, step, piece) for piece in pieces])
        weights = changes / (2 * step * one.shape[0] * one.shape[1])
        spoken = np.maximum((one * weights).sum(axis=-1), 0)
        spoken /= max(float(spoken.max()), 1e-12)
        heat[row] = cv2.resize(spoken, size[::-1], interpolation=cv2.INTER_LINEAR)
    return heat


def _change(maps: FeatureMaps, one: np.ndarray, index: int, step: float, channels: range) -> np.ndarray:
    """Compute a logit with each channel raised by a step, less that with it lowered: [H, W, C] -> [channels]."""
    ends = []
    for by in (step, -step):
        moved = np.repeat(one[None], len(channels), axis=0)
        moved[np.arange(len(channels)), :, :, list(channels)] += np.float32(by)
        ends.append(maps.compute_logits(moved)[:, index].astype(np.float64))
    return ends[0] - ends[1]


def draw_heat(pixels: np.ndarray, heat: np.ndarray) -> Exhibit:
    """Draw heat over an image: red where it is highest, blue where it is below 0, as PNG.

    Args:
        pixels: uint8 [H, W, C].
        heat: floats [H, W], scaled by the largest absolute value.
    """
    factor = max(1, -(-SIDE // min(pixels.shape[:2])))
    size = (pixels.shape[1] * factor, pixels.shape[0] * factor)
    gray = pixels.astype(np.float32).mean(axis=2)
    base = cv2.resize(gray, size, interpolation=cv2.INTER_NEAREST)[..., None].repeat(3, axis=2)
    strength = heat / max(float(np.abs(heat).max()), 1e-12)
    strength = cv2.resize(strength.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)[..., None]
    color = np.where(strength > 0, np.float32([230, 60, 20]), np.float32([20, 90, 230]))
    opacity = 0.7 * np.abs(strength)
    return Exhibit(
        "picture", encode_png(np.clip(np.rint(base * (1 - opacity) + color * opacity), 0, 255).astype(np.uint8))
    )
