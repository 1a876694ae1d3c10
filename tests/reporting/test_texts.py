"""Texts in the report: readable, bounded, and what is marked in them to be seen without colour."""

import dataclasses
import html
import json
import re

import numpy as np
import pytest
from makers.pages import fill_macro, read
from makers.text_reports import TEXT, fill_sections, text_evidence

from kiln.reporting import card, rendering, sections, texts


def marked(pieces) -> str:
    return fill_macro("exhibit", {"kind": "marked", "content": json.dumps(pieces).encode()}, "alt")


def test_a_text_is_a_block_that_chooses_its_own_direction():
    shown = fill_macro("exhibit", TEXT.show("a <b>\n שלום")._asdict(), "12, labelled ham")
    assert shown == (
        '<blockquote class="words" dir="auto" aria-label="12, labelled ham"><p>a &lt;b&gt;\n שלום</p></blockquote>'
    )


@pytest.mark.parametrize(
    "text", ["word " * 300, "字" * 4000, "line\n" * 60, "x" * 4000, "a" * 750 + " b", "word " * 2000, "\n" * 3000]
)
def test_long_texts_are_folded_and_lose_nothing(text):
    exhibit = TEXT.show(text)
    block = fill_macro("exhibit", exhibit._asdict(), "alt")
    first, rest = (html.unescape(re.sub("<[^>]*>", "", piece)) for piece in block.split("<summary>the rest</summary>"))
    assert first + rest == exhibit.content.decode()
    assert 100 < len(first) + 49 * first.count("\n") <= texts.CLAMP + 1
    if " " in text[:400]:
        assert first.endswith(" ")


@pytest.mark.parametrize("text", ["", "short", "word " * 130])
def test_shorter_ones_are_not(text):
    assert "<details>" not in fill_macro("exhibit", TEXT.show(text)._asdict(), "alt")


def test_marks_are_lines_of_two_kinds_with_their_weights():
    shown = marked([["a ", 0.0], ["good,", 1.0], [" but ", 0.2], ["slow", -0.6], [" film ", -0.3]])
    assert '<mark class="for level3" title="+1.00">good,</mark> but <mark class="against level2"' in shown
    assert '<mark class="against level1" title="-0.30"> film </mark>' in shown
    assert shown.count("<mark") == 3
    assert read(shown).endswith("for it: good +1.00 against it: slow -0.60, film -0.30")
    style = (rendering.TEMPLATES / "style.css").read_text()
    assert re.search(r"mark \{[^}]*border-bottom: 1px solid", style)
    assert re.search(r"mark\.against \{[^}]*border-bottom: 1px dotted", style)


def test_marks_beyond_the_fold_keep_their_weight():
    pieces = [[f"w{number} ", round(number / 400, 2)] for number in range(400)]
    first, rest = texts.clamp(pieces)
    assert "".join(piece for piece, _ in [*first, *rest]) == "".join(piece for piece, _ in pieces)
    assert {tuple(one) for one in (*first, *rest)} <= {tuple(one) for one in pieces}
    assert [words[0] for _, words in texts.list_strongest(pieces)] == [("w399", 1.0)]


def test_words_that_recur_are_named_once():
    assert texts.list_strongest([["no", -0.5], [" ", 0.0], ["no", -0.5], ["yes", 0.1]]) == [
        ("against it", [("no", -0.5)])
    ]


def test_rows_of_texts_are_listed_under_their_names():
    sheet = TEXT.sheet([np.array(["one", "two", "three", "four"], object), np.array([], object)], 8)
    shown = fill_macro("sheet", sheet._asdict(), ["spam", "ham"], "alt")
    assert read(shown) == "spam one two three 1 more four ham"
    assert "<dl" in shown and shown.count('<li dir="auto">') == 4
    assert read(fill_macro("figure", sheet._asdict(), "alt")) == "one two three four"


@pytest.fixture(scope="module")
def evidence():
    return text_evidence()


def test_a_report_on_texts_says_nothing_of_pictures(evidence):
    words = f"{read(fill_sections(evidence))} {rendering.fill_markdown('card', card.gather(evidence))}"
    assert re.findall(r".{9}(?:image|picture|pixel|correlat).{9}", words, re.IGNORECASE) == []
    assert "test texts" in words and "Copies: 90% of their runs of five" in words


def test_the_sample_is_shown_once_marked_and_its_neighbours_are_named(evidence):
    shown = rendering.fill_html("mistakes", sections.mistakes(evidence))
    assert shown.count("<blockquote") == 4  # two mistakes, with a neighbour each
    assert '<mark class="for level3" title="+1.00">&lt;b&gt;good&lt;/b&gt;</mark>' in shown
    assert "training text n, labelled c, cosine 0.50" in read(shown)
    assert "A solid line under a word" in read(shown)


def test_normalisation_has_the_columns_of_the_modality(evidence):
    shown = read(rendering.fill_html("normalization", sections.normalization(evidence)))
    assert " ".join(TEXT.described).replace("_", " ") in shown and shown.count("0.2500") == len(TEXT.described)


def test_the_card_names_the_weights_that_training_started_from(evidence):
    weights = {"name": "some|encoder, from a package", "licence": "MIT", "sha256": "ab" * 32}
    started = dataclasses.replace(evidence, train={**evidence.train, "weights": weights})
    text = rendering.fill_markdown("card", card.gather(started))
    assert "started from the weights of" in text and "encoder, from a package" in text
    assert f"SHA-256 {'ab' * 32}; their licence: MIT." in text
    assert "started from" not in rendering.fill_markdown("card", card.gather(evidence))


def beside(evidence, **measured) -> list[str]:
    """What summary and model card say of a baseline, as plain words."""
    baseline = {"fitted_on": 26, "accuracy": 0.8, "accuracy_ci95": {"low": 0.6, "high": 0.9}, "won": 4, "lost": 1}
    with_it = dataclasses.replace(
        evidence, scores={**evidence.scores, "baseline": {**baseline, "p": 0.375, **measured}}
    )
    summary = read(rendering.fill_html("summary", sections.summary(with_it)))
    return [summary, " ".join(rendering.fill_markdown("card", card.gather(with_it)).split())]


def test_the_model_is_set_beside_a_linear_one(evidence):
    of = sum(evidence.clean["splits"]["train"].values())
    for words in beside(evidence, fitted_on=of):
        assert (
            f"A linear model of n-grams, fitted on the same {of} training texts, gets 80.0% of the test texts right"
            in words
        )
        assert "4 texts that only this model and 1 that only the linear model of n-grams gets right" in words
        assert "a difference that may be chance (p = 0.38)" in words
    assert "LinearSVC" in beside(evidence)[1]
    assert all(f"fitted on 26 of the {of}" in words for words in beside(evidence))
    assert all("better beyond chance" in words for words in beside(evidence, p=0.01))
    assert all("worse beyond chance" in words for words in beside(evidence, p=0.01, lost=40))
    plain = rendering.fill_html("summary", sections.summary(evidence)) + rendering.fill_markdown(
        "card", card.gather(evidence)
    )
    assert "linear model" not in plain
