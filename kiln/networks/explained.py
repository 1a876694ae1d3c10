"""The interface of a network for explanations: predictions for one part of the samples, and the last feature maps."""

from collections.abc import Mapping

import numpy as np

from kiln.modalities.base import FeatureMaps
from kiln.networks import artifact, costs, prediction
from kiln.networks.backend import keras


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
