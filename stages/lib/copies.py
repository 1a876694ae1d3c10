"""Near-duplicates: images that show the same picture, shifted, mirrored, cropped, rescaled, relit or re-encoded.

Candidates are neighbours in small features; each pair is then laid one on the
other and compared in its fine structure, so that two photographs with alike
backgrounds do not pass for one.
"""

from collections.abc import Sequence

import cv2
import faiss
import numpy as np
import pandas as pd
from scipy import fft

from stages.lib import features, parallel, randomness

SMALLEST = 16
NEIGHBOURS = 8
_LIST, _PROBES = 256, 16
_SIDE, _COARSE = 32, 16
_ZOOM = 0.9
_MARGIN = 5
_TILES = 4
_PAIRS = 2048
# Chosen by looking at pairs of CIFAR-10: the structure of a pair that is worth a
# second look; of a copy, all over and away from frames; and in all tiles but a quarter.
_LIKELY = 0.45
_SAME = 0.65
_SAME_IN_TILES = 0.45


def find(pixels: np.ndarray, usable: np.ndarray, seed: int) -> pd.DataFrame:
    """Find pairs of images that show the same.

    Args:
        pixels: uint8 [N, H, W, C]; may be a memory map, and is read in batches.
        usable: the rows to search among, integers.
        seed: of the samples that filters and index are learned from.

    Returns:
        first, second (rows, first < second), score (correlation of their fine
        structure, 0 to 1), sorted by rows. None where the images are below 16
        pixels: such look alike by nature.
    """
    pairs = pd.DataFrame({"first": np.empty(0, np.int64), "second": np.empty(0, np.int64), "score": np.empty(0)})
    if min(pixels.shape[1:3]) < SMALLEST or len(usable) < 2:
        return pairs
    generator = randomness.generator(seed, "copies")
    small = features.fit(pixels, usable, features.SMALL, generator).transform(pixels, usable)
    one, two = _candidates(small.astype(np.float32), generator)
    thumbnails = _thumbnails(pixels, usable)

    def score(part: slice) -> np.ndarray:
        return _score(pixels, usable, thumbnails, one[part], two[part])

    parts = [slice(start, start + _PAIRS) for start in range(0, len(one), _PAIRS)]
    scores = np.concatenate([np.empty(0), *parallel.ordered_map(score, parts)])
    found = scores > 0
    return pd.DataFrame({"first": usable[one[found]], "second": usable[two[found]], "score": scores[found]})


def _candidates(small: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pair each image with its nearest: unique pairs of places, sorted.

    The index has lists of some 256 images, of which each query reads 16, so the
    search grows little faster than the number of images.
    """
    count, width = small.shape
    lists = max(1, count // _LIST)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = 8
    index.cp.min_points_per_centroid = 1
    index.train(small[np.sort(generator.choice(count, min(count, 64 * lists), replace=False))])
    index.add(small)
    index.nprobe = _PROBES
    _, near = index.search(small, NEIGHBOURS + 1)
    one = np.repeat(np.arange(count), NEIGHBOURS + 1)
    other = near.ravel()
    real = (other >= 0) & (other != one)
    low, high = np.minimum(one, other)[real], np.maximum(one, other)[real]
    code = np.unique(low * count + high)
    return code // count, code % count


def _thumbnails(pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Shrink images to 16 x 16 gray, for a first look: uint8 [M, 16, 16]."""

    def shrink(part: np.ndarray) -> np.ndarray:
        images = _working(pixels, part).mean(axis=1)
        factor = _SIDE // _COARSE
        return images.reshape(-1, _COARSE, factor, _COARSE, factor).mean(axis=(2, 4)).round().astype(np.uint8)

    parts = [rows[start : start + _PAIRS] for start in range(0, len(rows), _PAIRS)]
    return np.concatenate(list(parallel.ordered_map(shrink, parts)))


def _score(
    pixels: np.ndarray, rows: np.ndarray, thumbnails: np.ndarray, one: np.ndarray, two: np.ndarray
) -> np.ndarray:
    """Score pairs of places in ``rows``: float [P]; 0 where they do not show the same."""
    # Pairs come sorted, so the first image of many is the same.
    different, place = np.unique(one, return_inverse=True)
    ones = _spectra(thumbnails[different].astype(np.float32))[:, place]
    likeness, way, *_ = _register(ones, _spectra(thumbnails[two].astype(np.float32)), _WAYS)
    scores = np.zeros(len(one))
    likely = np.flatnonzero(likeness >= _LIKELY)
    if len(likely):
        scores[likely] = _agreement(
            _working(pixels, rows[one[likely]]), _working(pixels, rows[two[likely]]), _MIRRORED[way[likely]]
        )
    return scores


def _working(pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Bring images to 32 x 32 pixels: float32 [P, C, 32, 32]."""
    images = pixels[rows]
    if images.shape[1:3] != (_SIDE, _SIDE):
        how = cv2.INTER_AREA if min(images.shape[1:3]) >= _SIDE else cv2.INTER_CUBIC
        images = np.stack([cv2.resize(image, (_SIDE, _SIDE), interpolation=how) for image in images])
    return images.reshape(len(rows), _SIDE, _SIDE, -1).transpose(0, 3, 1, 2).astype(np.float32)


def _blur(side: int, sigma: float) -> np.ndarray:
    """A matrix that smooths a line of pixels: float32 [side, side]."""
    place = np.arange(side)
    weight = np.exp(-0.5 * ((place[:, None] - place) / sigma) ** 2)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def _zoom(side: int, factor: float) -> np.ndarray:
    """A matrix that enlarges the middle ``factor`` of a line of pixels to the whole: float32 [side, side]."""
    source = (np.arange(side) + 0.5 - side / 2) * factor + side / 2 - 0.5
    return np.maximum(0, 1 - np.abs(source[:, None] - np.arange(side))).astype(np.float32)


def _apply(matrix: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Apply a matrix to the lines and the columns of images [..., S, S]."""
    return matrix @ images @ matrix.T


def _structure(images: np.ndarray) -> np.ndarray:
    """Take out what is smooth."""
    return images - _apply(_blur(images.shape[-1], images.shape[-1] / 16), images)


def _window(side: int) -> np.ndarray:
    edge = np.minimum(np.arange(side), np.arange(side)[::-1]) + 1
    ramp = np.minimum(1, edge / (side / 8)).astype(np.float32)
    return np.outer(ramp, ramp)


# How two images may be laid on each other: (zoom into the first, zoom into the second, mirror the second).
_UPRIGHT = [(False, False, False), (True, False, False), (False, True, False)]
_WAYS = _UPRIGHT + [(zoom_one, zoom_two, True) for zoom_one, zoom_two, _ in _UPRIGHT]
_MIRRORED = np.array([mirror for _, _, mirror in _WAYS])


def _spectra(images: np.ndarray) -> np.ndarray:
    """Transform the structure of images, as they are and zoomed into: complex64 [2, P, S, S // 2 + 1].

    Args:
        images: float32 [P, S, S].
    """
    side = images.shape[-1]
    seen = _structure(np.stack([images, _apply(_zoom(side, _ZOOM), images)])) * _window(side)
    return fft.rfft2(seen / np.maximum(np.linalg.norm(seen, axis=(2, 3), keepdims=True), 1e-3))


def _mirrored(spectrum: np.ndarray) -> np.ndarray:
    """Give the spectrum of the mirrored image, without another transform."""
    side, half = spectrum.shape[-2:]
    phase = np.exp(2j * np.pi * np.arange(half) / side).astype(np.complex64)
    return phase * np.conj(spectrum[..., -np.arange(side), :])


def _register(
    ones: np.ndarray, twos: np.ndarray, ways: Sequence[tuple[bool, bool, bool]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the way and the shift in which the structure of pairs agrees best.

    Args:
        ones, twos: as ``_spectra`` gives them.
        ways: to try.

    Returns:
        correlation at the best, way (index into ``ways``), and the shift that
        brings the second onto the first, down and right, in pixels: [P] each.
    """
    count, side = ones.shape[1:3]
    reach = max(2, side // 6)
    shifts = np.arange(-reach, reach + 1)
    best = np.full(count, -1.0, np.float32)
    way, down, right = (np.zeros(count, np.int64) for _ in range(3))
    for number, (zoom_one, zoom_two, mirror) in enumerate(ways):
        two = twos[int(zoom_two)]
        surface = fft.irfft2(ones[int(zoom_one)] * np.conj(_mirrored(two) if mirror else two), s=(side, side))
        surface = surface[:, shifts[:, None], shifts].reshape(count, -1)
        place = surface.argmax(axis=1)
        peak = surface[np.arange(count), place]
        better = peak > best
        best[better], way[better] = peak[better], number
        down[better], right[better] = shifts[place // len(shifts)][better], shifts[place % len(shifts)][better]
    return best, way, down, right


def _agreement(one: np.ndarray, two: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Compare pairs in their overlap, laid on each other as well as can be: float [P]; 0 where they disagree.

    Args:
        one, two: float32 [P, C, 32, 32].
        mirrored: whether the second is to be mirrored, bool [P].
    """
    two[mirrored] = two[mirrored][..., ::-1]
    _, way, down, right = _register(_spectra(one.mean(axis=1)), _spectra(two.mean(axis=1)), _UPRIGHT)
    zoom = _zoom(_SIDE, _ZOOM)
    for number, (zoom_one, zoom_two, _) in enumerate(_UPRIGHT):
        own = way == number
        if zoom_one:
            one[own] = _apply(zoom, one[own])
        if zoom_two:
            two[own] = _apply(zoom, two[own])
    line = np.arange(_SIDE)
    rows, columns = line - down[:, None], line - right[:, None]
    inside = ((rows >= 0) & (rows < _SIDE))[:, :, None] & ((columns >= 0) & (columns < _SIDE))[:, None, :]
    rows, columns = np.clip(rows, 0, _SIDE - 1), np.clip(columns, 0, _SIDE - 1)
    pair = np.arange(len(two))[:, None, None]
    two = two[pair, :, rows[:, :, None], columns[:, None, :]].transpose(0, 3, 1, 2)
    return _judge(_structure(one), _structure(two), inside[:, None].astype(np.float32))


def _judge(one: np.ndarray, two: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Correlate structure all over, away from frames, and tile by tile.

    Args:
        one, two: float32 [P, C, 32, 32].
        inside: 1 where they overlap, else 0: float32 [P, 1, 32, 32].

    Returns:
        float [P]: the lower of the first two; 0 where one of the three is too low.
    """
    middle = np.zeros((_SIDE, _SIDE), np.float32)
    middle[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = 1
    score = np.minimum(_correlation(one, two, inside, 1), _correlation(one, two, inside * middle, 1))[:, 0]
    tiles = np.sort(_correlation(one, two, inside, _TILES), axis=1)[:, _TILES * _TILES // 4]
    return np.where((score >= _SAME) & (tiles >= _SAME_IN_TILES), score, 0)


def _correlation(one: np.ndarray, two: np.ndarray, weight: np.ndarray, tiles: int) -> np.ndarray:
    """Correlate pairs, all channels together, in each of tiles x tiles fields: [P, tiles * tiles]."""

    def total(values: np.ndarray) -> np.ndarray:
        fields = (values * weight).reshape(len(values), -1, tiles, _SIDE // tiles, tiles, _SIDE // tiles)
        return fields.sum(axis=(1, 3, 5)).reshape(len(values), -1)

    return total(one * two) / np.sqrt(total(one * one) * total(two * two) + 1e-3)
