"""The most similar training samples, by the cosine of the features before the logits."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from kiln.networks import artifact, prediction, registry
from kiln.networks.backend import keras
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

    def directions(batch: Mapping[str, np.ndarray]) -> np.ndarray:
        encoded = classifier.encode(batch)
        features = [prediction.outputs(network, inputs(encoded)) for network, inputs in networks]
        flat = np.concatenate([array.reshape(len(array), -1) for array in features], axis=1)
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)

    queries, best = directions(values), None
    for batch in train:
        cosines = queries @ directions(batch.parts).T
        top = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS]
        chosen = {name: array[top] for name, array in batch.parts.items()}
        nearest = Neighbours(batch.ids[top], batch.labels[top], np.take_along_axis(cosines, top, 1), chosen)
        best = nearest if best is None else _merge(best, nearest)
    return best


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
        Pairs of a Keras model with outputs [N, ...], and a function from (part -> values) to its input.
    """
    bodies = registry.list_bodies(classifier.model, classifier.parts)
    return [
        (keras.Model(body.input, _find_features(body)), _identity if body is classifier.model else _Pick(name))
        for name, body in bodies.items()
    ]


def _find_features(network: keras.Model):
    dense = [layer for layer in network.layers if isinstance(layer, keras.layers.Dense)]
    return dense[-1].input if dense else network.get_layer("logits").output


def _identity(values: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    return values


class _Pick:
    def __init__(self, name: str):
        self.name = name

    def __call__(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        return values[self.name]
