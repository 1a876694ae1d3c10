import numpy as np
from makers.texts import fitted

from kiln.modalities.text import normalizer, writing
from kiln.modalities.text.normalizer import CLS, END, MASK, PAD, SEP

ABOUT = fitted(["a cat dog"] * 3, max_tokens=32)
KINDS = normalizer.count_kinds("tokens", ABOUT)
CAT, DOG = normalizer.load_tokenizer(ABOUT).encode("cat dog").ids


def scorer(follows: dict[int, dict[int, float]]):
    """Score by the token at the place: token -> {next token: probability}."""

    def score(numbers, places):
        scores = np.full((*places.shape, KINDS), -50.0, np.float32)
        for row, place in enumerate(places[:, 0]):
            for token, share in follows[numbers[row, place]].items():
                scores[row, 0, token] = np.log(share)
        return scores

    return score


def test_a_text_is_written_from_its_beginning_to_its_end():
    follows = {CLS: {CAT: 1}, CAT: {DOG: 1}, DOG: {END: 1}, END: {CAT: 1}, PAD: {CAT: 1}}
    assert writing.write(scorer(follows), 0, ABOUT) == ["cat dog"] * writing.TEXTS


def test_what_does_not_end_is_cut_off_and_says_so():
    (text,) = set(writing.write(scorer({CLS: {CAT: 1}, CAT: {CAT: 1}}), 0, ABOUT))
    assert text == "cat " * 31 + "…"  # of 32 tokens, the first is the beginning


def test_marks_that_no_text_has_are_never_written():
    follows = {CLS: {PAD: 0.4, MASK: 0.3, CLS: 0.299, CAT: 0.001}, CAT: {SEP: 1}, SEP: {DOG: 1}, DOG: {END: 1}}
    assert set(writing.write(scorer(follows | {PAD: {CAT: 1}, END: {CAT: 1}}), 0, ABOUT)) == {"cat | dog"}


def test_draws_follow_the_probabilities_and_the_seed(monkeypatch):
    monkeypatch.setattr(writing, "TEXTS", 600)
    monkeypatch.setattr(writing, "TEMPERATURE", 1.0)
    follows = {CLS: {CAT: 0.7, DOG: 0.3}, CAT: {END: 1}, DOG: {END: 1}, END: {CAT: 1}, PAD: {CAT: 1}}
    one, again, other = (writing.write(scorer(follows), seed, ABOUT) for seed in (0, 0, 1))
    assert one == again != other
    assert abs(one.count("cat") / 600 - 0.7) < 0.06 and set(one) == {"cat", "dog"}
