"""Tables whose rows hold the texts themselves."""

import io
import json
import zipfile

import pyarrow as pa
import pytest
from makers.text_sources import PARTS, TEXT, fetch_settings, read_table, write, write_parquet

from kiln.core.errors import UserError
from kiln.modalities.text.formats import SEPARATOR
from kiln.sources import dialects, encoded, records, tables

ROWS = 'text,label,split,group\n"hello, ""you""",a,train,p\n"two\nlines",b,test,q\n,a,dev,\n'
EXPECTED = [("a", "train", b'hello, "you"'), ("b", "test", b"two\nlines"), ("a", "validation", b"")]


def test_texts_of_csv_with_ids_by_line(tmp_path):
    found = read_table(write(tmp_path / "all.csv", ROWS))
    assert [one[1:] for one in found] == EXPECTED
    assert [one[0] for one in found] == ["all.csv:2", "all.csv:4", "all.csv:5"]


def test_the_same_rows_of_json_lines_and_parquet(tmp_path):
    columns = {
        "text": ['hello, "you"', "two\nlines", None],
        "label": list("aba"),
        "split": ["train", "test", "dev"],
        "group": ["p", "q", None],
    }
    lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
    assert [one[1:] for one in read_table(write(tmp_path / "all.jsonl", "\n".join(lines)))] == EXPECTED
    found = read_table(write_parquet(tmp_path / "all.parquet", columns))
    assert [one[1:] for one in found] == EXPECTED
    assert [one[0] for one in found] == ["all/0", "all/1", "all/2"]


def test_a_table_without_an_extension_is_known_by_its_content(tmp_path):
    assert read_table(write(tmp_path / "x", "text,label\na,b\n")) == [("x:2", "b", None, b"a")]
    path = write_parquet(tmp_path / "y", {"text": ["a"], "label": ["b"]})
    assert read_table(path) == [("y/0", "b", None, b"a")]


@pytest.mark.parametrize("packed", [False, True])
def test_several_tables_are_splits_by_their_names(tmp_path, packed):
    files = {
        "data/train.csv": "text,label\none,x\ntwo,y\n",
        "data/test.jsonl": '{"text": "three", "label": "x"}\n{"text": "four", "label": "y"}\n',
        "data/README.txt": "about",
    }
    content = io.BytesIO()
    write_parquet(tmp_path / "p/dev.parquet", {"text": ["five"], "label": ["x"]})
    for name, text in files.items():
        write(tmp_path / "p" / name, text)
    path = tmp_path / "p"
    if packed:
        with zipfile.ZipFile(content, "w") as archive:
            for file in sorted(path.rglob("*.*")):
                archive.write(file, file.relative_to(path))
        path = write(tmp_path / "x.zip", content.getvalue())
    surprises = records.Surprises()
    assert read_table(path, surprises) == [
        ("data/test.jsonl:1", "x", "test", b"three"),
        ("data/test.jsonl:2", "y", "test", b"four"),
        ("data/train.csv:2", "x", "train", b"one"),
        ("data/train.csv:3", "y", "train", b"two"),
        ("dev/0", "x", "validation", b"five"),
    ]
    assert surprises.skipped.counts == {"not a table": 1}


def test_a_table_without_a_split_in_its_name_beside_one_with_is_refused(tmp_path):
    write(tmp_path / "train.csv", "text,label\none,x\n")
    write(tmp_path / "more.csv", "text,label\none,x\n")
    with pytest.raises(UserError, match=r"more\.csv: its name names no split, while that of train\.csv does: put"):
        read_table(tmp_path)
    # A table alone is no split, whatever it is called.
    assert read_table(tmp_path / "train.csv") == [("train.csv:2", "x", None, b"one")]
    path = write_parquet(tmp_path / "test.parquet", {"text": ["one"], "label": ["x"]})
    assert read_table(path) == [("test/0", "x", None, b"one")]


def test_several_columns_are_joined(tmp_path):
    path = write(tmp_path / "all.csv", "premise,hypothesis,label\nA,B,yes\nC,,no\n")
    joined = [b"A" + SEPARATOR.encode() + b"B", b"C" + SEPARATOR.encode()]
    assert [one[3] for one in read_table(path, column=["premise", "hypothesis"])] == joined
    table = {"premise": ["A", "C"], "hypothesis": ["B", None], "label": ["yes", "no"]}
    path = write_parquet(tmp_path / "all.parquet", table)
    assert [one[3] for one in read_table(path, column=["premise", "hypothesis"])] == joined


def test_several_parts_have_their_columns(tmp_path):
    path = write(tmp_path / "all.csv", "body,title,label\nlong,short,x\nlonger,shorter,y\n")
    found = read_table(path, parts={"title": TEXT, "body": TEXT})
    assert [one[3:] for one in found] == [(b"short", b"long"), (b"shorter", b"longer")]


def test_class_labels_of_hugging_face_and_undecoded_bytes(tmp_path):
    table = {"bytes": pa.array([b"caf\xe9", b"\xff\0", b"x"]), "label": pa.array([1, 0, -1])}
    path = write_parquet(tmp_path / "train-00000-of-00001.parquet", table, ["neg", "pos"])
    surprises = records.Surprises()
    source = tables.open_tables(path, fetch_settings("bytes"), PARTS, surprises)
    assert [(one.label, one.contents["text"].bytes) for one in source.records(None)] == [
        ("pos", b"caf\xe9"),
        ("neg", b"\xff\0"),
    ]
    assert surprises.skipped.counts == {"row without a label": 1}


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", "b"], pa.string_view()),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.array([b"a", b"b"], pa.large_binary()),
    ],
    ids=lambda column: str(column.type),
)
def test_types_of_texts_in_parquet(tmp_path, column):
    path = write_parquet(tmp_path / "x.parquet", {"text": column, "label": ["x", "y"]})
    assert [one[3] for one in read_table(path)] == [b"a", b"b"]


@pytest.mark.parametrize("column", [pa.array([1.5]), pa.array([["a"]]), pa.array([{"a": 1}])])
def test_other_types_in_parquet_are_refused(tmp_path, column):
    path = write_parquet(tmp_path / "x.parquet", {"text": column, "label": ["x"]})
    with pytest.raises(UserError, match=r"the column text is .*, but should be text or bytes"):
        read_table(path)


def test_strings_of_parquet_that_are_not_utf_8_are_left_to_clean(tmp_path):
    broken = pa.array([b"caf\xe9", b"ok"]).view(pa.string())
    path = write_parquet(tmp_path / "x.parquet", {"text": broken, "label": ["x", "y"]})
    assert [one[3] for one in read_table(path)] == [b"caf\xe9", b"ok"]


def test_halves_of_surrogate_pairs_are_replaced_in_texts_and_refused_in_labels(tmp_path):
    path = write(tmp_path / "x.jsonl", '{"text": "a\\ud800b", "label": 1}\n{"text": "\\ud83d\\ude00", "label": 0}\n')
    assert [one[3] for one in read_table(path)] == ["a\ufffdb".encode(), "\U0001f600".encode()]
    write(path, '{"text": "a", "label": "\\ud800"}\n')
    with pytest.raises(UserError, match="line 1: the column label holds half a surrogate pair"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", "txt,lable\na,b\n", "has no column text or sentence or .*, but txt, lable: name it by fetch.text"),
        ("x.csv", "ham,go on\nspam,win\n", "if its first line is data already, put a line of column names above it"),
        ("x.csv", "text,label\na\n", "line 2: has a different number of fields than the first line"),
        ("x.csv", "text,label\na,\n", "none of 1 rows has a label in label: set fetch.source.label_column"),
        ("x.csv", "text,label\n", "holds no row: write a line per sample"),
        ("x.csv", "", "is empty: write the column names"),
        ("x.csv", "text,label,split\na,b,later\n", "line 2: the split 'later' is none of"),
        ("x.csv", "text,label,split,group\na,b,train,p\nc,d,test,p\n", "row x.csv:3: the group p is in two splits"),
        ("x.csv", "text,label\na,cat\nb,Cat\n", "has the classes 'cat' and 'Cat', which differ only by case"),
        ("x.csv", 'text,label\n"a" b,c\nd,e,f\n', "not readable as CSV"),
        ("x.jsonl", "[1]\n", "line 1: should be {...} with a value for each column"),
        ("x.jsonl", '{"text": "a", "label": "b"}\n{"text": \n', "line 2: not readable as JSON"),
        ("x.jsonl", '{"text": ["a"], "label": "b"}\n', "line 1: the column text holds list where text"),
        ("x.json", "[]", "is JSON: write JSON lines, .*, or CSV, and set fetch.path to that"),
        ("x.xlsx", b"PK\3\4", "is a spreadsheet: save it as CSV .* and set fetch.path to that"),
        ("x.parquet", b"PAR1", "is not a valid Parquet file: download it again"),
        ("x.png", b"\x89PNG", "neither a folder nor a readable zip or tar archive"),
        ("x/a.txt", "text", "holds no table .*; files of text, one for each sample, are read by .*: texts"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path, name, content, says):
    write(tmp_path / name, content)
    with pytest.raises(UserError, match=says):
        read_table(tmp_path / name.split("/", maxsplit=1)[0])


def test_the_nearest_of_many_columns_is_told_first(tmp_path):
    names = [f"column{number}" for number in range(40)]
    path = write(tmp_path / "x.csv", f"{','.join(names)},lable,text\n{'7,' * 40}a,b\n")
    with pytest.raises(UserError, match=r"has no column label, but lable, column0, .* and 22 more: name it by fetch"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", 'text,label\n"open,a\n' + "b,c,d\n" * 300, "line 1[0-9]+: a row has more than 1,000 characters"),
        ("x.csv", "text,label\n" + '"a\n",' * 600, "a row has more than 1,000 characters"),
        ("x.csv", f"text,label\n{'a' * 1001},b\n", "line 2: has more than 1,000 characters: cut it, or take it out"),
        ("x.csv", f"{'a' * 1001},b\n", "line 1: has more than 1,000 characters: cut it, or take it out"),
        ("x.jsonl", '{"text": "' + "a" * 1001, "line 1: has more than 1,000 characters: cut it, or take it out"),
    ],
    ids=["open quotation mark", "endless row", "long line", "long first line", "long line of JSON"],
)
def test_rows_that_would_fill_the_memory_are_refused(tmp_path, monkeypatch, name, content, says):
    for module in (dialects, encoded):
        monkeypatch.setattr(module, "MAX_ROW", 1000)
    with pytest.raises(UserError, match=says):
        read_table(write(tmp_path / name, content))


def test_a_text_longer_than_the_librarys_limit_is_read(tmp_path):
    path = write(tmp_path / "x.csv", f"text,label\n{'long ' * 100_000},a\nb,c\n")
    assert [len(one[3]) for one in read_table(path)] == [500_000, 1]


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"fetch\.path .* does not exist: give a table, or a folder or archive of"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_tables_of_too_many_rows_are_refused(tmp_path, monkeypatch, name):
    rows = {"x.csv": "text,label\na,x\nb,y\nc,y\n", "x.jsonl": '{"text": "a", "label": "x"}\n' * 3}
    path = write(tmp_path / name, rows[name])
    monkeypatch.setattr("kiln.sources.rows.MAX_ROWS", 3)
    assert len(read_table(path)) == 3
    monkeypatch.setattr("kiln.sources.rows.MAX_ROWS", 2)
    with pytest.raises(UserError, match=r"has more than .* rows: split it into several sources"):
        read_table(path)
    monkeypatch.setattr("kiln.sources.encoded._MAX_LINES", 2)
    with pytest.raises(UserError, match="split it into several sources"):
        read_table(path)
