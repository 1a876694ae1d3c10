"""Texts in the report: bounded, and nothing hidden in them."""

import json

import numpy as np
import pytest

from kiln.modalities.text import showing
from kiln.modalities.text.formats import SEPARATOR

HIDDEN = "\u202e\u2066\u200e\u200b\ufeff\u00ad\x00\x1b\x7f\x85\u2028\ud800\U000e0041"


@pytest.mark.parametrize("character", HIDDEN)
def test_what_is_hidden_is_shown_by_its_code(character):
    code = f"[U+{ord(character):04X}]"
    assert showing.show(f"a{character}b").content.decode() == f"a{code}b"
    assert showing.preview(f"a{character}b").content.decode() in (f"a{code}b", "a b")  # some are white space
    assert character not in showing.sheet([np.array([f"a{character}b"], object)], 8).content.decode()


@pytest.mark.parametrize("text", ["Ünï 字 \n\t", "می\u200cخواهم", "👩\u200d👩\u200d👧", "e\u0301", "<b>&amp;"])
def test_what_can_be_seen_stays(text):
    assert showing.show(text).content.decode() == text


def test_columns_are_parted_by_a_bar():
    text = f"premise{SEPARATOR}hypothesis"
    assert showing.show(text).content == showing.preview(text).content == b"premise | hypothesis"


def test_texts_are_bounded_and_say_what_is_left_out():
    assert showing.show("x" * 4000).content == b"x" * 4000
    assert showing.show("x" * 4001).content.decode() == "x" * 4000 + " … (1 more character)"
    assert showing.show("x" * 10**6).content.decode().endswith("x … (996,000 more characters)")
    assert showing.preview("a b " * 1000).content.decode() == ("a b " * 60).rstrip() + " …"
    assert showing.preview(" " * 10**6 + "x").content.decode() == " …"
    assert showing.preview("a\n\n b\t").content == b"a b"
    assert len(showing.show("\u202e" * 10**6).content) < 40_000


def test_a_sheet_has_a_row_of_beginnings_for_each_row():
    rows = [np.array(["a" * 200, "b\nc"], object), np.array([], object), np.array(["", "\x1e", "d"], object)]
    exhibit = showing.sheet(rows, 2)
    assert exhibit.kind == "texts"
    assert json.loads(exhibit.content) == [["a" * 120 + " …", "b c"], [], ["", "|"]]
