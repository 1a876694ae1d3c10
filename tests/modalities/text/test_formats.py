"""Which files are texts, by their first bytes."""

import pytest

from kiln.core import formats
from kiln.modalities.text.formats import TextFiles

TEXT = TextFiles()


@pytest.mark.parametrize(
    "head",
    [
        b"From: a@b.c\nSubject: x\n",
        b"BMW is a car",  # begins like a bitmap
        b"ID3 tags are",
        b"MZ is how programs begin",
        b"[quoted] {_} <b>",
        b"<html><body>a page",
        b"{no JSON}",
        "Größe".encode("latin-1"),
        "酒店环境".encode("gb18030"),
        "酒店".encode("utf-16"),
        "\ufeffa".encode(),
        "é".encode() * 70 + b"\xc3",  # cut within a letter
    ],
)
def test_texts_in_any_encoding_are_read(head):
    assert TEXT.reads(head[: formats.HEAD])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"  \n",
        bytes(140),
        b"%PDF-1.4\n",
        b"%!PS-Adobe-3.0\n",
        b"{\\rtf1\\ansi hello}",
        b"<svg xmlns='x'>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"PK\3\4\x14\0\6\0",
        b"\xff\xd8\xff\xe0\0\x10JFIF",
        "ab".encode("utf-16-le"),
        b"text\0with zeros",
    ],
)
def test_other_files_are_not(head):
    assert not TEXT.reads(head)


def test_a_string_is_encoded_as_utf_8():
    assert TEXT.encode("é") == b"\xc3\xa9"
