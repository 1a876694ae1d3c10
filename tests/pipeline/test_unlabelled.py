"""Texts without labels on their way through the stages, and a pretraining that is killed."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from dvc.utils.hydra import apply_overrides
from makers.projects import STAGES
from makers.text_sources import write
from makers.texts import prose

from kiln.store import dataset

WORDS = {"sea": "boat wave fish salt shore tide", "hill": "rock peak snow pine path goat"}


@pytest.fixture
def texts(project):
    """A project of 80 texts of two classes, given test included, and 41 without labels in IMDB's layout."""
    folder = project.folder.parent / "texts"
    for number in range(80):
        name = ("sea", "hill")[number % 2]
        split = "test" if number < 20 else "train"
        words = np.random.default_rng(number).choice(WORDS[name].split(), 3)
        write(folder / split / name / f"{number}.txt", f"{prose(number, 9)} {' '.join(words)}")
    for number in range(40):
        write(folder / f"train/unsup/{number}_0.txt", prose(1000 + number, 12))
    leaked = (folder / "test/sea/0.txt").read_text()
    write(folder / "train/unsup/99_0.txt", leaked.upper())
    project.kiln("recipe", "text", "--force")
    settings = ["fetch.source.name=texts", f"fetch.path={folder}", f"fetch.unlabelled={folder}/train/unsup"]
    settings += ["train.model.name=gpt", "train.model.width=0.5", "+train.model.depth=1", "train.pretrain_epochs=2"]
    settings += ["train.epochs=2", "train.optimizer.name=adam", "train.lr=0.002", "normalize.text.vocabulary=600"]
    settings += ["evaluate.robustness_samples=0", "evaluate.mistakes=0", "evaluate.resamples=100"]

    apply_overrides(project.folder / "params.yaml", settings)
    return project


def summary(project, folder: str) -> dict:
    return json.loads((project.folder / f"data/{folder}/summary.json").read_text())


@pytest.mark.full
def test_they_reach_pretraining_and_the_report_but_no_copy_of_test_does(texts):
    for stage in STAGES:
        texts.call(stage)
    assert summary(texts, "raw")["unlabelled"]["samples"] == 41
    assert summary(texts, "raw")["samples"] == 80
    clean = summary(texts, "clean")
    assert clean["unlabelled"] == {"samples": 41, "kept": 40, "set_aside": {"copy_of_held_out": 1}}
    gone = pq.read_table(texts.folder / "data/clean/unlabelled_set_aside.parquet").to_pylist()
    assert gone == [{"id": "unlabelled/99_0.txt", "reason": "copy_of_held_out", "detail": "test/sea/0.txt"}]
    kept = dataset.open_dataset(texts.folder / "data/clean/unlabelled", "unlabelled")
    held = (texts.folder.parent / "texts/test/sea/0.txt").read_text().casefold()
    stored = [text for batch in kept.batches("train") for text in batch.parts["text"]]
    assert len(stored) == 40 and held not in [text.casefold() for text in stored]
    train = sum(clean["splits"]["train"].values())
    learnt = summary(texts, "model")["pretraining"]
    assert (learnt["samples"], learnt["epochs"], learnt["task"]) == (train + 40, 2, "next")
    assert summary(texts, "normalized") and len(learnt["written"]) == 6
    page = (texts.folder / "metrics/report.html").read_text()
    assert "Written by the model" in page and "41 texts without labels came besides" in page
    assert sum(sum(counts.values()) for counts in clean["splits"].values()) == clean["kept"] <= 80


@pytest.mark.full
def test_only_pretraining_sees_them(texts):
    """The tokenizer and everything else but the model is the same without them."""
    for stage in STAGES[:4]:
        texts.call(stage)
    with_them = (texts.folder / "data/normalized/normalizer.json").read_bytes()
    splits = [(texts.folder / f"data/clean/{split}/00000.parquet").read_bytes() for split in dataset.SPLITS]

    apply_overrides(texts.folder / "params.yaml", ["fetch.unlabelled=data/unlabelled"])
    for stage in STAGES[:4]:
        texts.call(stage)
    assert not (texts.folder / "data/raw/unlabelled").exists() and "unlabelled" not in summary(texts, "clean")
    assert (texts.folder / "data/normalized/normalizer.json").read_bytes() == with_them
    assert [(texts.folder / f"data/clean/{split}/00000.parquet").read_bytes() for split in dataset.SPLITS] == splits


@pytest.mark.full
def test_a_pretraining_that_is_killed_ends_as_if_it_had_not_been(texts):

    apply_overrides(texts.folder / "params.yaml", ["train.pretrain_epochs=400", "train.batch_size=16"])
    for stage in STAGES[:4]:
        texts.call(stage)
    kept = texts.folder / "data/.checkpoints"
    started = subprocess.Popen([sys.executable, "-m", "stages.train"], cwd=texts.folder, env=texts.environment)
    end = time.monotonic() + 300
    while not list(kept.glob("*/pretraining/*.npz")) and started.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(started.pid, signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    done = texts.stage("train")
    assert "resuming an interrupted pretraining after epoch" in done.stderr
    first = (texts.folder / "data/model/digests.json").read_bytes()
    assert not list(kept.glob("*"))
    assert "resuming" not in texts.stage("train").stderr
    assert (texts.folder / "data/model/digests.json").read_bytes() == first
