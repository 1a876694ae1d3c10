"""Small datasets on disk, and what is fed from them to training."""

import numpy as np
import pyarrow as pa

from kiln.modalities import registry, views
from kiln.modalities.base import Part
from kiln.modalities.image.conversion import Conversion
from kiln.params import image as knobs
from kiln.store import dataset
from kiln.training.feeding import Feed
from makers.images import noise
from makers.settings import OFF

PLAIN = {"epochs": 3, "batch_size": 6, "schedule": "constant", "clip": "none"}


def image_plan(mode: str = "online", count: int = 1, **strengths) -> views.Plan:
    """The plan of one part, image; strengths that are not given are off."""
    return views.Plan(mode, count, {"image": "image"}, {"image": knobs.Augment(**{**OFF, **strengths})})


NO_POLICY = image_plan()
FLIPS = image_plan(flip=0.5)


def image_parts(shape=(8, 8, 1), fit: str = "crop") -> dict[str, Part]:
    """One part, image, of a shape."""
    return {"image": Part("image", registry.get("image"), Conversion(*shape, fit))}


def image_table(ids, labels, pixels, units=None) -> pa.Table:
    """A table of kind ``clean`` with one part, image."""
    return dataset.clean_table(image_parts(pixels.shape[1:]), ids, labels, {"image": pixels}, units)


def write_images(folder, tables, classes, shape=(8, 8, 1)) -> dataset.Dataset:
    """Write a dataset of kind ``clean`` with one part, image, and open it."""
    parts = {name: part.to_json() for name, part in image_parts(shape).items()}
    dataset.write(folder, tables, "clean", classes=list(classes), parts=parts)
    return dataset.open_dataset(folder, "clean")


def feed(folder, rows: int = 13, shift: int = 0, shape=(8, 8, 1)) -> Feed:
    """Noise in four classes, each image's label its number (and the shift) modulo 4."""
    pixels = np.stack([noise(i, *shape) for i in range(rows)])
    table = image_table([str(i) for i in range(rows)], (np.arange(rows) + shift) % 4, pixels)
    return Feed([(write_images(folder / str(shift), [("train", table)], "abcd", shape), "train")], 1.0)


def source(folder, rows: int = 30) -> dataset.Dataset:
    """Noise in seven classes, in row groups of seven."""
    pixels = np.stack([noise(i) for i in range(rows)])
    names = [f"{i}.png" for i in range(rows)]
    tables = [
        ("train", image_table(names[i : i + 7], np.arange(len(names[i : i + 7])), pixels[i : i + 7]))
        for i in range(0, rows, 7)
    ]
    return write_images(folder, tables, "abcdefg")


def whole(data: dataset.Dataset, *splits: str) -> dataset.Samples:
    """Read whole splits of kind ``clean``, one after the other."""
    batches = [batch for split in splits for batch in data.batches(split)]
    fixed = [np.concatenate([getattr(batch, name) for batch in batches]) for name in ("ids", "labels", "units")]
    parts = {name: np.concatenate([batch.parts[name] for batch in batches]) for name in data.parts}
    return dataset.Samples(*fixed, parts)
