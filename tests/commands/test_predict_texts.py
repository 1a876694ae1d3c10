"""Predicting texts: typed, in files, and in the rows of tables."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from makers.datasets import image_parts

from kiln.commands import predict
from kiln.core.errors import UserError
from kiln.deployment import inputs, predictor
from kiln.deployment.inputs import Input
from kiln.modalities import registry
from kiln.modalities.base import Part
from kiln.modalities.text.conversion import Conversion
from kiln.networks import artifact

TEXT = Part("review", registry.get("text"), Conversion(bytes=20))
KINDS = TEXT.modality
IMAGE = image_parts()["image"].modality


class Lengths(artifact.Classifier):
    """Sure of "long" where a text has more than ten characters, and remembers what it was given."""

    def predict(self, values, average_views=False):
        self.model.extend(values["review"])
        long = np.array([len(text) > 10 for text in values["review"]])
        return np.where(long[:, None], [0.1, 0.9], [0.7, 0.3]).astype(np.float32)


@pytest.fixture
def classifier():
    return Lengths([], ["short", "long"], {"review": TEXT})


@pytest.fixture
def run(classifier, monkeypatch):
    """Run the command with that classifier: its exit code, output and errors."""
    monkeypatch.setattr(artifact, "load", lambda folder: classifier)

    def invoke(*arguments, stdin: bytes = b""):
        done = CliRunner().invoke(predict.command, [str(one) for one in arguments], input=stdin)
        return done.exit_code, done.stdout, done.stderr

    return invoke


def test_typed_texts_are_classified_as_they_are(run, classifier):
    code, out, err = run("--text", "Wow", "--text", "a\nlong one, " * 20, "--text", "caf\udce9")
    assert (code, err) == (0, "") and classifier.model[:1] == ["Wow"] and "caf\u00e9" in classifier.model[2]
    wow, long, latin = out.splitlines()
    assert wow == "Wow: short 70.0%, long 30.0%"
    assert long.startswith("'a\\nlong one, a\\nlong") and long.endswith("...': long 90.0%, short 10.0%")
    assert latin.startswith("'caf\\udce9': short")
    rows = json.loads(run("--json", "--text", "Wow")[1])
    assert rows == [
        {"text": "Wow", "prediction": "short", "probability": 0.7, "probabilities": {"short": 0.7, "long": 0.3}}
    ]


def test_files_and_folders_hold_a_text_each(run, classifier, tmp_path):
    for name, content in (("a/1.txt", b"one"), ("a/2.txt", b""), ("b.txt", "s\u00fc\u00df".encode())):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    code, out, err = run(tmp_path, "--text", "typed")
    assert code == 1 and classifier.model == ["typed", "one", "s\u00fc\u00df"]
    assert [line.partition(":")[0] for line in out.splitlines()] == [
        "typed",
        f"{tmp_path}/a/1.txt",
        f"{tmp_path}/b.txt",
    ]
    assert err.startswith(f"predict: {tmp_path}/a/2.txt: ") and err.endswith(": give a text file\n")
    assert run("-", stdin=f"{tmp_path}/b.txt\n".encode())[1].startswith(f"{tmp_path}/b.txt: short")


TABLES = {
    "comma.csv": 'id,review,stars\n1,"a, b",2\n2,"two\nlines",\n3,,4\n',
    "tab.tsv": "id\treview\n1\ta, b\n2\ttwo lines\n3\t\n",
    "lines.jsonl": '{"review": "a, b"}\n{"review": "two\\nlines", "x": [1]}\n{"x": 1}\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_a_table_is_classified_or_reported(run, classifier, tmp_path, name):
    path = tmp_path / name
    path.write_text(TABLES[name], newline="")
    code, out, err = run("--json", "--column", "review", path)
    rows, _ = json.JSONDecoder().raw_decode(out)
    assert code == 1 and "predict: 1 input could not be read" in out + err
    assert [text.replace("\n", " ") for text in classifier.model] == ["a, b", "two lines"]
    last = [2, 4, 5] if name == "comma.csv" else [2, 3, 4] if name == "tab.tsv" else [1, 2, 3]
    assert [row["path"] for row in rows] == [f"{path}:{line}" for line in last]
    assert "prediction" in rows[1] and set(rows[2]) == {"path", "error"}


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.dictionary(pa.int8(), pa.string())])
def test_rows_of_parquet_are_classified(run, classifier, tmp_path, kind):
    path = tmp_path / "x.parquet"
    texts = pa.array(["a, b", None, "two lines"]).cast(kind)
    pq.write_table(pa.table({"review": texts, "n": [1, 2, 3], "t": ["x", "y", "z"]}), path)
    code, out, err = run("--column", "review", path)
    assert code == 1 and classifier.model == ["a, b", "two lines"]
    assert [line.partition(": ")[0] for line in out.splitlines()] == [f"{path}:1", f"{path}:3"]
    assert err.startswith(f"predict: {path}:2: ")
    assert run("--column", "t", "--column", "review", path)[0] == 0 and classifier.model[-1] == "z\x1etwo lines"
    for column, said in (("n", "the table: the column n is int64, but should be text or bytes"), ("m", "no column m")):
        assert said in run("--column", column, path)[2]


def test_several_columns_are_joined_as_in_fetch(run, classifier, tmp_path):
    (tmp_path / "x.csv").write_text("premise,hypothesis\nit rains,it is wet\n")
    assert run("--column", "hypothesis", "--column", "premise", tmp_path / "x.csv")[0] == 0
    assert classifier.model == [f"it is wet{KINDS.separator}it rains"]


def test_a_table_in_another_encoding_is_read(run, classifier, tmp_path):
    (tmp_path / "x.csv").write_bytes("id;review\n1;sch\u00f6n\n".encode("utf-16"))
    assert run("--column", "review", tmp_path / "x.csv")[0] == 0 and classifier.model == ["sch\u00f6n"]


FAULTS = {
    "other.csv": ("a,b\n1,2\n", "the table has no column review: name one of its columns by --column: a, b"),
    "broken.csv": ("id,review\n1,fine\n2\n", "the table line 3: has a different number of fields than the first line"),
    "x.parquet": ("PAR1", "the table is not a valid Parquet file: download it again"),
    "x.json": ("[]", "the table is JSON: write JSON lines, one {...} per sample (.jsonl), or CSV, and set the path to"),
    "empty.csv": ("", "the table is empty"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_a_table_is_one_sentence_and_the_next_is_read(run, tmp_path, name):
    (tmp_path / name).write_text(FAULTS[name][0])
    (tmp_path / "good.csv").write_text("review\nfine\n")
    code, out, err = run("--column", "review", tmp_path / name, tmp_path / "good.csv")
    assert code == 1 and len(err.splitlines()) == 1
    assert err.startswith(f"predict: {tmp_path / name}: {FAULTS[name][1]}")
    assert out.splitlines()[-1].startswith(f"{tmp_path}/good.csv:2: short")
    assert len(out.splitlines()) == 1 + (name == "broken.csv")


def test_what_is_no_table_is_said_so(run, tmp_path):
    assert f"predict: {tmp_path}: it is no file on disk" in run("--column", "review", tmp_path)[2]
    assert "x.csv: it does not exist: check the path" in run("--column", "review", tmp_path / "x.csv")[2]
    (tmp_path / "x.csv").write_text("review\nfine\n")
    err = run(tmp_path / "x.csv")[2]
    assert err == f"predict: {tmp_path}/x.csv: it is a table: say by --column which of its columns holds the texts\n"


def test_models_of_images_take_neither_texts_nor_columns():
    with pytest.raises(UserError, match=r"^--text: the model takes an image, not a text: give its path$"):
        list(inputs.type_in(["x"], IMAGE))
    with pytest.raises(UserError, match=r"^--column: the model takes an image, not a text: give its path$"):
        list(inputs.list_rows(["x.csv"], [], ["x"], IMAGE))
    assert list(inputs.type_in([], IMAGE)) == []


@pytest.mark.parametrize("arguments", [[], ["--column", "x"], ["--text", "a", "--column", "x"]])
def test_something_to_classify_is_asked_for(run, arguments):
    code, out, err = run(*arguments)
    assert code == 2 and not out and "Missing argument 'PATH...'" in err


def test_rows_are_read_as_they_are_needed(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(predictor, "BATCH", 4)
    (tmp_path / "x.csv").write_text("review\n" + "row\n" * 1000)
    results = predictor.classify(classifier, inputs.list_rows([str(tmp_path / "x.csv")], [], ["review"], KINDS))
    first = next(results)[0]
    assert first == Input("path", f"{tmp_path}/x.csv:2", b"row") and len(classifier.model) == 4


HOSTILE = [b"\0" * 100, b"\xff\xfe\x00", "\u202e\u2066".encode(), b'review\n"' + b"a" * 10**6]


@pytest.mark.parametrize("content", HOSTILE)
def test_hostile_tables_end_in_sentences(run, tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    code, _, err = run("--column", "review", tmp_path / "x.csv")
    assert code == 1 and len(err.splitlines()) == 1 and "Traceback" not in err
