"""Run a recipe through all seven stages in a scratch folder, once per seed, and measure each stage.

python tests/bench/recipe.py [RECIPE] [section.key=value ...] [--seeds 0 1 2]

Prints seconds and peak memory per stage, and the test accuracy. RECIPE is a name
that `kiln recipe` lists; without one, the project's own params.yaml is run. A
recipe gets a line per train.seed in results/recipes.csv; seeds that have theirs,
with the same params, are skipped. An interrupted run resumes if code and params
are the same; its seconds are those of all its parts, lost work included.
"""

import argparse
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import ledger
import memory
from common import ROOT
from ruamel.yaml import YAML

from kiln.core import files
from kiln.params import knobs, recipes
from kiln.params.renames import RENAMED

PARAMS = ROOT / "params.yaml"
SCRATCH = Path(__file__).resolve().parent / "scratch"
BEAT = 5  # seconds between two notes of the time: what a kill may leave uncounted
STAGES = ("fetch", "clean", "augment", "normalize", "train", "evaluate", "report")


def measured(command: list[str], folder: Path, note: Callable[[float], None]) -> tuple[float, float]:
    """Run a command; return its seconds and its peak resident memory in MB.

    Args:
        command: the program and its arguments.
        folder: where to run it.
        note: called with the seconds so far, now and then.
    """
    start, ended = time.monotonic(), threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            note(time.monotonic() - start)

    clock = threading.Thread(target=beat, daemon=True)
    clock.start()
    # As under DVC, so that a stage ends with this process; else it would write on beside the next run.
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "DVC_STAGE": command[-1]})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # which it can't know by itself
    seconds = time.monotonic() - start
    ended.set()
    clock.join()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed: it ran in {folder}")
    return seconds, memory.megabytes(usage.ru_maxrss)


def contents(project: Path) -> dict[str, bytes]:
    """Read what a run depends on beside params and images: the code, and people's verdicts on images."""
    paths = [project / "data/corrections.csv", *project.glob("stages/**/*"), *project.glob("kiln/**/*")]
    found = [path for path in paths if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(project).as_posix(): path.read_bytes() for path in found}


def lay(scratch: Path, params: dict) -> None:
    """Lay out a project in an empty folder, unless the same one lies there, from a run that was cut off."""
    text = StringIO()
    YAML(typ="safe", pure=True).dump(params, text)
    wanted = {**contents(ROOT), "params.yaml": text.getvalue().encode()}
    written = scratch / "params.yaml"
    if written.exists() and {**contents(scratch), "params.yaml": written.read_bytes()} == wanted:
        return
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "data/source").mkdir(parents=True)
    for name, content in wanted.items():
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        (scratch / name).write_bytes(content)


def run(params: dict, scratch: Path) -> tuple[dict[str, tuple[float, float]], dict]:
    """Run all stages that have not ended yet; return (seconds, peak MB) of each, and the metrics."""
    lay(scratch, params)
    path, costs = scratch / "costs.json", {}
    if path.exists():
        costs = json.loads(path.read_text())

    def note(stage: str, before: float, seconds: float, peak: float | None = None) -> None:
        costs[stage] = before + seconds, peak  # of a stage that has ended, peak is known
        files.write_json(path, costs)

    for stage in STAGES:
        before, peak = costs.get(stage, (0.0, None))
        if peak is None:
            noted = functools.partial(note, stage, before)
            noted(*measured([sys.executable, "-m", f"stages.{stage}"], scratch, noted))
    return costs, json.loads((scratch / "metrics/metrics.json").read_text())


def flat(params: dict) -> dict[str, object]:
    """Give all knobs by the keys that they had when the first lines were measured, without groups and parts.

    Knobs that the chosen kinds do not have stood in every file with their defaults.
    """
    before = {new: old for old, new in RENAMED.items() if "plateau" not in old}
    values = {}
    for key, field in knobs(params["inputs"]).items():
        value = params
        for step in key.split("."):
            value = value.get(step, {}) if isinstance(value, dict) else value
        values[before.get(key, key)] = field.default if value == {} else value
    return values


def digest(params: dict) -> str:
    """Name what decides about the accuracy: eight hex digits of the params up to train.

    Without fetch.path, fetch.unlabelled and train.seed; and a key that came or changed after lines
    were measured, where it changes nothing, as it was then.
    """
    deciding = {name: {} for name in ("fetch", "clean", "augment", "normalize", "train")}
    for key, value in flat(params).items():
        section, _, name = key.partition(".")
        if section in deciding:
            deciding[section][name] = value
    deciding["seed"] = params["seed"]
    del deciding["fetch"]["path"], deciding["fetch"]["unlabelled"], deciding["train"]["seed"]
    if not deciding["train"]["precise_norm"]:
        del deciding["train"]["precise_norm"]
    if deciding["fetch"]["source.encoding"] == "auto":
        del deciding["fetch"]["source.encoding"]
    for key, nothing in (("text.tokenizer", "fitted"), ("text.tokenizer_sha256", "")):
        if deciding["normalize"].get(key) == nothing:
            del deciding["normalize"][key]
    if not deciding["train"].get("pretrain_epochs"):
        deciding["train"].pop("pretrain_epochs", None)
    clean = deciding["clean"]
    for key, nothing in (("near_duplicate_score", "auto"), ("range", "auto"), ("metadata", "flag")):
        if clean[key] == nothing:
            del clean[key]
    if clean["near_duplicate"] == "leaks":
        clean["near_duplicate"] = "flag"  # which did so when lines were measured
    if clean["label_error"] != "drop":
        clean["min_label_quality"] = 0.02
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]


def print_results(costs: dict[str, tuple[float, float]], metrics: dict) -> None:
    """Print a line per stage, and the test accuracy."""
    print(f"\n{'stage':<10} {'seconds':>8} {'peak MB':>8}")
    for stage, (seconds, peak) in costs.items():
        print(f"{stage:<10} {seconds:>8.1f} {peak:>8.0f}")
    seconds, peaks = zip(*costs.values(), strict=True)
    print(f"{'all':<10} {sum(seconds):>8.1f} {max(peaks):>8.0f}")
    for split in ("test", "test_flipped"):
        if split in metrics:
            interval = metrics[split]["accuracy_ci95"]
            text = "{:.2%}, 95 % interval {low:.2%} to {high:.2%}".format(metrics[split]["accuracy"], **interval)
            print(f"{split} accuracy {text}")


def name_of(text: str) -> str:
    """Check the name of a recipe, for argparse."""
    name = Path(text).stem
    if name not in recipes.names():
        raise argparse.ArgumentTypeError(f"there is no recipe {text!r}: choose one of {', '.join(recipes.names())}")
    return name


def main() -> None:
    """Run what has no line yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # Earlier lines name recipes/NAME.yaml.
    parser.add_argument("recipe", nargs="?", type=name_of, help=f"one of {', '.join(recipes.names())}")
    parser.add_argument("changes", nargs="*", metavar="section.key=value")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    options = parser.parse_args()
    yaml = YAML(typ="safe", pure=True)
    params = yaml.load(recipes.write(recipes.read(options.recipe)) if options.recipe else PARAMS.read_text())
    for change in options.changes:
        key, value = change.split("=", 1)
        *groups, name = key.split(".")
        functools.reduce(dict.__getitem__, groups, params)[name] = yaml.load(value)
    # Where the data lie makes no difference; what else was changed does.
    shown = " ".join(change for change in options.changes if not change.startswith("fetch.path="))
    for seed in options.seeds:
        key = {"recipe": options.recipe, "changes": shown, "params": digest(params), "seed": seed}
        if options.recipe and (line := ledger.find("recipes", **key)):
            print(f"already measured, see results/recipes.csv: {line}")
            continue
        params["train"]["seed"] = seed
        scratch = SCRATCH / f"{options.recipe or PARAMS.stem}-{key['params']}-{seed}"
        costs, metrics = run(params, scratch)
        print_results(costs, metrics)
        if not options.recipe:
            shutil.rmtree(scratch)
            continue
        flipped = metrics.get("test_flipped", {}).get("accuracy", "")
        low, high = (metrics["test"]["accuracy_ci95"][end] for end in ("low", "high"))
        words = [options.recipe, "fetch.path=/abs/cifar10-jpeg.zip", shown, f"--seeds {seed}"]
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
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
