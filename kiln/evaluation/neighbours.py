"""The most similar training samples, by the cosine of the features before the logits.

A linear model of n-grams has none but the weights of the n-grams themselves, as sparse rows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from kiln.networks import artifact, prediction, registry
from kiln.networks.backend import keras
from kiln.networks.texts import WeightedSum
from kiln.store import dataset

NEIGHBOURS = 3


@dataclass(frozen=True)
class Neighbours:
    """The nearest training samples of M samples: ids, labels and cosines [M, k], and part -> values [M, k, ...]."""

    ids: np.ndarray
    labels: np.ndarray
    cosines: np.ndarray
    parts: dict[str, np.ndarray]


def find_neighbours(
    classifier: artifact.Classifier, values: Mapping[str, np.ndarray], train: Iterable[dataset.Samples]
) -> Neighbours:
    """Find the training samples whose features have the highest cosine similarity with a sample's.

    Args:
        classifier: any.
        values: part -> values [M, ...], M of 1 or more.
        train: batches, streamed once.

    Returns:
        The nearest three, or all if there are fewer, nearest first.
    """
    networks = list_feature_networks(classifier)

    def directions(batch: Mapping[str, np.ndarray]) -> np.ndarray | sparse.csr_array:
        encoded = classifier.encode(batch)
        return _join([_compute(network, inputs(encoded)) for network, inputs in networks])

    queries, best = directions(values), None
    for batch in train:
        cosines = queries @ directions(batch.parts).T
        cosines = cosines.toarray() if sparse.issparse(cosines) else cosines
        top = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS]
        chosen = {name: array[top] for name, array in batch.parts.items()}
        nearest = Neighbours(batch.ids[top], batch.labels[top], np.take_along_axis(cosines, top, 1), chosen)
        best = nearest if best is None else _merge(best, nearest)
    return best


def _compute(network: keras.Model, inputs) -> np.ndarray | sparse.csr_array:
    """Compute features: [N, D]; of n-grams a row of the table's length, with their weights at their numbers."""
    features = prediction.outputs(network, inputs)
    if network.output.shape[-1] is not None:
        return features.reshape(len(features), -1)
    (numbers,) = keras.tree.flatten(inputs)
    kinds = network.get_layer("rarity").input_dim
    starts = np.arange(len(numbers) + 1) * numbers.shape[1]
    return sparse.csr_array((features.ravel(), numbers.ravel(), starts), shape=(len(numbers), kinds))


def _join(features: list) -> np.ndarray | sparse.csr_array:
    """Join the parts' features to rows of unit length."""
    if any(map(sparse.issparse, features)):
        flat = sparse.hstack(features, format="csr")
        return sparse.diags_array(1 / np.maximum(linalg.norm(flat, axis=1), 1e-12)) @ flat
    flat = np.concatenate(features, axis=1)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)


def _merge(one: Neighbours, other: Neighbours) -> Neighbours:
    cosines = np.concatenate([one.cosines, other.cosines], axis=1)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS]
    rows = np.arange(len(order))[:, None]

    def pick(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.concatenate([first, second], axis=1)[rows, order]

    parts = {name: pick(array, other.parts[name]) for name, array in one.parts.items()}
    return Neighbours(pick(one.ids, other.ids), pick(one.labels, other.labels), cosines[rows, order], parts)


def list_feature_networks(classifier: artifact.Classifier) -> list:
    """List the feature networks: each part's network up to its last dense layer; whole, to its logits, without one.

    Returns:
        Pairs of a Keras model with outputs [N, ...], and a function from (part -> values) to its input. Of a linear
        model of n-grams the outputs are their weights, [N, L], of no fixed length.
    """
    bodies = registry.list_bodies(classifier.model, classifier.parts)
    return [
        (keras.Model(body.input, _find_features(body)), _identity if body is classifier.model else _Pick(name))
        for name, body in bodies.items()
    ]


def _find_features(network: keras.Model):
    dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    if dense:
        return dense[-1].input
    logits = network.get_layer("logits")
    return logits.input[1] if isinstance(logits, WeightedSum) else logits.output


def _identity(values: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    return values


class _Pick:
    def __init__(self, name: str):
        self.name = name

    def __call__(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        return values[self.name]
