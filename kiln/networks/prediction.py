"""What a network says of many images, as many at a time as a fixed amount of memory allows."""

from typing import Any

import numpy as np

from kiln.networks.backend import keras

BYTES = 2**30
MOST = 512
# What a layer reads and writes is held about so many times: branches, buffers of kernels, the allocator's reserve.
COPIES = 2


def batch_size(network: keras.Model) -> int:
    """Choose how many images a network computes at a time: 1 to ``MOST``.

    The layer that reads and writes the most bytes decides, those of networks
    within included. Only the network and the size of its images count, never the
    machine, since the last bits of a result may depend on the batch.
    """
    return int(np.clip(BYTES // (COPIES * _largest(network)), 1, MOST))


def _largest(network: keras.Model) -> int:
    """Give the most bytes that a layer reads and writes of one image, in float32."""
    sizes = [1]
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            sizes.append(_largest(layer))
            continue
        tensors = keras.tree.flatten([layer.input, layer.output])
        numbers = sum(int(np.prod(tensor.shape[1:])) for tensor in tensors)
        if isinstance(layer, keras.layers.MultiHeadAttention):
            numbers += 2 * layer.num_heads * layer.output.shape[1] ** 2  # scores before and after the softmax
        sizes.append(4 * numbers)
    return max(sizes)


def outputs(network: keras.Model, inputs: Any) -> np.ndarray:
    """Compute a network's outputs.

    Args:
        network: any.
        inputs: an array [N, ...], or several by name, as the network takes them; N of 1 or more.

    Returns:
        float32 [N, ...].
    """
    size, count = batch_size(network), len(keras.tree.flatten(inputs)[0])
    batches = (
        keras.tree.map_structure(lambda array, start=start: array[start : start + size], inputs)
        for start in range(0, count, size)
    )
    return np.concatenate([network.predict_on_batch(batch) for batch in batches]).astype(np.float32, copy=False)


def logits_of(classifier: keras.Model) -> keras.Model:
    """Give the part of a classifier that ends in logits; the weights are shared."""
    return keras.Model(classifier.input, classifier.get_layer("logits").output, name=f"{classifier.name}_logits")
