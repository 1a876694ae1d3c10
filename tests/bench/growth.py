"""How training fast_cnn grows with the number of images and with their size.

python tests/bench/growth.py [--seconds 40]

10,000 random images of 32, 64 and 128 pixels a side, named once, 5 and 50 times,
are trained on with the settings of recipes/cifar10.yaml at batch 128 (so that
128 pixels are no matter of memory for activations), each in a process of its
own. Counts images a second after the first five steps, for at least that many
seconds, and the process' peak memory. Sets beyond train.memory (4 GiB) are
streamed. A line each goes into results/growth.csv; those that are there are
skipped.
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

DISTINCT, SIDES, TIMES, WARM = 10_000, (32, 64, 128), (1, 5, 50), 5


def measure(side: int, times: int, seconds: float) -> dict:
    """Train for a while; give images a second, peak memory and whether the set was streamed."""
    from kiln.networks import registry
    from kiln.params import recipes
    from kiln.training import feeding, loop

    recipe = recipes.settings("cifar10")
    settings = recipe.train.model_copy(update={"batch_size": 128, "epochs": 100})
    shape = (side, side, 3)
    with tempfile.TemporaryDirectory() as scratch:
        data = stream.write_repeated(Path(scratch, "data"), shape, DISTINCT, times)
        feed = feeding.Feed([(data, "train")], settings.memory)
        classifier = common.build(settings, data.parts, stream.NORMALIZER)
        registry.prepare(classifier, feed.first(registry.ADAPT_IMAGES), None)
        marks = []

        def enough():
            marks.append(time.perf_counter())
            return len(marks) > WARM + 1 and marks[-1] - marks[WARM] > seconds

        run = loop.Run(classifier, feed, common.plan_by(recipe), settings)
        stream.train_until(run, enough)
    steps = len(marks) - 1 - WARM
    return {
        "images_a_second": round(steps * run.sizes[0] / (marks[-1] - marks[WARM])),
        "peak_mb": round(memory.peak()),
        "fed": "from memory" if feed.whole is not None else "streamed",
    }


def main() -> None:
    """Measure what has no line yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--only", nargs=2, type=int, help=argparse.SUPPRESS)  # in the process of one size
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(*options.only, options.seconds)))
        return
    for side in SIDES:
        for times in TIMES:
            key = {"side": side, "images": DISTINCT * times, "seconds": f"{options.seconds:g}"}
            if line := ledger.find("growth", **key):
                print(line)
                continue
            words = [sys.executable, __file__, "--only", str(side), str(times), "--seconds", str(options.seconds)]
            quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
            done = subprocess.run(words, stdout=subprocess.PIPE, env=quiet, check=True)
            line = json.loads(done.stdout.splitlines()[-1])
            print(side, DISTINCT * times, line, flush=True)
            ledger.add("growth", f"python tests/bench/growth.py --seconds {options.seconds:g}", **key, **line)


if __name__ == "__main__":
    main()
