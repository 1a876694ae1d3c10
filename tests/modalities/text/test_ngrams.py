import numpy as np
import pytest
from makers.texts import as_array, prose
from sklearn.feature_extraction.text import CountVectorizer

from kiln.modalities.text import ngrams

TEXTS = [*[prose(seed, 12) for seed in range(20)], "狗 和 猫", "A  tab\tand\nlines\n\n", "ok", "", "?!", "ÀÉ"]


@pytest.mark.parametrize(
    ("half", "longest", "options"),
    [
        (slice(0, ngrams.HALF), ngrams.WORDS, {"token_pattern": ngrams.WORD.pattern}),
        (slice(ngrams.HALF, None), ngrams.CHARACTERS, {"analyzer": "char"}),
    ],
)
def test_ngrams_are_those_of_scikit_learn(half, longest, options):
    found = ngrams.hash_ngrams(as_array(TEXTS)).tocsc()[:, half]
    expected = CountVectorizer(ngram_range=(1, longest), binary=True, **options).fit_transform(TEXTS)
    # Two n-grams of one bucket are rare, and nothing else differs.
    assert ((found @ found.T) != (expected @ expected.T)).sum() <= 4
    assert np.abs((found @ found.T) - (expected @ expected.T)).max() <= 1


def test_a_text_has_the_same_ngrams_alone_and_among_others():
    together = ngrams.hash_ngrams(TEXTS)
    for number, text in enumerate(TEXTS):
        alone = ngrams.hash_ngrams([text])
        assert alone.indices.tolist() == together.indices[slice(*together.indptr[number : number + 2])].tolist()
    assert together.has_sorted_indices
    assert ngrams.hash_ngrams([]).shape == (0, ngrams.BUCKETS)


def test_every_character_of_a_script_without_spaces_is_a_word():
    assert ngrams.WORD.findall("the cat, 今天 good。한국어 text_1") == [
        *("the", "cat", ",", "今", "天", "good", "。", "한국어", "text_1"),
    ]
    # 今天, 天气, 今天气 are runs of words: six with the characters themselves.
    assert (ngrams.hash_ngrams(["今天气"]).indices < ngrams.HALF).sum() == 6
