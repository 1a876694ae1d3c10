"""How rare words are in train: known answers."""

import numpy as np
import pytest
from makers.texts import as_array, fitted

from kiln.modalities.text import rarity

TRAIN = ["the cat sat", "The cat and the dog", "北京的天气", "北京的猫"]


def measured(*texts: str, **changes) -> list[float]:
    about = fitted(TRAIN, **{"min_texts": 2, **changes})
    return rarity.measure(as_array(texts), about)["rare_words"].tolist()


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("the cat", 0),
        ("The CAT!", 0),
        ("the gnu", 1 / 2),
        ("the dog", 1 / 2),  # one text of train has it
        ("the cat, the gnu and the dog", 3 / 7),
        ("北京", 0),
        ("北京。", 0),
        ("北猫", 1 / 2),
        ("the 北 gnu 猫", 1 / 2),
    ],
)
def test_words_that_fewer_texts_have_are_rare(text, share):
    assert measured(text) == [pytest.approx(share)]


def test_all_that_train_has_is_known_where_one_text_is_enough():
    assert measured("the dog", min_texts=1) == [0]


def test_without_words_nothing_is_known():
    assert np.isnan(measured("?!", "")).all()
