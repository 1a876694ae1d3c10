"""The building blocks of the zoo: entries, settings and layers."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

from kiln.networks.backend import keras

layers = keras.layers
_OF_TEXTS = ("vocabulary", "length", "sizes")
ACTIVATIONS = ("sigmoid", "tanh", "relu", "gelu", "silu")
NORMALIZATIONS = ("batch", "none")


@dataclass(frozen=True)
class Architecture:
    """The name and resolved settings of a network; enough to rebuild it.

    Attributes:
        model: name in the zoo, or ``applications/<Name>``.
        width: factor on the default numbers of channels and units.
        depth: number of layers, counted as in the network's paper; None if the network has only one depth.
        patch: side of a patch in pixels; None except for vit.
        activation: name in ``ACTIVATIONS``; None if the network does not offer a choice.
        normalization: name in ``NORMALIZATIONS``; None if the network does not offer a choice.
        dropout: fraction of the units dropped in training.
        pretrained: whether the body starts from pretrained weights and scales pixels as they expect.
        vocabulary: number of different tokens or n-grams that the network can be given, padding included; None: pixels.
        length: largest number of tokens of a sample; None unless the network takes tokens.
        sizes: of an encoder with trained weights, from ``encoders.settle``; None for all others.
    """

    model: str
    width: float
    depth: int | None
    patch: int | None
    activation: str | None
    normalization: str | None
    dropout: float
    pretrained: bool = False
    vocabulary: int | None = None
    length: int | None = None
    sizes: dict[str, int] | None = None

    def to_json(self) -> dict:
        """Return the settings as JSON; without those that only networks of texts have, where they are None."""
        return {name: value for name, value in asdict(self).items() if value is not None or name not in _OF_TEXTS}

    def count(self, channels: int) -> int:
        """Scale a number of channels or units by the width; at least 1."""
        return max(1, round(channels * self.width))


@dataclass(frozen=True)
class Entry:
    """A network of the zoo.

    Attributes:
        build: (inputs, classes, architecture) -> logits [N, classes]; ends in a
            layer named ``logits``.
        choose: when to choose it, in one line.
        activation, normalization, dropout: defaults; None if there is no choice.
        depths: allowed values, the default first; empty if there is only one.
        smallest: minimum height and width in pixels.
        form: in which it takes samples; see ``Modality.forms``.
        task: what it can learn from samples without labels, as ``SelfTaught.ask`` takes it; None: nothing.
    """

    build: Callable
    choose: str
    activation: str | None
    normalization: str | None
    dropout: float | None
    depths: tuple[int, ...]
    smallest: int
    form: str
    task: str | None


ZOO: dict[str, Entry] = {}


def model(
    choose: str,
    activation: str | None = "relu",
    normalization: str | None = "batch",
    dropout: float | None = 0.0,
    depths: tuple[int, ...] = (),
    smallest: int = 8,
    form: str = "pixels",
    task: str | None = None,
) -> Callable:
    """Register a function of (inputs, classes, architecture) in the zoo under its name; see ``Entry``."""

    def register(function: Callable) -> Callable:
        defaults = (activation, normalization, dropout, depths)
        ZOO[function.__name__] = Entry(function, choose, *defaults, smallest, form, task)
        return function

    return register


def stem_stride(inputs) -> int:
    """Return the stride of the first convolution that reduces large images to at most 64 pixels per side.

    1 up to 64 pixels, 2 up to 128, 4 up to 256: networks designed for 32 pixels
    stay affordable at 224.
    """
    side = max(inputs.shape[1:3])
    return 2 ** max(0, math.ceil(math.log2(side / 64)))


def initializer(how: Architecture) -> str:
    """He et al. 2015 for ReLU and similar activations; Glorot and Bengio 2010 for sigmoid and tanh."""
    return "glorot_uniform" if how.activation in ("sigmoid", "tanh") else "he_normal"


def activate(x, how: Architecture, name: str):
    """Apply the activation."""
    return layers.Activation(how.activation, name=name)(x)


def normalize(x, how: Architecture, name: str):
    """Apply batch normalisation if it is on."""
    return layers.BatchNormalization(name=name)(x) if how.normalization == "batch" else x


def drop(x, how: Architecture, name: str):
    """Apply dropout if it is on."""
    return layers.Dropout(how.dropout, name=name)(x) if how.dropout else x


def plain_convolution(x, channels: int, size: int, how: Architecture, name: str, strides: int = 1, padding="same"):
    """Convolve; without a bias if normalisation follows, which would cancel it."""
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
    """Apply convolution, normalisation and activation."""
    x = plain_convolution(x, channels, size, how, name, strides, padding)
    return activate(normalize(x, how, f"{name}_norm"), how, f"{name}_act")


def dense(x, units: int, how: Architecture, name: str):
    """Apply a dense layer, normalisation, activation and dropout."""
    x = layers.Dense(units, use_bias=how.normalization != "batch", kernel_initializer=initializer(how), name=name)(x)
    return drop(activate(normalize(x, how, f"{name}_norm"), how, f"{name}_act"), how, f"{name}_drop")


def head(x, classes: int):
    """Apply the final dense layer, which computes the logits."""
    return layers.Dense(classes, name="logits")(x)
