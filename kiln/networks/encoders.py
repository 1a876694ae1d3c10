"""Encoders for texts that start from trained weights: minilm, bert_preset.

BERT as published: Devlin et al., "BERT", NAACL 2019, with layer normalisation after each half of a block.
"""

import functools
from collections.abc import Callable
from pathlib import Path

from kiln.core.errors import UserError
from kiln.networks import weights
from kiln.networks.applications import BODY
from kiln.networks.backend import keras
from kiln.networks.parts import Architecture, drop, head, layers, model
from kiln.networks.texts import AddPositions, Mask, MaskedMean

ops = keras.ops
NAMES = ("minilm", "bert_preset")
_EPSILON = 1e-12
_TOKENS = "tokens"  # the layer by which an encoder is known
# What `kiln models` describes; a training takes the sizes from its weights.
_SHARED = {"positions": 512, "kinds": 30522, "separator": 102}
USUAL = {
    "minilm": {"blocks": 6, "size": 384, "heads": 12, "inner": 1536, **_SHARED},
    "bert_preset": {"blocks": 2, "size": 128, "heads": 2, "inner": 512, **_SHARED},  # bert_tiny_en_uncased
}


class Segments(layers.Layer):
    """Number the texts of a sample: int32 [N, L] -> 0 up to the first separator, 1 after it.

    Args:
        separator: the token's number.
    """

    def __init__(self, separator: int, **options):
        super().__init__(**options)
        self.separator = separator

    def call(self, numbers):
        """Count the separators before each token."""
        ends = ops.cast(ops.equal(numbers, self.separator), "int32")
        return ops.minimum(ops.cumsum(ends, axis=1) - ends, 1)


class FirstToken(layers.Layer):
    """Take what stands at the first token: floats [N, L, D] -> [N, D]."""

    def call(self, x):
        """Take it."""
        return x[:, 0]


def _transform(numbers, how: Architecture, activation: Callable):
    """Apply BERT to tokens: int32 [N, L] -> floats [N, L, D], and the mask of the tokens that are not padding."""
    sizes, mask = how.sizes, Mask(name="mask")(numbers)
    size, heads = sizes["size"], sizes["heads"]
    x = AddPositions(sizes["positions"], name="positions")(
        layers.Embedding(sizes["kinds"], size, name=_TOKENS)(numbers)
    )
    kinds = layers.Embedding(2, size, name="segments")(Segments(sizes["separator"], name="segment")(numbers))
    x = layers.LayerNormalization(epsilon=_EPSILON, name="embedded_norm")(layers.Add(name="embedded")([x, kinds]))
    x = drop(x, how, "drop")
    seen = layers.Reshape((1, -1), name="seen")(mask)
    for number in range(1, sizes["blocks"] + 1):
        name = f"block{number}"
        attend = layers.MultiHeadAttention(heads, size // heads, dropout=how.dropout, name=f"{name}_attention")
        y = drop(attend(x, x, attention_mask=seen), how, f"{name}_drop1")
        x = layers.Add(name=f"{name}_add1")([x, y])
        x = layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_norm1")(x)
        y = layers.Dense(sizes["inner"], activation=activation, name=f"{name}_dense1")(x)
        y = drop(layers.Dense(size, name=f"{name}_dense2")(y), how, f"{name}_drop2")
        x = layers.Add(name=f"{name}_add2")([x, y])
        x = layers.LayerNormalization(epsilon=_EPSILON, name=f"{name}_norm2")(x)
    return x, mask


@model(
    choose="few or short English texts whose meaning decides: trained sentence encoder, from a package, fine-tuned",
    activation=None,
    normalization=None,
    dropout=0.1,
    form="tokens",
)
def minilm(inputs, classes: int, how: Architecture):
    """all-MiniLM-L6-v2: six blocks of 384 numbers, mean over the tokens.

    Wang et al., "MiniLM", NeurIPS 2020; Reimers and Gurevych, "Sentence-BERT", EMNLP 2019.
    """
    numbers = keras.Input((None,), dtype="int32", name="numbers")
    x = MaskedMean(name="mean")(list(_transform(numbers, how, keras.activations.gelu)))
    return head(drop(keras.Model(numbers, x, name=BODY)(inputs), how, "head_drop"), classes)


@model(
    choose="the same, from a file of a BERT of keras-hub, of any size and language",
    activation=None,
    normalization=None,
    dropout=0.1,
    form="tokens",
)
def bert_preset(inputs, classes: int, how: Architecture):
    """BERT of the sizes that its weights have; the first token, through a layer that was trained with it."""
    numbers = keras.Input((None,), dtype="int32", name="numbers")
    # keras-hub computes gelu by tanh, as Google's code did.
    x, _ = _transform(numbers, how, functools.partial(keras.activations.gelu, approximate=True))
    x = layers.Dense(how.sizes["size"], activation="tanh", name="pooled")(FirstToken(name="first")(x))
    return head(drop(keras.Model(numbers, x, name=BODY)(inputs), how, "head_drop"), classes)


def settle(name: str, path: Path | None, normalizer: dict) -> dict:
    """Read the sizes of an encoder from its weights, and check that the tokens are those that it was trained on.

    Args:
        name: one of ``NAMES``.
        path: of the weights, from ``pretrained.find_weights``.
        normalizer: of the part, as ``Modality.fit`` returns it.

    Returns:
        ``Architecture.sizes``.

    Raises:
        UserError: the weights are damaged, or the tokens are others.
    """
    if path is None:
        raise UserError(
            f"train.model.name {name} starts from trained weights, but there are none: set train.model.weights"
        )
    wanted = "minilm" if name == "minilm" else "the vocabulary that belongs to train.model.weights"
    if normalizer["method"] != "WordPiece":
        raise UserError(
            f"params.yaml: train.model.name {name} knows the tokens of its own vocabulary, but the tokenizer was "
            f"fitted on train: set normalize.text.tokenizer to {wanted}"
        )
    sizes, digest = weights.read_sizes(path), weights.read_vocabulary_digest(name, path)
    kinds = len(normalizer["tokenizer"]["model"]["vocab"])
    if kinds != sizes["kinds"] or digest not in (None, normalizer["vocabulary_sha256"]):
        raise UserError(
            f"params.yaml: normalize.text.tokenizer has {kinds:,} tokens that are not those of train.model.name {name} "
            f"({sizes['kinds']:,}): set it to {wanted}"
        )
    if normalizer["max_tokens"] > sizes["positions"]:
        raise UserError(
            f"params.yaml: normalize.text.max_tokens is {normalizer['max_tokens']}, but {name} has "
            f"{sizes['positions']} positions: lower it to {sizes['positions']} or less"
        )
    return {**sizes, "separator": normalizer["special"]["sep"]}


def is_encoder(body: keras.Model) -> bool:
    """Whether a network has the body of an encoder of this module."""
    return any(layer.name == BODY and any(inner.name == _TOKENS for inner in layer.layers) for layer in body.layers)


def load_weights(classifier: keras.Model, path: Path) -> None:
    """Load trained weights into the body.

    Raises:
        UserError: the file does not match the network.
    """
    body, arrays = classifier.get_layer(BODY), weights.read(path)
    for layer in body.layers:
        if layer.weights:
            try:
                layer.set_weights(arrays[layer.name])
            except (KeyError, ValueError):
                raise weights.unfit(path, f"the layer {layer.name} has no or other weights there") from None
