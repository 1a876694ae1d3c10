"""The vision transformer: vit."""

import math

from kiln.networks.backend import keras
from kiln.networks.parts import Architecture, head, layers, model


class Positions(layers.Layer):
    """Add a learned position vector to each token: floats [N, T, D] -> [N, T, D]."""

    def build(self, shape):
        """Create the vectors: [T, D]."""
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        self.positions = self.add_weight(shape=shape[1:], initializer=start, name="positions")

    def call(self, tokens):
        """Add the vectors."""
        return tokens + self.positions


def patch_side(image_shape) -> int:
    """Return the patch side, in pixels, that divides an image into about 8 x 8 tokens."""
    return max(1, math.ceil(max(image_shape[:2]) / 8))


@model(
    choose="large datasets and a GPU; learns slowly from few images",
    activation="gelu",
    normalization=None,
    dropout=0.1,
    depths=(6, 2, 3, 4, 8, 12),
)
def vit(inputs, classes: int, how: Architecture):
    """Vision transformer: patches as tokens of size 192, ``depth`` blocks with 3 heads, mean pooling.

    Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, with the
    mean of the tokens in place of a class token (Beyer, Zhai and Kolesnikov,
    "Better plain ViT baselines for ImageNet-1k", 2022). Layer normalisation
    precedes each half of a block. Images are padded to a multiple of the patch.
    """
    size = 64 * max(1, round(3 * how.width))
    x = layers.Conv2D(size, how.patch, strides=how.patch, padding="same", name="patches")(inputs)
    x = layers.Reshape((-1, size), name="tokens")(x)
    x = Positions(name="positions")(x)
    x = layers.Dropout(how.dropout, name="drop")(x)
    for number in range(1, how.depth + 1):
        name = f"block{number}"
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
        y = layers.MultiHeadAttention(size // 64, 64, dropout=how.dropout, name=f"{name}_attention")(y, y)
        x = layers.Add(name=f"{name}_add1")([x, y])
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
        y = layers.Dense(4 * size, activation=how.activation, name=f"{name}_dense1")(y)
        y = layers.Dropout(how.dropout, name=f"{name}_drop")(layers.Dense(size, name=f"{name}_dense2")(y))
        x = layers.Add(name=f"{name}_add2")([x, y])
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    return head(layers.GlobalAveragePooling1D(name="pool")(x), classes)
