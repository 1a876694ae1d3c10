"""The computational cost of a network."""

import numpy as np

from kiln.networks.backend import keras

layers = keras.layers
LENGTH = 128  # tokens of a text, where samples differ in length


def multiply_adds(network: keras.Model) -> int:
    """Count the multiply-adds of one sample's forward pass.

    Convolutions, dense layers and attention count; element-wise operations do not.
    """
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            total += multiply_adds(layer)
        elif isinstance(layer, layers.MultiHeadAttention):
            tokens, size = _shape(layer)
            inner = layer.num_heads * layer.key_dim
            total += 4 * tokens * size * inner + 2 * tokens**2 * inner
        elif hasattr(layer, "kernel") and not isinstance(layer, layers.SeparableConv2D):
            places = np.prod(_shape(layer)[:-1], dtype=np.int64)
            total += int(places) * int(np.prod(layer.kernel.shape))
        elif hasattr(layer, "pointwise_kernel"):
            places = int(np.prod(layer.output.shape[1:-1]))
            total += places * int(np.prod(layer.depthwise_kernel.shape) + np.prod(layer.pointwise_kernel.shape))
    return total


def _shape(layer: keras.layers.Layer) -> list[int]:
    return [side or LENGTH for side in layer.output.shape[1:]]
