"""A simple model beside the network: fitted on train alone, scored on test as the network is."""

from collections.abc import Mapping

import numpy as np

from kiln.core import progress, randomness
from kiln.evaluation import comparison, scoring
from kiln.modalities.base import Part
from kiln.store import dataset

METRICS = ("accuracy", "recall", "f1")  # those that need no probabilities


def compare(
    data: dataset.Dataset, test: Mapping[str, np.ndarray], units: np.ndarray, resamples: int, seed: int
) -> dict:
    """Fit the baseline of the samples' modality and compare it with the network on test.

    Args:
        data: of clean.
        test: the network's result of ``predictions.predict_split`` on test.
        units: int [N], of the test samples.
        resamples: of the intervals.
        seed: of the pipeline.

    Returns:
        ``baseline``: fitted_on (number of training samples), METRICS with their intervals, lost and won (test samples
        that only the baseline, and that only the network, classifies correctly), p (that neither is better, by
        ``comparison.mcnemar``); nothing for modalities without a baseline, and for samples of several parts.
    """
    (name, part), *others = data.parts.items()
    if others or part.modality.baseline is None:
        return {}
    rows = choose_rows(part, data.rows("train"), seed)
    predict = part.modality.baseline.fit(*_read(data, name, rows))
    batches = progress.track(data.batches("test"), "evaluate baseline", data.rows("test"), size=len)
    predicted = np.concatenate([predict(batch.parts[name]) for batch in batches])
    certain = np.eye(len(data.classes), dtype=np.float32)[predicted]
    scored, _ = scoring.score(test["labels"], certain, data.classes, resamples, seed, units)
    paired = comparison.mcnemar(predicted == test["labels"], test["probabilities"].argmax(1) == test["labels"], units)
    metrics = {key: scored[key] for metric in METRICS for key in (metric, f"{metric}_ci95")}
    return {
        "baseline": {"fitted_on": len(rows), **metrics, "lost": paired.lost, "won": paired.won, "p": paired.p},
    }


def choose_rows(part: Part, count: int, seed: int) -> np.ndarray:
    """Choose the rows of train to fit on: all, or as many as the baseline allows, at random; ascending."""
    about = part.modality.baseline
    most = min(about.most, max(1, about.most_bytes // part.storage.bytes_per_sample))
    if count <= most:
        return np.arange(count)
    return np.sort(randomness.generator(seed, "evaluate", "baseline").permutation(count)[:most])


def _read(data: dataset.Dataset, name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, labels, start = [], [], 0
    for batch in data.batches("train"):
        here = rows[(rows >= start) & (rows < start + len(batch))] - start
        values.append(batch.parts[name][here])
        labels.append(batch.labels[here])
        start += len(batch)
    return np.concatenate(values), np.concatenate(labels)
