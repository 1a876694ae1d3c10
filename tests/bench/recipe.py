"""Run a recipe through all seven stages in a scratch folder, once a seed, and measure each stage.

python tests/bench/recipe.py [RECIPE] [section.key=value ...] [--seeds 0 1 2]

Prints seconds and peak memory a stage, and the test accuracy. A recipe other
than params.yaml (the default: the built-in digits) gets a line a train.seed in
results/recipes.csv; seeds that have theirs, by the same params, are skipped.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ledger
import memory
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
    return time.monotonic() - start, memory.megabytes(usage.ru_maxrss)


def run(params: dict) -> tuple[dict[str, tuple[float, float]], dict]:
    """Run all stages; return (seconds, peak MB) of each, and the metrics."""
    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(ROOT / "stages", Path(scratch, "stages"))
        Path(scratch, "data/source").mkdir(parents=True)
        shutil.copy(ROOT / "data/corrections.csv", Path(scratch, "data"))
        YAML(typ="safe", pure=True).dump(params, Path(scratch, "params.yaml"))
        costs = {stage: measured([sys.executable, "-m", f"stages.{stage}"], Path(scratch)) for stage in STAGES}
        return costs, json.loads(Path(scratch, "metrics/metrics.json").read_text())


def digest(params: dict) -> str:
    """Name what decides about the accuracy: eight hex digits of all params up to train, but for path and train.seed."""
    deciding = {name: params[name] for name in ("seed", "fetch", "clean", "augment", "normalize", "train")}
    deciding["fetch"] = {key: value for key, value in params["fetch"].items() if key != "path"}
    deciding["train"] = {key: value for key, value in params["train"].items() if key != "seed"}
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]


def tell(costs: dict[str, tuple[float, float]], metrics: dict) -> None:
    """Print a line a stage, and the test accuracy."""
    print(f"\n{'stage':<10} {'seconds':>8} {'peak MB':>8}")
    for stage, (seconds, peak) in costs.items():
        print(f"{stage:<10} {seconds:>8.1f} {peak:>8.0f}")
    seconds, peaks = zip(*costs.values(), strict=True)
    print(f"{'all':<10} {sum(seconds):>8.1f} {max(peaks):>8.0f}")
    for split in ("test", "test_flipped"):
        if split in metrics:
            interval = metrics[split]["accuracy_ci95"]
            figures = "{:.2%}, 95 % interval {low:.2%} to {high:.2%}".format(metrics[split]["accuracy"], **interval)
            print(f"{split} accuracy {figures}")


def main() -> None:
    """Run what has no line yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", nargs="?", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("changes", nargs="*", metavar="section.key=value")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(options.recipe)
    for change in options.changes:
        key, value = change.split("=", 1)
        section, name = key.split(".")
        params[section][name] = yaml.load(value)
    # Where the data lie makes no difference; what else was changed does.
    told = " ".join(change for change in options.changes if not change.startswith("fetch.path="))
    kept = options.recipe.parent.name == "recipes"
    for seed in options.seeds:
        key = {"recipe": options.recipe.stem, "changes": told, "params": digest(params), "seed": seed}
        if kept and (line := ledger.find("recipes", **key)):
            print(f"already measured, see results/recipes.csv: {line}")
            continue
        params["train"]["seed"] = seed
        costs, metrics = run(params)
        tell(costs, metrics)
        if not kept:
            continue
        flipped = metrics.get("test_flipped", {}).get("accuracy", "")
        low, high = (metrics["test"]["accuracy_ci95"][end] for end in ("low", "high"))
        words = [f"recipes/{options.recipe.name}", "fetch.path=/abs/cifar10-jpeg.zip", told, f"--seeds {seed}"]
        ledger.add(
            "recipes",
            " ".join(["python tests/bench/recipe.py", *filter(None, words)]),
            **key,
            parameters=metrics["model"]["parameters"],
            epochs=metrics["model"]["epochs"],
            train_seconds=round(costs["train"][0]),
            train_peak_mb=round(costs["train"][1]),
            all_seconds=round(sum(seconds for seconds, _ in costs.values())),
            peak_mb=round(max(peak for _, peak in costs.values())),
            validation=metrics["validation"]["accuracy"],
            test=metrics["test"]["accuracy"],
            test_low=low,
            test_high=high,
            test_flipped=flipped,
        )


if __name__ == "__main__":
    main()
