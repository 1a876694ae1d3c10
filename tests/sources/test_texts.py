"""Files of text in folders and archives."""

import zipfile

import pytest
from makers.text_sources import read_folder, write

from kiln.core.errors import UserError
from kiln.sources import records


def test_folders_of_classes_and_splits_in_a_folder_and_a_zip(tmp_path):
    files = {
        f"set/{split}/{label}/1.txt": f"{split} {label}" for split in ("train", "test") for label in ("pos", "neg")
    }
    for name, content in {**files, "set/README.md": "about"}.items():
        write(tmp_path / name, content)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in files:
            archive.write(tmp_path / name, name)
    for path in (tmp_path / "set", tmp_path / "x.zip"):
        assert [(*one[:3], one.contents["text"]) for one in read_folder(path)] == [
            (f"{split}/{label}/1.txt", label, split, records.Content(f"{split} {label}".encode(), "1.txt"))
            for split in ("test", "train")
            for label in ("neg", "pos")
        ]


def test_files_without_an_extension_are_looked_into(tmp_path):
    for label in ("sci.space", "rec.autos"):
        write(tmp_path / label / "60840", "From: café\n".encode("latin-1"))
        write(tmp_path / label / "60841.eml", b"BMW is a car")
        write(tmp_path / label / "empty.txt", b"")
        write(tmp_path / label / "60842", b"\x89PNG\r\n\x1a\n\0\0")
        write(tmp_path / label / "notes.json", b"{}")
    surprises = records.Surprises()
    assert [one.id for one in read_folder(tmp_path, surprises)] == [
        f"{label}/{name}" for label in ("rec.autos", "sci.space") for name in ("60840", "60841.eml", "empty.txt")
    ]
    assert surprises.skipped.counts == {"without extension (PNG)": 2, ".json": 2}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "1.pdf",
            r"no text of the class c can be read, but there are 1 \.pdf \(PDF\) .*: take out their text, as `pdf",
        ),
        ("1.docx", r"1 \.docx \(Word\) .*: save them as plain text \(\.txt, UTF-8\)"),
        ("1.rtf", r"1 \.rtf \(RTF\) .*: save them as plain text"),
    ],
)
def test_a_class_of_documents_is_not_lost(tmp_path, name, says):
    for label in "ab":
        write(tmp_path / label / "1.txt", "text")
    write(tmp_path / "c" / name, "text")
    with pytest.raises(UserError, match=says):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (["a/1.pdf", "b/1.pdf"], "take out their text, as `pdftotext` does"),
        (["a/1.md", "b/1.md"], r"skipped: 2 \.md .*: if they are the texts, rename them to \.txt"),
        (["a/1.png", "b/1.png"], r"convert them to plain text \(\.txt\)"),
        (["train.csv", "a/1.md"], r"if train\.csv holds the texts, set fetch\.source\.name to table"),
    ],
)
def test_folders_without_texts_are_refused_with_what_to_do(tmp_path, files, says):
    for name in files:
        write(tmp_path / name, b"\x89PNG\r\n\x1a\n\0\0" if name.endswith("png") else b"text")
    with pytest.raises(UserError, match=says):
        read_folder(tmp_path)


def test_a_table_given_in_place_of_a_folder_is_told(tmp_path):
    with pytest.raises(UserError, match=r"for a table of the texts themselves set fetch\.source\.name to table"):
        read_folder(write(tmp_path / "x.csv", "text,label\na,b\n"))


def test_the_unlabelled_reviews_of_imdb_are_no_class(tmp_path):
    for name in ("train/pos", "train/neg", "train/unsup", "test/pos", "test/neg"):
        write(tmp_path / "aclImdb" / name / "0_7.txt", name)
    write(tmp_path / "aclImdb/train/urls_pos.txt", "http://x")
    surprises = records.Surprises()
    found = [(one.id, one.label, one.split) for one in read_folder(tmp_path, surprises)]
    assert found[:2] == [("test/neg/0_7.txt", "neg", "test"), ("test/pos/0_7.txt", "pos", "test")]
    assert {label for _, label, _ in found} == {"neg", "pos"}
    reason = "in unsup, so without a label: to learn from such texts, set fetch.unlabelled"
    assert surprises.skipped.counts == {"outside of a class folder": 1, reason: 1}
