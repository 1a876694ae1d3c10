"""Write the augmentation policy and, offline, views of the training images."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from kiln import params
from kiln.core import entry, files, parallel, progress, randomness
from kiln.modalities.image import augmentation, pictures
from kiln.store import dataset

SOURCE = Path("data/clean")
OUTPUT = Path("data/augmented")
SAMPLE_IMAGES, SAMPLE_VIEWS = 8, 7


def keys(seed: int, ids: np.ndarray) -> np.ndarray:
    """Keys of some images' views: uint64 [N]."""
    return randomness.key(seed, "augment", randomness.item_keys(ids))


def views(
    data: dataset.Dataset, plan: augmentation.Policy, seed: int, workers: int | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Yield ("train", table) with ``plan.views`` views of every training image; ids are ``<id>@<view>``."""

    def work(job):
        view, batch = job
        pixels = augmentation.apply(plan, batch.pixels, keys(seed, batch.ids), view)
        return "train", dataset.pixel_table([f"{name}@{view}" for name in batch.ids], batch.labels, pixels, batch.units)

    jobs = ((view, batch) for view in range(plan.views) for batch in data.batches("train"))
    return parallel.ordered_map(work, jobs, workers)


def sample_sheet(batch: dataset.Images, plan: augmentation.Policy, seed: int) -> bytes:
    """Draw a contact sheet (PNG): a row an image, the original first, then views of it."""
    pixels, ids = batch.pixels[:SAMPLE_IMAGES], batch.ids[:SAMPLE_IMAGES]
    columns = [pixels]
    for view in range(SAMPLE_VIEWS):
        columns.append(augmentation.apply(plan, pixels, keys(seed, ids), view))
    rows = np.stack(columns, axis=1).reshape(-1, *pixels.shape[1:])
    return pictures.contact_sheet(rows, 1 + SAMPLE_VIEWS)


def main() -> None:
    """Augment the train split of data/clean/ by the augment section of params.yaml."""
    everything = params.load()
    settings = everything.augment
    plan = augmentation.Policy(settings.mode, settings.views, **settings.parts["image"].model_dump())
    files.verify(SOURCE)
    data = dataset.open_dataset(SOURCE, "pixels")
    rows = data.rows("train") * plan.views * plan.offline
    with files.publish(OUTPUT) as folder:
        files.need_room(folder, rows * math.prod(data.image_shape))
        augmentation.save(plan, folder)
        tables = views(data, plan, everything.seed) if plan.offline else ()
        shown = progress.track(tables, "augment", rows, "views", size=lambda part: len(part[1]))
        dataset.write(folder, shown, "pixels", classes=data.classes, image_shape=data.image_shape)
        sheet = sample_sheet(next(data.batches("train")), plan, everything.seed)
        files.write_bytes(folder / "samples.png", sheet)
        files.write_json(folder / "summary.json", {"active": plan.active, "mode": plan.mode, "views": rows})
    mode = plan.mode if plan.active else "off"
    print(f"augment: {mode}; {rows:,} views of {data.rows('train'):,} training images written")


if __name__ == "__main__":
    entry.run(main, "augment", OUTPUT)
