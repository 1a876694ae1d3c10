"""What clean does with texts, from raw bytes to splits, by the rooms that know nothing of strings."""

import numpy as np
import pandas as pd
import pytest
from makers.samples import NO_VERDICTS, write_raw
from makers.texts import prose

from kiln.core.errors import UserError
from kiln.params import schema
from kiln.quality import decoding, examination, findings, publishing, summary
from kiln.store import dataset

TEXTS = [f"{prose(seed, 12)} number {seed}" for seed in range(40)]


def clean_settings(**changes):
    """The clean section's defaults for texts, with changes: ``text__min_chars=4`` of the part."""
    content = {"text": {}}
    for key, value in changes.items():
        part, _, name = key.rpartition("__")
        (content[part] if part else content)[name] = value
    return schema.model_for({"text": "text"}).model_fields["clean"].annotation(**content)


def clean(tmp_path, texts, **changes):
    """Decode and examine texts: settings, parts, values, what was found."""
    settings = clean_settings(**changes)
    raw = write_raw(tmp_path / "raw", [text if isinstance(text, bytes) else text.encode() for text in texts], ["text"])
    parts = decoding.settle_parts(raw, {"text": "text"}, settings)
    facts, values = decoding.decode_all(raw, parts, settings, tmp_path)
    return parts, values, examination.examine(facts, parts, values, NO_VERDICTS, settings, 0)


def test_each_fault_has_its_finding(tmp_path):
    faulty = [
        b"", bytes(range(200)), b"x" * 3000, "schÃ¶n ist es", "x", prose(1, 300), "Вот это по-русски", "<br><br>hi",
        "ask ann@example.org", "no " * 40, TEXTS[0], TEXTS[1].upper(),
    ]  # fmt: skip
    limits = {"text__max_bytes": 2500, "text__max_chars": 1000, "label_error": "keep", "outlier": "keep"}
    parts, _, examined = clean(tmp_path, TEXTS + faulty, **limits)
    found = {
        row - len(TEXTS): reason
        for row, reason in zip(examined.findings["row"], examined.findings["reason"], strict=True)
        if row >= len(TEXTS)
    }
    reasons = [
        "undecodable", "undecodable", "too_large", "encoding", "too_short", "too_long", "other_script", "markup",
        "personal_data", "repetitive", "exact_duplicate", "near_duplicate",
    ]  # fmt: skip
    assert found == dict(enumerate(reasons))
    # Every reason has its sentence.
    sentences = parts["text"].modality.finding_sentences
    listed = examined.findings.set_index("row")
    for row in range(len(TEXTS) + 3, len(TEXTS) + 10):
        about = listed.loc[row]
        assert about["reason"] in findings.list_reasons(parts)
        assert sentences[about["reason"]].format(score=about["score"], detail=about["detail"], share="9 %")


def test_copies_across_given_splits_are_named_as_texts(tmp_path):
    copies = [[TEXTS[0], "train"], [TEXTS[0].upper(), "test"], *([text, "train"] for text in TEXTS[1:])]
    settings = clean_settings(label_error="keep", outlier="keep")
    raw = write_raw(tmp_path / "raw", [text.encode() for text, _ in copies], ["text"])
    parts = decoding.settle_parts(raw, {"text": "text"}, settings)
    facts, values = decoding.decode_all(raw, parts, settings, tmp_path)
    facts["split"] = [split for _, split in copies]
    examined = examination.examine(facts, parts, values, NO_VERDICTS, settings, 0)
    assert examined.leaks == 1 and not examined.kept[0]
    assert examined.findings["detail"].tolist() == ["copy of a test text"]
    assert examined.borders == {"text": 0.8}


def test_a_text_that_is_there_many_times_may_be_a_template(tmp_path):
    _, _, examined = clean(tmp_path, [*TEXTS, *["we will call you back"] * 12])
    details = examined.findings["detail"].dropna()
    assert details.str.contains("one of 12 with this text").any()


def test_what_is_kept_is_written_and_read_again(tmp_path):
    parts, values, examined = clean(tmp_path, [*TEXTS, "酒店的服务很好\x1eone", b""])
    classes = ["a", "b"]
    kept = publishing.list_kept(examined, classes, parts, values, 0)
    about = {name: part.to_json() for name, part in parts.items()}
    dataset.write(tmp_path / "clean", kept, "clean", classes=classes, parts=about)
    read = dataset.open_dataset(tmp_path / "clean", "clean")
    assert read.parts["text"].conversion == parts["text"].conversion
    again = {
        name: text
        for split in dataset.SPLITS
        for samples in read.batches(split)
        for name, text in zip(samples.ids, samples.parts["text"], strict=True)
    }
    assert again == {str(row): text for row, text in enumerate([*TEXTS, "酒店的服务很好\x1eone"])}


def test_the_evidence_holds_texts(tmp_path):
    parts, values, examined = clean(tmp_path, [*TEXTS, TEXTS[0], "mail ann@example.org"])
    evidence = findings.list_evidence(examined.findings, examined.facts, parts, values, 12).to_pandas()
    shown = [exhibits[0] for exhibits in evidence["shown"]]
    assert {about["kind"] for about in shown} == {"text"}
    contents = b"".join(about["content"] for about in shown)
    assert b"mail <email>" in contents and b"ann@example.org" not in contents
    sampled, sheets = publishing.show_samples(examined, ["a", "b"], parts, values)
    assert sampled == ["a", "b"] and sheets["text"].kind == "texts"
    assert set(publishing.list_measures(examined, parts)) == {"id", "split", "characters", "script_share"}
    assert "texts as Unicode of" in summary.preview(examined, parts, 0.5)


def test_workers_change_no_byte(tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    texts = [prose(seed) for seed in range(600)]
    _, _, first = clean(tmp_path / "one", texts)
    ordered = decoding.parallel.ordered_map
    monkeypatch.setattr(decoding.parallel, "ordered_map", lambda function, items: ordered(function, items, workers=7))
    _, _, second = clean(tmp_path / "other", texts)
    pd.testing.assert_frame_equal(first.facts, second.facts)
    pd.testing.assert_frame_equal(first.findings, second.findings)


def test_an_undecodable_text_stops_if_it_should(tmp_path):
    with pytest.raises(UserError, match="1 of 2 samples cannot be decoded"):
        clean(tmp_path, [b"", b"text"], undecodable="stop")


def test_planted_label_errors_are_found(tmp_path):
    generator = np.random.default_rng(0)
    subjects = {"a": "hotel room bed breakfast staff".split(), "b": "goal team match score player".split()}  # noqa: SIM905
    texts = [" ".join(generator.choice([*subjects["ab"[row % 2]], *prose(row, 6).split()], 10)) for row in range(400)]
    wrong = [17, 50, 133, 202, 311]
    for row in wrong:
        texts[row] = " ".join(generator.permutation(subjects["ba"[row % 2]] * 2))
    _, _, examined = clean(tmp_path, texts)
    suspects = examined.findings["row"][examined.findings["reason"] == "label_error"]
    assert len(set(wrong) & set(suspects)) >= 4 and len(suspects) < 15
