"""Measure how long train takes to start, beside TensorFlow's own import.

python tests/bench/startup.py [TURNS]

Prints the medians of fresh interpreters, turn by turn: importing TensorFlow,
importing stages.train, each data stage, and the commands.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    "tensorflow",
    "stages.train",
    "stages.fetch",
    "stages.clean",
    "stages.augment",
    "stages.normalize",
    "kiln.cli",
)


def main() -> None:
    """Run and print."""
    turns = int(sys.argv[1]) if sys.argv[1:] else 7
    seconds = {module: [] for module in MODULES}
    for _ in range(turns):
        for module in MODULES:
            start = time.perf_counter()
            quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
            subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, env=quiet, check=True, stderr=-3)
            seconds[module].append(time.perf_counter() - start)
    for module in MODULES:
        print(f"{module:<17} {statistics.median(seconds[module]):5.2f} s")
    beyond = statistics.median(a - b for a, b in zip(seconds["stages.train"], seconds["tensorflow"], strict=True))
    print(f"stages.train beyond TensorFlow: {beyond:.2f} s")


if __name__ == "__main__":
    main()
