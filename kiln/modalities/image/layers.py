"""The first layers of a network for images: the fitted normaliser."""

from collections.abc import Mapping
from typing import Any


def normalize(inputs: Any, fitted: Mapping) -> Any:
    """Apply the affine map of ``normalizer.fit`` to raw pixels.

    Args:
        inputs: Keras tensor, uint8 [N, H, W, C].
        fitted: method, offset and scale.

    Returns:
        Keras tensor of floats, [N, H, W, C].
    """
    from keras import layers  # here, since data stages do not load a network library

    if fitted["method"] == "per_image":
        x = layers.Rescaling(1.0, name="cast")(inputs)
        # Epsilon is one gray level squared: a uniform image becomes 0.
        return layers.LayerNormalization(axis=[1, 2, 3], epsilon=1.0, center=False, scale=False, name="normalize")(x)
    scale = [1 / s for s in fitted["scale"]]
    offset = [-o / s for o, s in zip(fitted["offset"], fitted["scale"], strict=True)]
    return layers.Rescaling(scale, offset, name="normalize")(inputs)
