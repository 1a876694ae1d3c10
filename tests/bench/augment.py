"""Measure augmentation: views a second, and what making them while training costs.

python tests/bench/augment.py [TURNS]

Prints views of 32x32x3 a second on all cores, and the time of an epoch of
fast_cnn with augmentation by that without, medians of turns that alternate.
Images are random; 25,000 an epoch.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import common

from kiln import params
from kiln.networks.backend import keras
from kiln.training import loop
from kiln.training.feeding import Feed
from stages import augment

IMAGES = 25_000
OFF = dict.fromkeys(("rotate", "scale", "crop", "flip", "brightness", "contrast", "cutout"), 0.0)
USUAL = {**OFF, "crop": 0.0625, "flip": 0.5}
FULL = {**USUAL, "rotate": 15.0, "scale": 0.1, "brightness": 0.1, "contrast": 0.2, "cutout": 0.25}


def main() -> None:
    """Run and print."""
    turns = int(sys.argv[1]) if sys.argv[1:] else 5
    with tempfile.TemporaryDirectory() as scratch:
        data = common.write_random(Path(scratch, "data"), (32, 32, 3), IMAGES)
        for name, strengths in (("crop and flip", USUAL), ("everything", FULL)):
            plan = common.plan_of("offline", 2, **strengths)
            seconds = []
            for _ in range(turns):
                start = time.perf_counter()
                for _ in augment.make_views(data, plan, 0):
                    pass
                seconds.append(time.perf_counter() - start)
            print(f"{name}: {2 * IMAGES / statistics.median(seconds):,.0f} views of 32x32x3 a second")
        base = params.load(common.ROOT / "params.yaml").train
        settings = common.change(base, model="fast_cnn", batch_size=512, epochs=1 + 3 * turns)
        normalizer = {"method": "minmax", "offset": [0.0] * 3, "scale": [255.0] * 3}
        keras.utils.set_random_seed(0)
        feed = Feed([(data, "train")], settings.memory)
        plans = {
            "none": common.plan_of("online", 1),
            "crop and flip": common.plan_of("online", 1, **USUAL),
            "everything": common.plan_of("online", 1, **FULL),
        }
        run = loop.Run(common.build(settings, data.parts, normalizer), feed, plans["none"], settings)
        run.train_epoch()  # the first one compiles
        seconds = {name: [] for name in plans}
        for _ in range(turns):
            for name, plan in plans.items():
                run.plan, run.epoch, run.step = plan, run.epoch + 1, 0
                start = time.perf_counter()
                run.train_epoch()
                seconds[name].append(time.perf_counter() - start)
        for name in ("crop and flip", "everything"):
            ratio = statistics.median(a / b for a, b in zip(seconds[name], seconds["none"], strict=True))
            print(f"an epoch of fast_cnn with {name} on the way: {ratio:.3f} of the time without")


if __name__ == "__main__":
    main()
