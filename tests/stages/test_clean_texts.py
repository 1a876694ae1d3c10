import sys

import numpy as np
import pandas as pd
import pytest
from makers.datasets import whole
from makers.texts import WORDS, prose

from kiln.core import files
from kiln.modalities.text import copies, shingles
from kiln.params import recipes
from kiln.quality import corrections
from kiln.sources.records import Content, Record
from kiln.store import dataset
from stages import clean


def make() -> tuple[list[str], list[str], list[str], np.ndarray]:
    """Texts of two subjects with splits, copies across splits, and wrong labels: texts, labels, splits, wrong."""
    generator, about = np.random.default_rng(0), {"sea": ["sail", "reef", "tide"], "sky": ["wing", "cloud", "wind"]}
    labels = ["sea", "sky"] * 100
    texts = [f"{prose(seed, 14)} {' '.join(generator.choice(about[label], 4))}" for seed, label in enumerate(labels)]
    splits = ["train"] * 140 + ["validation"] * 20 + ["test"] * 40
    changes = (
        str.upper,
        lambda text: f"{text}.",
        lambda text: text.replace(" ", "  "),
        lambda text: f"{text} {WORDS[0]}",
    )
    for number, change in enumerate(changes * 3):
        texts[number] = change(texts[160 + number])
        labels[number] = labels[160 + number]
        texts[20 + number], labels[20 + number] = change(texts[140 + number]), labels[140 + number]
    wrong = np.arange(60, 130, 7)
    for row in wrong:
        labels[row] = "sky" if labels[row] == "sea" else "sea"
    return texts, labels, splits, wrong


@pytest.fixture
def cleaned(tmp_path, monkeypatch):
    texts, labels, splits, wrong = make()
    rows = enumerate(zip(texts, labels, splits, strict=True))
    records = [Record(f"{n:03}", label, split, None, {"text": Content(t.encode())}) for n, (t, label, split) in rows]
    with files.publish(tmp_path / "data/raw") as folder:
        dataset.write(folder, [(None, dataset.raw_table(records, ["text"]))], "raw", parts=["text"])
    (tmp_path / corrections.PATH).write_text("id,label\n")
    (tmp_path / "params.yaml").write_text(recipes.write(recipes.read("text")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["clean"])
    clean.main()
    return tmp_path / "data/clean", wrong


def test_no_copies_are_left_across_splits(cleaned):
    data = dataset.open_dataset(cleaned[0], "clean")
    texts = {name: [shingles.normalize(text) for text in whole(data, name).parts["text"]] for name in dataset.SPLITS}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        both = texts[one] + texts[other]
        first, second = np.divmod(np.arange(len(texts[one]) * len(texts[other])), len(texts[other]))
        both = [copies.bare(text) for text in both]
        assert copies.jaccard(both, first, second + len(texts[one])).max() < copies.BORDER
    assert {name: len(found) for name, found in texts.items()} == {"train": 116, "validation": 20, "test": 40}


def test_wrong_labels_are_flagged_with_the_right_one(cleaned):
    flagged = pd.read_parquet(cleaned[0] / "flags.parquet")
    flagged = flagged[flagged["reason"] == "label_error"]
    assert set(flagged["id"]) == {f"{row:03}" for row in cleaned[1]}
    assert flagged["suggestion"].tolist() == [{"sea": "sky", "sky": "sea"}[label] for label in flagged["label"]]
