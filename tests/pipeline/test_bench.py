import copy
import csv
import json
import re
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from makers.images import encoded, noise
from makers.projects import ROOT
from PIL import Image
from ruamel.yaml import YAML

from kiln.params import recipes


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests/bench")
    import ledger
    import tables

    return ledger, tables


LITTLE = ["fetch.limit=12", "train.epochs=1", "evaluate.resamples=100", "evaluate.robustness_samples=5"]
# Script -> what is changed in it and how it is called, for least work; {zip} and {csv} are files of images and labels.
SMALLEST = {
    "alike": ("COUNT = 40; SETS = {'hands': hand}", []),
    "article": ("", ["100", "1"]),
    "augment": ("IMAGES = 600", ["1"]),
    "clean": ("SIZES = 50, 60, 70", ["{zip}", "--growth"]),
    "coverage": ("SIZES = [20]", ["accuracy"]),
    "families": ("FAMILIES = {'lenet5': {}}; HELD_OUT = 20", ["{zip}", "--seconds", "1"]),
    "fetch": ("FEW = MANY = 1000", []),
    "growth": ("DISTINCT = 200; SIDES = [32]; TIMES = [2]", ["--seconds", "1"]),
    "guards": ("STAGES = 'fetch', 'clean'", []),
    "labels": ("", ["{zip}", "{csv}"]),
    "near_duplicates": ("EACH = 4", ["{zip}", "--sheet", "sheet.png"]),
    "recipe": ("SCRATCH = Path('scratch').absolute()", ["default", *LITTLE]),
    "spool": ("SIZES = [(64, 4)]", ["64"]),
    "startup": ("MODULES = 'kiln.cli', 'stages.train', 'tensorflow'", ["1"]),
    "stream": ("", ["0.01", "8"]),
    "target": ("", ["{zip}"]),
    "text_accuracy": ("SETS = {'texts': True}", ["{folder}", "--seeds", "0"]),
    "text_batches": ("ROUNDS = 2", ["{texts}", "--model", "fast_text", "--texts", "40"]),
    "text_clean": ("", ["--texts", "200", "300"]),
    "text_copies": ("", ["--texts", "200"]),
    "text_encoding": ("", ["{texts}"]),
    "text_labels": ("", ["{texts}", "--planted", "0.1"]),
}
FILES = {"zip": "images.zip", "csv": "labels.csv", "texts": "texts.parquet", "folder": "."}
RUN = """
import importlib, pathlib, sys
name, changes, bench = sys.argv.pop(1), sys.argv.pop(1), sys.argv.pop(1)
sys.path.insert(0, bench)
import ledger
script = importlib.import_module(name)
ledger.RESULTS = pathlib.Path("results")
exec(changes, vars(script))
script.main()
"""


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """A zip of random images in CIFAR-10's layout, a table of labels, every fifth of which is wrong, and texts."""
    folder = tmp_path_factory.mktemp("cifar")
    names = [
        f"{split}/{label}/{number:04}.jpg"
        for split, count in (("train", 12), ("test", 4))
        for label in range(10)
        for number in range(count)
    ]
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for seed, name in enumerate(names):
            archive.writestr(f"cifar10/{name}", encoded(Image.fromarray(noise(seed, 32, 32, 3)), "JPEG"))
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "human_label"])
        for number, name in enumerate(names):
            label = int(name.split("/")[1])
            table.writerow([name, label, label if number % 5 else 9 - label])
    words = np.random.default_rng(0).choice([f"word{number}" for number in range(300)], (200, 8))
    texts = pd.DataFrame({"text": [" ".join(row) for row in words], "label": ["a", "b"] * 100})
    texts.to_parquet(folder / "texts.parquet")
    return {name: str(folder / file) for name, file in FILES.items()}


@pytest.mark.full
@pytest.mark.parametrize("name", SMALLEST)
def test_each_bench_runs(name, cifar, tmp_path):
    # In a process of its own, whose peak of memory children would inherit.
    changes, words = SMALLEST[name]
    command = [sys.executable, "-c", RUN, name, changes, str(ROOT / "tests/bench")]
    words = [word.format(**cifar) for word in words]
    done = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert (tmp_path / "results").is_dir() == (name in ("families", "growth", "recipe", "target"))


def test_no_bench_is_left_out():
    scripts = {path.stem for path in (ROOT / "tests/bench").glob("*.py")}
    assert scripts == {*SMALLEST, "common", "ledger", "memory", "tables"}


CUT_OFF_ONCE = """
import pathlib, sys, time
time.sleep(0.4)
pathlib.Path("tries").open("a").write("{stage}")
if "{stage}" == "train" and pathlib.Path("tries").read_text() == "cleantrain":
    sys.exit(1)
pathlib.Path("metrics").mkdir(exist_ok=True)
pathlib.Path("metrics/metrics.json").write_text("{{}}")
"""


@pytest.fixture
def cut_off(monkeypatch, tmp_path):
    """A project of two stages, the second of which fails at its first try; returns (its folder, how to run it)."""
    monkeypatch.syspath_prepend(ROOT / "tests/bench")
    import recipe

    project = tmp_path / "project"
    (project / "stages").mkdir(parents=True)
    (project / "data").mkdir()
    (project / "data/corrections.csv").touch()
    (project / "stages/__init__.py").touch()  # or the installed package of that name would come first
    for stage in ("clean", "train"):
        (project / f"stages/{stage}.py").write_text(CUT_OFF_ONCE.format(stage=stage))
    monkeypatch.setattr(recipe, "ROOT", project)
    monkeypatch.setattr(recipe, "STAGES", ("clean", "train"))
    monkeypatch.setattr(recipe, "BEAT", 0.02)
    return project, lambda params: recipe.run(params, tmp_path / "scratch")


def test_a_recipe_goes_on_where_it_was_cut_off_and_counts_both_parts(cut_off, tmp_path):
    _, run = cut_off
    with pytest.raises(SystemExit, match="train failed"):
        run({"seed": 0})
    first = json.loads((tmp_path / "scratch/costs.json").read_text())
    assert first["clean"][1] and first["train"][1] is None and first["train"][0] > 0.2
    costs, metrics = run({"seed": 0})
    assert metrics == {}
    assert (tmp_path / "scratch/tries").read_text() == "cleantraintrain"
    assert costs["clean"] == first["clean"]
    assert costs["train"][0] > first["train"][0] + 0.4 and costs["train"][1] > 0


@pytest.mark.parametrize("change", ["params", "code", "corrections"])
def test_a_recipe_of_other_params_code_or_corrections_starts_anew(cut_off, tmp_path, change):
    project, run = cut_off
    with pytest.raises(SystemExit, match="train failed"):
        run({"seed": 0})
    if change == "code":
        (project / "stages/new.py").touch()
    if change == "corrections":
        (project / "data/corrections.csv").write_text("id,verdict\n")
    with pytest.raises(SystemExit, match="train failed"):  # at the first try of a folder
        run({"seed": int(change == "params")})
    assert (tmp_path / "scratch/tries").read_text() == "cleantrain"


def test_the_tables_of_benchmarks_are_those_of_the_results(bench):
    _, tables = bench
    text = (ROOT / "docs/benchmarks.md").read_text()
    assert tables.filled(text) == text
    damaged = re.sub(r"(\| )\d\d\.\d\d %", r"\g<1>99.99 %", text)
    assert damaged != text
    assert tables.filled(damaged) != damaged
    with pytest.raises(SystemExit, match="no place for the table recipes"):
        tables.filled(text.replace("<!-- results: recipes -->", ""))


def test_what_was_measured_is_found_again(bench, monkeypatch, tmp_path):
    ledger, _ = bench
    monkeypatch.setattr(ledger, "RESULTS", tmp_path / "results")
    assert ledger.find("recipes", recipe="a", seed=0) is None
    for seed, test in ((0, 0.5), (1, 0.75)):
        ledger.add("recipes", "python x.py, y", recipe="a", changes="", seed=seed, test=test)
    found = ledger.find("recipes", recipe="a", changes="", seed=1)
    assert found["test"] == "0.75" and found["command"] == "python x.py, y" and "cores of" in found["machine"]
    assert ledger.find("recipes", recipe="a", seed=2) is None
    assert len((tmp_path / "results/recipes.csv").read_text().splitlines()) == 3


def test_a_line_stays_valid_by_all_params_that_decide_about_the_accuracy(bench):
    ledger, _ = bench
    import recipe

    def params_of(name):
        return YAML(typ="safe").load(recipes.write(recipes.read(name)))

    for name in ("cifar10-best", "cifar10-10k"):
        assert ledger.find("recipes", recipe=name, changes="", params=recipe.digest(params_of(name)), seed=0)
    params = params_of("cifar10")
    before = recipe.digest(params)
    assert ledger.find("recipes", recipe="cifar10", changes="", params=before, seed=0)
    params["fetch"]["path"], params["train"]["seed"] = "elsewhere", 7
    assert recipe.digest(params) == before
    for section, part, key, value in (
        ("train", None, "precise_norm", True),
        ("train", "optimizer", "momentum", 0.7),
        ("clean", None, "near_duplicate", "drop"),
        ("clean", "image", "near_duplicate_score", 0.8),
        ("clean", None, "label_error", "drop"),
        ("clean", "image", "range", [0, 4095]),
        ("clean", "image", "metadata", "drop"),
    ):
        changed = copy.deepcopy(params)
        (changed[section][part] if part else changed[section])[key] = value
        assert recipe.digest(changed) != before, key


def test_the_spread_is_that_of_the_seeds(bench):
    _, tables = bench
    keys = {
        "recipe": "a",
        "changes": "",
        "params": "new",
        "test_flipped": "",
        "train_seconds": "60",
        "train_peak_mb": "900",
        "peak_mb": "1000",
        "all_seconds": "90",
    }
    keys |= {"test_low": "0.8", "test_high": "0.9", "command": "c", "date": "d", "machine": "m"}
    lines = tables.pd.DataFrame([{**keys, "seed": str(n), "test": value} for n, value in enumerate(("0.84", "0.86"))])
    earlier = {**keys, "params": "old", "seed": "0", "test": "0.1"}
    lines = tables.pd.concat([tables.pd.DataFrame([earlier]), lines])
    _, row = tables.recipes(lines)
    assert row[:3] == ("`a`", 2, "85.00 % ± 1.41")
