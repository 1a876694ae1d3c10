"""Time to the article's test accuracy on CIFAR-10, 69.2 %: its own network and loop against a Kiln recipe.

python tests/bench/target.py CIFAR10_JPEG_ZIP [--seeds 0 1 2]

Both train on all 50,000 training images, each in a process of its own, in turn,
and look at the test images after each epoch as the article does. The article's
code runs for its ten epochs; the time counts to the end of the first epoch that
reaches 69.2 %, or of the last. Kiln runs recipes/cifar10.yaml at width 0.5,
batch 128 and lr 0.12 for one epoch, as chosen on validation. A line a side and
seed goes into results/target.csv; those that are there are skipped.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import common
import ledger
import memory
import numpy as np

TARGET = 0.692

START = """
import json, resource, sys, time
import numpy as np
scratch, seed = sys.argv[1], int(sys.argv[2])
marks = []
"""

ARTICLE = """
from keras import Sequential, callbacks, layers, losses, utils
utils.set_random_seed(seed)
arrays = np.load(f"{scratch}/cifar10.npz")
train, test = arrays["train"] / 255.0, arrays["test"] / 255.0
"""

ARTICLE_FIT = """
start = time.monotonic()
mark = callbacks.LambdaCallback(on_epoch_end=lambda _, logs: marks.append((time.monotonic(), logs["val_accuracy"])))
model.fit(
    train, arrays["train_labels"], epochs=10, validation_data=(test, arrays["test_labels"]), verbose=0, callbacks=[mark]
)
"""

KILN = """
sys.path.insert(0, "tests/bench")
from pathlib import Path
import common
from kiln.params import recipes
from kiln.networks import registry
from kiln.store import dataset
from kiln.training import feeding, loop
from kiln.networks.backend import keras
recipe = recipes.settings("cifar10")
settings = common.change(recipe.train, model_width=0.5, batch_size=128, lr=0.12, epochs=1, seed=seed)
data = dataset.open_dataset(Path(scratch, "data"), "clean")
feeds = [feeding.Feed([(data, split)], settings.memory) for split in ("train", "test")]
normalizer = json.loads(Path(scratch, "normalizer.json").read_text())
keras.utils.set_random_seed(seed)
start = time.monotonic()
model = common.build(settings, data.parts, normalizer)
registry.prepare(model, feeds[0].first(registry.ADAPT_IMAGES), None)
mark = lambda row: marks.append((time.monotonic(), row["validation_accuracy"]))
loop.fit(model, *feeds, common.plan_by(recipe), settings, mark)
"""

END = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([[(moment - start, accuracy) for moment, accuracy in marks], peak]))
"""

SIDES = {"article": ARTICLE + common.ARTICLE_NETWORK + ARTICLE_FIT, "kiln": KILN}


def measure(side: str, scratch: str, seed: int) -> dict:
    """Run one side in a fresh process: seconds to the target, and what was reached then."""
    command = [sys.executable, "-c", START + SIDES[side] + END, scratch, str(seed)]
    done = subprocess.run(
        command, cwd=common.ROOT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True
    )
    if done.returncode:
        sys.exit(done.stderr.decode())
    marks, peak = json.loads(done.stdout.splitlines()[-1])
    peak = memory.megabytes(peak)
    seconds, accuracy = next((mark for mark in marks if mark[1] >= TARGET), marks[-1])
    return {"seconds": round(seconds, 1), "test": round(accuracy, 4), "last": round(marks[-1][1], 4), "mb": round(peak)}


def main() -> None:
    """Measure what has no line yet, and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    times = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as scratch:
        arrays = common.unpack(options.archive)
        np.savez(Path(scratch, "cifar10.npz"), **arrays)
        common.write(Path(scratch, "data"), {s: (arrays[s], arrays[f"{s}_labels"]) for s in ("train", "test")})
        Path(scratch, "normalizer.json").write_text(json.dumps(common.fitted(arrays["train"])))
        del arrays
        for seed in options.seeds:
            for side, values in times.items():
                line = ledger.find("target", side=side, seed=seed)
                if line is None:
                    line = measure(side, scratch, seed)
                    command = f"python tests/bench/target.py cifar10-jpeg.zip --seeds {seed}"
                    ledger.add("target", command, side=side, seed=seed, **line)
                print(side, line, flush=True)
                values.append(float(line["seconds"]))
    ratio = statistics.median(a / b for a, b in zip(times["article"], times["kiln"], strict=True))
    print(f"article / kiln: {ratio:.1f} times the seconds to {TARGET:.1%}")


if __name__ == "__main__":
    main()
