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


MAIL, PHONE, CARD = "anna@post.example", "+49 30 1234567", "4111 1111 1111 1111"


def test_personal_data_is_masked_wherever_a_text_is_shown():
    text, masked = f"to {MAIL}, {PHONE} or {CARD}!", "to <email>, <phone> or <card>!"
    assert showing.show(text).content.decode() == showing.preview(text).content.decode() == masked
    assert json.loads(showing.sheet([np.array([text], object)], 1).content) == [[masked]]


@pytest.mark.parametrize("personal", [MAIL, PHONE, CARD])
@pytest.mark.parametrize("most", [showing.SHOWN, showing.PREVIEWED])
def test_no_part_of_it_is_shown_where_a_text_is_cut(personal, most):
    for shift in range(0, len(personal) + 1, 3):
        text = "x" * (most - shift - 1) + " " + personal + " " + "x" * 10**5
        shown = (showing.show if most == showing.SHOWN else showing.preview)(text).content.decode()
        assert not any(personal[start : start + 4] in shown for start in range(len(personal) - 3))


def test_what_is_only_personal_on_one_line_is_masked_in_a_preview():
    assert showing.preview("+49 30\n1234567").content == b"<phone>"
