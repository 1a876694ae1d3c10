import math
import time

import numpy as np
import pytest

from kiln.modalities.base import TooLarge, Undecodable
from kiln.modalities.text import decoding
from kiln.modalities.text.conversion import Conversion
from kiln.params.text import Clean

PLAIN = Conversion(10, script="Latin")
FRENCH = "Le garçon déçu mange des pâtes à l'été, où est-il né ? Ça va très bien, même si l'élève a échoué."
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. Отличный фильм!"
CHINESE = "酒店的服务很好，房间也很干净，下次还会来的。"
MOJIBAKE = "schön".encode().decode("cp1252")


def read(content: bytes, conversion: Conversion = PLAIN, **settings) -> tuple[str, dict, tuple]:
    return decoding.decode(content, conversion, Clean(**settings))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_with_or_without_its_mark(encoding):
    value, _, notes = read(CHINESE.encode(encoding))
    assert value == CHINESE
    assert bool(notes) == (encoding in ("utf-16", "utf-32"))


@pytest.mark.parametrize("mark", decoding.MARKS)
def test_marks_of_both_byte_orders(mark):
    assert read(mark[0] + CHINESE.encode(mark[1])).value == CHINESE


@pytest.mark.parametrize(
    ("text", "encoding"), [(FRENCH, "cp1252"), (RUSSIAN, "cp1251"), (RUSSIAN, "koi8_r"), (CHINESE, "gb18030")]
)
def test_a_legacy_encoding_is_found_out_and_told(text, encoding):
    value, _, notes = read(text.encode(encoding))
    assert (value, notes) == (text, (f"read as {encoding}, since it is not UTF-8",))


def test_a_short_legacy_text_is_read_as_the_others_are_else_as_the_most_usual():
    assert read("été".encode("cp1252")).value == "été"
    assert read("чай".encode("cp1251"), Conversion(10, encoding="cp1251")).value == "чай"
    # What the usual encoding cannot read is read nevertheless.
    assert read(b"a caf\xe9", Conversion(10, encoding="ascii")).value == "a café"


def test_utf8_that_is_cut_off_or_holds_surrogates_stays_utf8():
    assert read(CHINESE.encode()[:-1]).value == CHINESE[:-1]
    value, _, notes = read(b"hi \xed\xa0\xbd you")
    assert (value, notes) == ("hi  you", ("1 lost character removed",))
    assert read(b"\xed\xa0\xbd\xed\xb8\x80 hi").value == "\U0001f600 hi"


def test_characters_are_composed_and_controls_removed():
    value, _, notes = read("cafe\u0301 a\tb\r\nc\rd\0 e\x07f\ufffd".encode() + b" " * 20)
    assert value == "café a\tb\nc\nd ef"
    assert notes == ("2 control characters removed", "1 lost character removed")
    assert read(b"one\x1etwo").value == "one\x1etwo"
    assert read(b"\x1etwo").value == "\x1etwo"


def test_mojibake_is_always_told_and_repaired_unless_one_does_not_want_it():
    content = f"{MOJIBAKE} ist es".encode()
    value, _, notes = read(content)
    assert value == "schön ist es" and notes == ("wrongly decoded before, which is repaired",)
    value, _, notes = read(content, Conversion(10, repair=False))
    assert value == f"{MOJIBAKE} ist es" and "clean.text.repair" in notes[0]
    # A C1 control is a character of cp1252 that was read as Latin-1.
    assert read("don\x92t".encode()).value == "don’t"
    assert read(FRENCH.encode()).notes == read(CHINESE.encode()).notes == ()


@pytest.mark.parametrize("content", [b"", b" \n\t ", b"\x1e", b"\xef\xbb\xbf", "\u3000".encode()])
def test_nothing_is_empty(content):
    with pytest.raises(Undecodable, match="empty"):
        read(content)


@pytest.mark.parametrize("content", [bytes(range(256)), b"\x89PNG\r\n\x1a\n" + bytes(60), bytes(100)])
def test_binary_data_is_no_text(content):
    with pytest.raises(Undecodable, match="binary"):
        read(content)


def test_a_long_text_is_not_read():
    assert read(b"x" * 100, max_bytes=100).value
    with pytest.raises(TooLarge, match="max_bytes"):
        read(b"x" * 101, max_bytes=100)
    with pytest.raises(TooLarge):
        decoding.decode(b"x" * (decoding.MAX_BYTES + 1), PLAIN)


def test_known_facts():
    facts = read(b"<b>ab</b> &amp; c").facts
    assert facts["characters"] == 17 and facts["markup"] == pytest.approx(12 / 17) and facts["personal"] == 0
    assert facts["script_share"] == 1 and math.isnan(facts["language"])
    assert read("abcд 123".encode()).facts["script_share"] == 0.75
    assert math.isnan(read(b"123 !").facts["script_share"])
    assert math.isnan(read(b"abc", Conversion(10)).facts["script_share"])
    assert read("ａｂ".encode()).facts["script_share"] == 1  # full-width
    assert read(b"3 < 5 & 5 > 3, AT&T <user>").facts["markup"] == 0


def test_the_language_is_judged_where_it_is_named_and_the_text_long_enough():
    english = b"this is an ordinary sentence in plain English, and here is another one"
    assert read(english, language="en").facts["language"] > 0.5
    assert read(FRENCH.encode(), language="en").facts["language"] < 0.1
    assert read(CHINESE.encode() * 2, language="zh").facts["language"] > 0.5
    assert math.isnan(read(b"ok then", language="en").facts["language"])


def test_personal_data_is_counted_and_masked_if_one_wants_it():
    content = b"ask ann@example.org or +44 7911 123456"
    assert read(content)[:2][0] == content.decode() and read(content).facts["personal"] == 2
    assert read(content, Conversion(10, mask=True)).value == "ask <email> or <phone>"


@pytest.mark.parametrize(
    "text",
    ["a" + "\u0301\u0323" * 100_000, "Ã©" * 90_000, "<a " * 90_000, "&a" * 90_000, "\x92a" * 60_000, "酒" * 90_000],
)
def test_hostile_texts_take_linear_time(text):
    begun = time.process_time()
    assert read(text.encode()).value
    assert time.process_time() - begun < 5


def test_no_letter_has_more_than_thirty_marks():
    assert read(("o" + "\u0301" * 40).encode()).value == "ó" + "\u0301" * 29
    assert read(("o" + "\u0301" * 3).encode()).value == "ó" + "\u0301" * 2


def test_any_bytes_end_in_a_text_or_in_one_sentence():
    generator, plain = np.random.default_rng(0), Conversion(10, repair=False)
    for _ in range(500):
        content = generator.integers(0, generator.choice([128, 256]), generator.integers(1, 60), np.uint8).tobytes()
        try:
            value, facts, _ = read(content, plain)
        except Undecodable as error:
            assert "\n" not in str(error)
            continue
        value.encode()  # no lone surrogate
        assert tuple(facts) == decoding.FACTS and read(value.encode(), plain).value == value
