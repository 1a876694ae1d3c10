"""Explanations by hiding words: known answers for networks that look at known words."""

import json

import numpy as np
import pytest

from kiln.modalities.text import explanation, normalizer, showing, wording
from kiln.params.text import Normalize


class Keyword:
    """A network whose log-odds of class 1 are the sum of its words' weights."""

    def __init__(self, weights: dict[str, float]):
        self.weights, self.predicted, self.encoder = weights, [], None

    def predict(self, row: int, texts: np.ndarray) -> np.ndarray:
        self.predicted.append(len(texts))
        odds = np.array([sum(by * text.count(word) for word, by in self.weights.items()) for text in texts])
        yes = 1 / (1 + np.exp(-odds))
        return np.stack([1 - yes, yes], axis=1).astype(np.float32)


def marked(network: Keyword, text: str, index: int = 1) -> list[list]:
    (shown,) = explanation.explain(network, np.array([text], object), np.array([index]))
    assert list(shown) == ["hiding"] and shown["hiding"].kind == "marked"
    return json.loads(shown["hiding"].content)


def test_words_have_the_weights_that_the_network_gives_them():
    network = Keyword({"good": 2, "bad": -1})
    text = "a good,  film not bad"
    expected = [["a ", 0.0], ["good,", 1.0], ["  film not ", 0.0], ["bad", -0.5]]
    assert marked(network, text) == expected
    against = [[piece, -weight] for piece, weight in expected]
    assert marked(network, text, index=0) == against
    assert network.predicted == [6, 6]


def test_characters_are_hidden_in_scripts_without_spaces():
    pieces = marked(Keyword({"好": 3}), "今天天气很好啊")
    assert pieces == [["今天天气", 0.0], ["很", 0.5], ["好", 1.0], ["啊", 0.5]]


def test_weights_too_small_to_matter_are_not_blown_up():
    assert marked(Keyword({"good": 0.01}), "a good film") == [["a ", 0.0], ["good", 0.1], [" film", 0.0]]


@pytest.mark.parametrize("text", ["x " * 50, "x " * 99, "x " * 100, "x " * 1000, "字" * 3000, "x" * 10**6])
def test_long_texts_need_no_more_predictions(text):
    network = Keyword({"x": 0.001})
    pieces = marked(network, text)
    assert max(network.predicted) <= explanation.MOST and len(network.predicted) == 1
    assert "".join(piece for piece, _ in pieces) == text[: showing.SHOWN] + showing.describe_rest(text)


def test_words_that_were_hidden_together_are_marked_as_one():
    pieces = marked(Keyword({"good": 1}), "very good " + "film " * 150 + "good\x1egood")
    assert pieces[0] == ["very good", 0.5] and pieces[-3:] == [["good", 1.0], [" | ", 0.0], ["good", 1.0]]


@pytest.mark.parametrize("words", [1, 2, 3, 99, 100, 101, 500, 4000])
@pytest.mark.parametrize("size", [1, 2])
def test_runs_cover_every_word(words, size):
    runs = explanation.list_runs(words, size)
    assert len(runs) < explanation.MOST
    assert {number for run in runs for number in range(*run.indices(words))} == set(range(words))


def test_text_beyond_what_is_shown_stays_in_place():
    seen = []

    class Listener(Keyword):
        def predict(self, row, texts):
            seen.extend(texts)
            return super().predict(row, texts)

    marked(Listener({"end": 1}), "word " * 900 + "end")
    assert all(text.endswith("end") for text in seen)


@pytest.mark.parametrize("text", ["", "  ", "\x1e"])
def test_texts_without_words_have_no_weights(text):
    assert all(weight == 0 for _, weight in marked(Keyword({}), text))


def test_what_is_hidden_is_shown_by_its_code():
    assert marked(Keyword({"b": 1}), "a\u202e\x1eb") == [["a[U+202E] | ", 0.0], ["b", 1.0]]


def test_personal_data_is_masked_and_keeps_the_largest_weight_of_its_words():
    text = "good: a@b.example, +49 30 1234567, b"
    shown = explanation.mark(text, [1, 2, 0, -4, 1, 0])
    assert json.loads(shown.content) == [
        ["good:", 0.25], [" ", 0.0], ["<email>,", 0.5], [" ", 0.0], ["<phone>", -1.0], [",", 0.25],
        [" b", 0.0],
    ]  # fmt: skip


def test_personal_data_at_the_end_of_what_is_shown_is_masked_whole():
    text = "x " * (showing.SHOWN // 2 - 2) + "anna@mail.example " + "x" * 100
    pieces = json.loads(explanation.mark(text, [0] * len(text[: showing.SHOWN].split())).content)
    assert pieces == [["x " * (showing.SHOWN // 2 - 2) + "<email>" + showing.describe_rest(text), 0.0]]


class Vectors(Keyword):
    """A network in which each token has a slope."""

    def __init__(self, slopes: dict[str, float], texts: list[str]):
        super().__init__({})
        texts = np.array(texts, object)
        self.encoder = normalizer.make_encoder(normalizer.TOKENS, normalizer.fit(normalizer.count(texts), Normalize()))
        self.slopes, self.text, self.asked = slopes, texts[0], 0

    def compute_slopes(self, row, groups, index):
        self.asked += len(groups)
        tokens = [self.text[max(0, begin) : max(0, end)].strip() for begin, end in self.encoder.locate(self.text)]
        each = np.array([self.slopes.get(token, 0.0) for token in tokens])
        return (groups @ each) * (1 if index else -1)


def gradients(network: Vectors, index: int = 1) -> list[list]:
    (shown,) = explanation.explain(network, np.array([network.text], object), np.array([index]))
    assert list(shown) == list(wording.EXPLANATIONS)
    return json.loads(shown["gradient"].content)


def test_words_have_the_slopes_of_their_tokens():
    network = Vectors({"good": 2, "bad": -1}, ["A good  film, not bad"] * 3)
    expected = [["A ", 0.0], ["good", 1.0], ["  film, not ", 0.0], ["bad", -0.5]]
    assert gradients(network) == expected
    assert gradients(network, index=0) == [[piece, -weight + 0.0] for piece, weight in expected]


def test_slopes_find_their_words_in_the_second_text_and_beyond_what_the_network_reads():
    assert gradients(Vectors({"bad": 1}, ["good film\x1every bad"] * 3))[-1] == ["bad", 1.0]
    network = Vectors({"end": 1}, ["word " * 300 + "end"] * 3)
    pieces = gradients(network)
    assert pieces[-1][0].endswith("end") and pieces[-1][1] == 1.0 and pieces[0][1] == 0.0
    assert network.asked <= explanation.MOST


def test_networks_without_vectors_have_no_gradients():
    network = Vectors({}, ["a good film"] * 3)
    network.compute_slopes = lambda row, groups, index: None
    (shown,) = explanation.explain(network, np.array(["a good film"], object), np.array([1]))
    assert list(shown) == ["hiding"]
