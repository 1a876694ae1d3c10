"""Networks for texts: linear_text, fast_text, text_cnn, bert, gpt."""

from kiln.networks.backend import keras
from kiln.networks.parts import Architecture, activate, drop, head, layers, model

ops = keras.ops
_BIGRAMS = 2**16
TOKENS, STATES = "tokens", "norm"  # layers of bert and gpt: what embeds tokens, and what is known at each
_FEW_CLASSES = 32  # for linear_text
_SLOWER = 0.05**0.5


class WeightedSum(layers.Layer):
    """Sum a row of a table for each n-gram of a text, times its weight: a linear map of a sparse vector.

    Args:
        kinds: rows of the table.
        units: its columns.
        start: of the table, an initialiser.
    """

    def __init__(self, kinds: int, units: int, start="zeros", **options):
        super().__init__(**options)
        self.kinds, self.units, self.start = kinds, units, start

    def build(self, shapes):
        """Create the table, [kinds, units], and the bias."""
        self.kernel = self.add_weight(shape=(self.kinds, self.units), initializer=self.start, name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, inputs):
        """(int32 [N, L], floats [N, L]) -> [N, units]."""
        numbers, weights = inputs
        return ops.sum(ops.take(self.kernel, numbers, axis=0) * weights[..., None], axis=1) + self.bias

    def compute_output_shape(self, shapes):
        """[N, units]."""
        return (shapes[0][0], self.units)


class VotedSum(WeightedSum):
    """A weighted sum, to which a second table, ``votes``, that is not trained adds its own, except in training.

    So what is learned does not lean on the votes, and both err in different texts.
    """

    def build(self, shapes):
        """Create both tables, [kinds, units], and the bias."""
        super().build(shapes)
        self.votes = self.add_weight(shape=(self.kinds, self.units), initializer="zeros", trainable=False, name="votes")

    def call(self, inputs, training=False):
        """(int32 [N, L], floats [N, L]) -> [N, units]."""
        learned = super().call(inputs)
        if training:
            return learned
        numbers, weights = inputs
        return learned + ops.sum(ops.take(self.votes, numbers, axis=0) * weights[..., None], axis=1)


class Mask(layers.Layer):
    """Mark the tokens that are not padding: int32 [N, L] -> bool [N, L]."""

    def call(self, numbers):
        """Compare with 0."""
        return ops.not_equal(numbers, 0)

    def compute_output_spec(self, numbers):
        """[N, L]."""
        return keras.KerasTensor(numbers.shape, dtype="bool")


class Blank(layers.Layer):
    """Set padding to 0: (floats [N, L, D], bool [N, L]) -> [N, L, D]."""

    def call(self, inputs):
        """Multiply."""
        x, mask = inputs
        return x * ops.cast(mask, x.dtype)[..., None]


class MaskedMean(layers.Layer):
    """Average over the tokens that are not padding: (floats [N, L, D], bool [N, L]) -> [N, D]."""

    def call(self, inputs):
        """Average."""
        x, mask = inputs
        weights = ops.cast(mask, x.dtype)[..., None]
        return ops.sum(x * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1)


class MaskedMax(layers.Layer):
    """Take the largest over the tokens that are not padding: (floats [N, L, D], bool [N, L]) -> [N, D]."""

    def call(self, inputs):
        """Take the largest."""
        x, mask = inputs
        return ops.max(ops.where(mask[..., None], x, ops.full_like(x, -1e4)), axis=1)


class LastToken(layers.Layer):
    """Take what stands at the last token that is not padding: (floats [N, L, D], bool [N, L]) -> [N, D]."""

    def call(self, inputs):
        """Take it."""
        x, mask = inputs
        last = ops.sum(ops.cast(mask, "int32"), axis=1) - 1
        return ops.squeeze(ops.take_along_axis(x, last[:, None, None], axis=1), axis=1)


class Bigrams(layers.Layer):
    """Number each token with the one after it, by a hash: int32 [N, L] -> int32 [N, L]; 0 where either is padding."""

    def call(self, numbers):
        """Hash."""
        following = ops.pad(numbers[:, 1:], [[0, 0], [0, 1]])
        both = ops.logical_and(ops.not_equal(numbers, 0), ops.not_equal(following, 0))
        mixed = ops.bitwise_xor(numbers * 40503, following * 30011)
        return ops.where(both, 1 + ops.bitwise_and(mixed, _BIGRAMS - 1), 0)


class AddPositions(layers.Layer):
    """Add a learned vector for each place: floats [N, L, D] -> [N, L, D].

    Args:
        length: largest L.
    """

    def __init__(self, length: int, **options):
        super().__init__(**options)
        self.length = length

    def build(self, shape):
        """Create the vectors: [length, D]."""
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        self.positions = self.add_weight(shape=(self.length, shape[-1]), initializer=start, name="positions")

    def call(self, x):
        """Add the vectors."""
        return x + self.positions[: ops.shape(x)[1]]


def embed(numbers, kinds: int, size: int, name: str):
    """Look up a vector for each number: int32 [N, L] -> floats [N, L, size]."""
    start = keras.initializers.TruncatedNormal(stddev=0.02)
    return layers.Embedding(kinds, size, embeddings_initializer=start, name=name)(numbers)


@model(
    choose="a first run on texts, and what others have to beat: n-grams of words and characters, seconds",
    activation=None,
    normalization=None,
    dropout=0.5,
    form="ngrams",
)
def linear_text(inputs, classes: int, how: Architecture):
    """A linear map of TF-IDF weights of n-grams: logistic regression and half as strong a vote of naive Bayes.

    With more than 32 classes, logistic regression by 128 hidden units, which have the dropout: they gained on 150
    classes (CLINC150, validation), and lost on 10. Naive Bayes votes as in Wang and Manning, "Baselines and bigrams",
    ACL 2012; see ``bayes``.
    """
    numbers, weights = inputs
    if classes <= _FEW_CLASSES:
        return VotedSum(how.vocabulary, classes, name="logits")([numbers, weights])
    start = keras.initializers.RandomUniform(-0.1, 0.1)
    hidden = WeightedSum(how.vocabulary, how.count(128), start, name="hidden")([numbers, weights])
    hidden = drop(layers.Activation("relu", name="act")(hidden), how, "drop")
    # One learning rate serves both tables: the second sees inputs that are smaller, so that it moves more slowly.
    slower = layers.Rescaling(_SLOWER, name="slower")(hidden)
    spread = keras.initializers.VarianceScaling(1 / _SLOWER**2, distribution="untruncated_normal")
    return layers.Dense(classes, kernel_initializer=spread, name="logits")(slower)


@model(
    choose="many texts and little time: averages vectors of tokens and their pairs",
    activation=None,
    normalization=None,
    dropout=0.2,
    form="tokens",
)
def fast_text(inputs, classes: int, how: Architecture):
    """Average vectors of tokens and of pairs of tokens, 64 numbers each.

    Joulin et al., "Bag of tricks for efficient text classification", EACL 2017.
    """
    size, mask = how.count(64), Mask(name="mask")(inputs)
    pairs = Bigrams(name="pairs")(inputs)
    tokens = MaskedMean(name="mean")([embed(inputs, how.vocabulary, size, "tokens"), mask])
    both = MaskedMean(name="pairs_mean")(
        [embed(pairs, _BIGRAMS + 1, size, "pair_tokens"), Mask(name="pairs_mask")(pairs)]
    )
    return head(drop(layers.Concatenate(name="both")([tokens, both]), how, "drop"), classes)


@model(
    choose="short texts whose phrases decide: convolutions over three to five tokens",
    normalization=None,
    dropout=0.5,
    form="tokens",
)
def text_cnn(inputs, classes: int, how: Architecture):
    """Convolutions over 3, 4 and 5 tokens, 100 filters each, and the largest answer of each filter.

    Kim, "Convolutional neural networks for sentence classification", EMNLP 2014.
    """
    mask = Mask(name="mask")(inputs)
    x = embed(inputs, how.vocabulary, how.count(128), "tokens")
    x = Blank(name="blank")([x, mask])  # or a filter would see what padding means
    found = []
    for size in (3, 4, 5):
        y = layers.Conv1D(how.count(100), size, padding="same", name=f"conv{size}")(x)
        found.append(MaskedMax(name=f"max{size}")([activate(y, how, f"act{size}"), mask]))
    return head(drop(layers.Concatenate(name="found")(found), how, "drop"), classes)


def _transform(inputs, how: Architecture, causal: bool):
    """Apply pre-norm transformer blocks to tokens: floats [N, L, D], and their mask."""
    size, mask = 64 * max(1, round(2 * how.width)), Mask(name="mask")(inputs)
    x = AddPositions(how.length, name="positions")(embed(inputs, how.vocabulary, size, TOKENS))
    x = drop(x, how, "drop")
    seen = layers.Reshape((1, -1), name="seen")(mask)
    for number in range(1, how.depth + 1):
        name = f"block{number}"
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm1")(x)
        attend = layers.MultiHeadAttention(size // 64, 64, dropout=how.dropout, name=f"{name}_attention")
        x = layers.Add(name=f"{name}_add1")([x, attend(y, y, attention_mask=seen, use_causal_mask=causal)])
        y = layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm2")(x)
        y = layers.Dense(4 * size, activation=how.activation, name=f"{name}_dense1")(y)
        y = drop(layers.Dense(size, name=f"{name}_dense2")(y), how, f"{name}_drop")
        x = layers.Add(name=f"{name}_add2")([x, y])
    return layers.LayerNormalization(epsilon=1e-6, name=STATES)(x), mask


@model(
    choose="texts whose order decides, and many of them; learns slowly from few",
    activation="gelu",
    normalization=None,
    dropout=0.1,
    depths=(4, 1, 2, 3, 6, 8, 12),
    form="tokens",
    task="masked",
)
def bert(inputs, classes: int, how: Architecture):
    """Transformer encoder of ``depth`` blocks, size 128, that sees the whole text; mean over its tokens.

    Devlin et al., "BERT", NAACL 2019, with layer normalisation before each half of a
    block (Xiong et al., "On layer normalization in the transformer architecture", ICML 2020).
    """
    x, mask = _transform(inputs, how, causal=False)
    return head(drop(MaskedMean(name="mean")([x, mask]), how, "head_drop"), classes)


@model(
    choose="the same, where the model is also to write: each token sees only those before it",
    activation="gelu",
    normalization=None,
    dropout=0.1,
    depths=(4, 1, 2, 3, 6, 8, 12),
    form="tokens",
    task="next",
)
def gpt(inputs, classes: int, how: Architecture):
    """Transformer decoder of ``depth`` blocks, size 128, in which no token sees a later one; its last token decides.

    Radford et al., "Language models are unsupervised multitask learners", 2019.
    """
    return head(drop(LastToken(name="last")(list(_transform(inputs, how, causal=True))), how, "head_drop"), classes)
