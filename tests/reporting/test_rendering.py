"""What the templates make of hostile names, missing facts and unknown exhibits."""

import json
import re
from html import unescape

import jinja2
import pytest
from makers.pages import EVIL, Tags, fill_macro

from kiln.core import markdown
from kiln.reporting import charts, rendering

TEXT = {"kind": "text", "content": EVIL.encode()}
MARKED = {"kind": "marked", "content": json.dumps([[EVIL, 0.9], [EVIL, 0], [EVIL, -0.5]]).encode()}
TEXTS = {"kind": "texts", "content": json.dumps([[EVIL] * 9]).encode()}
PICTURE = {"kind": "picture", "content": b""}
NAMES = [
    "bird's nest",
    '"cats" & dogs',
    "&amp; &#39;",
    EVIL,
    "a|b",
    "`c`",
    "_d_ **e** ~~f~~",
    "\\*g",
    "[h](i) ![j](k)",
]
NAMES += ["l\nm\r\n\tn\u2028o", "# p", "- q", "1. r", "+", "---", "> s", "$t$ {u}", "日本語", "-0.5", "1.5"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_out_of_markdown_and_html_as_it_is(name):
    import mistune  # of nbconvert

    render = mistune.create_markdown(escape=False, plugins=["table", "strikethrough"])
    one_line = " ".join(name.split())
    shown = render(markdown.plain(name))
    assert shown.count("<") == 2 and unescape(shown) == f"<p>{one_line}</p>\n"
    cell = re.search("<td>(.*)</td>", render(markdown.table(["class"], [[name]])))[1]
    assert "<" not in cell and unescape(cell) == one_line
    for macro, arguments in (
        ("table", (["class"], [[name]])),
        ("matrix", ([name], [[1]])),
        ("figure", (PICTURE, name)),
        ("bars", ([(name, 0.5, "")],)),
    ):
        shown = Tags(fill_macro(macro, *arguments))
        assert " ".join(name.split()) in (" ".join(text.split()) for text in (*shown.texts, *shown.alts))
    assert Tags(rendering.make_page(name, "")).texts.count(name) == 1


def test_everything_from_data_is_escaped():
    row = {"id": EVIL, "label": EVIL, "split": EVIL, "suggestion": EVIL, "what": EVIL, "set_aside": True}
    other = {"other": EVIL, "other_label": EVIL, "other_split": EVIL, "shown": [PICTURE], "other_shown": [TEXT]}
    counts = {"counts": [(EVIL, 1, 1)], "leaks": 1, "leaks_kept": 0, "corrected": 1, "copies": "", "noun": "image"}
    near = [{"id": EVIL, "label": EVIL, "cosine": 0.5, "shown": [PICTURE, TEXT]}]
    seen = {"id": EVIL, "label": EVIL, "prediction": EVIL, "probability": 0.9, "neighbours": near}
    shown = [{**one, "alt": EVIL} for one in (PICTURE, TEXT, MARKED)]
    parts = [
        rendering.make_page(EVIL, ""),
        fill_macro("headline", [(EVIL, EVIL, EVIL)]),
        fill_macro("table", [EVIL], [[EVIL]]),
        fill_macro("figure", PICTURE, EVIL),
        fill_macro("sheet", PICTURE, [EVIL], EVIL),
        *(fill_macro("figure", exhibit, EVIL) for exhibit in (TEXT, MARKED, TEXTS)),
        fill_macro("sheet", TEXTS, [EVIL], EVIL),
        fill_macro("bars", [(EVIL, 0.5, EVIL)]),
        fill_macro("matrix", [EVIL], [[1]]),
        fill_macro("chart", charts.draw_reliability([0.5], [0.4], EVIL)),
        fill_macro("chart", charts.draw_curves([1, 2], {EVIL: [1.0, 2.0]}, f"{EVIL} $x^")),
        rendering.fill_html("findings", {**counts, "unreadable": [[EVIL]], "worst": {EVIL: [{**row, **other}]}}),
        rendering.fill_html("successes", {"explained": [{**seen, "shown": shown}], "noun": EVIL}),
        rendering.fill_html("provenance", {"digests": [(EVIL, EVIL)], "versions": [(EVIL, EVIL)], "params": EVIL}),
    ]
    for part in parts:
        assert EVIL not in part
        assert not Tags(part).handlers
        assert "x" not in Tags(part).sources


@pytest.mark.parametrize("fill", [rendering.fill_html, rendering.fill_markdown])
def test_a_fact_that_is_missing_is_an_error(fill):
    with pytest.raises(jinja2.UndefinedError, match="is undefined"):
        fill("card", {"title": "x"})


def test_an_exhibit_of_an_unknown_kind_is_an_error():
    assert (
        fill_macro("exhibit", {"kind": "picture", "content": b"x"}, "y")
        == '<img src="data:image/png;base64,eA==" alt="y">'
    )
    with pytest.raises(jinja2.UndefinedError, match="smell"):
        fill_macro("exhibit", {"kind": "smell", "content": b"x"}, "y")


def test_numbers_are_aligned_right_and_strings_left():
    text = fill_macro("table", ["a", "b"], [["x", 1234], [None, 0.5], ["y", 12.345]])
    assert re.findall("<th .*?>", text) == ['<th scope="col" class="text">', '<th scope="col">']
    cells = ['<td class="text">x</td>', "<td>1,234</td>", "<td></td>", "<td>0.5000</td>"]
    assert re.findall("<td.*?</td>", text) == [*cells, '<td class="text">y</td>', "<td>12.3</td>"]


def test_a_matrix_shows_rows_as_labels():
    text = fill_macro("matrix", ["a", "b"], [[3, 1], [0, 2]])
    cells = re.findall(r"<td[^>]*>(\d*)</td>", text)
    assert cells == ["", "3", "1", "", "2"]
