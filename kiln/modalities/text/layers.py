"""The first layer of networks that take n-grams: each weighs the more, the fewer texts have it."""

import numpy as np

from kiln.networks.backend import keras

ops = keras.ops


class Weigh(keras.layers.Layer):
    """Weigh the n-grams of texts by TF-IDF, each text to length 1; padding (number 0) weighs nothing.

    Args:
        rarity: float32 [kinds]: of each n-gram.
    """

    def __init__(self, rarity: np.ndarray, **options):
        super().__init__(trainable=False, **options)
        self.rarity = rarity

    def call(self, numbers):
        """int32 [N, L] -> float [N, L]."""
        weights = ops.take(ops.convert_to_tensor(self.rarity, self.compute_dtype), numbers, axis=0)
        return weights / ops.maximum(ops.sqrt(ops.sum(ops.square(weights), axis=1, keepdims=True)), 1e-6)


def weigh(numbers, fitted: dict):
    """Give n-grams with their weights; rarity is log((1 + texts) / (1 + texts with it)) + 1, as in scikit-learn."""
    rarity = np.log((1 + fitted["texts"]) / (1 + np.array(fitted["texts_with"]))) + 1
    return numbers, Weigh(np.concatenate([[0.0], rarity]).astype(np.float32), name="weigh")(numbers)
