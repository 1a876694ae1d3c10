"""The first layers of networks that take n-grams: each weighs the more, the fewer texts have it."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def weigh(numbers: Any, fitted: Mapping) -> tuple[Any, Any]:
    """Give n-grams with their TF-IDF weights, each text's of length 1; padding (number 0) weighs nothing.

    Args:
        numbers: Keras tensor, int32 [N, L].
        fitted: texts and texts_with of ``normalizer.fit``; the rarity of an n-gram is
            log((1 + texts) / (1 + texts with it)) + 1, as in scikit-learn.

    Returns:
        The numbers, and a Keras tensor of floats, [N, L].
    """
    from keras import initializers, layers  # here, since data stages do not load a network library

    rarity = np.log((1 + fitted["texts"]) / (1 + np.array(fitted["texts_with"]))) + 1
    table = initializers.Constant(np.concatenate([[0.0], rarity]).astype(np.float32)[:, None])
    looked_up = layers.Embedding(len(rarity) + 1, 1, table, trainable=False, name="rarity")(numbers)
    return numbers, layers.UnitNormalization(axis=1, name="weigh")(layers.Reshape((-1,), name="flat")(looked_up))
