"""Align pairs of images as well as possible, and measure the agreement of their fine structure.

Copies differ by a shift, a reflection, a crop, light and the noise of an encoder:
once these are undone, their fine structure agrees nearly everywhere. Two
photographs of similar objects on one background can be aligned too, but still
differ where the objects differ.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy import fft

_LUMA = np.float32([0.299, 0.587, 0.114])
_SIDE = 32
_COARSE = 16
# Initial alignments to try: zoom into the first, zoom into the second, mirror the second.
_WAYS = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1)])
_ZOOM = 0.9
# Frames and captions are along the borders, and so is what a shift moves out.
_MARGIN = 5 / 32
_STEPS = 8
# A copy shows most of the picture, hardly stretched; stretched freely, any object covers any other.
_MOST_ZOOM, _MOST_STRETCH = 1.35, 1.2
_DAMPING = 1e-3


def side(shape: Sequence[int]) -> int:
    """Choose the side at which images are compared: 64 pixels if they are that large, else 32.

    Args:
        shape: (height, width, ...) of the images.
    """
    return 2 * _SIDE if min(shape[:2]) >= 2 * _SIDE else _SIDE


def working(pixels: np.ndarray, rows: np.ndarray, side: int) -> np.ndarray:
    """Resize images to squares of luminance, which JPEG preserves best: float32 [P, side, side].

    Args:
        pixels: uint8 [N, H, W, C]; may be a memory map, of which one image at a time is held at full size.
        rows: which images, integers [P].
        side: in pixels.
    """
    squares = np.empty((len(rows), side, side), np.float32)
    interpolation = cv2.INTER_AREA if min(pixels.shape[1:3]) >= side else cv2.INTER_CUBIC
    for place, row in enumerate(rows):
        image = pixels[row]
        if image.shape[:2] != (side, side):
            image = cv2.resize(image, (side, side), interpolation=interpolation)
        image = image.reshape(side, side, -1)
        squares[place] = image[..., 0] if image.shape[-1] == 1 else image @ _LUMA
    return squares


def thumbnails(pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Shrink images to 16 x 16 gray, for ``likeness``: uint8 [P, 16, 16]; see ``working``."""
    return _shrunk(working(pixels, rows, _SIDE), _COARSE).round().astype(np.uint8)


def likeness(ones: np.ndarray, twos: np.ndarray) -> np.ndarray:
    """Compare pairs quickly: correlate their structure under the best of a few initial alignments.

    Args:
        ones, twos: thumbnails [P, 16, 16]; runs of equal ones are transformed once.

    Returns:
        float32 [P], up to 1.
    """
    # Pairs are sorted, so many consecutive ones share their first image.
    new = np.append(True, (ones[1:] != ones[:-1]).any(axis=(1, 2)))
    spectra = _spectra(ones[new].astype(np.float32))[:, np.cumsum(new) - 1]
    return _register(spectra, _spectra(twos.astype(np.float32)))[0]


def agreement(ones: np.ndarray, twos: np.ndarray) -> np.ndarray:
    """Align pairs and correlate their fine structure, away from frames.

    The best of a few shifts, zooms and reflections is the start; shift, zoom in
    both directions and gain are then fitted by least squares (inverse compositional:
    Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 56, 2004). The better of
    the two counts. Rotated or sheared copies are not detected: a fit with such
    freedom aligns the strokes of similar letters.

    Args:
        ones, twos: float32 [P, S, S], as returned by ``working``.

    Returns:
        float32 [7, P]. Correlations of fine structure, up to 1: of the whole image;
        the mean of the three worst of nine tiles, of which one may be flat or
        covered by a caption; and of the second worst among those of 36 tiles with
        more energy than the mean. Then ``remainder`` of the images themselves, where
        another light or background shows.
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
    """Measure how far pairs differ as they are, once brightness and contrast of the second match the first.

    Args:
        ones, twos: [P, S, S], as returned by ``working`` or ``thumbnails``.
        inside: 1 where they overlap, else 0: float32 [P, S, S]; by default 1.

    Returns:
        float32 [4, P], away from frames: the images' correlation; the root of the
        mean squared difference in the worst of nine tiles, as a share of the first's
        contrast (standard deviation), and in gray levels (both infinite if less than
        half of a tile overlaps); and the difference in brightness, in gray levels.
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
    """Build the matrix that smooths a line of pixels: float32 [pixels, pixels]."""
    place = np.arange(pixels)
    weight = np.exp(-0.5 * ((place[:, None] - place) / sigma) ** 2)
    return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def _zoom(pixels: int, factor: float) -> np.ndarray:
    """Build the matrix that enlarges the central ``factor`` of a line to its length: float32 [pixels, pixels]."""
    source = (np.arange(pixels) + 0.5 - pixels / 2) * factor + pixels / 2 - 0.5
    return np.maximum(0, 1 - np.abs(source[:, None] - np.arange(pixels))).astype(np.float32)


def _apply(matrix: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Apply a matrix to the rows and the columns of images [..., S, S]."""
    return matrix @ images @ matrix.T


def _structure(images: np.ndarray, scale: int) -> np.ndarray:
    """Subtract what is smooth at 1 / ``scale`` of the side (high-pass filter)."""
    return images - _apply(_blur(images.shape[-1], images.shape[-1] / scale), images)


def _window(pixels: int) -> np.ndarray:
    edge = np.minimum(np.arange(pixels), np.arange(pixels)[::-1]) + 1
    ramp = np.minimum(1, edge / (pixels / 8)).astype(np.float32)
    return np.outer(ramp, ramp)


def _spectra(images: np.ndarray) -> np.ndarray:
    """Fourier transform the structure of images, original and zoomed: complex64 [2, P, S, S // 2 + 1].

    Args:
        images: float32 [P, S, S].
    """
    pixels = images.shape[-1]
    seen = _structure(np.stack([images, _apply(_zoom(pixels, _ZOOM), images)]), 16) * _window(pixels)
    return fft.rfft2(seen / np.maximum(np.linalg.norm(seen, axis=(2, 3), keepdims=True), 1e-3))


def _mirrored(spectrum: np.ndarray) -> np.ndarray:
    """Compute the spectrum of the mirrored image, without another transform."""
    pixels, half = spectrum.shape[-2:]
    phase = np.exp(2j * np.pi * np.arange(half) / pixels).astype(np.complex64)
    return phase * np.conj(spectrum[..., -np.arange(pixels), :])


def _register(ones: np.ndarray, twos: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Find the initial alignment and the shift at which the structure of pairs agrees best.

    Args:
        ones, twos: as returned by ``_spectra``.

    Returns:
        The highest correlation, the way (index into ``_WAYS``), and the shift down
        and right that moves the second, mirrored or not, onto the first, in pixels:
        [P] each.
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
    """Convert the result of ``_register`` to maps of positions in the first image to the second: float32 [P, 2, 2].

    A map holds (zoom, shift) for positions right, then down, of the image's centre, in pixels.
    """
    zooms = np.where(zoomed, _ZOOM, 1)
    zoom = zooms[:, 1] / zooms[:, 0]
    shifts = (-zooms[:, 1] * right, -zooms[:, 1] * down)
    return np.stack([np.stack([zoom, shift], axis=-1) for shift in shifts], axis=1).astype(np.float32)


def _places(pixels: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute each pixel's distance (right, down) from the centre: float32 [S, S] each."""
    down, right = np.mgrid[:pixels, :pixels].astype(np.float32) - (pixels - 1) / 2
    return right, down


def _warped(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Resample images through maps, bilinear; the border is repeated outside.

    Args:
        images: float32 [P, S, S].
        maps: as returned by ``_start``.

    Returns:
        float32 [P, S, S].
    """
    pixels = images.shape[-1]
    matrices = np.zeros((len(maps), 2, 3), np.float32)
    matrices[:, [0, 1], [0, 1]] = maps[..., 0]
    # OpenCV counts positions from the first pixel.
    matrices[:, :, 2] = maps[..., 1] + (1 - maps[..., 0]) * (pixels - 1) / 2
    result = np.empty(images.shape, np.float32)
    options = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
    for image, matrix, fetched in zip(images, matrices, result, strict=True):
        cv2.warpAffine(image, matrix, (pixels, pixels), dst=fetched, **options)
    return result


def _inside(maps: np.ndarray, pixels: int) -> np.ndarray:
    """Mark where a map leads into the image, 1, else 0: float32 [P, S, S]."""
    place = _places(pixels)[0][0]
    led = maps[..., :1] * place + maps[..., 1:]
    inside = (np.abs(led) <= (pixels - 1) / 2).astype(np.float32)
    return inside[:, 1, :, None] * inside[:, 0, None, :]


def _refined(ones: np.ndarray, twos: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Fit shift and zoom in both directions, gain and offset of light, by Gauss-Newton: maps, float32 [P, 2, 2].

    Args:
        ones, twos: float32 [P, S, S].
        maps: the start.
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
        solved = (solve @ seen)[..., 0]
        gain = np.where(np.abs(solved[:, 4]) < 0.1, 1, solved[:, 4])
        step = np.clip(solved[:, :4] / gain[:, None], -2, 2).reshape(-1, 2, 2)
        # The step moves the first image towards the second, so the map of the second is moved back.
        zoom /= 1 + np.clip(step[..., 0], -0.2, 0.2)
        shift -= zoom * step[..., 1]
    even = np.clip(np.sqrt(np.abs(zoom.prod(axis=1, keepdims=True))), 1 / _MOST_ZOOM, _MOST_ZOOM)
    zoom = np.clip(zoom, even / _MOST_STRETCH, even * _MOST_STRETCH)
    return np.stack([zoom, shift], axis=-1).astype(np.float32)


def _judge(ones: np.ndarray, twos: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Correlate fine structure away from frames: the first three values of ``agreement``, float32 [3, P].

    Args:
        ones, twos: structure of aligned images, float32 [P, S, S].
        inside: 1 where they overlap, else 0: float32 [P, S, S].
    """
    both, first, second = (values * inside for values in (ones * twos, ones * ones, twos * twos))
    coarse, _ = _by_tiles(both, first, second, 3)
    fine, energy = _by_tiles(both, first, second, 6)
    strong = np.sort(np.where(energy >= energy.mean(axis=1, keepdims=True), fine, 1), axis=1)
    whole, _ = _by_tiles(both, first, second, 1)
    return np.stack([whole[:, 0], np.sort(coarse, axis=1)[:, :3].mean(axis=1), strong[:, 1]])


def _by_tiles(both: np.ndarray, first: np.ndarray, second: np.ndarray, tiles: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlate in tiles x tiles fields of the centre; also return the larger energy: [P, tiles**2] each."""
    pixels = both.shape[-1]
    margin = round(_MARGIN * pixels)
    starts = _starts(pixels - 2 * margin, tiles)
    both, first, second = (_sums(values[:, margin:-margin, margin:-margin], starts) for values in (both, first, second))
    gain = first.sum(axis=1, keepdims=True) / np.maximum(second.sum(axis=1, keepdims=True), 1e-3)
    return both / np.sqrt(first * second + 1e-3), np.maximum(first, gain * second)


def _starts(pixels: int, tiles: int) -> np.ndarray:
    """Compute where each tile of a line begins: integers [tiles]."""
    return np.linspace(0, pixels, tiles + 1).round().astype(int)[:-1]


def _sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sum over each field between starts, which hold for rows and columns: [P, tiles**2]."""
    return np.add.reduceat(np.add.reduceat(values, starts, axis=1), starts, axis=2).reshape(len(values), -1)
