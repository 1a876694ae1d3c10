"""Accuracy on test images that are corrupted."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from kiln.core import progress, randomness
from kiln.evaluation import intervals
from kiln.modalities.image import corruptions
from kiln.networks import artifact, prediction
from kiln.store import dataset


def read_first(data: dataset.Dataset, split: str, count: int) -> Iterator[np.ndarray]:
    """Stream the first images of a split, in whose order the classes are mixed: uint8 [n, H, W, C], count in all."""
    for batch in data.batches(split):
        if not count:
            break
        yield batch.pixels[:count]
        count -= min(count, len(batch.pixels))


def score_corrupted(
    classifier: artifact.Classifier, parts: Iterable[np.ndarray], labels: np.ndarray, units: np.ndarray, seed: int
) -> pd.DataFrame:
    """Score test images under each corruption at each strength.

    Args:
        classifier: the model.
        parts: the images in stretches, uint8 [n, H, W, C], of which one is held at a time.
        labels: int [N].
        units: int [N], the same for images that belong together.
        seed: of the corruptions.

    Returns:
        case (both), corruption, strength, amount, accuracy, low, high (95 % interval); the first row is of the images
        as they are (none). No rows where there are no images.
    """
    cases = [("none", "none", 0)]
    cases += [
        (name, strength, amount)
        for name, (_, amounts, _) in corruptions.CORRUPTIONS.items()
        for strength, amount in zip(corruptions.STRENGTHS, amounts, strict=True)
    ]
    # Each case draws on from part to part: every image is read once, and all are corrupted as if case by case.
    draws = [randomness.generator(seed, "evaluate", name, strength) for name, strength, _ in cases]
    predicted = [[] for _ in cases]
    for part in progress.track(parts, "evaluate corruptions", len(labels), size=len):
        for (name, strength, _), generator, said in zip(cases, draws, predicted, strict=True):
            changed = part if name == "none" else corruptions.corrupt(part, name, strength, generator)
            said.append(prediction.probabilities(classifier.model, changed).argmax(axis=1))
    table = []
    for (name, strength, amount), said in zip(cases if len(labels) else [], predicted, strict=False):
        right = np.concatenate(said) == labels
        table.append((f"{name}, {strength}", name, strength, amount, right.mean(), *intervals.share(right, units)))
    return pd.DataFrame(table, columns=["case", "corruption", "strength", "amount", "accuracy", "low", "high"])


def summarize(table: pd.DataFrame, images_used: int) -> dict:
    """Nest accuracies under corruption: images, none, each corruption by strength, and their mean."""
    corrupted = table.iloc[1:]
    by_name = {
        name: dict(zip(rows["strength"], rows["accuracy"], strict=True))
        for name, rows in corrupted.groupby("corruption", sort=False)
    }
    return {
        "images": images_used,
        "none": table["accuracy"][0],
        "mean": float(corrupted["accuracy"].mean()),
        **by_name,
    }
