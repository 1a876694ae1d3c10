"""Why a model says what it says: where it looks, and which training images it has seen that are alike."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from stages.lib import images, models
from stages.lib.backend import keras

SIDE = 112  # pixels of a picture, at least
NEIGHBOURS = 3
PATCHES = 8  # positions of the patch along a side, about


def _head(classifier: keras.Model) -> keras.layers.Dense:
    """Find the dense layer that makes the logits."""
    return [layer for layer in classifier.layers if isinstance(layer, keras.layers.Dense)][-1]


def features(classifier: keras.Model) -> keras.Model:
    """Give the part of a classifier that ends where its last dense layer begins: uint8 [N, H, W, C] -> [N, D]."""
    return keras.Model(classifier.input, _head(classifier).input)


def occlusion(classifier: keras.Model, pixels: np.ndarray, index: int) -> np.ndarray:
    """Tell how much the probability of a class falls where a gray patch hides the image.

    Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014.
    The patch is a quarter of a side, moved by half of that.

    Args:
        classifier: any.
        pixels: uint8 [H, W, C].
        index: of the class.

    Returns:
        float [H, W]: the mean fall over the patches that hide a pixel; below 0 where hiding helps.
    """
    height, width = pixels.shape[:2]
    rows, columns = max(1, height // 4), max(1, width // 4)

    def starts(side: int, patch: int) -> np.ndarray:
        return np.unique(np.append(np.arange(0, side - patch + 1, max(1, patch // 2)), side - patch))

    places = [(top, left) for top in starts(height, rows) for left in starts(width, columns)]
    hidden = np.repeat(pixels[None], len(places), axis=0)
    for image, (top, left) in zip(hidden, places, strict=True):
        image[top : top + rows, left : left + columns] = 128
    before = models.probabilities(classifier, pixels[None])[0, index]
    falls = before - models.probabilities(classifier, hidden)[:, index]
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for fall, (top, left) in zip(falls, places, strict=True):
        total[top : top + rows, left : left + columns] += fall
        count[top : top + rows, left : left + columns] += 1
    return total / count


def _cut(classifier: keras.Model) -> tuple[keras.Model, keras.Model] | None:
    """Part a classifier at its last feature maps, if what follows them is the smaller half of its work.

    Returns:
        From pixels to the maps, and from the maps to the logits; None for networks without such maps.
    """
    logits = classifier.get_layer("logits").output
    for layer in reversed(classifier.layers):
        shape = getattr(layer.output, "shape", ())
        if len(shape) != 4 or min(shape[1:3]) == 1:
            continue
        try:
            rest = keras.Model(layer.output, logits)
        except ValueError:  # something goes past these maps
            continue
        small = models.multiply_adds(rest) <= models.multiply_adds(classifier) / 2
        return (keras.Model(classifier.input, layer.output), rest) if small else None
    return None


def grad_cam(classifier: keras.Model, pixels: np.ndarray, indices: np.ndarray) -> np.ndarray | None:
    """Tell which places of the last feature maps speak for a class.

    Selvaraju et al., "Grad-CAM: visual explanations from deep networks via
    gradient-based localization", ICCV 2017. A map's weight, the mean of the
    logit's gradient over its places, is the logit's change when all of the map is
    raised: taken as a central difference, which any backend can do.

    Args:
        classifier: any.
        pixels: uint8 [N, H, W, C].
        indices: int [N], a class an image.

    Returns:
        floats [N, H, W] from 0 to 1; None for networks without feature maps near their end.
    """
    parts = _cut(classifier)
    if parts is None:
        return None
    maps = np.asarray(parts[0].predict_on_batch(pixels), np.float32)
    height, width = pixels.shape[1:3]
    step = 0.01 * max(float(maps.std()), 1e-6)
    heat = np.empty((len(pixels), height, width))
    for number, (one, index) in enumerate(zip(maps, indices, strict=True)):
        channels = one.shape[-1]
        raised = one + step * np.eye(channels, dtype=np.float32)[:, None, None]
        lowered = one - step * np.eye(channels, dtype=np.float32)[:, None, None]
        logits = [np.asarray(parts[1].predict_on_batch(moved), np.float64)[:, index] for moved in (raised, lowered)]
        weights = (logits[0] - logits[1]) / (2 * step * one.shape[0] * one.shape[1])
        spoken = np.maximum((one * weights).sum(axis=-1), 0)
        spoken /= max(float(spoken.max()), 1e-12)
        heat[number] = cv2.resize(spoken, (width, height), interpolation=cv2.INTER_LINEAR)
    return heat


def picture(pixels: np.ndarray, heat: np.ndarray) -> bytes:
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
    return images.encode_png(np.clip(np.rint(base * (1 - opacity) + color * opacity), 0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Neighbours:
    """The nearest training images of M images: ids, labels (int) and cosines [M, k], pixels uint8 [M, k, H, W, C]."""

    ids: np.ndarray
    labels: np.ndarray
    cosines: np.ndarray
    pixels: np.ndarray


def neighbours(classifier: keras.Model, pixels: np.ndarray, train: Iterable) -> Neighbours:
    """Find the training images whose features point most the way of an image's.

    Args:
        classifier: any.
        pixels: uint8 [M, H, W, C], M of 1 or more.
        train: batches with ids, labels and pixels, streamed once.

    Returns:
        The nearest three, or as many as there are, the nearest first.
    """
    network = features(classifier)

    def directions(batch: np.ndarray) -> np.ndarray:
        parts = [network.predict_on_batch(batch[i : i + models.BATCH]) for i in range(0, len(batch), models.BATCH)]
        flat = np.concatenate(parts).astype(np.float32).reshape(len(batch), -1)
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)

    wanted, best = directions(pixels), None
    for batch in train:
        cosines = wanted @ directions(batch.pixels).T
        top = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS]
        found = Neighbours(batch.ids[top], batch.labels[top], np.take_along_axis(cosines, top, 1), batch.pixels[top])
        if best is not None:
            joined = [np.concatenate(pair, axis=1) for pair in zip(_parts(best), _parts(found), strict=True)]
            order = np.argsort(-joined[2], axis=1, kind="stable")[:, :NEIGHBOURS]
            rows = np.arange(len(order))[:, None]
            found = Neighbours(*(part[rows, order] for part in joined))
        best = found
    return best


def _parts(found: Neighbours) -> tuple[np.ndarray, ...]:
    return found.ids, found.labels, found.cosines, found.pixels
