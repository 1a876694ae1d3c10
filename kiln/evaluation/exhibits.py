"""Exhibits: the most confident errors on test and a few correct predictions, with explanations."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from kiln.evaluation.neighbours import Neighbours, find_neighbours
from kiln.modalities.base import Part
from kiln.networks import artifact
from kiln.networks.explained import PartNetwork
from kiln.store import dataset

RIGHT_SHOWN = 4  # exhibits that are classified correctly
_SHOWN = {"part": pa.string(), "title": pa.string(), "kind": pa.string(), "content": pa.binary()}
SHOWN = pa.list_(pa.struct(_SHOWN))
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "label": pa.string(),
        "prediction": pa.string(),
        "probability": pa.float64(),
        "shown": SHOWN,
        "neighbours": pa.list_(
            pa.struct({"id": pa.string(), "label": pa.string(), "cosine": pa.float64(), "shown": SHOWN})
        ),
    }
)


def surest_mistakes(labels: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Rows of the wrong predictions with the highest probability, most confident first."""
    predictions, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    return wrong[np.argsort(-certainty[wrong], kind="stable")][:most]


def surest_right(labels: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Rows of the correct predictions with the highest probability, at most one per class, most confident first."""
    certainty = np.where(probabilities.argmax(axis=1) == labels, probabilities.max(axis=1), -1.0)
    order = np.argsort(-certainty, kind="stable")
    _, firsts = np.unique(labels[order], return_index=True)
    rows = order[np.sort(firsts)]
    return rows[certainty[rows] >= 0][:most]


def choose_rows(labels: np.ndarray, probabilities: np.ndarray, mistakes: int) -> np.ndarray:
    """Rows to show: the most confident errors, then for comparison a few of the most confident correct predictions."""
    right = surest_right(labels, probabilities, RIGHT_SHOWN if mistakes else 0)
    return np.append(surest_mistakes(labels, probabilities, mistakes), right)


def read_rows(data: dataset.Dataset, split: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Read the given rows of a split, in the order of ``rows``: part -> values [M, ...]."""
    chosen = {name: part.storage.empty(len(rows)) for name, part in data.parts.items()}
    start = 0
    for batch in data.batches(split):
        here = (rows >= start) & (rows < start + len(batch))
        for name, values in batch.parts.items():
            chosen[name][here] = values[rows[here] - start]
        start += len(batch)
    return chosen


def make_exhibits(
    classifier: artifact.Classifier, data: dataset.Dataset, output: dict[str, np.ndarray], rows: np.ndarray
) -> pa.Table:
    """Show test samples with explanations and the most similar training samples.

    Args:
        classifier: the model.
        data: clean's.
        output: of ``predict_split`` on test.
        rows: of the samples.

    Returns:
        id, label, prediction, probability, shown (part, title, kind, content: of the sample itself with the title
        "sample", then of its explanations), neighbours (a list of id, label, cosine, shown).
    """
    if not len(rows):
        return SCHEMA.empty_table()
    names, probabilities = np.array(data.classes, dtype=object), output["probabilities"][rows]
    values, predicted = read_rows(data, "test", rows), probabilities.argmax(axis=1)
    explained = {
        name: part.modality.explain(PartNetwork(classifier, name, values), values[name], predicted)
        for name, part in data.parts.items()
    }
    # After the explanations: TensorFlow warns where it traces five graphs within few calls.
    neighbours = find_neighbours(classifier, values, data.batches("train"))
    exhibits = []
    for place, row in enumerate(rows):
        shown = show_sample(data.parts, {name: array[place] for name, array in values.items()})
        for name, parts in explained.items():
            shown += [{"part": name, "title": title, **exhibit._asdict()} for title, exhibit in parts[place].items()]
        exhibits.append(
            {
                "id": str(output["ids"][row]),
                "label": names[output["labels"][row]],
                "prediction": names[predicted[place]],
                "probability": float(probabilities[place, predicted[place]]),
                "shown": shown,
                "neighbours": list_neighbours(neighbours, place, data.parts, names),
            }
        )
    return pa.Table.from_pylist(exhibits, SCHEMA)


def show_sample(parts: Mapping[str, Part], values: Mapping[str, np.ndarray]) -> list[dict]:
    """Show each part of a sample: part, title, kind, content."""
    return [
        {"part": name, "title": "sample", **part.modality.show(values[name])._asdict()} for name, part in parts.items()
    ]


def list_neighbours(neighbours: Neighbours, place: int, parts: Mapping[str, Part], names: np.ndarray) -> list[dict]:
    """List the neighbours of a sample, nearest first."""
    return [
        {
            "id": str(neighbours.ids[place, number]),
            "label": names[neighbours.labels[place, number]],
            "cosine": float(neighbours.cosines[place, number]),
            "shown": show_sample(parts, {name: array[place, number] for name, array in neighbours.parts.items()}),
        }
        for number in range(neighbours.ids.shape[1])
    ]
