import numpy as np
import pytest

from kiln.networks.backend import keras
from kiln.networks.unlabelled import TokenScores


def test_a_score_is_the_product_of_the_state_at_the_place_and_the_tokens_vector():
    generator = np.random.default_rng(0)
    embedding = keras.layers.Embedding(5, 4)
    embedding.build((None,))
    vectors, states = generator.normal(size=(5, 4)), generator.normal(size=(2, 3, 4))
    embedding.embeddings.assign(vectors)
    places = np.array([[0, 2], [1, 1]], np.int32)
    scores = np.asarray(TokenScores(embedding)([states.astype(np.float32), places]))
    expected = [[vectors @ states[row, place] for place in places[row]] for row in (0, 1)]
    assert scores == pytest.approx(np.array(expected), abs=1e-5)
