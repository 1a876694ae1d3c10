"""Frequent errors of spelling: known answers, and what stays as it is."""

import numpy as np
import pytest

from kiln.modalities.text import spelling


def misspelt(text: str, share: float = 1.0, seed: int = 0) -> str:
    return spelling.misspell(text, share, np.random.default_rng(seed).random)


@pytest.mark.parametrize(
    ("word", "kind", "wrong"),
    [
        ("accommodate", "undoubled", ["acommodate", "accomodate"]),
        ("recommend", "doubled", ["reccommend"]),
        ("writing", "doubled", ["writting"]),
        ("believe", "ei for ie", ["beleive"]),
        ("receive", "ei for ie", ["recieve"]),
        ("separate", "other vowel", ["saparate", "seperate", "separete"]),
        ("DEFINITE", "other vowel", ["DAFINITE", "DEFENITE", "DEFINETE"]),
        ("form", "swapped", ["from", "fomr"]),
    ],
)
def test_errors_that_many_make_are_among_them(word, kind, wrong):
    assert spelling.list_errors(word)[kind] == wrong


@pytest.mark.parametrize("word", ["aaaa", "bbbb", "abcd", "İİİİ", "Łódź", "Strasse", "DŽep", "eeee", "ieie"])
def test_every_word_allows_an_error_that_changes_it_and_keeps_its_first_letter(word):
    for errors in spelling.list_errors(word).values():
        assert all(error != word and error[0] == word[0] for error in errors)
    assert any(spelling.list_errors(word).values())
    for seed in range(20):
        assert misspelt(word, seed=seed) in {error for some in spelling.list_errors(word).values() for error in some}


@pytest.mark.parametrize(
    "text", ["", " ", "a cat sat", "今天天气很好", "Привет, как дела?", "1234 5678", "한국어 문장입니다"]
)
def test_short_words_and_other_scripts_stay(text):
    assert misspelt(text) == text


def test_what_stands_between_words_stays():
    for seed in range(20):
        changed = misspelt("Well,\n really - 今天 “quite”\x1e fine!", seed=seed)
        assert "".join(sign for sign in changed if not sign.isascii() or not sign.isalpha()) == ",\n  - 今天 “”\x1e !"


def test_as_many_words_as_asked_have_one_error():
    words = ["letter"] * 4000
    changed = misspelt(" ".join(words), 0.3).split()
    wrong = [word for word in changed if word != "letter"]
    assert len(wrong) / 4000 == pytest.approx(0.3, abs=0.03)
    errors = spelling.list_errors("letter")
    assert set(wrong) == {error for some in errors.values() for error in some}
    # The kinds are equally frequent, however many places they have.
    assert wrong.count("leter") / len(wrong) == pytest.approx(1 / sum(map(bool, errors.values())), abs=0.05)


def test_misspelt_words_are_what_they_always_were():
    text = "I definitely believe the committee received a separate recommendation"
    assert misspelt(text) == "I deffinitely belieev the commtitee rceeived a separatte recommednation"
