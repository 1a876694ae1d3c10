"""TF-IDF rows: scikit-learn's figures, and the same rows in batches as at once."""

import numpy as np
import pytest
from scipy.sparse import vstack
from sklearn.feature_extraction.text import TfidfVectorizer

from kiln.modalities.text import ngrams, shingles
from kiln.modalities.text.tfidf import TfIdf

TEXTS = np.array(["the cat sat", "The cat sat on the mat", "a dog", "a dog, a cat", "狗 和 猫", "", "unlike"], object)


@pytest.fixture
def fitted() -> TfIdf:
    return TfIdf.fit(TEXTS, np.arange(len(TEXTS)))


def test_similarities_are_those_of_scikit_learn(fitted):
    rows = fitted.weigh(list(TEXTS))
    expected = 0
    for options in (
        {"ngram_range": (1, ngrams.WORDS), "token_pattern": ngrams.WORD.pattern},
        {"ngram_range": (1, ngrams.CHARACTERS), "analyzer": "char"},
    ):
        weighed = TfidfVectorizer(min_df=2, binary=True, **options).fit_transform(TEXTS)
        expected = expected + (weighed @ weighed.T).toarray()
    assert (rows @ rows.T).toarray() == pytest.approx(expected, abs=1e-5)


def test_halves_are_of_length_1_and_unknown_texts_are_empty(fitted):
    rows = fitted.weigh(["the cat", "", "\u0416"])
    squares = rows.multiply(rows).tocsr()
    halves = [squares[:, : fitted.words].sum(axis=1), squares[:, fitted.words :].sum(axis=1)]
    np.testing.assert_allclose(np.array(halves).T, [[1, 1], [0, 0], [0, 0]], rtol=1e-5)
    assert rows.dtype == np.float32


def test_ngrams_of_one_text_are_left_out(fitted):
    assert fitted.weigh(["unlike"]).nnz < fitted.weigh(["the cat"]).nnz
    alone = TfIdf.fit(TEXTS, np.array([6]))
    assert len(alone.idf) == 0
    assert alone.weigh(["unlike"]).shape == (1, 0)


def test_batches_give_what_one_gives(fitted, monkeypatch):
    rows = np.array([5, 1, 0, 4])
    monkeypatch.setattr(shingles, "_TEXTS", 3)
    batches = list(fitted.stream(TEXTS, rows))
    assert len(batches) == 2
    assert np.concatenate([places for places, _ in batches]).tolist() == [0, 1, 2, 3]
    assert (vstack([batch for _, batch in batches]) != fitted.weigh(list(TEXTS[rows]))).nnz == 0
    again = TfIdf.fit(TEXTS, np.arange(len(TEXTS)))
    assert (again.idf == fitted.idf).all()
    assert (again.column == fitted.column).all()
