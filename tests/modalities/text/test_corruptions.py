"""Corruptions of texts: deterministic, graded, and known for single strengths."""

import numpy as np
import pytest

from kiln.modalities.base import STRENGTHS
from kiln.modalities.text import corruptions
from kiln.modalities.text.formats import SEPARATOR

NAMES = list(corruptions.CORRUPTIONS)
SENTENCE = "“Well,” she said; Don't worry - it will be fine, isn't that so? Yes: quite."
TEXTS = np.array([SENTENCE] * 40 + ["天气很好，我们去公园吗？"] * 20 + [f"one,{SEPARATOR}two!"], dtype=object)


def corrupted(name: str, strength: str = "strong", texts=TEXTS, seed: int = 0) -> list[str]:
    return corruptions.corrupt(texts, name, strength, np.random.default_rng(seed)).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_alone_decides_and_nothing_is_changed_in_place(name):
    before = TEXTS.tolist()
    assert corrupted(name) == corrupted(name) and TEXTS.tolist() == before
    assert name == "truncation" or corrupted(name) != corrupted(name, seed=1)
    assert all(text.count(SEPARATOR) == one.count(SEPARATOR) for text, one in zip(corrupted(name), TEXTS, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_stronger_changes_more(name):
    def share(strength: str) -> float:
        pairs = [(old, new) for old, new in zip(TEXTS[:40], corrupted(name, strength)[:40], strict=True)]
        if name in ("case", "punctuation"):
            return np.mean([old[place] != new[place : place + 1] for old, new in pairs for place in range(len(old))])
        return np.mean([abs(len(old) - len(new)) for old, new in pairs])

    shares = [share(strength) for strength in STRENGTHS]
    assert shares == sorted(shares) and len(set(shares)) == 3 and shares[0] > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", " \n", "a", "?!", "字", "\x1e"])
def test_no_text_is_emptied(name, text):
    for seed in range(20):
        (changed,) = corrupted(name, texts=np.array([text], object), seed=seed)
        assert bool(changed.strip()) == bool(text.strip())


def test_known_answers():
    assert corrupted("truncation", "medium", np.array(["a b c d", "天气很好", "x"], object)) == ["a b", "天气", "x"]
    cases = set(corrupted("case", texts=np.array(["Is it? 字"] * 20, object)))
    assert cases == {"IS IT? 字", "is it? 字"}
    assert set(corrupted("case", texts=np.array(["small"] * 20, object))) == {"SMALL"}
    assert all(set(text) <= set("a！b") for text in corrupted("punctuation", texts=np.array(["a!b"] * 20, object)))


def test_as_many_are_changed_as_said():
    text = np.array(["lorem ipsum, " * 2000], object)
    (omitted,) = corrupted("omission", "medium", text)
    assert len(omitted.split()) / 4000 == pytest.approx(0.8, abs=0.02)
    (marks,) = corrupted("punctuation", "medium", text)
    assert marks.count(",") / 2000 == pytest.approx(0.4, abs=0.03)
    assert marks.count("，") + marks.count("、") == pytest.approx(600, abs=80)
    (typed,) = corrupted("typos", "strong", np.array(["q" * 10000], object))
    assert len(typed) / 10000 == pytest.approx(1 - 0.1 / 3, abs=0.01)
    assert (len(typed) - typed.count("q")) / 10000 == pytest.approx(0.1 / 3, abs=0.01)


GOLDEN = {
    "typos": ["“Wekl,” she said; Don't worry - it will be fin, isn't that so? Yes: quite.", "天气很好，我们去公园吗？"],
    "case": ["“well,” she said; Don't worry - it will be fine, isn't that so? Yes: quite.", "天气很好，我们去公园吗？"],
    "omission": ["“Well,” she worry - it will be fine, isn't so? quite.", "气很好，去公园吗？"],
    "truncation": ["“Well,” she said; Don't worry - it", "天气很好，我"],
    "punctuation": [
        "“Well,” she said; Dont worry - it will be fine, isn't that so Yes: quite．",
        "天气很好、我们去公园吗？",
    ],
}


@pytest.mark.parametrize("name", NAMES)
def test_corrupted_texts_are_what_they_always_were(name):
    assert corrupted(name, "medium", TEXTS[[0, 40]]) == GOLDEN[name]
