"""Small datasets on disk, and what is fed from them to training."""

import numpy as np

from kiln.modalities.image import augmentation
from kiln.store import dataset
from kiln.training.feeding import Feed
from makers.images import noise
from makers.settings import OFF

NO_POLICY = augmentation.Policy(mode="online", views=1, **OFF)
FLIPS = augmentation.Policy(mode="online", views=1, **{**OFF, "flip": 0.5})
PLAIN = {"epochs": 3, "batch_size": 6, "schedule": "constant", "clip": "none"}


def feed(folder, rows: int = 13, shift: int = 0, shape=(8, 8, 1)) -> Feed:
    """Noise in four classes, each image's label its number (and the shift) modulo 4."""
    pixels = np.stack([noise(i, *shape) for i in range(rows)])
    table = dataset.pixel_table([str(i) for i in range(rows)], (np.arange(rows) + shift) % 4, pixels)
    dataset.write(folder / str(shift), [("train", table)], "pixels", classes=list("abcd"), image_shape=shape)
    return Feed([(dataset.open_dataset(folder / str(shift), "pixels"), "train")], 1.0)


def source(folder, rows: int = 30):
    pixels = np.stack([noise(i) for i in range(rows)])
    names = [f"{i}.png" for i in range(rows)]
    tables = [
        ("train", dataset.pixel_table(names[i : i + 7], np.arange(len(names[i : i + 7])), pixels[i : i + 7]))
        for i in range(0, rows, 7)
    ]
    dataset.write(folder, tables, "pixels", classes=list("abcdefg"), image_shape=(8, 8, 1))
    return dataset.open_dataset(folder, "pixels")


def whole(data: dataset.Dataset, *splits: str) -> dataset.Images:
    """Read whole splits of kind ``pixels``, one after the other."""
    parts = [batch for split in splits for batch in data.batches(split)]
    return dataset.Images(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "labels", "units", "pixels"))
    )
