"""Time to the article's test accuracy on CIFAR-10, 69.2 %: its own network and loop against a Kiln recipe.

python tests/bench/target.py CIFAR10_JPEG_ZIP [--seeds 0 1 2]

Both train on all 50,000 training images, each in a process of its own, in turn,
and look at the test images after each epoch as the article does. The article's
code runs for its ten epochs; the time counts to the end of the first epoch that
reaches 69.2 %, or of the last. Kiln runs recipes/cifar10.yaml at width 0.5 for
two epochs. A line a side and seed goes into results/target.csv; those that are
there are skipped.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import cv2
import ledger
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TARGET = 0.692

START = """
import json, resource, sys, time
import numpy as np
scratch, seed = sys.argv[1], int(sys.argv[2])
arrays = np.load(f"{scratch}/cifar10.npz")
marks = []
"""

ARTICLE = """
from keras import Sequential, callbacks, layers, losses, utils
utils.set_random_seed(seed)
train, test = arrays["train"] / 255.0, arrays["test"] / 255.0
model = Sequential([
    layers.Input((32, 32, 3)),
    layers.Conv2D(32, (3, 3), activation="relu"), layers.MaxPooling2D((2, 2)),
    layers.Conv2D(64, (3, 3), activation="relu"), layers.MaxPooling2D((2, 2)),
    layers.Conv2D(64, (3, 3), activation="relu"),
    layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10),
])
model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
start = time.monotonic()
mark = callbacks.LambdaCallback(on_epoch_end=lambda _, logs: marks.append((time.monotonic(), logs["val_accuracy"])))
model.fit(
    train, arrays["train_labels"], epochs=10, validation_data=(test, arrays["test_labels"]), verbose=0, callbacks=[mark]
)
"""

KILN = """
from pathlib import Path
from stages import train
from stages.lib import dataset, feeding, models, params, policy
from stages.lib.backend import keras
recipe = params.load(Path("recipes/cifar10.yaml"))
settings = recipe.train.model_copy(update={"width": 0.5, "epochs": 2, "seed": seed})
folder = Path(scratch, "data")
if not folder.exists():
    names = {split: np.char.add(split, np.arange(len(arrays[split])).astype(str)) for split in ("train", "test")}
    tables = [(s, dataset.pixel_table(names[s], arrays[f"{s}_labels"], arrays[s])) for s in names]
    dataset.write(folder, tables, "pixels", classes=list("abcdefghij"), image_shape=(32, 32, 3))
data = dataset.open_dataset(folder, "pixels")
feeds = [feeding.Feed([(data, split)], settings.memory) for split in ("train", "test")]
values = arrays["train"].reshape(-1, 3)[::10]
fitted = {"method": "standard", "offset": values.mean(0).tolist(), "scale": values.std(0).tolist()}
keras.utils.set_random_seed(seed)
start = time.monotonic()
model = models.build(models.architecture(settings, data.image_shape, fitted), data.image_shape, 10, fitted)
models.prepare(model, feeds[0].first(train.ADAPT_IMAGES), None)
plan = policy.Policy(**recipe.augment.model_dump())
train.fit(model, *feeds, plan, settings, lambda row: marks.append((time.monotonic(), row["validation_accuracy"])))
"""

END = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
print(json.dumps([[(moment - start, accuracy) for moment, accuracy in marks], peak]))
"""

SIDES = {"article": ARTICLE, "kiln": KILN}


def unpack(archive: Path, target: Path) -> None:
    """Decode the archive's images into one file of arrays."""
    arrays = {}
    with zipfile.ZipFile(archive) as images:
        names = sorted(name for name in images.namelist() if name.endswith(".jpg"))
        classes = sorted({name.split("/")[-2] for name in names})
        for split in ("train", "test"):
            chosen = [name for name in names if name.split("/")[-3] == split]
            pixels = [cv2.imdecode(np.frombuffer(images.read(name), np.uint8), cv2.IMREAD_COLOR_RGB) for name in chosen]
            arrays[split] = np.stack(pixels)
            arrays[f"{split}_labels"] = np.array([classes.index(name.split("/")[-2]) for name in chosen], np.int32)
    np.savez(target, **arrays)


def measure(side: str, scratch: str, seed: int) -> dict:
    """Run one side in a fresh process: seconds to the target, and what was reached then."""
    command = [sys.executable, "-c", START + SIDES[side] + END, scratch, str(seed)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True)
    if done.returncode:
        sys.exit(done.stderr.decode())
    marks, peak = json.loads(done.stdout.splitlines()[-1])
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
        unpack(options.archive, Path(scratch, "cifar10.npz"))
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
