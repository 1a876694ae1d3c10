import numpy as np
import pytest
from makers.texts import as_array, fitted, prose

from kiln.modalities.text import asking, normalizer
from kiln.modalities.text.normalizer import CLS, END, MASK, PAD, SPECIAL

TEXTS = [prose(seed, 5 + 3 * seed) for seed in range(6)]
ABOUT = fitted(TEXTS, max_tokens=64)
NUMBERS = normalizer.make_encoder("tokens", ABOUT)(as_array(TEXTS))
KEYS = np.arange(6, dtype=np.uint64)


def test_a_hidden_tokens_answer_is_the_token_that_was_there():
    asked = asking.ask("masked", NUMBERS, KEYS, ABOUT)
    there = np.take_along_axis(NUMBERS, asked.places, axis=1)
    assert (asked.answers == there).all()
    changed = asked.encoded != NUMBERS
    real = asked.weights > 0
    marked = np.zeros_like(changed)
    for row, places, ones in zip(marked, asked.places, real, strict=True):
        row[places[ones]] = True
    assert changed.any() and not (changed & ~marked).any()  # nothing else is touched
    assert (there[real] >= len(SPECIAL)).all()
    for text, row, ones in zip(NUMBERS, asked.places, real, strict=True):
        assert ones.sum() == max(1, round(0.15 * (text >= len(SPECIAL)).sum()))
        assert len(set(row[ones])) == ones.sum()


def test_of_the_tokens_asked_for_most_are_hidden_some_replaced_and_some_left():
    numbers = np.full((400, 42), 7, np.int32)
    numbers[:, 0], numbers[:, -1] = CLS, END
    asked = asking.ask_hidden(numbers, np.arange(400, dtype=np.uint64), 512, normalizer.special({}))
    shown = np.take_along_axis(asked.encoded, asked.places, axis=1)
    assert asked.weights.sum() == 400 * 6
    assert (shown == MASK).mean() == pytest.approx(0.8, abs=0.03)
    assert (shown == 7).mean() == pytest.approx(0.1, abs=0.02)
    others = shown[(shown != MASK) & (shown != 7)]
    assert others.min() >= len(SPECIAL) and 480 < others.max() < 512


def test_what_is_hidden_depends_on_the_key_alone():
    whole = asking.ask("masked", NUMBERS, KEYS, ABOUT)
    longer = asking.ask("masked", np.pad(NUMBERS, [(0, 0), (0, 16)]), KEYS, ABOUT)
    assert (longer.encoded[:, : NUMBERS.shape[1]] == whole.encoded).all() and (longer.places == whole.places).all()
    for row in range(6):
        alone = asking.ask("masked", NUMBERS[row : row + 1], KEYS[row : row + 1], ABOUT)
        assert (alone.encoded == whole.encoded[row]).all()
    assert (asking.ask("masked", NUMBERS, KEYS + np.uint64(6), ABOUT).encoded != whole.encoded).any()


def test_padding_is_never_asked_for():
    for task in ("masked", "next"):
        asked = asking.ask(task, NUMBERS, KEYS, ABOUT)
        assert (asked.answers[asked.weights > 0] != PAD).all() and (asked.weights == 0).any()
    empty = np.array([[CLS, END, PAD, PAD]], np.int32)
    asked = asking.ask_hidden(empty, KEYS[:1], 512, normalizer.special({}))
    assert asked.weights.sum() == 0 and (asked.encoded == empty).all() and asked.places.shape == (1, 1)


def test_each_token_is_asked_for_the_one_after_it():
    asked = asking.ask("next", NUMBERS, KEYS, ABOUT)
    assert (asked.encoded == NUMBERS).all()
    assert (asked.places == np.arange(NUMBERS.shape[1] - 1)).all()
    for text, answers, weights in zip(NUMBERS, asked.answers, asked.weights, strict=True):
        length = (text > 0).sum()
        assert weights.tolist() == [1] * (length - 1) + [0] * (len(text) - length)
        assert answers[: length - 1].tolist() == text[1:length].tolist() and answers[length - 2] == END
