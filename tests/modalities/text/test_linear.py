import numpy as np
from makers.texts import as_array, prose

from kiln.modalities.text import linear

GOOD, BAD = ("a good film", "good, very good", "how good it is"), ("a bad film", "bad, very bad", "how bad it is")


def test_it_learns_which_words_decide():
    predict = linear.fit(as_array([*GOOD, *BAD]), np.array([1, 1, 1, 0, 0, 0]))
    assert predict(as_array(["it is good", "it is bad", "a good one"])).tolist() == [1, 0, 1]


def test_the_same_texts_give_the_same_model():
    values, labels = as_array([prose(seed) for seed in range(60)]), np.arange(60) % 3
    asked = as_array([prose(seed) for seed in range(100, 160)])
    first, second = (linear.fit(values, labels)(asked) for _ in range(2))
    assert first.tolist() == second.tolist() and len(set(first.tolist())) == 3


def test_a_single_class_is_predicted_for_all():
    predict = linear.fit(as_array(GOOD), np.array([2, 2, 2]))
    assert predict(as_array(["bad", "good"])).tolist() == [2, 2]


def test_texts_without_a_known_word_are_predicted():
    predict = linear.fit(as_array([*GOOD, *BAD]), np.array([1, 1, 1, 0, 0, 0]))
    assert set(predict(as_array(["", "今天"])).tolist()) <= {0, 1}
