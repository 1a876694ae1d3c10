"""A few texts, and what is fitted to them."""

import numpy as np

from kiln.modalities.text import normalizer
from kiln.params.text import Normalize

TEXTS = ("the cat sat on the mat", "the dog sat", "a cat and a dog", "The mat, the cat!", "北京的天气", "北京的猫")


def fitted(values=TEXTS, **changes) -> dict:
    """The normaliser of some texts."""
    settings = Normalize(**{"vocabulary": 512, "min_texts": 1, "max_tokens": 32, **changes})
    return normalizer.fit(normalizer.count(np.array(values, object)), settings)
