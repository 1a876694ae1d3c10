"""Points of the curves that are plotted: reliability, ROC, precision and recall."""

import numpy as np
import pandas as pd
from sklearn import metrics

from stages.lib.intervals import BINS

POINTS = 200


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Compare how sure the model is with how often it is right, in 15 bins of equally many images.

    Args:
        labels: int [N].
        probabilities: floats [N, K].

    Returns:
        One row a bin, the least sure first: confidence (mean of the likeliest
        class's probability), accuracy, images.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    parts = [rows for rows in np.array_split(np.argsort(confidence, kind="stable"), BINS) if len(rows)]
    return pd.DataFrame(
        {
            "confidence": [confidence[rows].mean() for rows in parts],
            "accuracy": [right[rows].mean() for rows in parts],
            "images": [len(rows) for rows in parts],
        }
    )


def roc(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Trace the ROC curve over all pairs of image and class (micro average): false_positive_rate, recall."""
    false, true, _ = metrics.roc_curve(_pairs(labels, probabilities), probabilities.ravel())
    return _thinned(pd.DataFrame({"false_positive_rate": false, "recall": true}))


def precision_recall(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Trace precision against recall over all pairs of image and class (micro average): recall, precision."""
    precision, recall, _ = metrics.precision_recall_curve(
        _pairs(labels, probabilities), probabilities.ravel(), drop_intermediate=True
    )
    return _thinned(pd.DataFrame({"recall": recall[::-1], "precision": precision[::-1]}))


def _pairs(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return (np.arange(probabilities.shape[1]) == labels[:, None]).ravel()


def _thinned(points: pd.DataFrame) -> pd.DataFrame:
    """Keep at most so many points, evenly along the curve's own length, its ends among them."""
    if len(points) <= POINTS:
        return points
    steps = np.abs(np.diff(points.to_numpy(), axis=0)).sum(axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    chosen = np.searchsorted(along, np.linspace(0, along[-1], POINTS))
    return points.iloc[np.unique([0, *np.minimum(chosen, len(points) - 1), len(points) - 1])]
