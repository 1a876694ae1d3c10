"""Networks for texts beside scikit-learn's TF-IDF and linear SVM: accuracy on test, seconds and memory.

python tests/bench/text_accuracy.py DATA [--sets sst2 ...] [--networks linear_text ...] [--seeds 0 1 2] [--splits 0 1 2]

DATA is the folder of the Parquet files. Each set runs through fetch, clean and normalize of the recipe `text` once
per split (a set with published splits has one), then each network through train and evaluate once per seed, in
a scratch folder. Seconds are of the whole stage train: by the clock, and of all cores. The SVM has scikit-learn's
own n-grams (words 1 to 3, characters 1 to 5, in two texts or more), is fitted on the same train, and runs in a
process of its own. Networks of tokens take the default optimiser (Adam), since the recipe's is for linear_text.
Prints a Markdown table, and each run as it ends.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

import memory
from common import ROOT
from ruamel.yaml import YAML

from kiln.params import recipes

SETS = {
    "sms-spam": True,  # whether there is no published split
    "sst2": False,
    "trec-questions": False,
    "clinc150": False,
    "zh-news-titles-20k": False,
    "zh-hotel-reviews": True,
    "ag-news-7600": True,
}
NETWORKS = ("linear_text", "fast_text", "text_cnn", "bert", "gpt")
# Of networks of tokens: the schema's own defaults, but for the epochs.
OF_TOKENS = {
    "optimizer": {"name": "adam"},
    "lr": 0.001,
    "clip": {"name": "global_norm"},
    "schedule": {"name": "linear"},
    "batch_size": 32,
    "epochs": 10,
}

SVM = """
import json, sys, time
from pathlib import Path
import numpy as np
sys.path.insert(0, ".")
from kiln.store import dataset
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC
data = dataset.open_dataset(Path("data/clean"), "clean")
texts, labels = {}, {}
for split in ("train", "test"):
    batches = list(data.batches(split))
    texts[split] = [text for batch in batches for text in batch.parts["text"]]
    labels[split] = np.concatenate([batch.labels for batch in batches])
words = TfidfVectorizer(ngram_range=(1, 3), token_pattern=r"\\w+|[^\\w\\s]", min_df=2, binary=True)
characters = TfidfVectorizer(ngram_range=(1, 5), analyzer="char", min_df=2, binary=True)
model = make_pipeline(make_union(words, characters), LinearSVC(random_state=0)).fit(texts["train"], labels["train"])
print(json.dumps((model.predict(texts["test"]) == labels["test"]).mean()))
"""


def run(words: list[str], folder: Path) -> tuple[str, dict[str, float]]:
    """Run a command in a folder; return what it printed, and its cost: seconds, seconds of all cores, peak MB."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as out:
        quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "DVC_STAGE": words[-1]}
        process = subprocess.Popen(words, cwd=folder, stdout=out, env=quiet)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"{' '.join(words)[:80]} failed in {folder}")
        out.seek(0)
        printed = out.read().decode()
    cost = {"seconds": time.monotonic() - start, "cores": usage.ru_utime + usage.ru_stime}
    return printed, {**cost, "mb": memory.megabytes(usage.ru_maxrss)}


def lay(folder: Path, params: dict) -> None:
    """Lay out a project with these params."""
    for name in ("kiln", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data").mkdir()
    shutil.copy(ROOT / "data/corrections.csv", folder / "data")
    write(folder, params)


def write(folder: Path, params: dict) -> None:
    """Write params.yaml."""
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(params, file)


def choose(source: Path, split: int) -> dict:
    """Return the recipe's params for a set; findings that change no split are not searched for."""
    params = YAML(typ="safe", pure=True).load(recipes.write(recipes.read("text")))
    params["fetch"]["path"], params["seed"] = str(source), split
    params["clean"] |= {"label_error": "keep", "outlier": "keep"}
    params["evaluate"] |= {"robustness_samples": 0, "mistakes": 0}
    return params


def train(folder: Path, params: dict, network: str, seed: int) -> dict:
    """Train and evaluate one network with one seed: accuracies on validation and test, and the cost of train."""
    section = {**params["train"], **(OF_TOKENS if network != "linear_text" else {}), "seed": seed}
    section["model"] = {"name": network}
    write(folder, {**params, "train": section})
    _, cost = run([sys.executable, "-m", "stages.train"], folder)
    run([sys.executable, "-m", "stages.evaluate"], folder)
    scored = json.loads((folder / "data/evaluation/summary.json").read_text())
    return {**{split: scored[split]["accuracy"] for split in ("validation", "test")}, **cost}


def measure(source: Path, networks: list[str], seeds: list[int], split: int) -> dict[str, list[dict]]:
    """Measure one set under one split: network (or ``svm``) -> its runs."""
    with tempfile.TemporaryDirectory() as scratch:
        folder, params = Path(scratch, "project"), choose(source, split)
        lay(folder, params)
        for stage in ("fetch", "clean", "augment", "normalize"):
            run([sys.executable, "-m", f"stages.{stage}"], folder)
        printed, cost = run([sys.executable, "-c", SVM], folder)
        runs = {"svm": [{"test": float(printed.splitlines()[-1]), **cost}]}
        print(f"{source.stem} split {split} svm {runs['svm'][0]}", flush=True)
        for network in networks:
            runs[network] = []
            for seed in seeds:
                runs[network].append(train(folder, params, network, seed))
                print(f"{source.stem} split {split} {network} seed {seed} {runs[network][-1]}", flush=True)
    return runs


def tabulate(results: dict[str, dict[str, list[dict]]], networks: list[str]) -> str:
    """Lay the means out as Markdown, a row per set: accuracy; seconds by the clock and of all cores; peak MB."""
    names = [*networks, "svm"]
    lines = [f"| set | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for name, runs in results.items():
        cells = [{key: mean(one[key] for one in runs[each]) for key in runs[each][0]} for each in names]
        texts = ["{test:.2%}; {seconds:.0f} s, {cores:.0f} s of a core; {mb:,.0f} MB".format(**cell) for cell in cells]
        lines.append(f"| {name} | {' | '.join(texts)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure each set, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["linear_text"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--splits", nargs="+", type=int, default=[0], help="seeds of the splits that are not published")
    options = parser.parse_args()
    results = {}
    for name in options.sets:
        for split in options.splits if SETS[name] else [0]:
            runs = measure(options.data / f"{name}.parquet", options.networks, options.seeds, split)
            for network, more in runs.items():
                results.setdefault(name, {}).setdefault(network, []).extend(more)
    print(tabulate(results, options.networks))


if __name__ == "__main__":
    main()
