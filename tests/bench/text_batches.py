"""How much sooner an epoch ends where texts of similar length share a batch.

    python tests/bench/text_batches.py TEXTS.parquet [--model bert] [--texts 2000] [--max-tokens 128]

TEXTS.parquet holds text and label. Trains on a sample of the texts, an epoch of random batches and one of
batches sorted by length in turn, twice, after one of each that is not counted; prints the better of the two
times of each, and their ratio. The network and the batches' sizes are the same.
"""

import argparse
import tempfile
import time
from pathlib import Path

import common
import numpy as np
import pandas as pd

from kiln import params
from kiln.modalities import registry as modalities
from kiln.modalities import views
from kiln.modalities.base import Part
from kiln.modalities.text import normalizer
from kiln.modalities.text.conversion import Conversion
from kiln.networks import registry
from kiln.params import text as knobs
from kiln.params.recipes import settings as settings_of
from kiln.store import dataset
from kiln.training import feeding, loop

ROUNDS = 3  # of both; the first compiles
OFF = views.Plan("offline", 1, {"text": "text"}, {"text": knobs.Augment()})


def write(folder: Path, frame: pd.DataFrame) -> dataset.Dataset:
    """Write texts as a dataset of kind ``clean``."""
    part = Part("text", modalities.get("text"), Conversion(bytes=100))
    labels, names = pd.factorize(frame["label"].astype(str), sort=True)
    ids = [str(number) for number in range(len(frame))]
    table = dataset.clean_table({"text": part}, ids, labels, {"text": frame["text"].to_numpy(object)})
    dataset.write(folder, [("train", table)], "clean", classes=list(names), parts={"text": part.to_json()})
    return dataset.open_dataset(folder, "clean")


def make_run(data: dataset.Dataset, settings: params.Train, max_tokens: int) -> loop.Run:
    """Make a training of these texts, whose tokenizer is fitted to them."""
    texts = next(feeding.Feed([(data, "train")], settings.memory).in_order(data.rows("train"))).parts["text"]
    fitted = {"text": normalizer.fit(normalizer.count(texts), knobs.Normalize(max_tokens=max_tokens))}
    how = registry.settle(settings, data.parts, fitted)
    network = registry.build(how, data.parts, len(data.classes), fitted)
    feed = feeding.Feed([(data, "train")], settings.memory, registry.make_encoders(how, data.parts, fitted))
    return loop.Run(network, feed, OFF, settings)


def time_epoch(run: loop.Run, together: int) -> float:
    """Train an epoch of batches of which so many are sorted together by length; return its seconds."""
    feeding.SORTED = together
    start = time.perf_counter()
    run.train_epoch()
    run.epoch, run.step, run.sums = run.epoch + 1, 0, [0.0, 0.0]
    return time.perf_counter() - start


def main() -> None:
    """Time both, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("--model", default="bert")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--max-tokens", type=int, default=128)
    options = parser.parse_args()
    frame = pd.read_parquet(options.table)
    frame = frame.sample(min(options.texts, len(frame)), random_state=0).reset_index(drop=True)
    settings = common.change(
        settings_of("text").train, model=options.model, optimizer="adam", lr=0.001, epochs=2 * ROUNDS
    )
    sorted_together = feeding.SORTED
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(write(Path(folder) / "texts", frame), settings, options.max_tokens)
        times = np.array([[time_epoch(run, together) for together in (1, sorted_together)] for _ in range(ROUNDS)])
    apart, together = times[1:].min(axis=0)
    print(f"{options.model}, {len(frame):,} texts of at most {options.max_tokens} tokens, in batches of", end=" ")
    print(f"{settings.batch_size}: an epoch takes {apart:.1f} s at random, {together:.1f} s by length:", end=" ")
    print(f"{apart / together:.2f} times as fast")


if __name__ == "__main__":
    main()
