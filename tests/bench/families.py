"""One model of each family under one budget: two minutes of fitting on CIFAR-10.

python tests/bench/families.py CIFAR10_JPEG_ZIP [--seconds 120] [--seed 0]

Of the 50,000 training images 5,000 are held out; the accuracy is on those. A few
steps tell how many images fit into the budget; the model then trains on all for
as many epochs, or on a random part of them for one, while the learning rate
falls linearly to zero. All have the augmentation of recipes/cifar10.yaml, and
Adam, whose learning rate is 0.001 (0.0003 for alexnet, deep and without
normalisation); fast_cnn has the recipe's Muon. A line each goes into
results/families.csv; those that are there are skipped.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common
import ledger
import memory
import stream

HELD_OUT, WARM, TIMED = 5000, 3, 12
USUAL = {"model_width": 1.0, "model_activation": "auto", "optimizer": "adam", "batch_size": 128, "lr": 0.001}
USUAL |= {"label_smoothing": 0.1}
FAMILIES = {
    "mlp": {},
    "lenet5": {},
    "article_cnn": {},
    "alexnet": {"lr": 0.0003},
    "vgg": {},
    "resnet": {},
    "wide_resnet": {},
    "vit": {},
    "applications/MobileNetV2": {},
    "fast_cnn": {
        "model_activation": "silu",
        "batch_size": 400,
        "optimizer": "muon",
        "lr": 0.12,
        "label_smoothing": 0.2,
    },
}


def fit(name: str, folder: Path, budget: float, seed: int) -> dict:
    """Train one family within the budget (seconds); give the line of it."""
    from kiln.networks import costs, registry
    from kiln.networks.backend import keras
    from kiln.params import recipes
    from kiln.store import dataset
    from kiln.training import feeding, loop

    recipe = recipes.settings("cifar10")
    settings = common.change(recipe.train, model=name, seed=seed, **{**USUAL, **FAMILIES[name]})
    data = dataset.open_dataset(folder, "clean")
    feed, held = (feeding.Feed([(data, split)], settings.memory) for split in ("train", "validation"))
    normalizer = json.loads((folder / "normalizer.json").read_text())
    if name.startswith("applications/"):
        normalizer = {"method": "none", "offset": [0.0], "scale": [1.0]}
    plan = common.plan_by(recipe)

    def fresh():
        keras.utils.set_random_seed(seed)
        classifier = common.build(settings, data.parts, normalizer)
        registry.prepare(classifier, feed.first(registry.ADAPT_IMAGES), None)
        return classifier

    def enough():
        marks.append(time.monotonic())
        return len(marks) == WARM + TIMED

    start, marks = time.monotonic(), []
    run = loop.Run(fresh(), feed, plan, settings)
    stream.train_until(run, enough)
    an_image = (marks[-1] - marks[WARM - 1]) / TIMED / run.sizes[0]
    fits = max(1, int((budget - (marks[0] - start)) / an_image))
    epochs = max(1, round(fits / feed.rows))
    images = min(feed.rows, fits // epochs)
    rows = feed.rows
    feed.whole, feed.rows = feed.whole[:images], images
    start, classifier = time.monotonic(), fresh()
    history, _ = loop.fit(classifier, feed, held, plan, settings.model_copy(update={"epochs": epochs}))
    seconds = time.monotonic() - start
    return {
        "optimizer": settings.optimizer.name,
        "parameters": classifier.count_params(),
        "multiply_adds": costs.multiply_adds(classifier),
        "epochs": epochs,
        "images": images,
        "fit_seconds": round(seconds, 1),
        "epoch_seconds": round(an_image * rows, 1),
        "validation": round(float(history["validation_accuracy"].iloc[-1]), 4),
        "peak_mb": round(memory.peak()),
    }


def main() -> None:
    """Measure what has no line yet, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help=argparse.SUPPRESS)  # in the process of one family
    options = parser.parse_args()
    if options.only:
        print(json.dumps(fit(options.only, options.archive, options.seconds, options.seed)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "data")
        for name in FAMILIES:
            key = {"family": name, "budget": f"{options.seconds:g}", "seed": options.seed}
            if line := ledger.find("families", **key):
                print(line)
                continue
            if not folder.exists():
                arrays = common.unpack(options.archive)
                pixels, labels = arrays["train"], arrays["train_labels"]
                common.write(
                    folder,
                    {
                        "train": (pixels[HELD_OUT:], labels[HELD_OUT:]),
                        "validation": (pixels[:HELD_OUT], labels[:HELD_OUT]),
                    },
                )
                Path(folder, "normalizer.json").write_text(json.dumps(common.fitted(pixels[HELD_OUT:])))
            words = [sys.executable, __file__, str(folder), "--only", name, "--seed", str(options.seed)]
            done = subprocess.run(
                [*words, "--seconds", str(options.seconds)],
                stdout=subprocess.PIPE,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            )
            if done.returncode:
                sys.exit(f"{name} failed")
            line = json.loads(done.stdout.splitlines()[-1])
            print(name, line, flush=True)
            command = (
                f"python tests/bench/families.py cifar10-jpeg.zip --seconds {options.seconds:g} --seed {options.seed}"
            )
            ledger.add("families", command, **key, **line)


if __name__ == "__main__":
    main()
