"""Metrics of a classifier from its probabilities or its confusion counts; pure NumPy."""

import numpy as np

SMALLEST = 1e-7  # float32 probabilities below it are rounding errors


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative log-likelihood in nats, probabilities clipped at 1e-7: [N, K], [N] -> float64 [N]."""
    true = probabilities[np.arange(len(labels)), labels].astype(float)
    return -np.log(np.clip(true, SMALLEST, 1))


def squared_error(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Squared error summed over classes (Brier, 1950): [N, K], [N] -> float64 [N]."""
    true = probabilities[np.arange(len(labels)), labels].astype(float)
    # (p - 1)^2 for the label, p^2 for the others; without a second [N, K].
    return np.maximum(np.einsum("nk,nk->n", probabilities, probabilities, dtype=float) - 2 * true + 1, 0)


LOSSES = {"cross_entropy": cross_entropy, "squared_error": squared_error}


def counts(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Count, per class, the samples predicted correctly, labelled, and predicted as it: int64 [3, K].

    Not per pair of classes, of which 10,000 classes have 10**8.
    """
    hits = labels[labels == predictions]
    return np.stack([np.bincount(some, minlength=classes) for some in (hits, labels, predictions)])


def rates(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall and F1 per class from its counts, all [..., K]: predicted correctly, labelled, predicted."""
    return {
        "support": support,
        "precision": _ratio(hits, predicted),
        "recall": _ratio(hits, support),
        "f1": _ratio(2 * hits, support + predicted),
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator)), where=denominator > 0)


def overall(counted: np.ndarray) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 averaged over the classes that have samples (macro).

    Args:
        counted: as ``counts`` returns them, or sums of such; at least one sample.
    """
    return {"accuracy": counted[0].sum() / counted[1].sum(), **macro(rates(*counted))}


def macro(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Average precision, recall and F1 ([..., K], of ``rates``) over the classes that have samples: [...]."""
    present = table["support"] > 0
    return {name: (table[name] * present).sum(axis=-1) / present.sum(axis=-1) for name in ("precision", "recall", "f1")}


def weighted(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Average precision, recall and F1 ([..., K], of ``rates``) over the classes by their samples: [...]."""
    share = table["support"] / table["support"].sum(axis=-1, keepdims=True)
    return {name: (table[name] * share).sum(axis=-1) for name in ("precision", "recall", "f1")}
