"""Train on a set larger than memory: speed and memory over two hundred steps.

python tests/bench/stream.py [GB] [STEPS]

Makes a set of GB (40) gigabytes of pixels, 64x64x3, from shards that its
manifest names again and again, and trains article_cnn on it with train.memory
0.5 GiB. Prints images a second and resident memory for each quarter of the
steps, and the same for a set that fits into memory.
"""

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import common
import numpy as np

from kiln import params
from kiln.core import files
from kiln.networks.backend import keras
from kiln.store import dataset
from kiln.training import loop
from kiln.training.feeding import Feed

SHAPE = (64, 64, 3)
NORMALIZER = {"method": "minmax", "offset": [0.0] * 3, "scale": [255.0] * 3}
PLAN = common.plan_of("online", 1)


def write_repeated(folder: Path, shape: tuple[int, int, int], images: int, times: int) -> dataset.Dataset:
    """Write random images of a shape, and have the manifest name their shards several times."""
    common.write_random(folder, shape, images)
    manifest = files.read_json(folder / dataset.MANIFEST)
    manifest["shards"] *= times
    files.write_json(folder / dataset.MANIFEST, manifest)
    return dataset.open_dataset(folder, "clean")


def train_until(run: loop.Run, enough: Callable[[], bool]) -> None:
    """Train on, epoch after epoch, until ``enough``, which is asked after each step, says so."""

    class Enough(Exception):
        pass

    def step_ended():
        if enough():
            raise Enough

    with contextlib.suppress(Enough):
        while True:
            run.train_epoch(step_ended)
            run.epoch, run.step = run.epoch + 1, 0


def resident() -> float:
    """Give this process' resident memory in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(folder: Path, gigabytes: float, memory: float, steps: int) -> None:
    """Train and print a line a quarter."""
    base = params.load(common.ROOT / "params.yaml").train
    settings = base.model_copy(update={"batch_size": 128, "memory": memory})
    images = round(min(gigabytes, 0.5) * 1e9 / np.prod(SHAPE))
    data = write_repeated(folder, SHAPE, images, round(gigabytes / min(gigabytes, 0.5)))
    feed = Feed([(data, "train")], memory)
    keras.utils.set_random_seed(0)
    run = loop.Run(common.build(settings, data.parts, NORMALIZER), feed, PLAN, settings)
    marks = []

    def enough():
        marks.append((time.perf_counter(), resident()))
        return len(marks) > steps

    start = time.perf_counter()
    train_until(run, enough)
    held = "streamed" if feed.whole is None else "in memory"
    print(f"{gigabytes:g} GB, {feed.rows:,} images, {held}; first step after {marks[0][0] - start:.1f} s")
    speeds = []
    for quarter in range(4):
        first, last = steps * quarter // 4, steps * (quarter + 1) // 4
        speeds.append((last - first) * run.sizes[0] / (marks[last][0] - marks[first][0]))
        peak = max(memory for _, memory in marks[first : last + 1])
        print(f"  steps {first:>3} to {last:>3}: {speeds[-1]:>6.0f} images a second, {peak:>6.0f} MB")
    print(f"  slowest quarter by fastest: {min(speeds) / max(speeds):.2f}")


def main() -> None:
    """Run and print."""
    gigabytes, steps = (*map(float, sys.argv[1:]), *(40, 200)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as scratch:
        measure(Path(scratch, "large"), gigabytes, 0.5, int(steps))
        measure(Path(scratch, "small"), min(0.4, gigabytes), 4.0, int(steps))


if __name__ == "__main__":
    main()
