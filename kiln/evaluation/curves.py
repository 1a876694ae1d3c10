"""Points of the plotted curves: reliability, ROC, precision and recall."""

import numpy as np
import pandas as pd

from kiln.evaluation.resampling import bin_starts

POINTS = 200
_CELLS = 2**20  # samples x classes per chunk


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Compare confidence with accuracy in the 15 bins of the calibration error.

    Args:
        labels: int [N].
        probabilities: floats [N, K].

    Returns:
        One row per bin, by ascending confidence: confidence (mean probability of
        the predicted class), accuracy, samples. The absolute difference of the two,
        averaged over samples, is ece.
    """
    confidence, right = probabilities.max(axis=1).astype(float), probabilities.argmax(axis=1) == labels
    starts = bin_starts(np.ones((1, len(labels))))[0]
    parts = [rows for rows in np.split(np.argsort(confidence, kind="stable"), starts[1:-1]) if len(rows)]
    return pd.DataFrame(
        {
            "confidence": [confidence[rows].mean() for rows in parts],
            "accuracy": [right[rows].mean() for rows in parts],
            "samples": [len(rows) for rows in parts],
        }
    )


def roc(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Compute the ROC curve over all (sample, class) pairs (micro average): false_positive_rate, recall."""
    false, true = _corners(labels, probabilities)
    return _thinned(pd.DataFrame({"false_positive_rate": false / max(false[-1], 1), "recall": true / true[-1]}))


def precision_recall(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Compute precision against recall over all (sample, class) pairs (micro average): recall, precision."""
    false, true = _corners(labels, probabilities)
    # At the first corner there are no positives yet: precision is 1 by convention.
    precision = np.divide(true, true + false, out=np.ones(len(true)), where=true + false > 0)
    return _thinned(pd.DataFrame({"recall": true / true[-1], "precision": precision}))


def _corners(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count false and true positives as the threshold falls, at the curve's corners: above and at each true pair.

    The false pairs, 10,000 times as many with 10,000 classes, are counted between
    the thresholds and never sorted.

    Returns:
        false, true: int64 [2T + 2], from 0 to all.
    """
    of_label = probabilities[np.arange(len(labels)), labels]
    levels, here = np.unique(of_label, return_counts=True)
    above, at = np.zeros((2, len(levels) + 1), np.int64)  # false pairs by the number of levels below; below or at
    rows = max(1, _CELLS // probabilities.shape[1])
    for start in range(0, len(labels), rows):
        chunk = probabilities[start : start + rows]
        wrong = chunk[np.arange(chunk.shape[1]) != labels[start : start + rows, None]]
        above += np.bincount(np.searchsorted(levels, wrong, "left"), minlength=len(above))
        at += np.bincount(np.searchsorted(levels, wrong, "right"), minlength=len(at))
    # Summed from the highest level down: positives when the threshold is just above the level, and at it.
    above, at = (np.cumsum(count[::-1]) for count in (above, at))
    taken = np.cumsum(here[::-1])
    false = np.concatenate([[0], np.column_stack([above, at])[:-1].ravel(), above[-1:]])
    true = np.concatenate([[0], np.column_stack([taken - here[::-1], taken]).ravel(), [len(labels)]])
    return false, true


def _thinned(points: pd.DataFrame) -> pd.DataFrame:
    """Keep about ``POINTS`` points, spaced evenly along the curve, including its ends."""
    if len(points) <= POINTS:
        return points
    steps = np.abs(np.diff(points.to_numpy(), axis=0)).sum(axis=1)
    along = np.concatenate([[0], np.cumsum(steps)])
    chosen = np.searchsorted(along, np.linspace(0, along[-1], POINTS))
    return points.iloc[np.unique([0, *np.minimum(chosen, len(points) - 1), len(points) - 1])]
