"""What the zoo's networks are made of: the entry of each, its settings and its blocks."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

from kiln.networks.backend import keras

layers = keras.layers
ACTIVATIONS = ("sigmoid", "tanh", "relu", "gelu", "silu")
NORMALIZATIONS = ("batch", "none")


@dataclass(frozen=True)
class Architecture:
    """A network's name and settings, with nothing left automatic; enough to build it again.

    Attributes:
        model: name in the zoo, or ``applications/<Name>``.
        width: factor on the network's own numbers of channels and units.
        depth: layers, counted as the network's family does; None where it has one depth.
        patch: side of a patch in pixels; None but for vit.
        activation: name in ``ACTIVATIONS``; None where it is the network's own.
        normalization: name in ``NORMALIZATIONS``; None where it is the network's own.
        dropout: fraction of the units dropped in training.
        pretrained: whether the body starts from trained weights, and scales its pixels as they expect.
    """

    model: str
    width: float
    depth: int | None
    patch: int | None
    activation: str | None
    normalization: str | None
    dropout: float
    pretrained: bool = False

    def to_json(self) -> dict:
        """Give the settings as JSON."""
        return asdict(self)

    def count(self, channels: int) -> int:
        """Scale a number of channels or units by the width; at least 1."""
        return max(1, round(channels * self.width))


@dataclass(frozen=True)
class Entry:
    """A network of the zoo.

    Attributes:
        build: (inputs, classes, architecture) -> logits [N, classes]; ends in a
            layer of the name ``logits``.
        choose: when to choose it, in a line.
        activation, normalization, dropout: its own; None where there is nothing to choose.
        depths: those it can have, its own first; empty where it has one.
        smallest: pixels that a side needs.
    """

    build: Callable
    choose: str
    activation: str | None
    normalization: str | None
    dropout: float | None
    depths: tuple[int, ...]
    smallest: int


ZOO: dict[str, Entry] = {}


def model(
    choose: str,
    activation: str | None = "relu",
    normalization: str | None = "batch",
    dropout: float | None = 0.0,
    depths: tuple[int, ...] = (),
    smallest: int = 8,
) -> Callable:
    """Enter a function of (inputs, classes, architecture) into the zoo under its name; see ``Entry``."""

    def enter(function: Callable) -> Callable:
        ZOO[function.__name__] = Entry(function, choose, activation, normalization, dropout, depths, smallest)
        return function

    return enter


def stem_stride(inputs) -> int:
    """Give the first convolution's stride that brings large images to at most 64 pixels a side.

    1 up to 64 pixels, 2 up to 128, 4 up to 256: networks made for 32 pixels
    stay affordable at 224.
    """
    side = max(inputs.shape[1:3])
    return 2 ** max(0, math.ceil(math.log2(side / 64)))


def initializer(how: Architecture) -> str:
    """He et al. 2015 for rectifiers and their like; Glorot and Bengio 2010 for sigmoid and tanh."""
    return "glorot_uniform" if how.activation in ("sigmoid", "tanh") else "he_normal"


def activate(x, how: Architecture, name: str):
    """Apply the activation."""
    return layers.Activation(how.activation, name=name)(x)


def normalize(x, how: Architecture, name: str):
    """Apply batch normalisation where it is on."""
    return layers.BatchNormalization(name=name)(x) if how.normalization == "batch" else x


def drop(x, how: Architecture, name: str):
    """Apply dropout where it is on."""
    return layers.Dropout(how.dropout, name=name)(x) if how.dropout else x


def plain_convolution(x, channels: int, size: int, how: Architecture, name: str, strides: int = 1, padding="same"):
    """Convolve; without a bias where normalisation follows, which would take it out again."""
    return layers.Conv2D(
        channels,
        size,
        strides=strides,
        padding=padding,
        use_bias=how.normalization != "batch",
        kernel_initializer=initializer(how),
        name=name,
    )(x)


def convolution(x, channels: int, size: int, how: Architecture, name: str, strides: int = 1, padding="same"):
    """Convolve, normalise, activate."""
    x = plain_convolution(x, channels, size, how, name, strides, padding)
    return activate(normalize(x, how, f"{name}_norm"), how, f"{name}_act")


def dense(x, units: int, how: Architecture, name: str):
    """Multiply, normalise, activate, drop."""
    x = layers.Dense(units, use_bias=how.normalization != "batch", kernel_initializer=initializer(how), name=name)(x)
    return drop(activate(normalize(x, how, f"{name}_norm"), how, f"{name}_act"), how, f"{name}_drop")


def head(x, classes: int):
    """End in logits."""
    return layers.Dense(classes, name="logits")(x)
