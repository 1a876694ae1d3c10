import io

import cv2
import numpy as np
import pytest
from makers.images import noise
from PIL import Image

from kiln.modalities.image import corruptions

NAMES = list(corruptions.CORRUPTIONS)


def smooth(height: int, width: int, channels: int) -> np.ndarray:
    pictures = [cv2.GaussianBlur(noise(seed, height, width, channels), (0, 0), 2) for seed in range(12)]
    return np.stack(pictures).reshape(12, height, width, channels)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(32, 24, 3), (8, 8, 1), (1, 1, 3)])
def test_every_image_of_any_shape_is_changed_by_seed_alone(name, shape):
    pixels = smooth(*shape)
    before = pixels.copy()
    once, twice = (corruptions.corrupt(pixels, name, "strong", generator()) for _ in range(2))
    assert once.shape == pixels.shape and once.dtype == np.uint8
    assert (once == twice).all() and (pixels == before).all()
    if shape != (1, 1, 3):
        assert (once != pixels).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("name", NAMES)
def test_stronger_changes_more(name):
    pixels = smooth(32, 32, 3)
    changes = [
        np.abs(corruptions.corrupt(pixels, name, strength, generator()).astype(float) - pixels).mean()
        for strength in corruptions.STRENGTHS
    ]
    assert changes == sorted(changes) and len(set(changes)) == 3


def test_known_pixels():
    flat = np.full((40, 10, 10, 1), 100, np.uint8)
    lit = corruptions.corrupt(flat, "brightness", "medium", generator())
    assert set(np.unique(lit)) == {49, 151}
    covered = corruptions.corrupt(flat, "occlusion", "strong", generator())
    assert ((covered == 128).sum(axis=(1, 2, 3)) == 25).all()
    noisy = corruptions.corrupt(flat, "noise", "mild", generator())
    assert noisy.std() == pytest.approx(0.05 * 255, rel=0.05)
    half = flat.copy()
    half[:, 5:] = 200
    assert set(np.unique(corruptions.corrupt(half, "contrast", "medium", generator()))) == {130, 170}


@pytest.mark.parametrize("channels", [[0], [1], [2], [0, 1, 2], None])
def test_jpeg_is_that_of_another_library(channels):
    pixels = smooth(32, 32, 1 if channels is None else 3)
    if channels is not None:
        pixels[..., [channel for channel in range(3) if channel not in channels]] = 40
    ours = corruptions.corrupt(pixels, "jpeg", "strong", generator())
    for image, squeezed in zip(pixels.squeeze(), ours.squeeze(), strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=7, subsampling="4:2:0")
        # JPEG treats red, green and blue unlike: in another order, values are off by dozens.
        assert np.abs(np.asarray(Image.open(buffer), int) - squeezed).max() <= 2
