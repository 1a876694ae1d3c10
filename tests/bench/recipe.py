"""Run a params file through all seven stages in a scratch folder and measure each.

python tests/bench/recipe.py [PARAMS] [section.key=value ...]

Prints seconds and peak memory a stage, and the test accuracy. Without
arguments: params.yaml, on the built-in digits.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("fetch", "clean", "augment", "normalize", "train", "evaluate", "report")


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; return its seconds and its peak resident memory in MB."""
    start = time.monotonic()
    process = subprocess.Popen(command, cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return time.monotonic() - start, usage.ru_maxrss / unit


def main() -> None:
    """Run and print."""
    source, *changes = sys.argv[1:] or [ROOT / "params.yaml"]
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(Path(source))
    for change in changes:
        key, value = change.split("=", 1)
        section, name = key.split(".")
        params[section][name] = yaml.load(value)
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(ROOT / "stages", Path(scratch, "stages"))
        Path(scratch, "data/source").mkdir(parents=True)
        yaml.dump(params, Path(scratch, "params.yaml"))
        rows = [(stage, *measured([sys.executable, "-m", f"stages.{stage}"], Path(scratch))) for stage in STAGES]
        metrics = json.loads(Path(scratch, "metrics/metrics.json").read_text())
    print(f"\n{'stage':<10} {'seconds':>8} {'peak MB':>8}")
    for stage, seconds, peak in rows:
        print(f"{stage:<10} {seconds:>8.1f} {peak:>8.0f}")
    print(f"{'all':<10} {sum(row[1] for row in rows):>8.1f} {max(row[2] for row in rows):>8.0f}")
    interval = metrics["test"]["accuracy_ci95"]
    print("test accuracy {:.2%}, 95 % interval {low:.2%} to {high:.2%}".format(metrics["test"]["accuracy"], **interval))


if __name__ == "__main__":
    main()
