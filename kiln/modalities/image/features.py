"""Features of images that need no network and no labels.

Small whitened patches of the images themselves serve as filters; their
rectified responses are averaged over the quadrants of an image (Coates, Ng and
Lee, "An analysis of single-layer networks in unsupervised feature learning",
AISTATS 2011), summed with those of the mirrored image, joined with coarse
colour, and reduced to principal components, of which large ones are damped.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.linalg import eigh
from threadpoolctl import threadpool_limits

from kiln.core import parallel

_PATCH = 6
_COMPONENTS = 48
_SMALLEST = 16
# Chosen on CIFAR-10 with its human label noise, by how well wrong labels are
# detected: contrast below which a patch counts as flat, smoothing of the
# whitening, threshold of a response, weight of colour, damping of components.
_FLAT = 10.0
_SMOOTHING = 1.0
_THRESHOLD = 0.25
_COLOUR = 40**0.5
_DAMPING = 0.2
_BATCH = 64
_BLOCK = 256


@dataclass(frozen=True)
class Size:
    """The size of the feature extractor.

    Attributes:
        side: largest side in pixels; larger images are shrunk.
        filters: number of filters.
        sample: largest number of images for learning components; filters use a third of them.
        dimensions: largest number of features per image.
    """

    side: int
    filters: int
    sample: int
    dimensions: int


LARGE = Size(side=32, filters=1024, sample=12_000, dimensions=1024)
SMALL = Size(side=20, filters=64, sample=4_000, dimensions=64)


@dataclass(frozen=True)
class _Filters:
    mean: np.ndarray
    whitening: np.ndarray
    filters: np.ndarray
    side: int


@dataclass(frozen=True)
class Features:
    """Fitted filters and components; create one with ``fit``."""

    _filters: _Filters
    _mean: np.ndarray
    _deviation: np.ndarray
    _projection: np.ndarray

    def transform(self, pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Compute features of unit length, so that a dot product is a similarity.

        Args:
            pixels: uint8 [N, H, W, C], of the fitted shape; may be a memory map.
            rows: which images, integers [M].

        Returns:
            float16 [M, at most ``size.dimensions``].
        """
        features = np.empty((len(rows), self._projection.shape[1]), np.float16)
        start = 0
        for raw in _raw(self._filters, pixels, rows):
            reduced = ((raw - self._mean) / self._deviation) @ self._projection
            reduced /= np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-12)
            features[start : start + len(raw)] = reduced
            start += len(raw)
        return features


def fit(pixels: np.ndarray, rows: np.ndarray, size: Size, generator: np.random.Generator) -> Features:
    """Learn filters and components from a sample of images.

    Args:
        pixels: uint8 [N, H, W, C]; may be a memory map.
        rows: which images may be used, integers [M].
        size: of the extractor.
        generator: draws images and patches.
    """
    sample = np.sort(generator.choice(rows, min(size.sample, len(rows)), replace=False))
    filters = _learn_filters(pixels, generator.permutation(sample)[: size.sample // 3], size, generator)
    raw = np.concatenate(list(_raw(filters, pixels, sample)))
    mean, deviation = raw.mean(axis=0), raw.std(axis=0)
    deviation = np.where(deviation > 1e-6, deviation, 1).astype(np.float32)
    scaled = (raw - mean) / deviation
    return Features(filters, mean, deviation, _components(scaled, size.dimensions))


def _components(scaled: np.ndarray, most: int) -> np.ndarray:
    """Compute the leading principal components, from the smaller Gram matrix: [D, at most ``most``]."""
    count, width = scaled.shape
    wide = count < width
    gram = (scaled @ scaled.T if wide else scaled.T @ scaled) / count
    side = len(gram)
    values, vectors = eigh(gram, subset_by_index=[max(0, side - most), side - 1], overwrite_a=True)
    real = values > 1e-5 * values[-1]
    values, vectors = values[real][::-1], vectors[:, real][:, ::-1]
    if wide:
        vectors = scaled.T @ vectors
        vectors /= np.linalg.norm(vectors, axis=0)
    # Fix the sign, since that of an eigenvector is arbitrary.
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return np.ascontiguousarray(vectors / values**_DAMPING, np.float32)


def _resized(pixels: np.ndarray, rows: np.ndarray, largest: int) -> np.ndarray:
    height, width, channels = pixels.shape[1:]
    side = min(max(min(height, width), _SMALLEST), largest)
    if (height, width) == (side, side):
        return pixels[rows]
    how = cv2.INTER_AREA if min(height, width) >= side else cv2.INTER_CUBIC
    # One by one, so that only one is in memory at full size.
    return np.stack([cv2.resize(pixels[row], (side, side), interpolation=how) for row in rows]).reshape(
        len(rows), side, side, channels
    )


def _patches(images: np.ndarray) -> np.ndarray:
    """Extract all patches, each with mean 0 and contrast about 1: float32 [N, n, n, 6*6*C]."""
    windows = np.lib.stride_tricks.sliding_window_view(images, (_PATCH, _PATCH), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1).astype(np.float32)
    patches -= patches.mean(axis=-1, keepdims=True)
    patches /= np.sqrt(np.square(patches).mean(axis=-1, keepdims=True) + _FLAT)
    return patches


def _learn_filters(pixels: np.ndarray, rows: np.ndarray, size: Size, generator: np.random.Generator) -> _Filters:
    """Take random whitened patches of high contrast, each with its mirror image, as filters."""
    channels = pixels.shape[3]
    drawn = []
    for part in np.array_split(np.sort(rows), -(-len(rows) // 256)):
        patches = _patches(_resized(pixels, part, size.side))
        flat = patches.reshape(-1, patches.shape[-1])
        drawn.append(flat[generator.choice(len(flat), min(len(flat), 25 * len(part)), replace=False)])
    patches = np.concatenate(drawn)
    mirrored = patches.reshape(-1, _PATCH, _PATCH, channels)[:, :, ::-1].reshape(patches.shape)
    both = np.concatenate([patches, mirrored])
    mean = both.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(both.T))
    values, vectors = values[::-1][:_COMPONENTS], vectors[:, ::-1][:, :_COMPONENTS]
    whitening = (vectors / np.sqrt(np.maximum(values, 0) + _SMOOTHING)).astype(np.float32)
    white = (patches - mean) @ whitening
    energy = np.linalg.norm(white, axis=1)
    candidates = np.flatnonzero(energy >= np.quantile(energy, 0.3))
    chosen = generator.choice(candidates, size.filters // 2, replace=len(candidates) < size.filters // 2)
    filters = np.concatenate([white[chosen], (mirrored[chosen] - mean) @ whitening])
    filters /= np.maximum(np.linalg.norm(filters, axis=1, keepdims=True), 1e-12)
    return _Filters(mean.astype(np.float32), whitening, np.ascontiguousarray(filters.T, np.float32), size.side)


def _raw(filters: _Filters, pixels: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield unreduced features of the rows in order, 64 images at a time: float32 [B, D]."""

    def compute(part: np.ndarray) -> np.ndarray:
        images = _resized(pixels, part, filters.side)
        return np.concatenate([_responses(filters, images), _COLOUR * _colour(images)], axis=1)

    parts = (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))
    # One thread per batch is faster than many in each small matrix product.
    with threadpool_limits(1):
        yield from parallel.ordered_map(compute, parts)


def _responses(filters: _Filters, images: np.ndarray) -> np.ndarray:
    """Average rectified responses over quadrants, summed over the image and its mirror: float32 [B, 4 * filters]."""
    patches = _patches(images)
    count, side = patches.shape[:2]
    white = (patches.reshape(-1, patches.shape[-1]) - filters.mean) @ filters.whitening
    white = white.reshape(count, side * side, -1)
    pool = np.kron(_bins(2, side), _bins(2, side))
    total = filters.filters.shape[1]
    pooled = np.empty((count, 2, 2, 2, total), np.float32)
    scratch = np.empty((side * side, min(_BLOCK, total)), np.float32)
    # Blocks of filters fit into a core's cache.
    for start in range(0, total, _BLOCK):
        block = np.ascontiguousarray(filters.filters[:, start : start + _BLOCK])
        for image in range(count):
            response = white[image] @ block
            np.maximum(response, _THRESHOLD, out=scratch)
            pooled[image, 0, ..., start : start + _BLOCK] = (pool @ scratch).reshape(2, 2, -1) - _THRESHOLD
            np.minimum(response, -_THRESHOLD, out=scratch)
            pooled[image, 1, ..., start : start + _BLOCK] = -(pool @ scratch).reshape(2, 2, -1) - _THRESHOLD
    # Filter k's mirror is filter k + total/2, so the mirrored image needs no second pass.
    half = total // 2
    joined = pooled[..., :half] + pooled[:, :, :, ::-1, half:]
    return np.sqrt(np.maximum(joined, 0)).reshape(count, -1)


def _bins(parts: int, side: int) -> np.ndarray:
    """Build the matrix that averages a line of pixels over equal parts, with fractional pixels: [parts, side]."""
    edges = np.arange(parts + 1) * side / parts
    place = np.arange(side)
    covered = np.minimum(edges[1:, None], place + 1) - np.maximum(edges[:-1, None], place)
    return (np.clip(covered, 0, 1) * parts / side).astype(np.float32)


def _colour(images: np.ndarray) -> np.ndarray:
    """Compute coarse colour, the same for the mirrored image, and contrast: float32 [B, 9 * C]."""
    bins = _bins(4, images.shape[1])
    values = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    grid = bins @ values @ bins.T
    symmetric = (grid + grid[..., ::-1])[..., :2].reshape(len(images), -1)
    return np.concatenate([symmetric, values.std(axis=(2, 3))], axis=1)
