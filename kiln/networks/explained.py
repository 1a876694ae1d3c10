"""A network as explanations see it: the predictions for one part of the samples, and its last feature maps."""

from collections.abc import Mapping

import numpy as np

from kiln.modalities.base import FeatureMaps
from kiln.networks import artifact, costs, prediction
from kiln.networks.backend import keras


class PartNetwork:
    """What a classifier makes of one part of some samples while their other parts stay as they are.

    Args:
        classifier: any.
        part: whose values are explained.
        values: part -> values of the samples [N, ...].
    """

    def __init__(self, classifier: artifact.Classifier, part: str, values: Mapping[str, np.ndarray]):
        self.classifier, self.part, self.values = classifier, part, values

    def predict(self, row: int, changed: np.ndarray) -> np.ndarray:
        """Predict a sample with other values of the part, [M, ...]: probabilities, float32 [M, classes]."""
        others = {name: np.repeat(values[row : row + 1], len(changed), axis=0) for name, values in self.values.items()}
        return self.classifier.predict({**others, self.part: changed})

    def compute_maps(self) -> FeatureMaps | None:
        """Compute the last feature maps of all samples; see ``FeatureMaps``.

        Returns:
            None where the last maps are more than half of the work away from the logits, where there are none, or
            where several parts have a network each.
        """
        model = self.classifier.model
        halves = None if len(self.values) > 1 else cut(model, model.get_layer("logits").output)
        if halves is None or costs.multiply_adds(halves[1]) > costs.multiply_adds(model) / 2:
            return None
        before, after = halves
        maps = prediction.outputs(before, self.values)
        return FeatureMaps(maps, lambda changed: prediction.outputs(after, changed), prediction.batch_size(after))


def cut(network: keras.Model, end) -> tuple[keras.Model, keras.Model] | None:
    """Part a network at its last maps of more than one place, those of a network within it included.

    Args:
        network: any; where it has a network within, one layer comes before that and one after.
        end: the tensor where the second part is to end.

    Returns:
        From the input to the maps, and from the maps to the end; None where there are no such maps.
    """
    # Borders that are added on one side would shift what is shown.
    padded = {id(layer.output) for layer in network.layers if isinstance(layer, keras.layers.ZeroPadding2D)}
    for place, layer in reversed(list(enumerate(network.layers))):
        if isinstance(layer, keras.Model):
            if (parts := cut(layer, layer.output)) is None:
                continue
            before, after = parts
            maps = keras.Input(after.input.shape[1:])
            rest = keras.Model(network.layers[place + 1].input, end)
            first = keras.Model(network.input, before(network.layers[place - 1].output))
            return first, keras.Model(maps, rest(after(maps)))
        maps = layer.input  # not the output of the layer before, which a network within has of its own
        shape = getattr(maps, "shape", ())
        if len(shape) != 4 or min(shape[1:3]) == 1 or id(maps) in padded:
            continue
        try:
            return keras.Model(network.input, maps), keras.Model(maps, end)
        except ValueError:  # something goes past these maps
            continue
    return None
