"""How the search for copies among texts grows, and how many planted copies it finds.

python tests/bench/text_copies.py [--texts 10000 100000 1000000] [--features]

Texts are 8 to 30 made words, frequent as in a language (Zipf), one in fifty a copy of
the text before it: equal but for case and blanks, or with one word left out. Each size
runs in a process of its own, from texts spooled to disk as clean does; the peak
memory is what this adds to that of a process that has imported everything. --features measures
the features for label errors as well.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import memory
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from kiln.core.components import components
from kiln.modalities.text import copies, features
from kiln.modalities.text.storage import TextStorage
from kiln.params.text import Clean

WORDS, EVERY, BATCH = 50_000, 50, 4096


def make(count: int, generator: np.random.Generator):
    """Yield batches of texts; every fiftieth copies the one before it."""
    lengths = generator.integers(2, 10, WORDS)
    letters = generator.choice(list("etaoinshrdlucmfwypvbgk"), lengths.sum(), p=_zipf(22))
    vocabulary = np.array(["".join(part) for part in np.split(letters, np.cumsum(lengths)[:-1])], object)
    for start in range(0, count, BATCH):
        sizes = generator.integers(8, 31, min(BATCH, count - start))
        words = vocabulary[generator.choice(WORDS, sizes.sum(), p=_zipf(WORDS))]
        parts = np.split(words, np.cumsum(sizes)[:-1])
        for place in range(1, len(parts), EVERY):
            equal = (place // EVERY) % 2
            parts[place] = [word.upper() for word in parts[place - 1]] if equal else parts[place - 1][:-1]
        yield np.array([" ".join(part) for part in parts], object)


def _zipf(count: int) -> np.ndarray:
    weights = 1 / np.arange(2, count + 2)
    return weights / weights.sum()


def measure(count: int, with_features: bool) -> str:
    """Search one set; describe it in a line."""
    storage, rows = TextStorage(100), np.arange(count)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.spool"
        with path.open("wb") as file:
            for values in make(count, np.random.default_rng(0)):
                storage.spool(values, file)
        values = storage.open_spool(path, count)
        before, start = memory.peak(), time.process_time()
        pairs = copies.find(values, rows, 0, Clean()).pairs
        seconds = time.process_time() - start
        line = f"{count:>10,} texts: copies {seconds:7.1f} s of a core, {memory.peak() - before:6,.0f} MB; "
        crowd = components(count, pairs["first"].to_numpy(), pairs["second"].to_numpy())
        planted = rows[rows % BATCH % EVERY == 1]
        line += f"{(crowd[planted] == crowd[planted - 1]).mean():.2%} of {len(planted):,} found, {len(pairs):,} pairs"
        if with_features:
            start = time.process_time()
            features.compute(values, rows, rows, np.random.default_rng(0))
            line += f"; features {time.process_time() - start:.1f} s, peak {memory.peak() - before:,.0f} MB"
    return line


def main() -> None:
    """Measure each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)  # in the process of one size
    options = parser.parse_args()
    if options.only:
        print(measure(options.only, options.features))
        return
    for count in options.texts:
        words = [sys.executable, __file__, "--only", str(count), *["--features"] * options.features]
        subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
