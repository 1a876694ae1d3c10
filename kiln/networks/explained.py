"""The interface of a network for explanations: predictions for one part of the samples, and what lies within it."""

from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from kiln.modalities.explained import FeatureMaps
from kiln.networks import artifact, costs, prediction
from kiln.networks.backend import keras
from kiln.networks.encoders import Segments
from kiln.networks.texts import Mask

_STEP = 0.005  # of a factor: small against what bends the logits, large against the last bits of 32-bit floats


class PartNetwork:
    """A classifier as a function of one part of the samples, while their other parts are fixed.

    Args:
        classifier: any.
        part: whose values are explained.
        values: part -> values of the samples [N, ...].
    """

    def __init__(self, classifier: artifact.Classifier, part: str, values: Mapping[str, np.ndarray]):
        self.classifier, self.part, self.values = classifier, part, values

    def predict(self, row: int, changed: np.ndarray) -> np.ndarray:
        """Predict a sample with changed values of the part, [M, ...]: probabilities, float32 [M, classes]."""
        others = {name: np.repeat(values[row : row + 1], len(changed), axis=0) for name, values in self.values.items()}
        return self.classifier.predict({**others, self.part: changed})

    def compute_maps(self) -> FeatureMaps | None:
        """Compute the last feature maps of all samples; see ``FeatureMaps``.

        Returns:
            None if more than half of the network's multiply-adds follow the last maps, if there are no maps, or
            if several parts each have a network.
        """
        model = self.classifier.model
        halves = None if len(self.values) > 1 else cut(model, model.get_layer("logits").output)
        if halves is None or costs.multiply_adds(halves[1]) > costs.multiply_adds(model) / 2:
            return None
        before, after = halves
        maps = prediction.outputs(before, self.values, self.classifier.encode)
        return FeatureMaps(maps, lambda changed: prediction.outputs(after, changed), prediction.batch_size(after))

    @property
    def encoder(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """What turns the part's values into what the network takes."""
        return self.classifier.encoders.get(self.part)

    def compute_slopes(self, row: int, groups: np.ndarray, index: int) -> np.ndarray | None:
        """Measure how the log-odds of a class grow with the vectors of tokens; see ``modalities.explained.Explained``.

        As central differences, which work with every backend.
        """
        halves = None if len(self.values) > 1 else self._cut_at_vectors
        if halves is None:
            return None
        before, after = halves
        numbers = self.classifier.encode({self.part: self.values[self.part][row : row + 1]})[self.part]
        vectors = prediction.outputs(before, numbers)
        chosen = np.pad(groups, [(0, 0), (0, vectors.shape[1] - groups.shape[1])])[..., None]
        ends = []
        for factor in (1 + _STEP, 1 - _STEP):
            changed = np.where(chosen, np.float32(factor) * vectors, vectors)
            inputs = [np.repeat(numbers, len(groups), axis=0), changed]
            logits = prediction.outputs(after, inputs).astype(np.float64)
            ends.append(logits[:, index] - logsumexp(np.delete(logits, index, axis=1), axis=1))
        return (ends[0] - ends[1]) / (2 * _STEP)

    @cached_property
    def _cut_at_vectors(self) -> tuple[keras.Model, keras.Model] | None:
        model = self.classifier.model
        return cut_at_vectors(model, model.get_layer("logits").output)


def cut_at_vectors(network: keras.Model, end) -> tuple[keras.Model, keras.Model] | None:
    """Split a network where its tokens have become vectors, also inside a nested network.

    Args:
        network: takes numbers of tokens; a nested network must have a layer after it.
        end: the output tensor of the second half.

    Returns:
        The network from numbers to vectors, and from (numbers, vectors) to ``end``; None if something else reads the
        numbers: it would see them unchanged, and what it says of the text would be missing.
    """
    (numbers,) = network.inputs
    readers = [
        layer for layer in network.layers[1:] if layer.input is numbers and not isinstance(layer, (Mask, Segments))
    ]
    if not readers and (within := _find_nested(network)):
        place, body = within
        if (halves := cut_at_vectors(body, body.output)) is None:
            return None
        before, after = halves
        given = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in after.inputs]
        rest = keras.Model(network.layers[place + 1].input, end)
        return before, keras.Model(given, rest(after(given)))
    if len(readers) != 1 or not isinstance(readers[0], keras.layers.Embedding):
        return None
    vectors = readers[0].output
    if vectors.shape[-1] == 1:  # a weight, not a vector
        return None
    return keras.Model(numbers, vectors), keras.Model([numbers, vectors], end)


def _find_nested(network: keras.Model) -> tuple[int, keras.Model] | None:
    # Its own input tensor is not that of the network around it.
    nested = [(place, layer) for place, layer in enumerate(network.layers) if isinstance(layer, keras.Model)]
    return nested[0] if len(nested) == 1 else None


def cut(network: keras.Model, end) -> tuple[keras.Model, keras.Model] | None:
    """Split a network at its last feature maps of more than one position, also inside a nested network.

    Args:
        network: any; a nested network must have a layer before and a layer after it.
        end: the output tensor of the second half.

    Returns:
        The network from input to maps, and from maps to ``end``; None if there are no such maps.
    """
    # Padding on one side would shift the explanation.
    padded = {id(layer.output) for layer in network.layers if isinstance(layer, keras.layers.ZeroPadding2D)}
    for place, layer in reversed(list(enumerate(network.layers))):
        if isinstance(layer, keras.Model):
            if (halves := cut(layer, layer.output)) is None:
                continue
            before, after = halves
            maps = keras.Input(after.input.shape[1:])
            rest = keras.Model(network.layers[place + 1].input, end)
            first = keras.Model(network.input, before(network.layers[place - 1].output))
            return first, keras.Model(maps, rest(after(maps)))
        maps = layer.input  # not the previous layer's output: a nested network has its own input tensor
        shape = getattr(maps, "shape", ())
        if len(shape) != 4 or min(shape[1:3]) == 1 or id(maps) in padded:
            continue
        try:
            return keras.Model(network.input, maps), keras.Model(maps, end)
        except ValueError:  # a connection bypasses these maps
            continue
    return None
