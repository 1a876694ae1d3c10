"""Naive Bayes, from which linear networks of n-grams start."""

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_array, vstack

from kiln.networks.backend import keras

_SMOOTHING = 0.3  # of the weight that each n-gram has in each class
_SCALED_ON = 5000  # samples


def start(network: keras.Model, table: keras.layers.Layer, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """Set a linear network's table to what naive Bayes says of the training samples.

    From few texts the logarithms of counts are better weights than those that a linear model learns, which then has
    less to correct: on holdouts of train 0.6 points more of TREC are right, and 0.7 of AG News, than from zeros.

    Args:
        network: with ``table``, a ``texts.WeightedSum``, as its last layer before the softmax.
        table: it.
        batches: numbers of n-grams, int32 [N, L], with labels, int32 [N]; of the training samples.
    """
    weigh = keras.Model(network.inputs, table.input[1])
    kinds, classes = table.kernel.shape
    sums, first = np.zeros((kinds, classes)), []
    for numbers, labels in batches:
        rows = _tabulate(numbers, weigh.predict_on_batch(numbers), kinds)
        sums += rows.T @ np.eye(classes)[labels]
        if sum(one.shape[0] for one in first) < _SCALED_ON:
            first.append(rows)
    if not first:
        return
    weights = weigh_evidence(sums)
    # Logits of a usual size, whatever the lengths of the rows.
    table.kernel.assign(weights / max(float((vstack(first) @ weights).std()), 1e-6))


def weigh_evidence(sums: np.ndarray) -> np.ndarray:
    """Compute the weights of complement naive Bayes.

    Rennie, Shih, Teevan and Karger, "Tackling the poor assumptions of naive Bayes text classifiers", ICML 2003.

    Args:
        sums: of each feature's values in each class, floats [features, classes].

    Returns:
        floats [features, classes]: the larger, the less of a feature is in other classes; 0 on the mean of the
        classes, and for features without values.
    """
    others = _SMOOTHING + sums.sum(axis=1, keepdims=True) - sums
    weights = -np.log(others / others.sum(axis=0))
    weights -= weights.mean(axis=1, keepdims=True)
    weights[sums.sum(axis=1) == 0] = 0
    return weights


def _tabulate(numbers: np.ndarray, weights: np.ndarray, kinds: int) -> csr_array:
    ends = np.arange(len(numbers) + 1) * numbers.shape[1]
    return csr_array((weights.ravel().astype(np.float64), numbers.ravel(), ends), shape=(len(numbers), kinds))
