import numpy as np
import pandas as pd
import pytest
from makers.texts import as_array, prose, text_parts

from kiln.params import schema
from kiln.quality import unlabelled
from kiln.quality.examination import Examined
from kiln.sources.records import Content, Record
from kiln.store import dataset

CLEAN = schema.model_for({"text": "text"}).model_fields["clean"].annotation
LABELLED = [prose(seed) for seed in range(9)]
SPLITS = ["train", "validation", "test"] * 3


def examined(kept=None) -> Examined:
    """Three labelled texts in each split."""
    facts = pd.DataFrame({"id": [f"labelled{number}" for number in range(9)], "split": SPLITS})
    return Examined(facts, None, np.ones(9, bool) if kept is None else kept, 0, 0, 0, {}, {})


def judge(folder, texts: list[bytes], **how) -> tuple[pd.DataFrame, dict]:
    """Clean some texts without labels."""
    folder.mkdir(exist_ok=True)
    records = [Record(f"u{n}", None, None, None, {"text": Content(text)}) for n, text in enumerate(texts)]
    dataset.write(folder / "raw", [(None, dataset.raw_table(records, ["text"]))], "raw", parts=["text"])
    raw = dataset.open_dataset(folder / "raw", "raw")
    settings = CLEAN(**how.pop("settings", {}))
    parts = how.pop("parts", text_parts())
    values = {"text": as_array(LABELLED)}
    return unlabelled.clean(raw, folder, examined(**how), parts, values, settings, 0)


def test_copies_of_validation_and_test_are_set_aside_and_those_of_train_are_not(tmp_path):
    near = LABELLED[1][:-4] + "xx"
    texts = [*LABELLED, LABELLED[2].upper() + "  ", near, prose(50)]
    judged, values = judge(tmp_path, [text.encode() for text in texts])
    held = [split != "train" for split in SPLITS]
    assert judged["reason"].notna().tolist() == [*held, True, True, False]
    assert judged["reason"].dropna().unique().tolist() == [unlabelled.COPY]
    assert judged["detail"].iloc[9:11].tolist() == ["labelled2", "labelled1"]
    assert list(values["text"][np.arange(12)])[-1] == prose(50)


def test_no_setting_lets_a_copy_of_test_pass(tmp_path):
    settings = {"near_duplicate": "keep", "exact_duplicate": "keep"}
    judged, _ = judge(tmp_path, [LABELLED[2].encode()], settings=settings)
    assert judged["reason"].tolist() == [unlabelled.COPY]


def test_a_copy_of_a_copy_is_one(tmp_path):
    words = LABELLED[2].split()
    once, twice = (" ".join(["zz"] * count + words[count:]) for count in (1, 2))
    judged, _ = judge(tmp_path, [once.encode(), twice.encode()])
    assert judged["reason"].tolist() == [unlabelled.COPY] * 2


def test_what_is_not_in_any_split_is_no_test_sample(tmp_path):
    kept = np.ones(9, bool)
    kept[2] = False
    judged, _ = judge(tmp_path, [LABELLED[2].encode()], kept=kept)
    assert judged["reason"].isna().all()


def test_they_are_decoded_as_the_labelled_ones(tmp_path):
    long = "x" * 200
    judged, values = judge(
        tmp_path,
        ["Привет, мир".encode("cp1251"), b" ", long.encode()],
        parts=text_parts(encoding="cp1251"),
        settings={"text": {"max_bytes": 100}},
    )
    assert judged["reason"].tolist() == [None, "undecodable", "too_large"]
    assert values["text"][0] == "Привет, мир"


def test_what_is_kept_is_stored_without_labels_for_train_alone(tmp_path):
    judged, values = judge(tmp_path, [b"one text", LABELLED[2].encode(), b"another text", b""])
    assert unlabelled.summarize(judged) == {
        "samples": 4,
        "kept": 2,
        "set_aside": {"copy_of_held_out": 1, "undecodable": 1},
    }
    parts = text_parts()
    about = {"classes": ["a", "b"], "parts": {"text": parts["text"].to_json()}}
    dataset.write(tmp_path / "kept", unlabelled.list_kept(judged, parts, values), "unlabelled", **about)
    data = dataset.open_dataset(tmp_path / "kept", "unlabelled")
    (batch,) = data.batches("train")
    assert batch.ids.tolist() == ["u0", "u2"] and batch.labels.tolist() == [-1, -1]
    assert batch.parts["text"].tolist() == ["one text", "another text"]
    assert data.rows("test") == data.rows("validation") == 0
    with pytest.raises(Exception, match="kind 'unlabelled', but"):
        dataset.open_dataset(tmp_path / "kept", "clean")


def test_a_label_has_no_place_among_them_nor_none_among_the_labelled(tmp_path):
    parts = text_parts()
    about = {"classes": ["a", "b"], "parts": {"text": parts["text"].to_json()}}
    for kind, label in (("unlabelled", 0), ("clean", -1)):
        table = dataset.clean_table(parts, ["1"], np.array([label]), {"text": as_array(["one"])})
        dataset.write(tmp_path / kind, [("train", table)], kind, **about)
        with pytest.raises(Exception, match=r"is not what manifest\.json says"):
            next(dataset.open_dataset(tmp_path / kind, kind).batches("train"))
