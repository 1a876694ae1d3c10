import numpy as np
import pytest
from makers.texts import TEXTS, fitted

from kiln.modalities.text import layers as text_layers
from kiln.modalities.text import normalizer
from kiln.networks import registry, texts
from kiln.networks.backend import keras
from kiln.networks.parts import ZOO, Architecture

OF_TOKENS = ("fast_text", "text_cnn", "bert", "gpt")


def build(name: str, about: dict, width: float = 0.5, classes: int = 3) -> keras.Model:
    """Logits, from numbers."""
    keras.utils.set_random_seed(0)
    entry, form = ZOO[name], registry.form_of(name)
    inputs = keras.Input((None,), dtype="int32")
    depth = 2 if entry.depths else None
    kinds = normalizer.count_kinds(form, about)
    how = Architecture(name, width, depth, None, entry.activation, None, 0.1, False, kinds, about["max_tokens"])
    first = text_layers.weigh(inputs, about) if form == "ngrams" else inputs
    made = keras.Model(inputs, entry.build(first, classes, how))
    generator = np.random.default_rng(0)
    for variable in made.trainable_variables:  # so that no table is 0 or nearly so
        variable.assign(generator.normal(0, 0.3, variable.shape))
    return made


@pytest.mark.parametrize("name", ["linear_text", *OF_TOKENS])
def test_padding_and_neighbours_change_no_logit(name):
    about = fitted()
    made, numbers = build(name, about), normalizer.make_encoder(registry.form_of(name), about)(np.array(TEXTS, object))
    longer = np.pad(numbers, [(0, 0), (0, about["max_tokens"] - numbers.shape[1] if name in OF_TOKENS else 48)])
    whole = np.asarray(made(longer))
    assert whole == pytest.approx(np.asarray(made(numbers)), abs=1e-5)
    alone = np.concatenate([np.asarray(made(row[None, : max(1, (row > 0).sum())])) for row in numbers])
    assert whole == pytest.approx(alone, abs=1e-5)
    assert np.ptp(whole, axis=0).min() > 1e-3  # and the texts differ


def test_a_later_token_changes_nothing_before_it_but_only_in_gpt():
    about = fitted()
    numbers = normalizer.make_encoder("tokens", about)(np.array([TEXTS[0]], object))
    changed = numbers.copy()
    changed[0, 5] += 1
    for name, same in (("gpt", True), ("bert", False)):
        made = build(name, about)
        states = keras.Model(made.input, made.get_layer("norm").output)
        one, other = np.asarray(states(numbers))[0], np.asarray(states(changed))[0]
        assert np.array_equal(one[:5], other[:5]) == same
        assert np.abs(one[5] - other[5]).max() > 1e-3


def test_linear_text_is_the_linear_map_of_tf_idf():
    about = fitted()
    made, encode = build("linear_text", about), normalizer.make_encoder("ngrams", about)
    numbers = encode(np.array([TEXTS[1]], object))[0]
    numbers = numbers[numbers > 0]
    idf = np.log((1 + about["texts"]) / (1 + np.array(about["texts_with"])))[numbers - 1] + 1
    table, bias = (np.asarray(weight) for weight in made.get_layer("logits").trainable_weights)
    of_words = numbers <= about["words"]
    assert 0 < of_words.sum() < len(numbers)
    halves = [idf * of_words, idf * ~of_words]
    expected = sum(half / np.linalg.norm(half) for half in halves) @ table[numbers] + bias
    assert np.asarray(made(numbers[None]))[0] == pytest.approx(expected, rel=1e-4)


def test_linear_text_has_hidden_units_where_classes_are_many():
    about = fitted()
    numbers = normalizer.make_encoder("ngrams", about)(np.array(TEXTS, object))
    few, many = (build("linear_text", about, classes=classes) for classes in (32, 33))
    assert [layer.name for layer in few.layers][-1] == "logits" and "hidden" not in {layer.name for layer in few.layers}
    assert many.get_layer("hidden").kernel.shape == (normalizer.count_kinds("ngrams", about), 64)  # width 0.5
    alone = np.concatenate([np.asarray(many(row[None, : max(1, (row > 0).sum())])) for row in numbers])
    assert np.asarray(many(numbers)) == pytest.approx(alone, abs=1e-4) and alone.shape == (len(TEXTS), 33)


def test_pairs_of_tokens_are_numbered_by_both_and_their_order():
    numbers = np.array([[1, 2, 1, 3, 0, 0]], np.int32)
    pairs = np.asarray(texts.Bigrams()(numbers))[0]
    assert (pairs[3:] == 0).all() and (pairs[:3] > 0).all()
    assert len(set(pairs[:3].tolist())) == 3


def test_the_last_token_is_that_of_each_text():
    x, mask = np.arange(12.0).reshape(2, 3, 2), np.array([[True, True, False], [True, True, True]])
    assert np.asarray(texts.LastToken()([x, mask])).tolist() == [[2, 3], [10, 11]]
