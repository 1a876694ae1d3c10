"""Outputs of a network on many samples, in batches that fit a fixed amount of memory."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kiln.networks.backend import keras

BYTES = 2**30
MOST = 512
# Measured against a layer's inputs and outputs, about this many copies are held: branches, kernels' buffers, allocator.
COPIES = 2
LENGTH = 256  # assumed of samples whose length differs


def batch_size(network: keras.Model) -> int:
    """Choose the number of samples per batch: 1 to ``MOST``.

    It is determined by the layer with the most bytes of inputs and outputs, nested
    networks included. It depends only on the network and the shape of its inputs,
    never on the machine, since the last bits of a result may depend on the batch.
    """
    return int(np.clip(BYTES // (COPIES * _largest(network)), 1, MOST))


def _largest(network: keras.Model) -> int:
    """Return the largest number of bytes of a layer's inputs and outputs, per sample in float32."""
    sizes = [1]
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            sizes.append(_largest(layer))
            continue
        tensors = keras.tree.flatten([layer.input, layer.output])
        numbers = sum(int(np.prod([side or LENGTH for side in tensor.shape[1:]])) for tensor in tensors)
        if isinstance(layer, keras.layers.MultiHeadAttention):
            numbers += 2 * layer.num_heads * (layer.output.shape[1] or LENGTH) ** 2  # before and after the softmax
        sizes.append(4 * numbers)
    return max(sizes)


def outputs(
    network: keras.Model,
    inputs: Any,
    encode: Callable[[Any], Any] = lambda inputs: inputs,
    lengths: np.ndarray | None = None,
) -> np.ndarray:
    """Compute a network's outputs.

    Args:
        network: any.
        inputs: an array [N, ...], or name -> array; N of 1 or more.
        encode: from a batch of them to what the network takes.
        lengths: of the samples, [N]; those of similar length are then computed together, as padding takes time too.

    Returns:
        float32 [N, ...], in the order of the inputs.
    """
    size, count = batch_size(network), len(keras.tree.flatten(inputs)[0])
    order = None if lengths is None else np.argsort(lengths, kind="stable")
    batches = (
        slice(start, start + size) if order is None else order[start : start + size] for start in range(0, count, size)
    )
    computed = [
        network.predict_on_batch(encode(keras.tree.map_structure(lambda array, rows=rows: array[rows], inputs)))
        for rows in batches
    ]
    found = np.concatenate(computed).astype(np.float32, copy=False)
    return found if order is None else found[np.argsort(order)]


def logits_of(classifier: keras.Model) -> keras.Model:
    """Return the classifier without its softmax; the weights are shared."""
    return keras.Model(classifier.input, classifier.get_layer("logits").output, name=f"{classifier.name}_logits")
