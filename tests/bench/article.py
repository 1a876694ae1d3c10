"""Time and memory of the article's own code against Kiln's stage, turn by turn.

python tests/bench/article.py [IMAGES] [TURNS]

IMAGES seeded random images of 32x32x3 (10,000 by default) are trained for one
epoch by the article's code (float64 pixels divided by 255, Keras' `fit`) and by
Kiln's `fit` (uint8, the first layer divides), each in a process of its own, in
turn. Prints seconds of fitting, peak memory, and their ratios.
"""

import json
import os
import statistics
import subprocess
import sys

import common
import memory

DATA = """
import json, os, resource, sys, time
import numpy as np
random = np.random.default_rng(0)
rows = int(sys.argv[1])
pixels = random.integers(0, 256, (rows, 32, 32, 3), dtype=np.uint8)
labels = random.integers(0, 10, rows).astype(np.int32)
held = rows // 10
"""

ARTICLE = """
from keras import Sequential, layers, losses
pixels = pixels / 255.0
"""

ARTICLE_FIT = """
start = time.monotonic()
model.fit(pixels[held:], labels[held:], epochs=1, validation_data=(pixels[:held], labels[:held]), verbose=0)
"""

KILN = """
sys.path.insert(0, "tests/bench")
import tempfile
from pathlib import Path
import common
from kiln.params import recipes
from kiln.training import feeding, loop
recipe = recipes.settings("cifar10-article")
settings = recipe.train.model_copy(update={"epochs": 1})
normalizer = {"method": "minmax", "offset": [0.0] * 3, "scale": [255.0] * 3}
with tempfile.TemporaryDirectory() as scratch:
    splits = {"train": (pixels[held:], labels[held:]), "validation": (pixels[:held], labels[:held])}
    data = common.write(Path(scratch, "data"), splits)
    del pixels, splits
    feeds = [feeding.Feed([(data, split)], settings.memory) for split in ("train", "validation")]
model = common.build(settings, data.parts, normalizer)
start = time.monotonic()
loop.fit(model, *feeds, common.plan_by(recipe), settings)
"""

END = """
seconds = time.monotonic() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([seconds, peak]))
"""


def measure(code: str, rows: str) -> list[float]:
    """Run one side in a fresh process; return seconds of fitting and peak MB."""
    command = [sys.executable, "-c", DATA + code + END, rows]
    done = subprocess.run(
        command, cwd=common.ROOT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True
    )
    if done.returncode:
        sys.exit(done.stderr.decode())
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return [seconds, memory.megabytes(peak)]


def main() -> None:
    """Measure in turns and print medians."""
    images, turns = (sys.argv[1:] + ["10000", "3"][len(sys.argv) - 1 :])[:2]
    runs = {"article": [], "kiln": []}
    for _ in range(int(turns)):
        runs["article"].append(measure(ARTICLE + common.ARTICLE_NETWORK + ARTICLE_FIT, images))
        runs["kiln"].append(measure(KILN, images))
    medians = {side: [statistics.median(values) for values in zip(*rows, strict=True)] for side, rows in runs.items()}
    for name, (seconds, peak) in medians.items():
        print(f"{name:<8} {seconds:7.1f} s per epoch of {images} images  {peak:7.0f} MB at the peak")
    time_ratio, memory_ratio = (a / b for a, b in zip(medians["kiln"], medians["article"], strict=True))
    print(f"kiln / article: time {time_ratio:.2f}, memory {memory_ratio:.2f} (medians of {turns} turns)")


if __name__ == "__main__":
    main()
