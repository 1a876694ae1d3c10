import itertools
import unicodedata

import numpy as np
import pandas as pd
import pytest
from makers.texts import WORDS, as_array, prose

from kiln.core import parallel
from kiln.core.components import components
from kiln.modalities.text import copies, shingles
from kiln.params.text import Clean


def find(texts, rows=None, seed=1, border="auto") -> pd.DataFrame:
    rows = np.arange(len(texts)) if rows is None else rows
    return copies.find(as_array(texts), rows, seed, Clean(near_duplicate_score=border)).pairs


def cut(text: str) -> set[str]:
    """The runs of five characters of a text."""
    text = shingles.normalize(text)
    return {text[at : at + 5] for at in range(max(1, len(text) - 4))}


def exact_jaccard(first: set[str], second: set[str]) -> float:
    """The definition, on sets of strings."""
    return len(first & second) / len(first | second)


def variants(count: int) -> list[str]:
    """Texts of several lengths, each with up to five copies in which some words are others."""
    generator, texts = np.random.default_rng(3), []
    for seed in range(count):
        words = prose(seed, int(generator.integers(4, 60))).split()
        for _ in range(generator.integers(1, 6)):
            changed = words.copy()
            for place in generator.integers(0, len(words), generator.integers(0, 4)):
                changed[place] = str(generator.choice(WORDS))
            texts.append(" ".join(changed))
    return [texts[place] for place in generator.permutation(len(texts))]


def test_the_same_sets_as_of_all_pairs():
    texts = variants(120)
    runs = [cut(text) for text in texts]
    expected = [
        (a, b) for a, b in itertools.combinations(range(len(texts)), 2) if exact_jaccard(runs[a], runs[b]) >= 0.8
    ]
    assert len(expected) > 100
    pairs = find(texts)
    assert {*zip(pairs["first"], pairs["second"], strict=True)} <= set(expected)
    one = components(len(texts), *np.array(expected).T)
    other = components(len(texts), pairs["first"].to_numpy(), pairs["second"].to_numpy())
    assert (one == other).all()
    assert pairs["score"].tolist() == pytest.approx(
        [exact_jaccard(runs[a], runs[b]) for a, b, _ in pairs.values.astype(int)]
    )


def test_what_the_eye_does_not_see_makes_no_difference():
    text = "Ein schöner Tag, nicht wahr?"
    others = [
        text.upper(),
        f"  {text}\n",
        text.replace(" ", " \t"),
        unicodedata.normalize("NFD", text),
        text.replace("t", "t\u200b"),
        "Ｅ" + text[1:],
    ]
    pairs = find([text, *others])
    assert pairs["first"].tolist() == [0] * 6 and pairs["second"].tolist() == [1, 2, 3, 4, 5, 6]
    assert (pairs["score"] == 1).all()


def test_what_changes_the_meaning_is_no_copy():
    texts = [
        "What is the highest mountain in the world?",
        "What is the fourth highest mountain in the world?",
        "ok",
        "no",
        "okay",
    ]
    assert find(texts).empty
    assert len(find(texts, border=0.6)) == 1


def test_scripts_without_spaces():
    text = "江西师范大学二零一零年高考录取结果查询系统开通"
    pairs = find([text, text + "了", "酒店的服务很好，房间也很干净，下次还会来的。"])
    assert pairs[["first", "second"]].values.tolist() == [[0, 1]] and pairs["score"][0] == pytest.approx(19 / 20)


def test_only_the_rows_asked_for():
    pairs = find(["x" * 9, "spam and eggs", "no copy at all", "SPAM and eggs", "spam  and eggs"], np.array([2, 3, 4]))
    assert pairs.values.tolist() == [[3, 4, 1]]
    assert find(["a", "a"], np.array([1])).empty and find([], np.array([], int)).empty


def test_a_crowd_is_connected_without_all_its_pairs():
    base = prose(0, 60)
    texts = [f"{base} {WORDS[number % len(WORDS)]}{number}" for number in range(400)]
    texts += [base] * 300
    pairs = find(texts)
    assert len(np.unique(components(len(texts), pairs["first"].to_numpy(), pairs["second"].to_numpy()))) == 1
    assert len(pairs) < 3 * len(texts)


def test_seed_batches_and_workers(monkeypatch):
    texts = variants(40)
    first = find(texts)
    ordered = parallel.ordered_map
    monkeypatch.setattr(parallel, "ordered_map", lambda function, items: ordered(function, items, workers=5))
    monkeypatch.setattr(shingles, "_TEXTS", 7)
    monkeypatch.setattr(copies, "_VERIFIED", 200)
    assert find(texts).equals(first)


def test_estimates_agree_with_the_exact_index():
    texts = [text for text in variants(60) if len(text) > 60]
    rows = np.arange(len(texts))
    signatures = copies._sketch(as_array(texts), rows, 5).signatures
    first, second = np.triu_indices(len(texts), 1)
    estimates = (signatures[first] == signatures[second]).mean(axis=1)
    exact = copies.jaccard(list(map(shingles.normalize, texts)), first, second)
    assert np.abs(estimates - exact).max() < 0.25 and abs((estimates - exact).mean()) < 0.01


def test_punctuation_makes_no_difference_where_there_are_words():
    texts = ["what's your name", "Whats your name?", "e-mail", "email", "?!", "!?", "C", "D"]
    pairs = find(texts)
    assert pairs[["first", "second"]].to_numpy().tolist() == [[0, 1], [2, 3]] and (pairs["score"] == 1).all()
