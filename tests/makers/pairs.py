"""Samples of two parts, left and right: images of different shapes."""

import numpy as np

from kiln.modalities import views
from kiln.modalities.base import Part
from kiln.params import image as knobs
from kiln.store import dataset
from makers.images import noise
from makers.samples import parts_of
from makers.settings import OFF

RIGHT = (12, 10, 3)
FLIP_PAIRS = views.Plan(
    "online",
    1,
    dict.fromkeys(("left", "right"), "image"),
    dict.fromkeys(("left", "right"), knobs.Augment(**{**OFF, "flip": 0.5})),
)


def pair_parts(right=RIGHT) -> dict[str, Part]:
    return parts_of("left") | parts_of("right", shape=right)


def write_pairs(
    folder, rows: int = 50, group: int = 4, right=RIGHT, splits=("train",)
) -> tuple[dataset.Dataset, dict[str, np.ndarray]]:
    """Write noise in three classes, the same rows to each split; also give part -> values of the rows."""
    parts = pair_parts(right)
    values = {
        name: np.stack([noise(100 * number + row, *part.conversion.image_shape) for row in range(rows)])
        for number, (name, part) in enumerate(parts.items())
    }

    def tables():
        for split in splits:
            for start in range(0, rows, group):
                numbers = np.arange(start, min(start + group, rows))
                names = [f"{split}{row}" for row in numbers]
                chosen = {name: array[numbers] for name, array in values.items()}
                yield split, dataset.clean_table(parts, names, numbers % 3, chosen)

    listed = {name: part.to_json() for name, part in parts.items()}
    dataset.write(folder, tables(), "clean", classes=list("abc"), parts=listed)
    return dataset.open_dataset(folder, "clean"), values
