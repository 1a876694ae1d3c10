"""Figures of a classifier from its probabilities, with intervals; pure NumPy."""

import math

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
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, predicted = counts.sum(axis=-1), counts.sum(axis=-2)
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
    table = per_class(counts)
    present = table["support"] > 0
    hits = np.trace(counts, axis1=-2, axis2=-1)
    macro = {
        name: (table[name] * present).sum(axis=-1) / present.sum(axis=-1) for name in ("precision", "recall", "f1")
    }
    return {"accuracy": hits / counts.sum(axis=(-2, -1)), **macro}


def wilson(successes: int, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """Score interval of a proportion, 95 % by default.

    E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22 (1927). Unlike the bootstrap it does not shrink to a
    point where every trial succeeds.
    """
    share, spread = successes / trials, z * z / trials
    center = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return max(0.0, center - half), min(1.0, center + half)


def bootstrap(
    labels: np.ndarray,
    predictions: np.ndarray,
    losses: np.ndarray,
    classes: int,
    resamples: int,
    generator: np.random.Generator,
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals from images drawn with replacement (Efron, 1979).

    Args:
        labels, predictions: int [N].
        losses: float [N], of each image.
        classes: K.
        resamples: how many.
        generator: of the draws.

    Returns:
        precision, recall, f1 (macro) and log_loss -> (low, high).
    """
    images = len(labels)
    codes, cells = np.unique(labels.astype(np.int64) * classes + predictions, return_inverse=True)
    at_once = max(1, min(2**22 // images, 2**22 // classes**2))
    drawn = {name: [] for name in ("precision", "recall", "f1", "log_loss")}
    for start in range(0, resamples, at_once):
        number = min(at_once, resamples - start)
        rows = generator.integers(0, images, (number, images))
        offsets = np.arange(number)[:, None] * len(codes)
        filled = np.bincount((cells[rows] + offsets).ravel(), minlength=number * len(codes))
        counts = np.zeros((number, classes**2), np.int64)
        counts[:, codes] = filled.reshape(number, len(codes))
        figures = overall(counts.reshape(number, classes, classes))
        for name in ("precision", "recall", "f1"):
            drawn[name].append(figures[name])
        drawn["log_loss"].append(losses[rows].mean(axis=1))
    return {name: tuple(np.quantile(np.concatenate(values), [0.025, 0.975]).tolist()) for name, values in drawn.items()}
