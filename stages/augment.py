"""Write the augmentation policy and, offline, views of the training samples."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from kiln import params
from kiln.core import entry, files, parallel, progress, randomness
from kiln.modalities import views
from kiln.modalities.base import Exhibit
from kiln.store import dataset

SOURCE = Path("data/clean")
OUTPUT = Path("data/augmented")
SAMPLES, SAMPLE_VIEWS = 8, 7


def make_keys(seed: int, ids: np.ndarray) -> np.ndarray:
    """Compute one key per sample for its views: uint64 [N]."""
    return randomness.key(seed, "augment", randomness.item_keys(ids))


def make_views(
    data: dataset.Dataset, plan: views.Plan, seed: int, workers: int | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Yield ("train", table) with ``plan.views`` views of every training sample; ids are ``<id>@<view>``."""

    def make_view(job: tuple[int, dataset.Samples]) -> tuple[str, pa.Table]:
        view, batch = job
        values = plan.apply(batch.parts, make_keys(seed, batch.ids), view)
        ids = [f"{name}@{view}" for name in batch.ids]
        return "train", dataset.clean_table(data.parts, ids, batch.labels, values, batch.units)

    jobs = ((view, batch) for view in range(plan.views) for batch in data.batches("train"))
    return parallel.ordered_map(make_view, jobs, workers)


def show_views(data: dataset.Dataset, plan: views.Plan, seed: int) -> dict[str, Exhibit]:
    """Show the first training samples: per part a sheet with one row per sample, the original first, then its views."""
    batch = next(data.batches("train"))
    values = {name: array[:SAMPLES] for name, array in batch.parts.items()}
    columns = [values]
    columns += [plan.apply(values, make_keys(seed, batch.ids[:SAMPLES]), view) for view in range(SAMPLE_VIEWS)]
    return {
        name: part.modality.sheet(np.stack([column[name] for column in columns], axis=1), 1 + SAMPLE_VIEWS)
        for name, part in data.parts.items()
    }


def main() -> None:
    """Augment the train split of data/clean/ by the augment section of params.yaml."""
    everything = params.load(uses="augment")
    settings, seed = everything.augment, everything.seed
    files.verify(SOURCE)
    data = dataset.open_dataset(SOURCE, "clean")
    plan = views.Plan(settings.mode, settings.views, everything.inputs, settings.parts)
    rows = data.rows("train") * plan.views * plan.offline
    with files.publish(OUTPUT) as folder:
        files.need_room(folder, rows * dataset.bytes_per_sample(data.parts))
        views.save(plan, folder)
        tables = make_views(data, plan, seed) if plan.offline else ()
        shown = progress.track(tables, "augment", rows, "views", size=lambda part: len(part[1]))
        dataset.write(folder, shown, "clean", classes=data.classes, parts=data.manifest["parts"])
        for name, sheet in show_views(data, plan, seed).items():
            files.write_bytes(folder / f"samples/{name}{sheet.suffix}", sheet.content)
        files.write_json(folder / "summary.json", {"active": plan.active, "mode": plan.mode, "views": rows})
    mode = plan.mode if plan.active else "off"
    print(f"augment: {mode}; {rows:,} views of {data.rows('train'):,} training samples written")


if __name__ == "__main__":
    entry.run(main, "augment", OUTPUT)
