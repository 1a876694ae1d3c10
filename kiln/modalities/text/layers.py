"""The first layers of networks that take n-grams: each weighs the more, the fewer texts have it."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def weigh(numbers: Any, fitted: Mapping) -> tuple[Any, Any]:
    """Give n-grams with their TF-IDF weights.

    Those of a text's words have length 1 together, and so have those of its characters, which are
    many more. Padding (number 0) weighs nothing.

    Args:
        numbers: Keras tensor, int32 [N, L].
        fitted: texts, texts_with and words of ``normalizer.fit``; the rarity of an n-gram is
            log((1 + texts) / (1 + texts with it)) + 1, as in scikit-learn.

    Returns:
        The numbers, and a Keras tensor of floats, [N, L].
    """
    from keras import initializers, layers, ops  # here, since data stages do not load a network library

    rarity = np.log((1 + fitted["texts"]) / (1 + np.array(fitted["texts_with"]))) + 1
    table = initializers.Constant(np.concatenate([[0.0], rarity]).astype(np.float32)[:, None])
    looked_up = layers.Embedding(len(rarity) + 1, 1, table, trainable=False, name="rarity")(numbers)
    weights = layers.Reshape((-1,), name="flat")(looked_up)
    of_words = ops.cast(numbers <= fitted["words"], weights.dtype)
    words = layers.UnitNormalization(axis=1, name="weigh_words")(weights * of_words)
    characters = layers.UnitNormalization(axis=1, name="weigh_characters")(weights * (1 - of_words))
    return numbers, words + characters
