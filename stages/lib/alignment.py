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
_DAMPING = 1e-3
_TILES = 3
# Of nine tiles the three least alike count, on the mean: one may be flat, or covered by a caption.
_WORST = 3


def side(shape: Sequence[int]) -> int:
    """Choose the side to compare images at, in pixels: 64 where they have as much, else 32.

    Args:
        shape: (height, width, ...) of the images.
    """
    return 2 * _SIDE if min(shape[:2]) >= 2 * _SIDE else _SIDE


def working(images: np.ndarray, pixels: int) -> np.ndarray:
    """Bring images to squares of luminance, which JPEG keeps best: uint8 [P, H, W, C] to float32 [P, S, S]."""
    if images.shape[1:3] != (pixels, pixels):
        how = cv2.INTER_AREA if min(images.shape[1:3]) >= pixels else cv2.INTER_CUBIC
        images = np.stack([cv2.resize(image, (pixels, pixels), interpolation=how) for image in images])
    images = images.reshape(len(images), pixels, pixels, -1).astype(np.float32)
    return images[..., 0] if images.shape[-1] == 1 else images @ _LUMA


def thumbnails(images: np.ndarray) -> np.ndarray:
    """Shrink images to 16 x 16 gray, for ``likeness``: uint8 [P, 16, 16]."""
    return _shrunk(working(images, _SIDE), _COARSE).round().astype(np.uint8)


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


def agreement(ones: np.ndarray, twos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lay pairs on each other and correlate their fine structure, away from frames.

    The start is the best of a few shifts, zooms and mirrors; an affine map and a
    gain are then fitted by least squares (inverse compositional: Baker and
    Matthews, "Lucas-Kanade 20 years on", IJCV 56, 2004). What counts is the
    better of the two.

    Args:
        ones, twos: float32 [P, S, S], as ``working`` gives them.

    Returns:
        Correlation as a whole, up to 1; and the mean of that of the three worst
        of nine tiles: float32 [P] each.
    """
    _, way, down, right = _register(_spectra(ones), _spectra(twos))
    zooms, mirrored = _WAYS[way, :2], _WAYS[way, 2] == 1
    twos = np.where(mirrored[:, None, None], twos[..., ::-1], twos)
    start = _start(zooms, down, right)
    fine = _structure(ones, _SIDE)
    one, two = (
        _judge(fine, _structure(_warped(twos, maps), _SIDE), _inside(maps, ones.shape[-1]))
        for maps in (start, _refined(ones, twos, start))
    )
    return tuple(np.where(one[0] > two[0], one, two))


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
    """Write what ``_register`` found as maps of places in the first image to the second: float32 [P, 2, 3].

    Places are (right, down) of the image's middle, in pixels.
    """
    zooms = np.where(zoomed, _ZOOM, 1)
    maps = np.zeros((len(zoomed), 2, 3), np.float32)
    maps[:, 0, 0] = maps[:, 1, 1] = zooms[:, 1] / zooms[:, 0]
    maps[:, 0, 2], maps[:, 1, 2] = -zooms[:, 1] * right, -zooms[:, 1] * down
    return maps


def _places(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """(right, down) of each pixel from the middle: float32 [S, S] each."""
    down, right = np.mgrid[:pixels, :pixels].astype(np.float32) - (pixels - 1) / 2
    return right, down


def _warped(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Fetch images through maps, linearly between pixels; beyond the border the border's pixels go on.

    Args:
        images: float32 [P, S, S].
        maps: float32 [P, 2, 3].

    Returns:
        float32 [P, S, S].
    """
    pixels = images.shape[-1]
    # OpenCV counts places from the first pixel.
    middle = np.full((2, 1), (pixels - 1) / 2, np.float32)
    maps = np.concatenate([maps[:, :, :2], maps[:, :, 2:] + middle - maps[:, :, :2] @ middle], axis=2)
    result = np.empty(images.shape, np.float32)
    how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
    for image, to, fetched in zip(images, maps, result, strict=True):
        cv2.warpAffine(image, to, (pixels, pixels), dst=fetched, **how)
    return result


def _inside(maps: np.ndarray, pixels: int) -> np.ndarray:
    """1 where a map leads into the image, else 0: float32 [P, S, S]."""
    right, down = _places(pixels)
    led = (maps[:, axis, :, None, None] for axis in (0, 1))
    reach = [np.abs(to[:, 0] * right + to[:, 1] * down + to[:, 2]) for to in led]
    return (np.maximum(*reach) <= (pixels - 1) / 2).astype(np.float32)


def _refined(ones: np.ndarray, twos: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Fit affine maps, and a gain and an offset of light, by Gauss and Newton: float32 [P, 2, 3].

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
    moves = [steep_right * right, steep_right * down, steep_right, steep_down * right, steep_down * down, steep_down]
    basis = np.stack([*moves, ones, np.ones_like(ones)], axis=1)[:, :, middle, middle].reshape(len(ones), 8, -1)
    gram = basis @ basis.transpose(0, 2, 1)
    diagonal = np.arange(8)
    gram[:, diagonal, diagonal] += _DAMPING * gram[:, diagonal, diagonal] + _DAMPING
    solve = np.linalg.inv(gram) @ basis
    maps = maps.copy()
    for _ in range(_STEPS):
        seen = _warped(twos, maps)[:, middle, middle].reshape(len(ones), -1, 1)
        found = (solve @ seen)[..., 0]
        gain = np.where(np.abs(found[:, 6]) < 0.1, 1, found[:, 6])
        step = np.clip(found[:, :6] / gain[:, None], -2, 2).reshape(-1, 2, 3)
        # The first image moved by the step looks like the second: so the second is moved back.
        back = np.linalg.inv(np.eye(2) + np.clip(step[:, :, :2], -0.2, 0.2))
        maps[:, :, 2:] -= maps[:, :, :2] @ (back @ step[:, :, 2:])
        maps[:, :, :2] = maps[:, :, :2] @ back
    return maps


def _judge(ones: np.ndarray, twos: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Correlate fine structure away from frames, as a whole and in the worst tiles: float32 [2, P].

    Args:
        ones, twos: of images that lie on each other, float32 [P, S, S].
        inside: 1 where they overlap, else 0: float32 [P, S, S].
    """
    pixels = ones.shape[-1]
    margin = round(_MARGIN * pixels)
    ends = np.linspace(margin, pixels - margin, _TILES + 1).round().astype(int)

    def fields(values: np.ndarray) -> np.ndarray:
        values = (values * inside)[:, margin:-margin, margin:-margin]
        starts = ends[:-1] - margin
        return np.add.reduceat(np.add.reduceat(values, starts, axis=1), starts, axis=2).reshape(len(values), -1)

    both, own, other = fields(ones * twos), fields(ones * ones), fields(twos * twos)
    tiles = np.sort(both / np.sqrt(own * other + 1e-3), axis=1)[:, :_WORST].mean(axis=1)
    whole = both.sum(axis=1) / np.sqrt(own.sum(axis=1) * other.sum(axis=1) + 1e-3)
    return np.stack([whole, tiles])
