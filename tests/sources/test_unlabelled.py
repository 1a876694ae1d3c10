import zipfile

import pytest
from makers.text_sources import write

from kiln.core.errors import UserError
from kiln.sources import unlabelled
from kiln.sources.records import Surprises

TEXT = {"text": "text"}


def read(path, inputs=TEXT, surprises=None):
    """Read: id -> bytes."""
    found = list(unlabelled.read(path, inputs, surprises or Surprises()))
    assert all(one[1:4] == (None, None, None) for one in found)
    return {one.id: one.contents["text"].bytes for one in found}


def test_a_file_per_text_in_any_folders_and_archives(tmp_path):
    files = {"unsup/1_0.txt": b"one", "unsup/deep/er/2_0.txt": b"two", "top.txt": b"caf\xe9"}
    for name, content in files.items():
        write(tmp_path / "texts" / name, content)
    write(tmp_path / "texts/.hidden/3.txt", "not this")
    write(tmp_path / "texts/table.csv", "a,b")
    expected = {f"unlabelled/{name}": content for name, content in files.items()}
    surprises = Surprises()
    assert read(tmp_path / "texts", surprises=surprises) == expected
    assert surprises.skipped.counts == {".csv": 1, "hidden": 1}
    with zipfile.ZipFile(tmp_path / "texts.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    assert read(tmp_path / "texts.zip") == expected


def test_a_line_per_text(tmp_path, monkeypatch):
    path = write(tmp_path / "lines.txt", b"one\r\n\n  \ntw\xe9 two\nthree")
    expected = {"unlabelled/lines.txt:1": b"one", "unlabelled/lines.txt:4": b"tw\xe9 two"}
    assert read(path) == {**expected, "unlabelled/lines.txt:5": b"three"}
    monkeypatch.setattr(unlabelled, "_LONGEST", 4)
    assert list(read(path).values()) == [b"one", b"tw\xe9 ", b"two", b"thre", b"e"]


def test_the_folder_that_is_meant_for_them_may_be_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for inputs in (TEXT, {"image": "image"}):
        assert read(unlabelled.DEFAULT_FOLDER, inputs) == {}
    write(tmp_path / "data/unlabelled/README.md", "Put texts here")
    assert read(unlabelled.DEFAULT_FOLDER) == {}
    write(tmp_path / "data/unlabelled/1.txt", "one")
    assert read(unlabelled.DEFAULT_FOLDER) == {"unlabelled/1.txt": b"one"}
    with pytest.raises(UserError, match="no network learns from such images: empty data/unlabelled"):
        read(unlabelled.DEFAULT_FOLDER, {"image": "image"})


@pytest.mark.parametrize(
    ("name", "content", "inputs", "says"),
    [
        ("none", None, TEXT, "fetch.unlabelled .*none does not exist: give a folder, an archive or a .txt file"),
        ("a/1.pdf", b"%PDF-1.4", TEXT, r"holds no text \(skipped: 1 .pdf"),
        (
            "a/1.txt",
            b"version https://git-lfs.github.com/spec/v1\n",
            TEXT,
            "not the file itself but a Git LFS",
        ),
        ("a.txt", b"\n \n", TEXT, "holds no text: give files, or one file with a line per text"),
        ("a.txt", "one".encode("utf-16"), TEXT, "is in UTF-16 or UTF-32: save it in UTF-8"),
        ("a/1.txt", b"one", {"a": "text", "b": "text"}, "gives samples of one part, but inputs has a, b: set it to"),
        ("a/1.txt", b"one", {"image": "image"}, "no network learns from such images: set it to data/unlabelled"),
    ],
)
def test_what_cannot_be_read_or_learnt_from_is_refused(name, content, inputs, says, tmp_path):
    if content is not None:
        write(tmp_path / name, content)
    with pytest.raises(UserError, match=says):
        list(unlabelled.read(tmp_path / name.split("/")[0], inputs, Surprises()))
