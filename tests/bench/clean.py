"""How fast clean is beside CleanVision, and how its time and memory grow.

    python tests/bench/clean.py IMAGES.zip [--growth]

Without --growth: 60,000 images of IMAGES.zip (32 x 32 pixels, such as CIFAR-10)
without the label checks, and CleanVision (`python -m pip install cleanvision`)
on the same where it is installed. With it: all checks on 6,000, 60,000 and
240,000 images; those beyond IMAGES.zip are mixtures of two, one of them turned,
so that they are no copies.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import memory
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
SIZES = (6_000, 60_000, 240_000)
MEASURE = """
import json, resource, runpy, sys, time
start = time.perf_counter()
sys.argv = ["stages.clean"]
runpy.run_module("stages.clean", run_name="__main__")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([time.perf_counter() - start, peak]))
"""


def encode(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def write(path: Path, count: int, names: list[str], contents: list[bytes]) -> None:
    """Write a Parquet of ``count`` JPEGs, the first of them as they are, in a seeded order."""
    generator = np.random.default_rng(0)
    order = generator.permutation(len(names))
    schema = pa.schema([("image", pa.struct([("bytes", pa.binary())])), ("label", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, count, 1000):
            rows = []
            for place in range(start, min(start + 1000, count)):
                own = order[place % len(order)]
                content = contents[own]
                if place >= len(order):
                    one, two = (
                        np.asarray(Image.open(io.BytesIO(contents[n])).convert("RGB"))
                        for n in (own, generator.choice(order))
                    )
                    content = encode((0.55 * np.rot90(one) + 0.45 * two).astype(np.uint8))
                rows.append({"image": {"bytes": content}, "label": Path(names[own]).parent.name})
            writer.write_table(pa.Table.from_pylist(rows, schema))


def run(project: Path, *code: str) -> str:
    done = subprocess.run([sys.executable, *code], cwd=project, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def clean(count: int, names: list[str], contents: list[bytes], with_labels: bool) -> tuple[float, float]:
    """Run fetch, then clean with measure: seconds and peak MB."""
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        for name in ("kiln", "stages", "data/corrections.csv"):
            (project / name).parent.mkdir(exist_ok=True)
            (project / name).symlink_to(ROOT / name)
        yaml = YAML()
        settings = yaml.load((ROOT / "params.yaml").read_text())
        settings["fetch"].update(
            source={"name": "parquet"}, path=str(project / "images.parquet"), image={"column": "auto"}
        )
        if not with_labels:
            settings["clean"].update(label_error="keep", outlier="keep")
        with (project / "params.yaml").open("w") as file:
            yaml.dump(settings, file)
        write(project / "images.parquet", count, names, contents)
        run(project, "-m", "stages.fetch")
        lines = run(project, "-c", MEASURE).splitlines()
    seconds, peak = json.loads(lines[-1])
    peak = memory.megabytes(peak)
    print(
        f"{count:>9,} images: {seconds:>7.1f} s, {count / seconds:>6,.0f} a second, peak {peak:>6,.0f} MB; {lines[-2]}",
        flush=True,
    )
    return seconds, peak


def cleanvision(archive: str) -> None:
    """Time CleanVision's checks on the unpacked images."""
    try:
        from cleanvision import Imagelab
    except ImportError:
        print("CleanVision is not installed")
        return
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(archive) as source:
        source.extractall(scratch)
        start = time.perf_counter()
        lab = Imagelab(data_path=scratch)
        lab.find_issues(verbose=False)
        seconds = time.perf_counter() - start
        print(f"CleanVision: {seconds:.0f} s, {len(lab.issues) / seconds:,.0f} a second")
        print(lab.issue_summary.to_string())


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("archive")
    parser.add_argument("--growth", action="store_true", help="6,000, 60,000 and 240,000 images, all checks")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.archive) as source:
        names = [name for name in source.namelist() if name.endswith(".jpg")]
        contents = [source.read(name) for name in names]
    if not arguments.growth:
        clean(SIZES[1], names, contents, with_labels=False)
        cleanvision(arguments.archive)
        return
    (small, _), (middle, peak), (large, largest) = (clean(count, names, contents, True) for count in SIZES)
    print(
        f"time by linear growth: {middle / small / 10:.2f} from 6,000 to 60,000, "
        f"{large / middle / 4:.2f} from 60,000 to 240,000"
    )
    print(f"peak memory, 240,000 by 60,000: {largest / peak:.2f}")
    slope = (large - middle) / (SIZES[2] - SIZES[1])
    print(f"a million at the growth from 60,000 to 240,000: {(large + slope * (1e6 - SIZES[2])) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
