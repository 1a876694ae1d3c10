"""Lay one image on another as well as can be, and tell how much of their fine structure then agrees.

Copies differ by a shift, a mirror, a crop, light and the noise of an encoder:
once these are undone, their fine structure is the same nearly everywhere. Two
photographs of like things on one background can be laid on each other too, but
what is left differs where the things differ.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import fft

_LUMA = np.float32([0.299, 0.587, 0.114])
_SIDE = 32
_COARSE = 16
# How two images may be laid on each other at first: zoom into the first, zoom into the second, mirror the second.
_WAYS = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1)])
_ZOOM = 0.9
# Frames and captions lie along the borders; and what is shifted out must be somewhere.
_MARGIN = 5 / 32
_STEPS = 8
# A copy shows most of the picture, hardly stretched; freely stretched, a thing covers any other.
_MOST_ZOOM, _MOST_STRETCH = 1.35, 1.2
_DAMPING = 1e-3


def side(shape: Sequence[int]) -> int:
    """Choose the side to compare images at, in pixels: 64 where they have as much, else 32.

    Args:
        shape: (height, width, ...) of the images.
    """
    return 2 * _SIDE if min(shape[:2]) >= 2 * _SIDE else _SIDE


def working(pixels: np.ndarray, rows: np.ndarray, side: int) -> np.ndarray:
    """Bring images to squares of luminance, which JPEG keeps best: float32 [P, side, side].

    Args:
        pixels: uint8 [N, H, W, C]; may be a memory map, of which no more than an image is held as it is.
        rows: which images, integers [P].
        side: in pixels.
    """
    made = np.empty((len(rows), side, side), np.float32)
    how = cv2.INTER_AREA if min(pixels.shape[1:3]) >= side else cv2.INTER_CUBIC
    for place, row in enumerate(rows):
        image = pixels[row]
        if image.shape[:2] != (side, side):
            image = cv2.resize(image, (side, side), interpolation=how)
        image = image.reshape(side, side, -1)
        made[place] = image[..., 0] if image.shape[-1] == 1 else image @ _LUMA
    return made


def thumbnails(pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Shrink images to 16 x 16 gray, for ``likeness``: uint8 [P, 16, 16]; see ``working``."""
    return _shrunk(working(pixels, rows, _SIDE), _COARSE).round().astype(np.uint8)


def likeness(ones: np.ndarray, twos: np.ndarray) -> np.ndarray:
    """Take a first look at pairs: the correlation of their structure, laid on each other by one of a few ways.

    Args:
        ones, twos: thumbnails [P, 16, 16]; equal ones in a row are transformed once.

    Returns:
        float32 [P], up to 1.
    """
    # Pairs come sorted, so the first image of many is the same.
    new = np.append(True, (ones[1:] != ones[:-1]).any(axis=(1, 2)))
    spectra = _spectra(ones[new].astype(np.float32))[:, np.cumsum(new) - 1]
    return _register(spectra, _spectra(twos.astype(np.float32)))[0]


def agreement(ones: np.ndarray, twos: np.ndarray) -> np.ndarray:
    """Lay pairs on each other and correlate their fine structure, away from frames.

    The start is the best of a few shifts, zooms and mirrors; shift, zoom in both
    directions and gain are then fitted by least squares (inverse compositional:
    Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 56, 2004). What counts is
    the better of the two. Turned or sheared copies are not found: a fit that may
    do that lays strokes of like letters on each other.

    Args:
        ones, twos: float32 [P, S, S], as ``working`` gives them.

    Returns:
        float32 [7, P]. Correlations of fine structure, up to 1: as a whole; on
        the mean of the three worst of nine tiles, of which one may be flat or
        covered by a caption; and in the second worst of those of 36 tiles that
        hold more than most. And ``remainder`` of the images as they are, where
        light from another side and another background show.
    """
    _, way, down, right = _register(_spectra(ones), _spectra(twos))
    zooms, mirrored = _WAYS[way, :2], _WAYS[way, 2] == 1
    twos = np.where(mirrored[:, None, None], twos[..., ::-1], twos)
    start = _start(zooms, down, right)
    fine = _structure(ones, _SIDE)
    laid = [(_warped(twos, maps), _inside(maps, ones.shape[-1])) for maps in (start, _refined(ones, twos, start))]
    judged = [_judge(fine, _structure(seen, _SIDE), inside) for seen, inside in laid]
    better = judged[0][0] > judged[1][0]
    seen, inside = (np.where(better[:, None, None], *ways) for ways in zip(*laid, strict=True))
    return np.concatenate([np.where(better, *judged), remainder(ones, seen, inside)])


def remainder(ones: np.ndarray, twos: np.ndarray, inside: np.ndarray | None = None) -> np.ndarray:
    """Tell how far pairs differ as they lie, once the second's brightness and contrast are made the first's.

    Args:
        ones, twos: [P, S, S], as ``working`` or ``thumbnails`` gives them.
        inside: 1 where they overlap, else 0: float32 [P, S, S]; by default everywhere.

    Returns:
        float32 [4, P], away from frames: the images' correlation; the root of the
        mean squared difference in the worst of nine tiles, as a share of the first's
        contrast (standard deviation), and in gray levels (both infinite where less
        than half of a tile overlaps); and how far the brightness was apart, in levels.
    """
    margin = round(_MARGIN * ones.shape[-1])
    inside = np.ones(ones.shape, np.float32) if inside is None else inside
    weight, one, two = (values[:, margin:-margin, margin:-margin].astype(np.float32) for values in (inside, ones, twos))
    total = np.maximum(weight.sum(axis=(1, 2), keepdims=True), 1)

    def mean(values: np.ndarray) -> np.ndarray:
        return (weight * values).sum(axis=(1, 2), keepdims=True) / total

    light = mean(one) - mean(two)
    one, two = one - mean(one), two - mean(two)
    contrast, other = (np.sqrt(mean(values**2) + 1e-6) for values in (one, two))
    starts = _starts(weight.shape[-1], 3)
    squares, sizes, whole = (
        _sums(values, starts)
        for values in (weight * (one - two * contrast / other) ** 2, weight, np.ones_like(weight[:1]))
    )
    levels = np.sqrt(np.where(2 * sizes >= whole, squares / np.maximum(sizes, 1), np.inf)).max(axis=1)
    light, contrast, alike = (
        values[:, 0, 0] for values in (np.abs(light), contrast, mean(one * two) / contrast / other)
    )
    return np.stack([alike, levels / contrast, levels, light])


def _shrunk(images: np.ndarray, pixels: int) -> np.ndarray:
    factor = images.shape[-1] // pixels
    return images.reshape(len(images), pixels, factor, pixels, factor).mean(axis=(2, 4))


def _blur(pixels: int, sigma: float) -> np.ndarray:
    """A matrix that smooths a line of pixels: float32 [pixels, pixels]."""
    place = np.arange(pixels)
    weight = np.exp(-0.5 * ((place[:, None] - place) / sigma) ** 2)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def _zoom(pixels: int, factor: float) -> np.ndarray:
    """A matrix that enlarges the middle ``factor`` of a line of pixels to the whole: float32 [pixels, pixels]."""
    source = (np.arange(pixels) + 0.5 - pixels / 2) * factor + pixels / 2 - 0.5
    return np.maximum(0, 1 - np.abs(source[:, None] - np.arange(pixels))).astype(np.float32)


def _apply(matrix: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Apply a matrix to the lines and the columns of images [..., S, S]."""
    return matrix @ images @ matrix.T


def _structure(images: np.ndarray, scale: int) -> np.ndarray:
    """Take out what is smooth over a part of 1 / ``scale`` of the side."""
    return images - _apply(_blur(images.shape[-1], images.shape[-1] / scale), images)


def _window(pixels: int) -> np.ndarray:
    edge = np.minimum(np.arange(pixels), np.arange(pixels)[::-1]) + 1
    ramp = np.minimum(1, edge / (pixels / 8)).astype(np.float32)
    return np.outer(ramp, ramp)


def _spectra(images: np.ndarray) -> np.ndarray:
    """Transform the structure of images, as they are and zoomed into: complex64 [2, P, S, S // 2 + 1].

    Args:
        images: float32 [P, S, S].
    """
    pixels = images.shape[-1]
    seen = _structure(np.stack([images, _apply(_zoom(pixels, _ZOOM), images)]), 16) * _window(pixels)
    return fft.rfft2(seen / np.maximum(np.linalg.norm(seen, axis=(2, 3), keepdims=True), 1e-3))


def _mirrored(spectrum: np.ndarray) -> np.ndarray:
    """Give the spectrum of the mirrored image, without another transform."""
    pixels, half = spectrum.shape[-2:]
    phase = np.exp(2j * np.pi * np.arange(half) / pixels).astype(np.complex64)
    return phase * np.conj(spectrum[..., -np.arange(pixels), :])


def _register(ones: np.ndarray, twos: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the way and the shift in which the structure of pairs agrees best.

    Args:
        ones, twos: as ``_spectra`` gives them.

    Returns:
        correlation at the best, way (index into ``_WAYS``), and the shift that
        brings the second, mirrored or not, onto the first, down and right, in
        pixels: [P] each.
    """
    count, pixels = ones.shape[1:3]
    reach = max(2, pixels // 6)
    shifts = np.arange(-reach, reach + 1)
    best = np.full(count, -1.0, np.float32)
    way, down, right = (np.zeros(count, np.int64) for _ in range(3))
    for number, (zoom_one, zoom_two, mirror) in enumerate(_WAYS):
        two = twos[zoom_two]
        surface = fft.irfft2(ones[zoom_one] * np.conj(_mirrored(two) if mirror else two), s=(pixels, pixels))
        surface = surface[:, shifts[:, None], shifts].reshape(count, -1)
        place = surface.argmax(axis=1)
        peak = surface[np.arange(count), place]
        better = peak > best
        best[better], way[better] = peak[better], number
        down[better], right[better] = shifts[place // len(shifts)][better], shifts[place % len(shifts)][better]
    return best, way, down, right


def _start(zoomed: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Write what ``_register`` found as maps of places in the first image to the second: float32 [P, 2, 2].

    A map holds (zoom, shift) for the places right, then down, of the image's middle, in pixels.
    """
    zooms = np.where(zoomed, _ZOOM, 1)
    zoom = zooms[:, 1] / zooms[:, 0]
    shifts = (-zooms[:, 1] * right, -zooms[:, 1] * down)
    return np.stack([np.stack([zoom, shift], axis=-1) for shift in shifts], axis=1).astype(np.float32)


def _places(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """(right, down) of each pixel from the middle: float32 [S, S] each."""
    down, right = np.mgrid[:pixels, :pixels].astype(np.float32) - (pixels - 1) / 2
    return right, down


def _warped(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Fetch images through maps, linearly between pixels; beyond the border the border's pixels go on.

    Args:
        images: float32 [P, S, S].
        maps: as ``_start`` gives them.

    Returns:
        float32 [P, S, S].
    """
    pixels = images.shape[-1]
    matrices = np.zeros((len(maps), 2, 3), np.float32)
    matrices[:, [0, 1], [0, 1]] = maps[..., 0]
    # OpenCV counts places from the first pixel.
    matrices[:, :, 2] = maps[..., 1] + (1 - maps[..., 0]) * (pixels - 1) / 2
    result = np.empty(images.shape, np.float32)
    how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
    for image, matrix, fetched in zip(images, matrices, result, strict=True):
        cv2.warpAffine(image, matrix, (pixels, pixels), dst=fetched, **how)
    return result


def _inside(maps: np.ndarray, pixels: int) -> np.ndarray:
    """1 where a map leads into the image, else 0: float32 [P, S, S]."""
    place = _places(pixels)[0][0]
    led = maps[..., :1] * place + maps[..., 1:]
    inside = (np.abs(led) <= (pixels - 1) / 2).astype(np.float32)
    return inside[:, 1, :, None] * inside[:, 0, None, :]


def _refined(ones: np.ndarray, twos: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Fit shift and zoom in both directions, and a gain and an offset of light, by Gauss and Newton: float32 [P, 2, 2].

    Args:
        ones, twos: float32 [P, S, S].
        maps: to start from.
    """
    pixels = ones.shape[-1]
    smooth = _blur(pixels, pixels / _SIDE)
    ones, twos = _apply(smooth, ones), np.ascontiguousarray(_apply(smooth, twos))
    margin = round(_MARGIN * pixels)
    middle = slice(margin, pixels - margin)
    (right, down), (steep_down, steep_right) = _places(pixels), np.gradient(ones, axis=(1, 2))
    moves = [steep_right * right, steep_right, steep_down * down, steep_down]
    basis = np.stack([*moves, ones, np.ones_like(ones)], axis=1)[:, :, middle, middle].reshape(len(ones), 6, -1)
    gram = basis @ basis.transpose(0, 2, 1)
    diagonal = np.arange(6)
    gram[:, diagonal, diagonal] += _DAMPING * gram[:, diagonal, diagonal] + _DAMPING
    solve = np.linalg.inv(gram) @ basis
    zoom, shift = maps[..., 0].copy(), maps[..., 1].copy()
    for _ in range(_STEPS):
        seen = _warped(twos, np.stack([zoom, shift], axis=-1))[:, middle, middle].reshape(len(ones), -1, 1)
        found = (solve @ seen)[..., 0]
        gain = np.where(np.abs(found[:, 4]) < 0.1, 1, found[:, 4])
        step = np.clip(found[:, :4] / gain[:, None], -2, 2).reshape(-1, 2, 2)
        # The first image moved by the step looks like the second: so the second is moved back.
        zoom /= 1 + np.clip(step[..., 0], -0.2, 0.2)
        shift -= zoom * step[..., 1]
    even = np.clip(np.sqrt(np.abs(zoom.prod(axis=1, keepdims=True))), 1 / _MOST_ZOOM, _MOST_ZOOM)
    zoom = np.clip(zoom, even / _MOST_STRETCH, even * _MOST_STRETCH)
    return np.stack([zoom, shift], axis=-1).astype(np.float32)


def _judge(ones: np.ndarray, twos: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Correlate fine structure away from frames: the first three of what ``agreement`` returns, float32 [3, P].

    Args:
        ones, twos: of images that lie on each other, float32 [P, S, S].
        inside: 1 where they overlap, else 0: float32 [P, S, S].
    """
    both, own, other = (values * inside for values in (ones * twos, ones * ones, twos * twos))
    coarse, _ = _by_tiles(both, own, other, 3)
    fine, energy = _by_tiles(both, own, other, 6)
    strong = np.sort(np.where(energy >= energy.mean(axis=1, keepdims=True), fine, 1), axis=1)
    whole, _ = _by_tiles(both, own, other, 1)
    return np.stack([whole[:, 0], np.sort(coarse, axis=1)[:, :3].mean(axis=1), strong[:, 1]])


def _by_tiles(both: np.ndarray, own: np.ndarray, other: np.ndarray, tiles: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlate in each of tiles x tiles fields of the middle, and give the larger energy of the two: [P, tiles**2]."""
    pixels = both.shape[-1]
    margin = round(_MARGIN * pixels)
    starts = _starts(pixels - 2 * margin, tiles)
    both, own, other = (_sums(values[:, margin:-margin, margin:-margin], starts) for values in (both, own, other))
    gain = own.sum(axis=1, keepdims=True) / np.maximum(other.sum(axis=1, keepdims=True), 1e-3)
    return both / np.sqrt(own * other + 1e-3), np.maximum(own, gain * other)


def _starts(pixels: int, tiles: int) -> np.ndarray:
    """Where each of the tiles of a line begins: integers [tiles]."""
    return np.linspace(0, pixels, tiles + 1).round().astype(int)[:-1]


def _sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sum up in each field between starts, which hold for lines and columns: [P, tiles**2]."""
    return np.add.reduceat(np.add.reduceat(values, starts, axis=1), starts, axis=2).reshape(len(values), -1)
