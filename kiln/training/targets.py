"""Training targets: one-hot labels, label smoothing, class weights."""

import numpy as np


def encode_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    """Encode labels one-hot: integers [N] -> float32 [N, classes]."""
    result = np.zeros((len(labels), classes), np.float32)  # not rows of np.eye, which takes classes x classes
    result[np.arange(len(labels)), labels] = 1
    return result


def smooth(probabilities: np.ndarray, amount: float) -> np.ndarray:
    """Spread a fraction of each target evenly over all classes: float32 [N, classes].

    Szegedy et al., "Rethinking the Inception architecture", CVPR 2016.
    """
    return (1 - amount) * probabilities + np.float32(amount / probabilities.shape[1])


def balance_classes(counts: np.ndarray) -> np.ndarray:
    """Weight classes by the inverse of their counts, with mean 1 over the samples: float32 [classes].

    As scikit-learn does for ``class_weight="balanced"``: n / (classes * count).
    """
    counts = np.asarray(counts, float)
    return (counts.sum() / (len(counts) * np.maximum(counts, 1))).astype(np.float32)
