"""Pictures that are alike as photographs are, and copies of them."""

import io

import cv2
import numpy as np
from PIL import Image

from makers.images import noise


def photographs(count: int, height: int = 32, width: int = 32, channels: int = 3, first: int = 0) -> np.ndarray:
    """Seeded pictures with structure of all sizes, as photographs have."""
    made = []
    for seed in range(first, first + count):
        layers = [
            cv2.resize(noise(100 * seed + side, side, side).astype(np.float32), (width, height)) * weight
            for side, weight in ((3, 0.5), (6, 0.3), (16, 0.2))
        ]
        picture = cv2.normalize(sum(layers), None, 0, 255, cv2.NORM_MINMAX)[:, :, None]
        tint = noise(seed, 1, 1, channels) / 510 + 0.5
        made.append((picture * tint).astype(np.uint8))
    return np.stack(made)


def things(count: int, side: int, first: int = 0) -> np.ndarray:
    """Different things of one kind on one bright ground, each with noise, blur and light of its own.

    A hand, say: an ellipse and five bars, whose places and lengths differ a little.
    """
    made = []
    for seed in range(first, first + count):
        generator = np.random.default_rng(seed)
        large = 4 * side
        mask = np.zeros((large, large), np.float32)
        middle = generator.normal([0.5, 0.65], 0.03)
        axes = generator.normal([0.17, 0.2], 0.015)
        cv2.ellipse(mask, (large * middle, 2 * large * axes, generator.normal(0, 8)), 1, -1)
        for finger in range(5):
            angle = np.radians(generator.normal(-150 + 30 * finger, 6))
            reach = generator.normal(0.42, 0.04)
            end = middle + reach * np.array([np.cos(angle), np.sin(angle)])
            ends = [tuple(int(large * place) for place in point) for point in (middle, end)]
            cv2.line(mask, *ends, 1, int(large * generator.normal(0.07, 0.006)))
        mask = cv2.resize(mask, (side, side), interpolation=cv2.INTER_AREA)[:, :, None]
        skin = np.array([190, 140, 110]) + generator.normal(0, 12, 3)
        light = 1 + 0.15 * np.linspace(-1, 1, side)[None, :, None] * generator.uniform(-1, 1)
        picture = (215 * (1 - mask) + skin * mask) * light * generator.uniform(0.85, 1.1)
        picture = cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.3, 0.8)) + generator.normal(0, 3, picture.shape)
        made.append(np.clip(picture, 0, 255).astype(np.uint8))
    return np.stack(made)


def crowd(image: np.ndarray, size: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Copies of an image: each moved by up to two pixels, encoded, and perhaps relit."""
    made = []
    for _ in range(size):
        across, along = generator.integers(-2, 3, 2)
        moved = cv2.warpAffine(
            image, np.float32([[1, 0, across], [0, 1, along]]), image.shape[1::-1], borderMode=cv2.BORDER_REFLECT
        )
        buffer = io.BytesIO()
        Image.fromarray(moved).save(buffer, "JPEG", quality=int(generator.integers(60, 96)))
        relit = np.asarray(Image.open(buffer)) * generator.uniform(0.9, 1.1)
        made.append(np.clip(relit, 0, 255).astype(np.uint8))
    return made
