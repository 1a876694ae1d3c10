"""Quotation marks, blanks and separators of tables of texts."""

import pytest
from makers.text_sources import read_table, write

from kiln.core.errors import UserError


def texts(path, content, **changes) -> list[str]:
    return [one[3].decode() for one in read_table(write(path / "x.csv", content), **changes)]


@pytest.mark.parametrize("separator", ",;\t|")
def test_separators_are_found_by_the_header(tmp_path, separator):
    rows = [["text", "label"], ['"a,b;c\td|e"', "x"], ["plain", "y"]]
    assert texts(tmp_path, "\r\n".join(separator.join(row) for row in rows)) == ["a,b;c\td|e", "plain"]


def test_excels_line_and_empty_columns_at_the_end(tmp_path):
    assert texts(tmp_path, "sep=;\r\ntext;label;;\r\na,b;x;;\r\n\r\nc;y;;\r\n") == ["a,b", "c"]


def test_blanks_before_quotation_marks(tmp_path):
    assert texts(tmp_path, 'label, text\nx, "a, b"\ny, "c"\n') == ["a, b", "c"]
    # Within a text they mean nothing.
    assert texts(tmp_path, 'text,label\n"He said, ""well"", and, """,x\n  b,y\n') == [
        'He said, "well", and, "',
        "  b",
    ]


def test_tables_of_tabs_without_quoting(tmp_path):
    content = 'text\tlabel\n"the first\tneg\nthe second"\tpos\n"quoted"\tneg\n'
    assert texts(tmp_path, content) == ['"the first', 'the second"', '"quoted"']


def test_tables_of_tabs_with_quoting(tmp_path):
    assert texts(tmp_path, 'text\tlabel\n"a ""b"""\tneg\n"two\nlines"\tpos\n') == ['a "b"', "two\nlines"]


def test_a_text_of_two_lines_is_one_though_each_line_has_a_comma(tmp_path):
    assert texts(tmp_path, 'text,label\n"one, two\nthree",x\nfour,y\n') == ["one, two\nthree", "four"]


def test_an_open_quotation_mark_in_csv_is_a_letter_if_nothing_else_makes_sense(tmp_path):
    assert texts(tmp_path, 'text,label\n"one,x\ntwo,y\n') == ['"one', "two"]
    with pytest.raises(UserError, match="not readable as CSV"):
        texts(tmp_path, 'text,label\n"one,x\ntwo,y\nthree, four,x\n')
