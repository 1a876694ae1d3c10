"""Why a model says what it says: where it looks, and which training images it has seen that are alike."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from kiln.modalities.image import pictures
from kiln.networks import costs, prediction
from kiln.networks.backend import keras

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
    before = prediction.probabilities(classifier, pixels[None])[0, index]
    falls = before - prediction.probabilities(classifier, hidden)[:, index]
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for fall, (top, left) in zip(falls, places, strict=True):
        total[top : top + rows, left : left + columns] += fall
        count[top : top + rows, left : left + columns] += 1
    return total / count


def _cut(network: keras.Model, end) -> tuple[keras.Model, keras.Model] | None:
    """Part a network at its last maps of more than one place, those of a network within it included.

    Args:
        network: any; where it has a network within, one layer comes before that and one after.
        end: the tensor where the second part is to end.

    Returns:
        From the input to the maps, and from the maps to the end; None where there are no such maps.
    """
    # Borders that are added on one side would shift what is shown.
    padded = {id(layer.output) for layer in network.layers if isinstance(layer, keras.layers.ZeroPadding2D)}
    for place, layer in reversed(list(enumerate(network.layers))):
        if isinstance(layer, keras.Model):
            if (parts := _cut(layer, layer.output)) is None:
                continue
            before, after = parts
            maps = keras.Input(after.input.shape[1:])
            rest = keras.Model(network.layers[place + 1].input, end)
            first = keras.Model(network.input, before(network.layers[place - 1].output))
            return first, keras.Model(maps, rest(after(maps)))
        maps = layer.input  # not the output of the layer before, which a network within has of its own
        shape = getattr(maps, "shape", ())
        if len(shape) != 4 or min(shape[1:3]) == 1 or id(maps) in padded:
            continue
        try:
            return keras.Model(network.input, maps), keras.Model(maps, end)
        except ValueError:  # something goes past these maps
            continue
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
        floats [N, H, W] from 0 to 1; None for networks whose last feature maps are more than half of the work
        away from the logits, or that have none.
    """
    parts = _cut(classifier, classifier.get_layer("logits").output)
    if parts is None or costs.multiply_adds(parts[1]) > costs.multiply_adds(classifier) / 2:
        return None
    maps = prediction.outputs(parts[0], pixels)
    height, width = pixels.shape[1:3]
    step = 0.01 * max(float(maps.std()), 1e-6)
    heat = np.empty((len(pixels), height, width))
    for number, (one, index) in enumerate(zip(maps, indices, strict=True)):
        changes = [_change(parts[1], one, index, step, channels) for channels in _pieces(parts[1], one.shape[-1])]
        weights = np.concatenate(changes) / (2 * step * one.shape[0] * one.shape[1])
        spoken = np.maximum((one * weights).sum(axis=-1), 0)
        spoken /= max(float(spoken.max()), 1e-12)
        heat[number] = cv2.resize(spoken, (width, height), interpolation=cv2.INTER_LINEAR)
    return heat


def _pieces(network: keras.Model, channels: int) -> list[range]:
    size = prediction.batch_size(network)
    return [range(start, min(start + size, channels)) for start in range(0, channels, size)]


def _change(network: keras.Model, maps: np.ndarray, index: int, step: float, channels: range) -> np.ndarray:
    """Tell how a logit differs between each of some channels raised and lowered by a step: [H, W, C] -> [channels]."""
    ends = []
    for by in (step, -step):
        moved = np.repeat(maps[None], len(channels), axis=0)
        moved[np.arange(len(channels)), :, :, list(channels)] += np.float32(by)
        ends.append(prediction.outputs(network, moved)[:, index].astype(np.float64))
    return ends[0] - ends[1]


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
    return pictures.encode_png(np.clip(np.rint(base * (1 - opacity) + color * opacity), 0, 255).astype(np.uint8))


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
        flat = prediction.outputs(network, batch).reshape(len(batch), -1)
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
