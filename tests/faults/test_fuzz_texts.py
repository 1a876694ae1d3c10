"""Sources of texts, mutated by seeds: a dataset that clean can read or one sentence comes out, in bounded time.

``test_fuzz.py`` asks the same of arbitrary bytes.
"""

import io
import json
import resource
import time
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.effort import full
from makers.text_sources import fetch_settings

from kiln.core.errors import UserError
from kiln.modalities.base import Undecodable
from kiln.modalities.text import decoding
from kiln.modalities.text.conversion import Conversion
from kiln.sources import reading, records, summaries
from kiln.store import dataset

CASES = 200  # per block: one block in the quick tier, all 10,000 cases in the full one
BLOCKS = 50
SECONDS, MEGABYTES = 20, 400  # of processor time for one case, and what a block of cases adds to the peak of memory

ROWS = [
    ('hello, "you"', "a"),
    ("two\nlines", "b"),
    ("Größe; 価格", "a"),
    ("", "b"),
    ("x|y\tz", "a"),
    ("\u202eend", "b"),
]
# What is spliced in: quotation marks, separators, ends of lines, marks of encodings, halves of surrogate pairs, escapes
# and numbers that claim a size.
SPLICES = [
    b'"', b'""', b'"' * 99,
    b",", b";" * 20, b"\t", b"|", b"\n", b"\r", b"\r\n" * 9, b"\0", b"\0" * 50, b"\x1a", b"\x1e",
    b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\xe2\x80\xae", b"\xc3",
    b"\xff" * 4, b"\x80",
    b"sep=;\n", b"#TYPE x\n", b"{", b"[" * 500, b"1e999", b"-1", b"null", b"text,label\n", b"x" * 5000,
    b"\x7f\xff\xff\xff",
]  # fmt: skip
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "gb18030", "shift_jis", "koi8_r")


def separated(separator: str, rows=ROWS) -> str:
    lines = [
        f"text{separator}label",
        *(f'"{text.replace(chr(34), 2 * chr(34))}"{separator}{label}' for text, label in rows),
    ]
    return "\n".join(lines) + "\n"


def in_lines(rows=ROWS) -> str:
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)


def in_parquet(compression: str, dictionary: bool) -> bytes:
    texts, labels = zip(*ROWS, strict=True)
    buffer = io.BytesIO()
    table = pa.table({"text": [*texts, None], "label": [*labels, "a"]})
    pq.write_table(table, buffer, compression=compression, use_dictionary=dictionary)
    return buffer.getvalue()


def zipped(files: dict[str, bytes], method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def in_folders(encoding: str, names=("train/a", "train/b", "test/a", "test/b")) -> dict[str, bytes]:
    return {
        f"{name}/{number}.txt": text.encode(encoding, "replace")
        for name in names
        for number, (text, _) in enumerate(ROWS)
    }


def mutate(content: bytes, draw: np.random.Generator) -> bytes:
    """Change, cut, splice in or repeat some bytes, each at a place; leave one in ten as they are."""
    content = bytearray(content)
    for _ in range(draw.choice([0, 1, 1, 1, 2, 3, 9])):
        place, count = int(draw.integers(len(content) + 1)), int(draw.integers(1, 30))
        splice = SPLICES[draw.integers(len(SPLICES))]
        match draw.integers(6):
            case 0:
                content[place : place + len(splice)] = splice
            case 1:
                content[place:place] = splice
            case 2:
                content[place : place + count] = draw.bytes(count)
            case 3:
                del content[place : place + count]
            case 4:
                content[place:place] = content[max(0, place - 10 * count) : place] * int(draw.integers(1, 5))
            case _:
                content[place : place + 1] = bytes(
                    [(content[place] if place < len(content) else 0) ^ 1 << draw.integers(8)]
                )
    if draw.random() < 0.1:
        del content[draw.integers(len(content) + 1) :]
    return bytes(content)


def make_case(folder, draw: np.random.Generator):
    """Write a source; returns its kind and path."""
    encoding = ENCODINGS[draw.integers(len(ENCODINGS))]
    match draw.integers(8):
        case 0 | 1:
            separator = ",;\t|"[draw.integers(4)]
            name = ["x.csv", "x.tsv", "x.txt"][draw.integers(3)]
            content = separated(separator).encode(encoding, "replace")
        case 2:
            halves = [("half \ud83d", "a"), ("b", ["b", "\udc00"][draw.integers(2)])]  # of surrogate pairs, escaped
            name, content = "x.jsonl", in_lines([*ROWS, *halves[: draw.integers(3)]]).encode(encoding, "replace")
        case 3 | 4:
            name = "x.parquet"
            content = in_parquet(["none", "zstd", "snappy"][draw.integers(3)], bool(draw.integers(2)))
        case 5:
            files = {"train.csv": separated(",").encode(encoding, "replace"), "test.jsonl": in_lines().encode()}
            files = {one: mutate(held, draw) if draw.integers(2) else held for one, held in files.items()}
            name, content = "x.zip", zipped(files, zipfile.ZIP_DEFLATED)
        case 6:
            name, content = (
                "texts.zip",
                zipped(in_folders(encoding), [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED][draw.integers(2)]),
            )
        case _:
            for name, content in in_folders(encoding).items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(mutate(content, draw))
            return "texts", folder
    (folder / name).write_bytes(mutate(content, draw) if name != "x.zip" or draw.integers(2) else content)
    kind = "texts" if name == "texts.zip" else "parquet" if name == "x.parquet" and draw.integers(2) else "table"
    return kind, folder / name


def fetch(kind: str, path, out) -> None:
    """Fetch a source as the stage does, and decode what has come out of it as clean does."""
    surprises = records.Surprises()
    column = ["text", "label"] if kind != "texts" and path.stat().st_size % 5 == 0 else "auto"
    settings = fetch_settings(column, name=kind).model_copy(update={"path": str(path)})
    found = list(reading.read(settings, {"text": "text"}, 0, surprises))
    summary = summaries.Summary(surprises)
    for batch in reading.batch(found):
        summary.add(batch)
    tables = [(None, dataset.raw_table(batch, ["text"])) for batch in reading.batch(found)]
    dataset.write(out, tables, "raw", parts=["text"])
    summary.check()
    json.dumps(summary.to_json(), allow_nan=False).encode()
    assert dataset.open_dataset(out, "raw").rows() == len(found) == len({one.id for one in found})
    for one in found:
        assert one.label == one.label.strip() != "" and one.split in (None, "train", "validation", "test")
        try:
            value = decoding.decode(one.contents["text"].bytes, Conversion(bytes=100)).value
        except Undecodable as error:
            str(error).encode()
        else:
            assert value.encode() and not set(value) & {"\0", "\ufffd"}


@pytest.mark.parametrize("block", [0, *full(*range(1, BLOCKS))])
def test_mutated_sources_are_read_or_refused_in_a_sentence(tmp_path, block):
    before = peak()
    refused = 0
    for case in range(block * CASES, (block + 1) * CASES):
        folder = tmp_path / str(case)
        folder.mkdir()
        kind, path = make_case(folder, np.random.default_rng([case, 7]))
        begun = time.process_time()
        try:
            fetch(kind, path, tmp_path / f"{case}.out")
        except UserError as error:
            refused += 1
            assert 10 < len(str(error)) < 3000 and "\n" not in str(error), case
            str(error).encode()
        except Exception as error:
            raise AssertionError(f"case {case}") from error
        assert time.process_time() - begun < SECONDS, case
    assert peak() - before < MEGABYTES
    assert CASES / 10 < refused < CASES * 0.9  # neither is the rule


def peak() -> float:
    """The process's peak of memory so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
