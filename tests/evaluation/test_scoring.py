import tracemalloc

import numpy as np
import pytest
from makers.predictions import LABELS, PROBABILITIES
from scipy.special import softmax

from kiln.evaluation import scoring


def test_score_by_hand():
    figures, table = scoring.score(LABELS, PROBABILITIES, list("abc"), 500, seed=0)
    assert figures["samples"] == 4
    assert figures["accuracy"] == 0.5
    assert figures["recall"] == pytest.approx(2 / 3)
    assert figures["precision"] == pytest.approx(1 / 3)
    assert figures["log_loss"] == pytest.approx(-np.log([0.8, 0.2, 0.9, 1e-7]).mean())
    for name in (name for name in figures if f"{name}_ci95" in figures):
        assert figures[f"{name}_ci95"]["low"] <= figures[name] + 1e-9
        assert figures[name] <= figures[f"{name}_ci95"]["high"] + 1e-9
    assert figures == scoring.score(LABELS, PROBABILITIES, list("abc"), 500, seed=0)[0]
    assert table["support"].tolist() == [1, 2, 1]


def test_tables():
    four = np.pad(PROBABILITIES, ((0, 0), (0, 1)))
    _, table = scoring.score(LABELS, four, list("abcd"), 100, seed=0)
    assert table["support"].tolist() == [1, 2, 1, 0]
    assert table["recall"].tolist() == [1, 0, 1, 0]
    for name in ("recall_low", "f1_low"):
        assert table[name].isna().tolist() == [False, False, False, True]
    pairs = scoring.confusion_table(LABELS, PROBABILITIES.argmax(axis=1), list("abc"))
    assert pairs.to_dict("records")[1] == {"label": "b", "prediction": "a", "samples": 1, "share": 0.5}
    assert pairs["samples"].sum() == 4


def test_the_pairs_of_many_classes_take_no_table():
    labels, names = np.arange(20) * 997, [str(number) for number in range(20_000)]
    tracemalloc.start()
    pairs = scoring.confusion_table(labels, np.roll(labels, 1), names)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(pairs) == 20 and peak < 50e6  # of the squared number 3.2 GB


def test_where_probabilities_are_0_the_logits_give_the_temperature():
    logits_ = np.zeros((40, 2), np.float32)
    logits_[:36, 0], logits_[36:, 1] = 200, 150
    output = {"labels": np.zeros(40, int), "units": np.arange(40), "probabilities": softmax(logits_, axis=1)}
    assert not output["probabilities"].all()
    blind, seeing = (scoring.score_calibrated(some, some) for some in (output, {**output, "logits": logits_}))
    assert seeing["temperature"] > 1.2 * blind["temperature"]
    assert seeing["temperature_ci95"]["low"] < seeing["temperature"] < seeing["temperature_ci95"]["high"]
