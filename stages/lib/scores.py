"""Figures of a classifier from its probabilities or its confusion counts; pure NumPy."""

import numpy as np

_SMALLEST = 1e-7  # float32 probabilities below it are rounding


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative log-likelihood in nats, probabilities held at 1e-7 or above: [N, K], [N] -> float64 [N]."""
    true = probabilities[np.arange(len(labels)), labels].astype(float)
    return -np.log(np.clip(true, _SMALLEST, 1))


def squared_error(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Squared error summed over classes (Brier, 1950): [N, K], [N] -> float64 [N]."""
    errors = probabilities.astype(float)
    errors[np.arange(len(labels)), labels] -= 1
    return np.square(errors).sum(axis=1)


LOSSES = {"cross_entropy": cross_entropy, "squared_error": squared_error}


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Count images by (label, prediction): int64 [K, K]."""
    cells = np.bincount(labels.astype(np.int64) * classes + predictions, minlength=classes**2)
    return cells.reshape(classes, classes)


def per_class(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and F1 of each class, one against the rest; 0 where undefined.

    Args:
        counts: int [..., K, K], label by prediction.

    Returns:
        support (int), precision, recall, f1 (float64), each [..., K].
    """
    return rates(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1), counts.sum(axis=-2))


def rates(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and F1 from counts of each class, all [..., K]: right, of its label, predicted as it."""
    return {
        "support": support,
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + predicted),
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator)), where=denominator > 0)


def overall(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy, and precision, recall and F1 averaged over the classes that have images (macro).

    Args:
        counts: int [..., K, K], label by prediction; at least one image each.

    Returns:
        accuracy, precision, recall, f1: float64 [...].
    """
    hits = np.trace(counts, axis1=-2, axis2=-1)
    return {"accuracy": hits / counts.sum(axis=(-2, -1)), **macro(per_class(counts))}


def macro(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Average precision, recall and F1 ([..., K], of ``rates``) over the classes that have images: [...]."""
    present = table["support"] > 0
    return {name: (table[name] * present).sum(axis=-1) / present.sum(axis=-1) for name in ("precision", "recall", "f1")}


def weighted(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Average precision, recall and F1 ([..., K], of ``rates``) over the classes by their images: [...]."""
    share = table["support"] / table["support"].sum(axis=-1, keepdims=True)
    return {name: (table[name] * share).sum(axis=-1) for name in ("precision", "recall", "f1")}
