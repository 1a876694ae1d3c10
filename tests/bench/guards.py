"""What the guards against faults cost: the default run with and without them, and the digests' share of a stage.

python tests/bench/guards.py [BASE] [--turns 3] [--archive cifar10-jpeg.zip]

BASE is a commit from before the guards; both versions run all seven stages on
the built-in digits, turn by turn. With an archive the share of the digests in
clean and train is taken on it too (train: one epoch).
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from kiln.params import recipes  # noqa: E402

STAGES = ("fetch", "clean", "augment", "normalize", "train", "evaluate", "report")
# Runs a stage in this process and says which part of its time SHA-256 takes.
TIMED = """
import importlib, sys, time
from kiln.core import files
spent, own = 0.0, files.sha256
def timed(path):
    global spent
    start = time.perf_counter()
    try:
        return own(path)
    finally:
        spent += time.perf_counter() - start
files.sha256 = timed
stage = importlib.import_module("stages." + sys.argv.pop())
start = time.perf_counter()
stage.main()
whole = time.perf_counter() - start
print(f"SHARE {spent} {whole}")
"""


def checkout(commit: str, folder: Path) -> Path:
    """Check a commit out into a folder of its own."""
    subprocess.run(["git", "clone", "--quiet", "--no-checkout", ROOT, folder], check=True)
    subprocess.run(["git", "checkout", "--quiet", commit], cwd=folder, check=True)
    return folder


def seconds(folder: Path) -> float:
    """Run all stages; return the seconds that they take."""
    start = time.perf_counter()
    for stage in STAGES:
        command = [sys.executable, "-m", f"stages.{stage}"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def shares(folder: Path, archive: Path | None) -> None:
    """Print the share of SHA-256 in clean and train."""
    if archive:
        yaml = YAML()
        path = folder / "params.yaml"
        content = yaml.load(recipes.write(recipes.read("cifar10")))
        content["fetch"]["path"], content["train"]["epochs"] = str(archive.resolve()), 1
        with path.open("w") as file:
            yaml.dump(content, file)
    for stage in STAGES[:5]:
        command = [sys.executable, "-c", TIMED, stage]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        if stage in ("clean", "train"):
            spent, whole = map(float, done.stdout.rsplit("SHARE ", 1)[1].split())
            name = archive.name if archive else "digits"
            print(f"{stage} on {name}: digests take {spent:.2f} of {whole:.1f} s, {spent / whole:.2%}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", nargs="?", default="")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--archive", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        here = checkout("HEAD", Path(scratch, "here"))
        if options.base:
            before = checkout(options.base, Path(scratch, "before"))
            taken = [(seconds(before), seconds(here)) for _ in range(options.turns)]
            without, with_guards = (statistics.median(column) for column in zip(*taken, strict=True))
            print(f"seven stages on digits: {without:.1f} s before, {with_guards:.1f} s with guards")
            print(
                f"ratio, median of {options.turns} turns: {statistics.median(b / a for a, b in taken):.3f}", flush=True
            )
        shares(here, None)
        if options.archive:
            shares(here, options.archive)


if __name__ == "__main__":
    main()
