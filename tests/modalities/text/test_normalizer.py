import json
from itertools import chain

import numpy as np
import pytest
from makers.texts import TEXTS, fitted

from kiln.modalities.text import normalizer
from kiln.modalities.text.formats import MASKED, SEPARATOR
from kiln.params.text import Normalize


def texts(*values: str) -> np.ndarray:
    return np.array(values, object)


def test_any_text_comes_back_from_its_tokens():
    about = fitted()
    tokenizer, encode = normalizer.load_tokenizer(about), normalizer.make_encoder("tokens", about)
    values = texts("the cat", "Über 北京 🎉\tx", "\u202eabc", "<pad> <sep> <end>")
    for value, row in zip(values, encode(values), strict=True):
        row = row[row > 0]
        assert row[0] == normalizer.CLS and row[-1] == normalizer.END
        assert normalizer.SEP not in row
        assert tokenizer.decode(row[1:-1].tolist()).strip() == value.lower()


def test_two_texts_are_parted_by_a_token():
    encode = normalizer.make_encoder("tokens", fitted())
    both, one, other = encode(texts(f"the cat{SEPARATOR}the dog", "the cat", "the dog"))
    one, other = one[one > 0], other[other > 0]
    assert both[both > 0].tolist() == [*one[:-1], normalizer.SEP, *other[1:]]


def test_long_texts_keep_their_ends():
    encode = normalizer.make_encoder("tokens", fitted(max_tokens=16))
    row = encode(texts("a b c d e f g h i j k l m n o p q r s t u v w x y z"))[0]
    whole = normalizer.make_encoder("tokens", fitted(max_tokens=64))(
        texts("a b c d e f g h i j k l m n o p q r s t u v w x y z")
    )[0]
    whole = whole[whole > 0]
    assert row.tolist() == [*whole[:12], *whole[-4:]]


def test_the_order_and_the_batches_of_texts_change_no_byte():
    def dumped(*parts) -> str:
        statistics = sum((normalizer.count(part) for part in parts[1:]), normalizer.count(parts[0]))
        return json.dumps(normalizer.fit(statistics, Normalize(vocabulary=512, min_texts=1)))

    values = texts(*TEXTS)
    assert dumped(values) == dumped(values[::-1]) == dumped(values[:3], values[3:])


def test_only_texts_of_train_make_tokens_and_rare_ngrams_are_left_out():
    few, all_ = fitted(min_texts=2), fitted(min_texts=1)
    assert set(few["buckets"]) < set(all_["buckets"])
    assert min(few["texts_with"]) >= 2
    cut = fitted(max_ngrams=100)
    left_out = set(all_["buckets"]) - set(cut["buckets"])
    counts = dict(zip(all_["buckets"], all_["texts_with"], strict=True))
    assert len(cut["buckets"]) == 100 and max(counts[name] for name in left_out) <= min(cut["texts_with"])
    assert not normalizer.make_encoder("ngrams", few)(texts("ξψ")).any()


def test_ngrams_are_those_of_a_text_whatever_its_neighbours():
    encode = normalizer.make_encoder("ngrams", fitted(min_texts=1))
    alone = encode(texts("the cat sat"))[0]
    beside = encode(texts("a much longer text about the dog and the cat and the rest", "the cat sat"))[1]
    assert alone[alone > 0].tolist() == beside[beside > 0].tolist()
    assert len(alone) % normalizer.MULTIPLE == 0


def test_an_empty_text_is_padding_and_its_ends():
    assert set(normalizer.make_encoder("ngrams", fitted())(texts("")).ravel()) == {0}
    row = normalizer.make_encoder("tokens", fitted())(texts(""))[0]
    assert row[row > 0].tolist() == [normalizer.CLS, normalizer.END]


def test_a_split_is_described_against_train():
    train, other = normalizer.count(texts("a b", "a b c d")), normalizer.count(texts("a x y z"))
    about = normalizer.describe(other, train)
    assert about == {"mean": [4.0], "std": [0.0], "median": [4.0], "unknown": [0.75], "shift": [1.0]}
    assert normalizer.describe(train, train)["unknown"] == normalizer.describe(train, train)["shift"] == [0.0]
    empty = normalizer.describe(normalizer.Statistics(), train)
    assert list(chain(*empty.values()))[:4] == [0.0] * 4


def test_a_damaged_tokenizer_is_told():
    about = fitted()
    about["tokenizer"] = {"model": {"vocab": 1}}
    with pytest.raises(ValueError, match="damaged"):
        normalizer.load_tokenizer(about)


def test_a_hidden_word_is_the_token_of_masks_in_every_column():
    rows = normalizer.make_encoder("tokens", fitted())(
        texts(f"the {MASKED} sat", f"{MASKED}{SEPARATOR}{MASKED}", "<mask>")
    )
    assert [np.count_nonzero(row == normalizer.MASK) for row in rows] == [1, 2, 0]
    whole = normalizer.make_encoder("tokens", fitted())(texts("the cat sat"))[0]
    assert rows[0][1] == whole[1] and rows[0][rows[0] > 0][-2] == whole[whole > 0][-2]


def test_in_scripts_without_spaces_unknown_characters_are_counted():
    train, other = (normalizer.count(np.array([text], object)) for text in ("房间很好，film", "房间很大，Film"))
    assert normalizer.describe(other, train)["unknown"] == [pytest.approx(1 / 6)]
