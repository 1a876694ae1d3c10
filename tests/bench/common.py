"""What the benches share: CIFAR-10 as arrays and as a dataset, networks for it, and the article's own code."""

import sys
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from kiln import params  # noqa: E402
from kiln.modalities import registry, views  # noqa: E402
from kiln.modalities.base import Part  # noqa: E402
from kiln.modalities.image.conversion import Conversion  # noqa: E402
from kiln.params.image import Augment  # noqa: E402
from kiln.store import dataset  # noqa: E402

# The article's network and how it compiles it; needs `from keras import Sequential, layers, losses`.
ARTICLE_NETWORK = """
model = Sequential([
    layers.Input((32, 32, 3)),
    layers.Conv2D(32, (3, 3), activation="relu"), layers.MaxPooling2D((2, 2)),
    layers.Conv2D(64, (3, 3), activation="relu"), layers.MaxPooling2D((2, 2)),
    layers.Conv2D(64, (3, 3), activation="relu"),
    layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10),
])
model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
"""


def change(settings: params.Train, **changes) -> params.Train:
    """Change the train section: ``optimizer="muon"`` is the name of that group, ``model_width=2.0`` a knob of one."""
    content = settings.model_dump()
    for key, value in changes.items():
        group, _, name = key.partition("_") if key.partition("_")[0] in ("model", "optimizer") else (key, "", "name")
        if isinstance(content.get(group), dict):
            content[group][name or "name"] = value
        else:
            content[key] = value
    return type(settings)(**content)


def unpack(archive: Path) -> dict[str, np.ndarray]:
    """Decode a zip of train/CLASS/*.jpg and test/CLASS/*.jpg, in an order shuffled by seed 0.

    Returns:
        train, test: uint8 [N, 32, 32, 3]; train_labels, test_labels: int32 [N].
    """
    arrays = {}
    with zipfile.ZipFile(archive) as images:
        names = sorted(name for name in images.namelist() if name.endswith(".jpg"))
        classes = sorted({name.split("/")[-2] for name in names})
        for split in ("train", "test"):
            chosen = np.random.default_rng(0).permutation([name for name in names if name.split("/")[-3] == split])
            pixels = [cv2.imdecode(np.frombuffer(images.read(name), np.uint8), cv2.IMREAD_COLOR_RGB) for name in chosen]
            arrays[split] = np.stack(pixels)
            arrays[f"{split}_labels"] = np.array([classes.index(name.split("/")[-2]) for name in chosen], np.int32)
    return arrays


def parts_of(shape: tuple[int, int, int], fit: str = "crop") -> dict[str, Part]:
    """One part, image, of a shape."""
    return {"image": Part("image", registry.get("image"), Conversion(*shape, fit))}


def plan_of(mode: str, count: int, **strengths) -> views.Plan:
    """The plan of one part, image; strengths that are not given are off."""
    off = dict.fromkeys(Augment.model_fields, 0)
    return views.Plan(mode, count, {"image": "image"}, {"image": Augment(**{**off, **strengths})})


def plan_by(settings: params.Params) -> views.Plan:
    """The plan that augment makes of a params file."""
    return views.Plan(settings.augment.mode, settings.augment.views, settings.inputs, settings.augment.parts)


def build(settings: params.Train, parts: Mapping[str, Part], fitted: dict, classes: int = 10):
    """Build the classifier of samples of one part, image, whose normaliser is ``fitted``."""
    from kiln.networks import registry as networks  # not above: TensorFlow takes seconds, and memory

    normalizers = {"image": fitted}
    return networks.build(networks.settle(settings, parts, normalizers), parts, classes, normalizers)


def write(folder: Path, splits: dict[str, tuple[np.ndarray, np.ndarray]]) -> dataset.Dataset:
    """Write a dataset as clean would: each split's pixels (uint8 [N, H, W, C]) and labels (0 to 9)."""
    shape = next(iter(splits.values()))[0].shape[1:]
    parts = parts_of(shape)
    size = dataset.rows_per_group(parts)

    def tables():
        for split, (pixels, labels) in splits.items():
            names = np.char.add(split, np.arange(len(labels)).astype(str))
            for start in range(0, len(labels), size):
                rows = slice(start, start + size)
                yield split, dataset.clean_table(parts, names[rows], labels[rows], {"image": pixels[rows]})

    return write_tables(folder, parts, tables())


def write_random(folder: Path, shape: tuple[int, int, int], images: int) -> dataset.Dataset:
    """Write a dataset of random images, all of train, of ten classes in turn."""
    generator, parts = np.random.default_rng(0), parts_of(shape)
    size = dataset.rows_per_group(parts)

    def tables():
        for start in range(0, images, size):
            count = min(size, images - start)
            pixels = generator.integers(0, 256, (count, *shape), dtype=np.uint8)
            names = [str(number) for number in range(start, start + count)]
            yield "train", dataset.clean_table(parts, names, np.arange(count) % 10, {"image": pixels})

    return write_tables(folder, parts, tables())


def write_tables(folder: Path, parts: Mapping[str, Part], tables: Iterable[tuple[str, pa.Table]]) -> dataset.Dataset:
    """Write a dataset of ten classes, and open it."""
    listed = {name: part.to_json() for name, part in parts.items()}
    dataset.write(folder, tables, "clean", classes=list("abcdefghij"), parts=listed)
    return dataset.open_dataset(folder, "clean")


def fitted(pixels: np.ndarray) -> dict:
    """Fit the normaliser `standard` to a tenth of the images."""
    values = pixels[::10].reshape(-1, pixels.shape[-1])
    return {"method": "standard", "offset": values.mean(0).tolist(), "scale": values.std(0).tolist()}
