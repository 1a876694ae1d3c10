"""Accuracy on corrupted test samples."""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from kiln.core import progress, randomness
from kiln.evaluation import proportions
from kiln.modalities.base import STRENGTHS, Part, qualify
from kiln.networks import artifact
from kiln.store import dataset


def read_first(data: dataset.Dataset, split: str, count: int) -> Iterator[dict[str, np.ndarray]]:
    """Stream the first ``count`` samples of a split, which is stored in shuffled order: part -> values."""
    for batch in data.batches(split):
        if not count:
            break
        yield {name: values[:count] for name, values in batch.parts.items()}
        count -= min(count, len(batch))


def list_cases(parts: Mapping[str, Part]) -> list[tuple[str | None, str, str, float]]:
    """List (part, corruption, strength, amount): first uncorrupted, then one part corrupted at a time."""
    return [(None, "none", "none", 0)] + [
        (name, corruption, strength, amount)
        for name, part in parts.items()
        for corruption, about in part.modality.corruptions.items()
        for strength, amount in zip(STRENGTHS, about.amounts, strict=True)
    ]


def score_corrupted(
    classifier: artifact.Classifier,
    batches: Iterable[Mapping[str, np.ndarray]],
    labels: np.ndarray,
    units: np.ndarray,
    seed: int,
) -> pd.DataFrame:
    """Score test samples under each corruption at each strength.

    Args:
        classifier: the model.
        batches: of samples, part -> values [n, ...]; one is held in memory at a time.
        labels: int [N].
        units: int [N], the same for samples that belong together.
        seed: of the corruptions.

    Returns:
        case ("corruption, strength"), corruption, strength, amount, accuracy, low, high (95 % interval); the first
        row is of the uncorrupted samples (none). No rows if there are no samples.
    """
    parts = classifier.parts
    cases = list_cases(parts)
    names = ["none" if part is None else qualify(parts, part, name) for part, name, _, _ in cases]
    # Each case's generator continues across batches: every sample is read once, but corrupted as if case by case.
    generators = [
        randomness.generator(seed, "evaluate", name, strength)
        for name, (_, _, strength, _) in zip(names, cases, strict=True)
    ]
    predictions = [[] for _ in cases]
    tracked = progress.track(batches, "evaluate corruptions", len(labels), size=_count)
    for values in tracked:
        for (part, name, strength, _), generator, predicted in zip(cases, generators, predictions, strict=True):
            changed = values
            if part is not None:
                changed = {**values, part: parts[part].modality.corrupt(values[part], name, strength, generator)}
            predicted.append(classifier.predict(changed).argmax(axis=1))
    table = []
    for name, (_, _, strength, amount), predicted in zip(
        names, cases if len(labels) else [], predictions, strict=False
    ):
        right = np.concatenate(predicted) == labels
        table.append((f"{name}, {strength}", name, strength, amount, right.mean(), *proportions.share(right, units)))
    return pd.DataFrame(table, columns=["case", "corruption", "strength", "amount", "accuracy", "low", "high"])


def _count(values: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(values.values())))


def summarize(table: pd.DataFrame, used: int) -> dict:
    """Nest accuracies under corruption: samples (their number), none, mean, and each corruption by strength."""
    corrupted = table.iloc[1:]
    by_name = {
        name: dict(zip(rows["strength"], rows["accuracy"], strict=True))
        for name, rows in corrupted.groupby("corruption", sort=False)
    }
    return {
        "samples": used,
        "none": table["accuracy"][0],
        "mean": float(corrupted["accuracy"].mean()),
        **by_name,
    }
