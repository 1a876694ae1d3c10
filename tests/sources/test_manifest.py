import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.images import png
from makers.projects import STAGES
from makers.records import IMAGE, record
from makers.tables import IMAGES, LIST, face, folder, laid, manifest, told
from makers.text_sources import TEXT, fetch_settings

from kiln.core.errors import UserError
from kiln.modalities.image.pictures import encode_png
from kiln.sources import containers, records
from kiln.sources import manifest as manifests
from kiln.sources import parquet as parquets

EXPECTED = [
    record("img/1.png", "NA", "train", "p1", png(1), "1.png"),
    record("img/2.png", "007", "test", "p2", png(2), "2.png"),
    record("img/3.png", "NA", "train", "p1", png(3), "3.png"),
]


def test_a_manifest_in_a_folder_and_in_a_zip(tmp_path):
    path = folder(tmp_path, "\ufeff" + LIST)
    assert manifest(path) == EXPECTED
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for file in ("lists/all.csv", "img/1.png", "img/2.png", "img/3.png"):
            archive.write(path / file, f"wrapped/{file}")
    assert [one[1:] for one in manifest(tmp_path / "x.zip")] == [row[1:] for row in EXPECTED]


def test_a_parquet_manifest_and_other_columns(tmp_path):
    path = folder(tmp_path)
    rows = {"file": ["1.png", "2.png"], "class": ["NA", "007"], "split": [None, "val"]}
    pq.write_table(pa.table(rows), path / "img/all.parquet")
    found = manifest(path, manifest="img/all.parquet", column="file", label_column="class")
    assert [one[:4] for one in found] == [
        ("img/1.png", "NA", None, None),
        ("img/2.png", "007", "validation", None),
    ]


def test_what_the_table_does_not_list_is_counted(tmp_path):
    surprises = records.Surprises()
    manifest(folder(tmp_path, "path,label\n../img/1.png,a\n../img/1.png,a\n../img/2.png,b\n"), surprises)
    assert surprises.skipped.counts == {"listed twice": 1, "not in the table": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,label\n", r"has no column path or file_name or .*, but file, label: name it by fetch\.image\.column"),
        ("path,class\n", r"has no column label, but path, class"),
        ("path,label\n../img/1.png,a\n../img/9.png,a\n../img/8.png,b\n", r"lists 2 files .* \.\./img/9\.png first"),
        ("path,label\n../img/1.png,a\n../img/1.png,b\n", "line 3: .* listed before with another label"),
        ("path,label\n../../secret.png,a\n", "line 2: .* lies outside of"),
        ("path,label\n/etc/passwd,a\n", "line 2: .* lies outside of"),
        ("path,label\n,a\n", "line 2: lacks a path"),
        ("path,label\n../img/1.png,\n", "none of 1 rows has a label in label: set fetch.source.label_column"),
        ("path,label\n../img/1.png\n", "line 2: has a different number of fields"),
        ("path,label,split\n../img/1.png,a,later\n", "line 2: the split 'later' is none of"),
        ("path,label,split,group\n../img/1.png,a,train,p\n../img/2.png,a,test,p\n", "group p is in two splits"),
        ("path,label,split,group\n../img/1.png,a,train,p \n../img/2.png,a,test,p\n", "group p is in two splits"),
        (b"path,label\n../img/1.png,\xff\n", "is not UTF-8"),
        ('path,label\n"../img/1.png,a\n', "not readable as CSV"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(tmp_path, text, says):
    with pytest.raises(UserError, match=says):
        manifest(folder(tmp_path, text))


def test_a_missing_table_or_named_column_is_refused(tmp_path):
    path = folder(tmp_path, "path,label\n../img/1.png,a\n")
    with pytest.raises(UserError, match=r"holds no none\.csv, but lists/all\.csv: set fetch\.source\.manifest"):
        manifest(path, manifest="none.csv")
    with pytest.raises(UserError, match=r"has no column patient, .*fetch\.source\.group_column"):
        manifest(path, group_column="patient")


@pytest.mark.parametrize("column", [pa.array([1.5]), pa.array([["1.png"]]), pa.array([b"1.png"])])
def test_a_parquet_manifest_of_another_schema_is_refused(tmp_path, column):
    path = folder(tmp_path)
    pq.write_table(pa.table({"path": column, "label": ["a"]}), path / "img/all.parquet")
    with pytest.raises(UserError, match=r"the column path is .*, but should be text"):
        manifest(path, manifest="img/all.parquet")


def test_a_parquet_manifest_of_too_many_rows_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = folder(tmp_path)
    pq.write_table(pa.table({"path": ["1.png"] * 9, "label": ["a"] * 9}), path / "img/all.parquet")
    monkeypatch.setattr(parquets, "MAX_ROWS", 8)
    with pytest.raises(UserError, match="has more than 8 rows"):
        manifest(path, manifest="img/all.parquet")


TWO = [("images/a.png", "x", None), ("images/b.png", "y", None)]


COMPLETED = "path that was completed, or matched but for case or Unicode form"


@pytest.mark.parametrize(
    "text",
    [
        "path;label\nimages/a.png;x\nimages/b.png;y\n",
        "path\tlabel\nimages/a.png\tx\nimages/b.png\ty\n",
        "path|label\r\nimages/a.png|x\r\nimages/b.png|y\r\n",
        "sep=;\r\npath;label\r\nimages/a.png;x\r\nimages/b.png;y\r\n",
        '#TYPE System.Object\r\n"path","label"\r\n"images/a.png","x"\r\n"images/b.png","y"\r\n',
        '"SEP=^"\npath^label\nimages/a.png^x\nimages/b.png^y\n',
        "path;score, in percent;label\nimages/a.png;1,5;x\nimages/b.png;2,5;y\n",
        '"path", "label", "remark"\n"images/a.png", "x", "two, or\nthree"\n"images/b.png", "y", ""\n',
        "\n\npath;label;;\nimages/a.png;x;;\n;;;\nimages/b.png;y;;\n",
        "path,label\rimages/a.png,x,\rimages/b.png,y\r",
        "path,label,seen;when;where;how\nimages/a.png,x,1;2;3;4\nimages/b.png,y,5;6;7;8\n",
        ' path ,"\ufefflabel"\nimages/a.png,x\nimages/b.png,y\n',
        "path,label\nimages\\a.png,x\n.\\images\\b.png,y\n",
        "path,label\n./images/a.png,x\nimages//b.png ,y\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_tables_as_other_programs_write_them(tmp_path, text, encoding):
    assert told(laid(tmp_path, {**IMAGES, "manifest.csv": text.encode(encoding)}))[0] == TWO


def test_what_finder_lays_into_a_zip_is_no_table(tmp_path):
    files = {"train.csv": "path,label\nimages/a.png,x\n", "val.csv": "path,label\nimages/b.png,y\n"}
    hidden = {"__MACOSX/._train.csv": b"\0\5\x16\7", "._val.csv": b"\0\5\x16\7"}
    found, _ = told(laid(tmp_path, {**IMAGES, **files, **hidden}), manifest="*.csv")
    assert found == [("images/a.png", "x", "train"), ("images/b.png", "y", "validation")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "labels.xlsx",
            b"PK\3\4zzzz",
            r'labels\.xlsx is a spreadsheet: save it as CSV \(in Excel: "CSV UTF-8"\) and set',
        ),
        ("labels.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a spreadsheet"),
        ("labels.xls", b"path\tlabel\n", "is a spreadsheet"),
        ("labels.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is a spreadsheet"),
        ("labels.csv", b"<!DOCTYPE html><html>", "is a web page"),
        ("labels.ods", b"PK\3\4mimetype", "is a spreadsheet"),
        ("labels.csv", b"PK\3\4zzzz", "is a spreadsheet"),
        ("labels.json", b"[]", r"is JSON: write JSON lines, one \{\.\.\.\} per sample"),
        ("labels.csv.gz", b"\x1f\x8b\x08", "is compressed: unpack it"),
        ("labels.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (
            "labels.csv",
            "path,label\nimages/a.png,caf\xe9\n".encode("cp1252"),
            r"line 2 holds the byte 0xe9, 'é' in Win",
        ),
        ("labels.csv", "path,label\n".encode("utf-16-le"), "holds zero bytes, as UTF-16 without its mark does"),
        ("labels.csv", b"\xff\xfea", "starts as UTF-16 but is damaged"),
        ("labels.txt", b"images/a.png 1\nimages/b.png 0\n", "above it, and commas in place of the blanks"),
        ("labels.csv", b"", "labels.csv is empty: write the column names"),
        ("labels.jsonl", b"\n", "labels.jsonl is empty"),
        ("labels.csv", b"path,label\n", "labels.csv lists nothing: write a line per sample"),
        (
            "labels.csv",
            b"images/a.png,x\nimages/b.png,y\n",
            r"its first line looks like data: put a line of column names",
        ),
        ("labels.csv", b"path,is_valid,is_test,label\n", "has the columns is_valid and is_test: put train, validation"),
        ("m.jsonl", b'{"path": "images/a.png", "label": "x"}\n{"path"\n', "line 2: not readable as JSON"),
        ("m.jsonl", b"[1]\n", r"line 1: should be \{\.\.\.\} with a value for each column"),
        ("m.jsonl", b'{"path": "images/a.png", "label": ["x"]}\n', "line 1: the column label holds list where text"),
        ("m.jsonl", b'{"path": "images/a.png", "label": "\\ud800"}\n', "column label holds half a surrogate pair"),
        ("m.jsonl", b"[" * 10**5, "line 1: not readable as JSON"),
    ],
)
def test_a_table_of_another_kind_is_told_with_what_to_do(tmp_path, name, content, says):
    with pytest.raises(UserError, match=says):
        told(laid(tmp_path, {**IMAGES, name: content}), manifest=name)


@pytest.mark.parametrize("row", ["C:\\me\\images\\a.png", "c:/me/images/a.png", "\\\\server\\images\\a.png"])
def test_absolute_paths_of_windows_are_told(tmp_path, row):
    with pytest.raises(UserError, match=r"line 2: .* is an absolute path of Windows, .* relative to the table"):
        told(laid(tmp_path, {**IMAGES, "manifest.csv": f"path,label\n{row},x\n"}))


def test_addresses_are_told(tmp_path):
    with pytest.raises(UserError, match=r"s3://b/a\.png is an address: download the files"):
        told(laid(tmp_path, {**IMAGES, "manifest.csv": "path,label\ns3://b/a.png,x\n"}))


@pytest.mark.parametrize(
    ("rows", "completed"),
    [
        (("a", "b"), 2),
        (("a.png", "b.png"), 2),
        (("images/a", "images\\b"), 2),
        (("Images/A.PNG", "IMAGES\\b"), 2),
        (("images/a.png", "b"), 1),
    ],
)
def test_paths_are_completed_where_one_file_fits(tmp_path, rows, completed):
    text = "path,label\n{},x\n{},y\n".format(*rows)
    # Neither annotations nor the files of macOS are meant.
    beside = {"images/a.txt": "x", "images/._a.png": b"x", "__MACOSX/images/a.png": b"x", "notes/b.xml": "x"}
    found, surprises = told(laid(tmp_path, {**IMAGES, **beside, "manifest.csv": text}))
    assert found == TWO
    assert surprises.notes.counts == {COMPLETED: completed}


def test_paths_are_relative_to_the_table_or_to_a_folder_around_it(tmp_path):
    text = "path,label\nimages/a.png,x\n..\\images\\b.png,y\n"
    found, surprises = told(laid(tmp_path, {**IMAGES, "lists/m.csv": text}), manifest="lists/m.csv")
    assert found == TWO and not surprises.notes.counts
    # As fastai's train.csv beside the folder train.
    files = {
        "in/train.csv": "path,label\nn01/a.png,x\nn02/a.png,y\n",
        "in/train/n01/a.png": b"1",
        "in/train/n02/a.png": b"2",
    }
    assert [name for name, *_ in told(laid(tmp_path / "x", files), manifest="train.csv")[0]] == [
        "in/train/n01/a.png",
        "in/train/n02/a.png",
    ]


def test_of_several_that_fit_those_of_the_tables_own_split_count_else_they_are_told(tmp_path):
    files = {"train.csv": "path,label\n1,x\n2,y\n", "train/1.png": b"1", "train/2.png": b"2", "test/1.png": b"3"}
    assert [name for name, *_ in told(laid(tmp_path, files), manifest="train.csv")[0]] == ["train/1.png", "train/2.png"]
    files = {**IMAGES, "masks/a.png": b"x", "manifest.csv": "path,label\na,x\n"}
    with pytest.raises(UserError, match=r"line 2: a fits 2 files, images/a\.png and masks/a\.png among them"):
        told(laid(tmp_path / "x", files))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a.jpg", r"lists 1 files .*, a\.jpg first; there is images/a\.png: list paths relative"),
        ("z", r"z first; there is images/a\.png, images/b\.png, images/c\.png: list"),
        ("images/z/a.png", r"images/z/a\.png first; there is images/a\.png"),
        ("s/a.png", r"s/a\.png first; there is images/a\.png"),
    ],
)
def test_what_lies_there_is_told_where_none_fits(tmp_path, row, says):
    with pytest.raises(UserError, match=says):
        told(laid(tmp_path, {**IMAGES, "manifest.csv": f"path,label\n{row},x\n"}))


def test_links_are_told_where_a_table_lists_them(tmp_path):
    path = laid(tmp_path / "x", {"manifest.csv": "path,label\nimages/a.png,x\n", "images/b.png": png(1)})
    (path / "images/a.png").symlink_to(laid(tmp_path, IMAGES) / "images/a.png")
    with pytest.raises(
        UserError, match=r"images/a\.png first; it is passed over there \(symbolic link\): put the file"
    ):
        told(path)


def test_paths_are_matched_by_normal_form(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    files = {f"{decomposed}/1.png": png(0), f"{composed}2.png": png(1)}
    text = f"path,label\n{composed}/1.png,x\n{decomposed}2.png,y\n"
    found, surprises = told(laid(tmp_path, {**files, "manifest.csv": text}))
    assert sorted(name for name, *_ in found) == sorted(files)
    assert surprises.notes.counts == {COMPLETED: 2}


def test_rows_of_a_manifest_without_a_label_are_counted(tmp_path):
    text = "path,label\nimages/a.png,x\nb,\nimages/c.png,  \nnowhere.png,\n"
    found, surprises = told(laid(tmp_path, {**IMAGES, "manifest.csv": text}))
    assert found == TWO[:1] and surprises.skipped.counts == {"row without a label": 3}
    lines = '{"path": "a", "label": "x"}\n{"path": "b", "label": null}\n{"path": "c"}\n{"path": "c", "label": NaN}\n'
    found, surprises = told(laid(tmp_path, {"m.jsonl": lines, "manifest.csv": ""}), manifest="m.jsonl")
    assert found == TWO[:1] and surprises.skipped.counts["row without a label"] == 3


def test_a_struct_with_a_path_is_a_path_in_a_manifest(tmp_path):
    face(laid(tmp_path, IMAGES), "m.parquet", [{"bytes": None, "path": "images/a.png"}], ["x"])
    assert told(tmp_path, manifest="m.parquet", column="image")[0] == TWO[:1]


def lines(*rows: dict) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


@pytest.mark.parametrize("wrap", ["", "downloaded/set/"])
def test_hugging_faces_imagefolder_with_metadata_in_each_split(tmp_path, wrap):
    files = {
        "train/metadata.jsonl": lines({"file_name": "0.png", "label": "cat"}, {"file_name": "1.png", "label": "dog"}),
        "test/metadata.jsonl": lines({"file_name": "0.png", "label": "dog", "text": ["of a", "cat"]}),
        **{f"{name}.png": png(seed) for seed, name in enumerate(["train/0", "train/1", "test/0"])},
    }
    expected = [("test/0.png", "dog", "test"), ("train/0.png", "cat", "train"), ("train/1.png", "dog", "train")]
    found, surprises = told(
        laid(tmp_path, {wrap + name: content for name, content in files.items()}), manifest="metadata.jsonl"
    )
    assert found == [(wrap + name, *rest) for name, *rest in expected]
    assert not surprises.skipped.counts and not surprises.notes.counts


def test_hugging_faces_imagefolder_with_one_table_has_splits_by_the_images_folders(tmp_path):
    rows = [("train/0.png", "cat"), ("train/1.png", "dog"), ("validation/0.png", "cat")]
    files = {"metadata.csv": "file_name,label\n" + "".join(f"{name},{label}\n" for name, label in rows)}
    files |= {name: png(seed) for seed, (name, _) in enumerate(rows)}
    found, surprises = told(laid(tmp_path, files), manifest="metadata.csv")
    assert [split for *_, split in found] == ["train", "train", "validation"]
    assert surprises.notes.counts == {"split read from the file's folder": 3}
    # Where some do not tell, or all the same, none is taken.
    laid(tmp_path, {"more/0.png": png(9), "metadata.csv": files["metadata.csv"] + "more/0.png,cat\n"})
    assert {split for *_, split in told(tmp_path, manifest="metadata.csv")[0]} == {None}


@pytest.mark.parametrize(
    "names", [("train.csv", "x-test.csv", "dev-0000.csv"), ("train/t.csv", "test/t.csv", "valid/t.csv")]
)
def test_several_tables_are_splits_by_their_names(tmp_path, names):
    files = {name: f"path,label\n{letter},x\n" for name, letter in zip(names, "abc", strict=True)}
    found, _ = told(laid(tmp_path, {**IMAGES, **files}), manifest="*.csv" if "/" not in names[0] else "t.csv")
    assert [split for *_, split in found] == ["train", "test", "validation"]
    laid(tmp_path, {"more.csv" if "/" not in names[0] else "more/t.csv": "path,label\n"})
    with pytest.raises(UserError, match=r"holds 4 tables .*: the name of more.* names no split, while that of"):
        told(tmp_path, manifest="*.csv" if "/" not in names[0] else "t.csv")


def test_the_tables_that_are_there_are_told(tmp_path):
    with pytest.raises(
        UserError, match=r"holds no manifest\.csv, but metadata\.jsonl, train\.xlsx: set fetch\.source\.manifest"
    ):
        told(laid(tmp_path, {**IMAGES, "metadata.jsonl": "", "train.xlsx": ""}))


@pytest.mark.full
def test_hugging_faces_imagefolder_from_a_raw_zip_to_the_report(project):
    generator = np.random.default_rng(0)
    images = {}
    for split, each in (("train", 20), ("test", 6)):
        rows = []
        for number in range(2 * each):
            name, color = (("night", 60), ("day", 190))[number % 2]
            pixels = np.clip(generator.normal(color, 40, (16, 16, 3)), 0, 255).astype(np.uint8)
            images[f"scenes/{split}/{number:04d}.png"] = encode_png(pixels)
            rows.append({"file_name": f"{number:04d}.png", "label": name, "text": "a caption"})
        images[f"scenes/{split}/metadata.jsonl"] = lines(*rows).encode()
    with zipfile.ZipFile(project.folder / "scenes.zip", "w") as archive:
        for name, content in images.items():
            archive.writestr(name, content)
    source = {"name": "manifest", "manifest": "metadata.jsonl"}
    project.set(fetch__source=source, fetch__path="scenes.zip", fetch__image__column="auto")
    project.set(train__model={"name": "mlp"}, train__epochs=1, augment__views=1, evaluate__resamples=100)
    for stage in STAGES:
        project.call(stage)
    summary = json.loads((project.folder / "data/raw/summary.json").read_text())
    assert summary["classes"] == {"day": 26, "night": 26}
    assert summary["splits"] == {"test": 12, "train": 40}
    assert not summary["skipped"] and not summary["notes"]
    predictions = pq.read_table(project.folder / "data/evaluation/predictions.parquet").to_pandas()
    assert set(predictions["id"][predictions["split"] == "test"]) == {
        f"scenes/test/{number:04d}.png" for number in range(12)
    }
    report = (project.folder / "metrics/report.html").read_text()
    assert "night" in report and "day" in report


def captions(folder: Path, rows: str, **changes) -> tuple[list[records.Record], records.Surprises]:
    """Read a manifest of images with texts beside their paths."""
    surprises = records.Surprises()
    settings = fetch_settings(inputs={"image": "image", "text": "text"}, name="manifest", **changes)
    container = containers.open_container(laid(folder, {**IMAGES, "manifest.csv": rows}), surprises.skipped)
    parts = {"image": IMAGE, "text": TEXT}
    source = manifests.open_manifest(container, settings, parts, surprises, folder)
    found = list(source.records(None))
    assert [one[:4] for one in found] == list(source.places())
    assert list(source.records({found[0].id})) == found[:1]
    return found, surprises


def test_texts_stand_in_the_rows_of_images(tmp_path):
    found, _ = captions(tmp_path, 'image,text,label\nimages/a.png,"two\nlines",x\nb,,y\n')
    assert [one[:2] for one in found] == [("images/a.png", "x"), ("images/b.png", "y")]
    assert found[0].contents == {"image": records.Content(png(0), "a.png"), "text": records.Content(b"two\nlines")}
    assert found[1].contents["text"] == records.Content(b"")


def test_an_image_with_several_texts_is_several_samples(tmp_path):
    rows = "image,caption,label\n" + "".join(
        f"images/a.png,{text},{label}\n" for text, label in [("one", "x"), ("two", "y"), ("two", "y"), ("one", "x")]
    )
    found, surprises = captions(tmp_path, rows, column="caption")
    assert [(one.id, one.label, one.contents["text"].bytes) for one in found] == [
        ("images/a.png", "x", b"one"),
        ("images/a.png (manifest.csv:3)", "y", b"two"),
    ]
    assert all(one.contents["image"] == records.Content(png(0), "a.png") for one in found)
    assert surprises.skipped.counts == {"listed twice": 2, "not in the table": 2}
    with pytest.raises(UserError, match=r"line 6: images/a\.png was listed before with another label"):
        captions(tmp_path, f"{rows}images/a.png,two,x\n", column="caption")


def test_several_columns_of_text_beside_an_image(tmp_path):
    found, _ = captions(tmp_path, "image,q,a,label\nimages/a.png,Q,A,x\nimages/b.png,,B,y\n", column=["q", "a"])
    assert [one.contents["text"].bytes for one in found] == [b"Q\x1eA", b"\x1eB"]


def test_a_manifest_of_texts_alone_lists_files(tmp_path):
    surprises = records.Surprises()
    files = {"t/a.txt": "one", "t/b.txt": b"caf\xe9", "manifest.csv": "path,label\nt/a.txt,x\nt/b,y\n"}
    container = containers.open_container(laid(tmp_path, files), surprises.skipped)

    def opened(parts=None, **changes):
        parts = parts or {"text": TEXT}
        settings = fetch_settings(inputs=dict.fromkeys(parts, "text"), name="manifest", **changes)
        return manifests.open_manifest(container, settings, parts, surprises, tmp_path)

    assert [(one.id, one.contents["text"].bytes) for one in opened().records(None)] == [
        ("t/a.txt", b"one"),
        ("t/b.txt", b"caf\xe9"),
    ]
    with pytest.raises(UserError, match=r"no column none, .*; for a table of the texts themselves set fetch\.source"):
        opened(column="none")
    with pytest.raises(UserError, match=r"fetch\.text\.column names several columns, but .* manifest reads one, of"):
        opened(column=["path", "label"])
    with pytest.raises(UserError, match=r"the parts q, a are texts, which stand in the rows themselves: set .* table"):
        opened({"q": TEXT, "a": TEXT})
