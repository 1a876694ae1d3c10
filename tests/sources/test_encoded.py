"""Which encoding a table of texts is read in."""

import itertools

import pytest
from makers.text_sources import read_table, write

from kiln.core.errors import UserError
from kiln.sources import records

GERMAN = "Größe schön, Straße für Mädchen – Käse süß"
GUESSED = "table that does not declare its encoding, read as {} by guess"


def table(*texts: str) -> str:
    return "text;label\n" + "".join(f"{text};{'ab'[number % 2]}\n" for number, text in enumerate(texts))


@pytest.mark.parametrize(
    ("encoding", "note"),
    [
        ("utf-8", None),
        ("utf-8-sig", None),
        ("utf-16", "table read as UTF-16, as its mark says"),
        ("utf-32", "table read as UTF-32, as its mark says"),
        ("cp1252", GUESSED.format("cp1252")),
    ],
)
def test_german_in_some_encodings(tmp_path, encoding, note):
    path, surprises = write(tmp_path / "x.csv", table(GERMAN, "ohne").encode(encoding)), records.Surprises()
    assert [one[3].decode() for one in read_table(path, surprises)] == [GERMAN, "ohne"]
    assert surprises.notes.examples == ({note: ["x.csv"]} if note else {})


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "L’été était très chaud où ça, naïve élève à la fenêtre. Garçon, leçon."),
        ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy"),
        ("cp1251", "Привет, это хороший фильм, мне понравился"),
        ("koi8_r", "Привет, это хороший фильм, мне понравился"),
        ("gb18030", "酒店环境很好,服务态度也不错,下次还会来住"),
        ("big5", "酒店環境很好,服務態度也不錯,下次還會來住"),
        ("cp932", "このホテルはとても良かったです。また来たいと思います"),
        ("cp949", "이 영화는 정말 재미있었어요. 추천합니다"),
        ("cp1253", "Καλημέρα, αυτή η ταινία ήταν πολύ καλή"),
    ],
)
def test_other_languages_in_encodings_that_are_found_out(tmp_path, encoding, text):
    path, surprises = write(tmp_path / "x.csv", table(*[text] * 20).encode(encoding)), records.Surprises()
    assert {one[3].decode() for one in read_table(path, surprises)} == {text}
    assert surprises.notes.counts == {GUESSED.format(encoding): 1}


def test_an_encoding_that_is_asked_for_is_taken(tmp_path):
    hebrew = "הסרט הזה היה טוב מאוד"
    path = write(tmp_path / "x.csv", table(hebrew, hebrew).encode("cp1255"))
    surprises = records.Surprises()
    assert {one[3].decode() for one in read_table(path, surprises, encoding="cp1255")} == {hebrew}
    assert not surprises.notes.counts
    with pytest.raises(UserError, match=r"line 2: holds the byte 0xe4, which is not ascii: set fetch\.source\.encod"):
        read_table(path, encoding="ascii")


def test_a_few_lines_that_are_not_utf_8_keep_their_bytes(tmp_path):
    content = table(GERMAN, GERMAN, "caf?").encode().replace(b"?", b"\xe9")
    surprises = records.Surprises()
    found = read_table(write(tmp_path / "x.csv", content), surprises)
    assert [one[3] for one in found] == [GERMAN.encode(), GERMAN.encode(), b"caf\xe9"]
    assert [*surprises.notes.counts] == [
        "table in UTF-8 with lines that are not, whose texts are left to clean as they are"
    ]
    with pytest.raises(UserError, match=r"line 4: the column label holds .* bytes that are no text"):
        read_table(write(tmp_path / "x.csv", content.replace(b"\xe9;a", b"x;\xe9")))


def test_bytes_that_are_none_of_the_guess_are_replaced_and_noted(tmp_path):
    content = table(*[GERMAN] * 5, "x?").encode("cp1252").replace(b"?", b"\x81")
    surprises = records.Surprises()
    assert read_table(write(tmp_path / "x.csv", content), surprises)[-1][3] == "x\ufffd".encode()
    assert [*surprises.notes.counts] == [GUESSED.format("cp1252") + ", with U+FFFD for bytes that are none of it"]


def test_single_zeros_are_kept_and_many_refused(tmp_path):
    found = read_table(write(tmp_path / "x.csv", table("a\0b", "a text of some length")))
    assert found[0][3] == b"a\0b"
    for encoding, text in itertools.product(("utf-16-le", "utf-16-be"), (GERMAN, "ascii")):
        with pytest.raises(UserError, match="holds zero bytes, as UTF-16 without its mark does"):
            read_table(write(tmp_path / "x.csv", table(text, "b").encode(encoding)))


def test_a_damaged_mark_and_nonsense_are_refused(tmp_path):
    with pytest.raises(UserError, match="starts as UTF-16 but is damaged"):
        read_table(write(tmp_path / "x.csv", b"\xff\xfea"))
    with pytest.raises(UserError, match=r"x\.csv "):
        read_table(write(tmp_path / "x.csv", bytes(range(128, 256)) * 20))
