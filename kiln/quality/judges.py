"""Models that score the classes of samples that they have not seen: one per fold, fitted on the others.

Each is a regression on the one-hot labels, less the classes' shares. It has two functions:

    taught(folds)                            which samples it is fitted on: bool [N]
    fit(labels, folds, share, generator)     the function from rows to scores, float32 [len(rows), classes]

with labels: integers [N]; folds: integers [N], those of ``JUDGED_ONLY`` being judged by a model of all others; share:
float32 [classes], of the labels; and a generator for what is drawn.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_array

from kiln.core import parallel
from kiln.modalities.terms import Terms

JUDGED_ONLY = -1
LANDMARKS = 6000
_WIDTH = 0.5
_RIDGE = 5.0
_BATCH = 4096
# Of the linear model, chosen on sets with planted errors: AG News, SMS, reviews of films and hotels, titles of news.
_LINEAR_RIDGE = 1.0
# All sums are NumPy's or SciPy's own, which are the same with any number of threads; those of BLAS are not.
# Conjugate gradients stop when every class' residual has shrunk to this, or after so many steps.
_TOLERANCE, _STEPS = 0.05, 50
Scores = Callable[[np.ndarray], np.ndarray]


class Kernel:
    """Ridge regression with a Gaussian kernel and a sample as landmarks, on dense features.

    Williams and Seeger, "Using the Nyström method to speed up kernel machines", NIPS 2000.

    Args:
        features: float [N, D], of unit length.
    """

    def __init__(self, features: np.ndarray):
        self.features = features

    def taught(self, folds: np.ndarray) -> np.ndarray:
        """Mark all but those that are only judged."""
        return folds != JUDGED_ONLY

    def fit(self, labels: np.ndarray, folds: np.ndarray, share: np.ndarray, generator: np.random.Generator) -> Scores:
        """Fit; the generator draws the landmarks."""
        used = np.flatnonzero(folds != JUDGED_ONLY)
        drawn = np.sort(generator.choice(used, min(LANDMARKS, len(used)), replace=False))
        similar = _Similarity(self.features, self.features[drawn].astype(np.float32), used)
        weights = _solve(similar, labels, folds, share)
        return lambda rows: _score(lambda rows, matrix: similar(rows) @ matrix, weights, folds, rows)


class Linear:
    """Ridge regression on sparse terms.

    Args:
        terms: of the samples.
    """

    def __init__(self, terms: Terms):
        self.terms = terms

    def taught(self, folds: np.ndarray) -> np.ndarray:
        """Mark those that the weights of the terms are learned from."""
        taught = np.zeros(len(folds), bool)
        taught[self.terms.learned] = True
        return taught

    def fit(self, labels: np.ndarray, folds: np.ndarray, share: np.ndarray, generator: np.random.Generator) -> Scores:
        """Fit; nothing is drawn."""
        learned = self.terms.learned
        weighed, labels, fold = self.terms.weigh(learned), labels[learned], folds[learned]
        names = np.unique(folds)
        fitted = parallel.ordered_map(lambda name: _regress(weighed, labels, fold != name, share), names)
        weights = dict(zip(names, fitted, strict=True))
        return lambda rows: _score(
            lambda rows, matrix: self.terms.weigh(rows) @ matrix[:-1] + matrix[-1], weights, folds, rows
        )


def _score(apply: Callable, weights: Mapping[int, np.ndarray], folds: np.ndarray, rows: np.ndarray) -> np.ndarray:
    scores = np.empty((len(rows), next(iter(weights.values())).shape[1]), np.float32)
    for name in np.unique(folds[rows]):
        inside = folds[rows] == name
        scores[inside] = apply(rows[inside], weights[name])
    return scores


def _regress(weighed: csr_array, labels: np.ndarray, used: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Solve (X' X + ridge) W = X' (labels - share), X being the terms of the rows used, less their means.

    Returns:
        Weights of the terms, and in the last row what is added: float32 [terms + 1, classes].
    """
    used, count = used.astype(np.float32), max(1, used.sum())
    mean = weighed.T @ used / count
    chosen = csr_array((used, (np.arange(len(labels)), labels)), shape=(len(labels), len(share)))
    chosen = (weighed.T @ chosen).toarray() - np.outer(mean, chosen.sum(axis=0))
    # Of two classes, one has the other's weights, with the other sign.
    solved = _conjugate(weighed, mean, used[:, None], chosen[:, :1] if len(share) == 2 else chosen)
    weights = np.concatenate([solved, -solved], axis=1) if len(share) == 2 else solved
    return np.concatenate([weights, -np.einsum("i,ij->j", mean, weights)[None]])


def _conjugate(weighed: csr_array, mean: np.ndarray, used: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Find W by conjugate gradients (Hestenes and Stiefel, 1952), a column each; ``residual`` is used up."""
    weights, step, room = np.zeros_like(residual), residual.copy(), np.empty_like(residual)
    before, tiny = _squares(residual), np.finfo(np.float32).tiny
    enough = _TOLERANCE**2 * before
    for _ in range(_STEPS):
        seen = used * (weighed @ step - np.einsum("i,ij->j", mean, step))
        moved = weighed.T @ seen
        _add(moved, mean[:, None], -seen.sum(axis=0), room)
        _add(moved, step, np.float32(_LINEAR_RIDGE), room)
        length = before / np.maximum(np.einsum("ij,ij->j", step, moved), tiny)
        _add(weights, step, length, room)
        _add(residual, moved, -length, room)
        now = _squares(residual)
        if (now <= enough).all():
            break
        step *= now / np.maximum(before, tiny)
        step += residual
        before = now
    return weights


def _add(target: np.ndarray, values: np.ndarray, factor: np.ndarray, room: np.ndarray) -> None:
    # Terms times classes are many: without the room, every sum would take as much memory again.
    np.multiply(values, factor, out=room)
    target += room


def _squares(columns: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->j", columns, columns)


class _Similarity:
    """Similarity to each landmark, standardised over the samples used."""

    def __init__(self, features: np.ndarray, landmarks: np.ndarray, used: np.ndarray):
        self.features, self.landmarks = features, landmarks
        self.mean, self.deviation = np.float32(0), np.float32(1)
        total = np.zeros(len(landmarks))
        squares = np.zeros(len(landmarks))
        for rows in batches(used, _BATCH):
            values = self(rows).astype(np.float64)
            total += values.sum(axis=0)
            squares += np.square(values).sum(axis=0)
        mean = total / len(used)
        self.mean = mean.astype(np.float32)
        self.deviation = np.sqrt(np.maximum(squares / len(used) - mean**2, 1e-12)).astype(np.float32)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        similar = self.features[rows].astype(np.float32) @ self.landmarks.T
        return (np.exp(_WIDTH * (similar - 1)) - self.mean) / self.deviation


def _solve(similar: _Similarity, labels: np.ndarray, folds: np.ndarray, share: np.ndarray) -> dict[int, np.ndarray]:
    """Fit one model per fold, on the other folds: fold -> weights of the landmarks, float32 [M, classes]."""
    grams, sides = {}, {}
    width = len(similar.landmarks)
    for name in np.unique(folds[folds != JUDGED_ONLY]):
        gram, side = np.zeros((width, width), np.float32), np.zeros((len(share), width), np.float32)
        members = np.flatnonzero(folds == name)
        for rows in batches(members[np.argsort(labels[members], kind="stable")], _BATCH):
            values = similar(rows)
            gram += values.T @ values
            present, starts = np.unique(labels[rows], return_index=True)
            side[present] += np.add.reduceat(values, starts)
        side -= np.outer(share, side.sum(axis=0))
        grams[name], sides[name] = gram, side
    gram, side = sum(grams.values()), sum(sides.values())
    weights = {}
    for name in np.unique(folds):
        left = gram - grams.pop(name, 0)
        left.flat[:: width + 1] += _RIDGE
        factor = cho_factor(left, lower=True, overwrite_a=True, check_finite=False)
        weights[name] = cho_solve(factor, (side - sides.pop(name, 0)).T, check_finite=False)
    return weights


def batches(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut rows into pieces of a size."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
