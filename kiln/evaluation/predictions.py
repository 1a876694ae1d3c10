"""Predictions of a model on whole splits, streamed, and their table."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from kiln.core import progress
from kiln.modalities import registry
from kiln.modalities.base import Part
from kiln.networks import artifact, prediction
from kiln.store import dataset


def predict_split(
    classifier: artifact.Classifier, data: dataset.Dataset, split: str, average_views: bool = False
) -> dict[str, np.ndarray]:
    """Predict a whole split, streamed; ``average_views`` takes the mean over the test-time views of each sample.

    Returns:
        ids [N], labels int32 [N], units [N], probabilities float32 [N, classes].
    """
    ids, labels, units, probabilities = [], [], [], []
    batches = progress.track(
        data.batches(split), f"evaluate {split}", data.rows(split), size=lambda batch: len(batch.ids)
    )
    for batch in batches:
        ids.append(batch.ids)
        labels.append(batch.labels)
        units.append(batch.units)
        probabilities.append(classifier.predict(batch.parts, average_views))
    return {
        "ids": np.concatenate(ids),
        "labels": np.concatenate(labels),
        "units": np.concatenate(units),
        "probabilities": np.concatenate(probabilities),
    }


def predict_logits(classifier: artifact.Classifier, data: dataset.Dataset, split: str) -> np.ndarray:
    """Compute the logits of a whole split, which stay exact where float32 probabilities are 0: float32 [N, classes]."""
    network = prediction.logits_of(classifier.model)
    batches = data.batches(split)
    return np.concatenate([classifier.compute(network, batch.parts) for batch in batches])


def name_samples(parts: Mapping[str, Part]) -> str:
    """Return the noun for a sample of these parts."""
    return registry.name_samples({name: part.modality.name for name, part in parts.items()})


def predict_splits(classifier: artifact.Classifier, data: dataset.Dataset) -> dict[str, dict[str, np.ndarray]]:
    """Predict every split; add the logits that calibration needs if a probability on validation is 0.

    Returns:
        split -> result of ``predict_split``; for validation and test then also logits, float32 [N, classes].
    """
    outputs = {split: predict_split(classifier, data, split) for split in dataset.SPLITS}
    if not outputs["validation"]["probabilities"].all():
        for split in ("validation", "test"):
            outputs[split]["logits"] = predict_logits(classifier, data, split)
    return outputs


def number_units(units: np.ndarray) -> np.ndarray:
    """Convert the names of units to numbers: int64 [N]."""
    return np.unique(units.astype(str), return_inverse=True)[1].ravel()


def predictions_table(outputs: dict[str, dict], classes: list[str]) -> pa.Table:
    """List every sample: id, split, unit, label, prediction, probability, probabilities (in the order of classes)."""
    names = np.array(classes, dtype=object)
    tables = []
    for split, output in outputs.items():
        probabilities = output["probabilities"]
        tables.append(
            pa.table(
                {
                    "id": pa.array(output["ids"], pa.string()),
                    "split": pa.array([split] * len(probabilities), pa.string()),
                    "unit": pa.array(output["units"], pa.string()),
                    "label": pa.array(names[output["labels"]], pa.string()),
                    "prediction": pa.array(names[probabilities.argmax(axis=1)], pa.string()),
                    "probability": pa.array(probabilities.max(axis=1)),
                    "probabilities": pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), len(classes)),
                }
            )
        )
    return pa.concat_tables(tables)
