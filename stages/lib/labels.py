"""Which labels are probably wrong, and which images are far from their class, by features."""

import faiss
import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

LANDMARKS = 6000
FOLDS = 5
JUDGED_ONLY = -1
NEIGHBOURS = 10
_REFERENCE = 5000
_DIMENSIONS = 128
_WIDTH = 0.5
_RIDGE = 5.0
_BATCH = 4096


def probabilities(
    features: np.ndarray, labels: np.ndarray, folds: np.ndarray, classes: int, generator: np.random.Generator
) -> np.ndarray:
    """Predict each image's class by a model that has not seen it.

    Kernel ridge regression on the one-hot labels, with a Gaussian kernel and a
    sample of images as landmarks (Williams and Seeger, "Using the Nyström method
    to speed up kernel machines", NIPS 2000); a softmax whose temperature is
    fitted on the predictions out of fold.

    Args:
        features: float [N, D], of unit length.
        labels: integers [N], below ``classes``.
        folds: integers [N]: images of one fold are predicted from the others;
            those of ``JUDGED_ONLY`` are predicted from all others and used for none.
        classes: how many.
        generator: draws the landmarks.

    Returns:
        float32 [N, classes], rows sum to 1.
    """
    used = np.flatnonzero(folds != JUDGED_ONLY)
    landmarks = features[np.sort(generator.choice(used, min(LANDMARKS, len(used)), replace=False))].astype(np.float32)
    kernel = _Kernel(features, landmarks, used)
    share = np.bincount(labels[used], minlength=classes) / len(used)
    names = np.unique(folds[used])
    grams, sides = {}, {}
    for name in names:
        grams[name] = np.zeros((len(landmarks), len(landmarks)), np.float32)
        sides[name] = np.zeros((len(landmarks), classes), np.float32)
        for rows in _batches(np.flatnonzero(folds == name)):
            values = kernel(rows)
            grams[name] += values.T @ values
            targets = np.eye(classes)[labels[rows]] - share
            sides[name] += values.T @ targets.astype(np.float32)
    gram, side = sum(grams.values()), sum(sides.values())
    scores = np.empty((len(features), classes), np.float32)
    for name in [*names, JUDGED_ONLY]:
        own = np.flatnonzero(folds == name)
        if len(own):
            left = gram - grams.pop(name) if name in grams else gram
            left.flat[:: len(left) + 1] += _RIDGE
            factor = cho_factor(left, lower=True, overwrite_a=True, check_finite=False)
            weights = cho_solve(factor, side - sides.get(name, 0), check_finite=False)
            for rows in _batches(own):
                scores[rows] = kernel(rows) @ weights
    return _softmax(scores, labels, used)


class _Kernel:
    """Similarity to each landmark, standardised over the images used."""

    def __init__(self, features: np.ndarray, landmarks: np.ndarray, used: np.ndarray):
        self.features, self.landmarks = features, landmarks
        self.mean, self.deviation = np.float32(0), np.float32(1)
        total = np.zeros(len(landmarks))
        squares = np.zeros(len(landmarks))
        for rows in _batches(used):
            values = self(rows).astype(np.float64)
            total += values.sum(axis=0)
            squares += np.square(values).sum(axis=0)
        mean = total / len(used)
        self.mean = mean.astype(np.float32)
        self.deviation = np.sqrt(np.maximum(squares / len(used) - mean**2, 1e-12)).astype(np.float32)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        similar = self.features[rows].astype(np.float32) @ self.landmarks.T
        return (np.exp(_WIDTH * (similar - 1)) - self.mean) / self.deviation


def _batches(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]


def _softmax(scores: np.ndarray, labels: np.ndarray, used: np.ndarray) -> np.ndarray:
    def loss(log_scale: float) -> float:
        return -log_softmax(scores[used] * np.exp(log_scale), axis=1)[np.arange(len(used)), labels[used]].mean()

    scale = np.exp(minimize_scalar(loss, bounds=(-3, 4), method="bounded").x)
    return np.exp(log_softmax(scores * np.float32(scale), axis=1))


def quality(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Score every label by cleanlab's self-confidence.

    Args:
        labels: integers [N].
        predicted: float [N, classes], out of fold.

    Returns:
        float [N] from 0 (surely wrong) to 1.
    """
    # Two seconds of import, for those alone who look for label errors.
    from cleanlab.rank import get_label_quality_scores

    return get_label_quality_scores(labels, predicted, method="self_confidence")


def isolation(features: np.ndarray, labels: np.ndarray, used: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Measure how far each image is from its class.

    The mean distance to the ten nearest of at most 5,000 images of its class,
    as a robust z-score: less the class's median, in its median absolute
    deviations scaled to a normal distribution's standard deviation.

    Args:
        features: float [N, D], of unit length.
        labels: integers [N].
        used: bool [N]: the images that others may be compared with.
        generator: draws the 5,000.

    Returns:
        float [N]; NaN where the class has fewer than 2 * 10 images to compare with.
    """
    scores = np.full(len(features), np.nan)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        others = np.flatnonzero((labels == label) & used)
        if len(others) < 2 * NEIGHBOURS:
            continue
        others = np.sort(generator.choice(others, min(_REFERENCE, len(others)), replace=False))
        base = np.ascontiguousarray(features[others, :_DIMENSIONS], np.float32)
        distances = np.empty(len(own))
        for place in _batches(np.arange(len(own))):
            query = np.ascontiguousarray(features[own[place], :_DIMENSIONS], np.float32)
            near, found = faiss.knn(query, base, NEIGHBOURS + 1)
            near = np.sqrt(np.maximum(near, 0))
            near[others[found] == own[place][:, None]] = np.nan
            near = np.sort(near, axis=1)[:, :NEIGHBOURS]
            distances[place] = near.mean(axis=1)
        reference = distances[used[own]]
        median = np.median(reference)
        spread = 1.4826 * np.median(np.abs(reference - median))
        scores[own] = (distances - median) / max(spread, 1e-9)
    return scores
