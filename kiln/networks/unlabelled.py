"""Networks that learn from texts without labels: their token vectors are the output matrix, too."""

from kiln.networks.backend import keras
from kiln.networks.texts import STATES, TOKENS

layers, ops = keras.layers, keras.ops
PLACES = "Places"  # an input's name that no part can have


class TokenScores(layers.Layer):
    """Score all tokens at some places, each by the product of its vector and the state there.

    The vectors are those that embed the tokens (Press and Wolf, "Using the output embedding to improve language
    models", EACL 2017; so did GPT-2 and BERT): a matrix of its own would be most of a small network, learnt from few
    tokens and thrown away after. As in GPT-2 there is no bias, so that the classifier as it is saved can write.

    Args:
        embedding: the layer that embeds the tokens.
    """

    def __init__(self, embedding: layers.Embedding, **options):
        super().__init__(**options)
        self.embedding = embedding

    def call(self, inputs):
        """(floats [N, L, D], int32 [N, P]) -> float32 [N, P, tokens]."""
        states, places = inputs
        count, length, size = ops.shape(states)
        rows = ops.cast(places, "int32") + length * ops.arange(count, dtype="int32")[:, None]
        chosen = ops.take(ops.reshape(states, (-1, size)), rows, axis=0)
        return ops.matmul(ops.cast(chosen, "float32"), ops.transpose(self.embedding.embeddings))

    def compute_output_shape(self, shapes):
        """[N, P, tokens]."""
        return (*shapes[1], self.embedding.input_dim)


def scorer_of(classifier: keras.Model) -> keras.Model:
    """Return the classifier with another end: (its input and ``PLACES``) -> scores; the weights are shared."""
    places = keras.Input((None,), dtype="int32", name=PLACES)
    scores = TokenScores(classifier.get_layer(TOKENS), dtype="float32", name="scores")
    states = classifier.get_layer(STATES).output
    return keras.Model({**classifier.input, PLACES: places}, scores([states, places]), name=f"{classifier.name}_scores")
