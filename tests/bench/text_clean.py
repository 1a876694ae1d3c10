"""How time and memory of the whole stage clean grow with the number of texts.

    python tests/bench/text_clean.py [--texts 10000 100000 1000000]

Texts are those of text_copies.py, one in fifty a copy of the text before it, with three
words of their class, of ten; one label in twenty is wrong. Time is that of the processor, so
that others on the machine do not count.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import memory
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import text_copies
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
CLASSES, OWN = 10, 300
MEASURE = """
import json, resource, runpy, sys
sys.argv = ["stages.clean"]
runpy.run_module("stages.clean", run_name="__main__")
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss]))
"""


def write(path: Path, count: int) -> None:
    """Write texts and labels as Parquet."""
    generator = np.random.default_rng(0)
    schema = pa.schema([("text", pa.string()), ("label", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for texts in text_copies.make(count, generator):
            truth, own = generator.integers(0, CLASSES, len(texts)), generator.integers(0, OWN, (len(texts), 3))
            copies = np.arange(1, len(texts), text_copies.EVERY)
            truth[copies], own[copies] = truth[copies - 1], own[copies - 1]
            given = np.where(generator.random(len(texts)) < 0.05, generator.integers(0, CLASSES, len(texts)), truth)
            words = [" ".join(f"c{label}w{word}" for word in row) for label, row in zip(truth, own, strict=True)]
            texts = [f"{text} {more}" for text, more in zip(texts, words, strict=True)]
            writer.write_table(pa.table({"text": texts, "label": [f"class {label}" for label in given]}, schema))


def run(project: Path, *code: str) -> str:
    """Run Python in the project; return what it prints."""
    done = subprocess.run([sys.executable, *code], cwd=project, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def clean(count: int) -> tuple[float, float]:
    """Run fetch, then clean with measure: seconds of a core and peak MB."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        for name in ("kiln", "stages", "recipes", "data/corrections.csv"):
            (project / name).parent.mkdir(exist_ok=True)
            (project / name).symlink_to(ROOT / name)
        run(project, "-m", "kiln", "recipe", "text")
        yaml = YAML()
        settings = yaml.load((project / "params.yaml").read_text())
        settings["fetch"]["path"] = str(project / "texts.parquet")
        with (project / "params.yaml").open("w") as file:
            yaml.dump(settings, file)
        write(project / "texts.parquet", count)
        run(project, "-m", "stages.fetch")
        lines = run(project, "-c", MEASURE).splitlines()
    seconds, peak = json.loads(lines[-1])
    peak = memory.megabytes(peak)
    print(f"{count:>9,} texts: {seconds:>7.1f} s of a core, peak {peak:>6,.0f} MB; {lines[-2]}", flush=True)
    return seconds, peak


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    sizes = parser.parse_args().texts
    measured = [(count, *clean(count)) for count in sizes]
    for (count, small, low), (more, large, high) in itertools.pairwise(measured):
        growth, memory_growth = large / small / (more / count), 1e6 * (high - low) / (more - count)
        print(f"{count:,} to {more:,}: time by linear growth {growth:.2f}, {memory_growth:,.0f} bytes more a text")


if __name__ == "__main__":
    main()
