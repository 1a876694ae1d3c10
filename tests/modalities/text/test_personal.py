import time

import pytest

from kiln.modalities.text import personal


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to Ann.O-Hara+x@mail.example.co.uk!", "write to <email>!"),
        ("call 08712460324 now", "call <phone> now"),
        ("+49 (0)89 123456-78", "<phone>"),
        ("(555) 123-4567", "<phone>"),
        ("555-123-4567.", "<phone>."),
        ("手机13812345678联系", "手机<phone>联系"),
        ("card 4111 1111 1111 1111.", "card <card>."),
        ("card 5500005555555559", "card <card>"),
    ],
)
def test_what_is_personal(text, masked):
    assert personal.find(text) == (1, masked)


@pytest.mark.parametrize(
    "text",
    [
        "on 01.02.2003 12:30", "2003-01-02 10:11:12", "4111 1111 1111 1112", "pi is 3.14159265358979", "a@b", "@user",
        "1,234,567,890", "12345", "£2,000 or 5000000000", "0.123456789", "foo@bar", "version 1.2.3.4",
    ],
)  # fmt: skip
def test_what_is_not(text):
    assert personal.find(text) == (0, text)


def test_known_check_digits():
    assert personal.passes_luhn("79927398713") and not personal.passes_luhn("79927398710")


@pytest.mark.parametrize("text", ["a" * 300_000, "1 " * 150_000, "a@" * 150_000, "+1(" * 100_000, "a.b-" * 75_000])
def test_hostile_texts_take_linear_time(text):
    begun = time.process_time()
    personal.find(text)
    assert time.process_time() - begun < 5
