"""Test images to look at: the surest mistakes and some right ones, with what speaks for the prediction."""

import numpy as np
import pyarrow as pa

from kiln.evaluation import explanations
from kiln.modalities.image import pictures
from kiln.networks import artifact
from kiln.store import dataset

RIGHT_SHOWN = 4  # exhibits that are classified rightly
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "label": pa.string(),
        "prediction": pa.string(),
        "probability": pa.float64(),
        "image": pa.binary(),
        "occlusion": pa.binary(),
        "grad_cam": pa.binary(),
        "neighbours": pa.list_(
            pa.struct({"id": pa.string(), "label": pa.string(), "cosine": pa.float64(), "image": pa.binary()})
        ),
    }
)


def surest_mistakes(labels: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Rows of the wrong predictions with the highest probability, surest first."""
    predictions, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    return wrong[np.argsort(-certainty[wrong], kind="stable")][:most]


def surest_right(labels: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Rows of the right predictions with the highest probability, one a class at most, surest first."""
    certainty = np.where(probabilities.argmax(axis=1) == labels, probabilities.max(axis=1), -1.0)
    order = np.argsort(-certainty, kind="stable")
    _, firsts = np.unique(labels[order], return_index=True)
    rows = order[np.sort(firsts)]
    return rows[certainty[rows] >= 0][:most]


def choose_rows(labels: np.ndarray, probabilities: np.ndarray, mistakes: int) -> np.ndarray:
    """Rows to show: the surest mistakes, then for comparison a few of the surest right predictions."""
    right = surest_right(labels, probabilities, RIGHT_SHOWN if mistakes else 0)
    return np.append(surest_mistakes(labels, probabilities, mistakes), right)


def read_rows(data: dataset.Dataset, split: str, rows: np.ndarray) -> np.ndarray:
    """Read some rows of a split, in the order of ``rows``: uint8 [M, H, W, C]."""
    found, start = np.empty((len(rows), *data.image_shape), np.uint8), 0
    for batch in data.batches(split):
        here = (rows >= start) & (rows < start + len(batch.ids))
        found[here] = batch.pixels[rows[here] - start]
        start += len(batch.ids)
    return found


def make_exhibits(
    classifier: artifact.Classifier, data: dataset.Dataset, output: dict[str, np.ndarray], rows: np.ndarray
) -> pa.Table:
    """Show test images, where the model looks, and the training images that it takes for most alike.

    Args:
        classifier: the model.
        data: clean's.
        output: of ``predict_split`` on test.
        rows: of the images.

    Returns:
        id, label, prediction, probability, image (PNG), occlusion (PNG), grad_cam (PNG, or null),
        neighbours (a list of id, label, cosine, image).
    """
    names, probabilities = np.array(data.classes, dtype=object), output["probabilities"][rows]
    pixels, predicted = read_rows(data, "test", rows), probabilities.argmax(axis=1)
    cams = alike = None
    if len(rows):
        cams = explanations.grad_cam(classifier.model, pixels, predicted)
        alike = explanations.neighbours(classifier.model, pixels, data.batches("train"))
    parts = []
    for place, (image, index) in enumerate(zip(pixels, predicted, strict=True)):
        parts.append(
            {
                "id": str(output["ids"][rows[place]]),
                "label": names[output["labels"][rows[place]]],
                "prediction": names[index],
                "probability": float(probabilities[place, index]),
                "image": pictures.encode_png(image),
                "occlusion": explanations.picture(image, explanations.occlusion(classifier.model, image, index)),
                "grad_cam": None if cams is None else explanations.picture(image, cams[place]),
                "neighbours": [
                    {
                        "id": str(name),
                        "label": names[label],
                        "cosine": float(cosine),
                        "image": pictures.encode_png(near),
                    }
                    for name, label, cosine, near in zip(
                        alike.ids[place], alike.labels[place], alike.cosines[place], alike.pixels[place], strict=True
                    )
                ],
            }
        )
    return pa.Table.from_pylist(parts, SCHEMA)
