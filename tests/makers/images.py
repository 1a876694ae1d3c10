"""Pictures of seeded pixels, and files of them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from kiln.modalities.image import pictures


def noise(seed: int, height: int = 8, width: int = 8, channels: int = 1) -> np.ndarray:
    """Seeded pixels: uint8 [height, width, channels]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def png(seed: int, **shape) -> bytes:
    return pictures.encode_png(noise(seed, **shape))


def write_photos(folder: Path, per_class: int = 12) -> None:
    """Write three classes of telling colours in mixed sizes, as PNG and JPEG."""
    for number, (name, color) in enumerate(
        {"blue": (20, 40, 200), "green": (30, 180, 40), "red": (210, 30, 30)}.items()
    ):
        (folder / name).mkdir(parents=True)
        for index in range(per_class):
            generator = np.random.default_rng(1000 * number + index)
            height, width = generator.integers(40, 90, 2)
            pixels = np.clip(generator.normal(color, 40, (height, width, 3)), 0, 255).astype(np.uint8)
            suffix = "png" if index % 2 else "jpg"
            Image.fromarray(pixels).save(folder / name / f"{index:02d}.{suffix}")


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
