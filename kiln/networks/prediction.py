"""What a network says of many images, as many at a time as a fixed amount of memory allows."""

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


def outputs(network: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """Compute a network's outputs: one array [N, ...] -> float32 [N, ...], N of 1 or more."""
    size = batch_size(network)
    parts = [network.predict_on_batch(inputs[start : start + size]) for start in range(0, len(inputs), size)]
    return np.concatenate(parts).astype(np.float32, copy=False)


def logits_of(classifier: keras.Model) -> keras.Model:
    """Give the part of a classifier that ends in logits; the weights are shared."""
    return keras.Model(classifier.input, classifier.get_layer("logits").output, name=f"{classifier.name}_logits")


def probabilities(classifier: keras.Model, pixels: np.ndarray, flip: bool = False) -> np.ndarray:
    """Predict class probabilities.

    Args:
        classifier: from ``registry.build`` or ``artifact.load``.
        pixels: uint8 [N, H, W, C].
        flip: give the mean over each image and its mirror image.

    Returns:
        float32 [N, classes].
    """
    result = outputs(classifier, pixels)
    return (result + outputs(classifier, pixels[:, :, ::-1])) / 2 if flip else result
