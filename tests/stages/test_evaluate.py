import shutil
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from makers.datasets import source
from makers.images import noise
from makers.projects import ROOT, Project
from scipy.special import softmax

from kiln.core import files, randomness
from kiln.evaluation import calibration
from kiln.modalities.image import corruptions
from kiln.networks import artifact
from kiln.store import dataset
from stages import evaluate

LABELS = np.array([0, 1, 2, 1], np.int32)
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.0, 0.1, 0.9], [0.05, 0.0, 0.95]], np.float32)


def test_score_by_hand():
    figures, table = evaluate.score(LABELS, PROBABILITIES, list("abc"), 500, seed=0)
    assert figures["images"] == 4
    assert figures["accuracy"] == 0.5
    assert figures["recall"] == pytest.approx(2 / 3)
    assert figures["precision"] == pytest.approx(1 / 3)
    assert figures["log_loss"] == pytest.approx(-np.log([0.8, 0.2, 0.9, 1e-7]).mean())
    for name in (name for name in figures if f"{name}_ci95" in figures):
        assert figures[f"{name}_ci95"]["low"] <= figures[name] + 1e-9
        assert figures[name] <= figures[f"{name}_ci95"]["high"] + 1e-9
    assert figures == evaluate.score(LABELS, PROBABILITIES, list("abc"), 500, seed=0)[0]
    assert table["support"].tolist() == [1, 2, 1]


def test_tables():
    four = np.pad(PROBABILITIES, ((0, 0), (0, 1)))
    _, table = evaluate.score(LABELS, four, list("abcd"), 100, seed=0)
    assert table["support"].tolist() == [1, 2, 1, 0]
    assert table["recall"].tolist() == [1, 0, 1, 0]
    for name in ("recall_low", "f1_low"):
        assert table[name].isna().tolist() == [False, False, False, True]
    pairs = evaluate.confusion_table(LABELS, PROBABILITIES.argmax(axis=1), list("abc"))
    assert pairs.to_dict("records")[1] == {"label": "b", "prediction": "a", "images": 1, "share": 0.5}
    assert pairs["images"].sum() == 4


def test_the_pairs_of_many_classes_take_no_table():
    labels, names = np.arange(20) * 997, [str(number) for number in range(20_000)]
    tracemalloc.start()
    pairs = evaluate.confusion_table(labels, np.roll(labels, 1), names)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(pairs) == 20 and peak < 50e6  # of the squared number 3.2 GB


def test_surest_mistakes():
    assert evaluate.surest_mistakes(LABELS, PROBABILITIES, 5).tolist() == [3, 1]
    assert evaluate.surest_mistakes(LABELS, PROBABILITIES, 1).tolist() == [3]
    assert evaluate.surest_mistakes(LABELS, PROBABILITIES, 0).tolist() == []


def test_surest_right_are_one_a_class():
    labels = np.array([0, 0, 1, 1, 2])
    rows = np.array([[0.6, 0.2, 0.2], [0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3], [0.8, 0.1, 0.1]], np.float32)
    assert evaluate.surest_right(labels, rows, 5).tolist() == [1, 2]
    assert evaluate.surest_right(labels, rows, 1).tolist() == [1]


def test_pixels_are_those_of_their_rows(tmp_path):
    data = source(tmp_path)
    found = evaluate.pixels_of(data, "train", np.array([20, 3]))
    assert (found == np.stack([noise(i) for i in (20, 3)])).all()
    assert evaluate.pixels_of(data, "train", np.array([], int)).shape == (0, 8, 8, 1)


def test_the_first_images_are_those_of_the_first_rows(tmp_path):
    data = source(tmp_path)
    whole = np.concatenate([batch.pixels for batch in data.batches("train")])
    for count in (0, 1, len(whole)):
        found = np.concatenate([whole[:0], *evaluate.first_images(data, "train", count)])
        assert found.shape == whole[:count].shape and (found == whole[:count]).all()


def shades(model, pixels):
    """Tells dark images from light ones."""
    return np.stack([pixels.mean(axis=(1, 2, 3)) < 128, pixels.mean(axis=(1, 2, 3)) >= 128], axis=1)


def test_corruptions_draw_on_from_part_to_part(monkeypatch):
    monkeypatch.setattr(evaluate.models, "probabilities", shades)
    pixels = np.random.default_rng(0).integers(70, 186, (30, 1, 1, 1), np.uint8) * np.ones((1, 8, 8, 1), np.uint8)
    labels, parts = (pixels[:, 0, 0, 0] >= 128).astype(int), [pixels[:20], pixels[20:]]
    table = evaluate.robustness(SimpleNamespace(model=None), iter(parts), labels, np.arange(30), seed=3)
    assert len(table) == 1 + len(corruptions.CORRUPTIONS) * len(corruptions.STRENGTHS)
    table = table.set_index("case")
    assert table["accuracy"]["none, none"] == 1
    for name, strength in (("brightness", "strong"), ("noise", "mild"), ("occlusion", "strong")):
        generator = randomness.generator(3, "evaluate", name, strength)
        changed = np.concatenate([corruptions.corrupt(part, name, strength, generator) for part in parts])
        expected = (shades(None, changed)[:, 1] == labels).mean()
        assert table["accuracy"][f"{name}, {strength}"] == expected
    assert 0 < table["accuracy"]["brightness, strong"] < 1
    assert not len(evaluate.robustness(SimpleNamespace(model=None), iter([]), labels[:0], labels[:0], seed=3))


def test_large_images_are_corrupted_one_part_at_a_time(monkeypatch):
    monkeypatch.setattr(evaluate.models, "probabilities", shades)
    monkeypatch.setattr(corruptions, "CORRUPTIONS", {"contrast": corruptions.CORRUPTIONS["contrast"]})
    parts = (np.full((2, 256, 256, 3), number, np.uint8) for number in range(40))  # of 0.4 MB
    labels = np.zeros(80, int)
    tracemalloc.start()
    evaluate.robustness(SimpleNamespace(model=None), parts, labels, np.arange(80), seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12e6  # all of them are 16 MB; one in floats, some 8


def test_what_clean_found_becomes_slices(tmp_path):
    ids = [f"{n}.png" for n in range(6)]
    facts = {name: [float(n) for n in range(6)] for name in ("brightness", "sharpness", "short_side")}
    pq.write_table(pa.table({"id": ids[::-1], "split": ["test"] * 6, **facts}), tmp_path / "measures.parquet")
    found = {"id": ["1.png", "train.png"], "reason": ["label_error", "near_duplicate"], "other": [None, "4.png"]}
    pq.write_table(pa.table({name: values[:1] for name, values in found.items()}), tmp_path / "flags.parquet")
    pq.write_table(pa.table({name: values[1:] for name, values in found.items()}), tmp_path / "set_aside.parquet")
    known = evaluate.known_about(np.array(ids), tmp_path)
    assert known["brightness"].tolist() == [5, 4, 3, 2, 1, 0]
    assert np.flatnonzero(known["label doubted"]).tolist() == [1]
    assert np.flatnonzero(known["has a near-duplicate"]).tolist() == [4]


@pytest.mark.full
def test_mirror_images_are_scored_where_asked_for(trained, tmp_path):
    for name in ("clean", "model"):
        shutil.copytree(trained.folder / "data" / name, tmp_path / "data" / name)
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("  flip: false", "  flip: true"))
    (tmp_path / "stages").symlink_to(ROOT / "stages")
    project = Project.at(tmp_path)
    assert "with mirror images" in project.stage("evaluate").stdout
    scored = files.read_json(tmp_path / "data/evaluation/summary.json")
    plain = files.read_json(trained.folder / "data/evaluation/summary.json")
    assert scored["test"] == plain["test"] and "test_flipped" not in plain
    assert scored["test_flipped"].keys() == plain["test"].keys()
    # A mirrored digit is no digit.
    assert scored["test_flipped"]["accuracy"] < plain["test"]["accuracy"]


def test_the_stages_files_agree_with_each_other(small):
    folder = small.folder / "data/evaluation"
    summary = files.read_json(folder / "summary.json")
    predictions = pq.read_table(folder / "predictions.parquet").to_pandas()
    for split, rows in predictions.groupby("split"):
        assert summary[split]["images"] == len(rows)
        assert summary[split]["accuracy"] == pytest.approx((rows["label"] == rows["prediction"]).mean(), abs=1e-5)
    assert predictions["id"].is_unique
    shown = pq.read_table(folder / "exhibits.parquet").to_pandas()
    mistakes = shown[shown["label"] != shown["prediction"]]
    right = shown[shown["label"] == shown["prediction"]]
    assert len(right) == evaluate.RIGHT and right["label"].is_unique
    train = predictions[predictions["split"] == "train"].set_index("id")
    for row in shown.itertuples():
        cosines = [near["cosine"] for near in row.neighbours]
        assert len(cosines) == 3 and cosines == sorted(cosines, reverse=True) and max(cosines) <= 1 + 1e-6
        assert all(train.loc[near["id"], "label"] == near["label"] for near in row.neighbours)
        assert row.occlusion.startswith(b"\x89PNG") and row.grad_cam.startswith(b"\x89PNG")
    test = predictions[predictions["split"] == "test"].set_index("id")
    wrong = test[test["label"] != test["prediction"]]
    assert set(mistakes["id"]) == set(wrong.index)
    assert (mistakes["probability"].diff().dropna() <= 0).all()


@pytest.mark.full
def test_the_trained_model_gets_worse_with_the_strength_of_a_corruption(trained):
    folder = trained.folder / "data/evaluation"
    table, summary = pd.read_csv(folder / "robustness.csv"), files.read_json(folder / "summary.json")
    strengths = list(corruptions.STRENGTHS)
    for name, rows in table[table["corruption"] != "none"].groupby("corruption"):
        assert rows["strength"].tolist() == strengths
        # To within chance: mild corruptions cost a digit or two.
        assert (rows["accuracy"].diff().dropna() <= 0.01).all(), name
        assert rows["accuracy"].iloc[-1] < table["accuracy"][0], name
        assert summary["robustness"][name] == pytest.approx(dict(zip(strengths, rows["accuracy"], strict=True)))
    assert summary["robustness"]["none"] == table["accuracy"][0]
    assert summary["robustness"]["mean"] == pytest.approx(table["accuracy"][1:].mean(), rel=1e-5)


def test_the_gap_is_train_less_test_and_the_temperature_comes_from_validation(small):
    summary = files.read_json(small.folder / "data/evaluation/summary.json")
    assert summary["gap"]["accuracy"] == pytest.approx(
        summary["train"]["accuracy"] - summary["test"]["accuracy"], abs=1e-5
    )
    table = pq.read_table(small.folder / "data/evaluation/predictions.parquet").to_pandas()
    validation = table[table["split"] == "validation"]
    classes = sorted(table["label"].unique())
    labels = validation["label"].map(classes.index).to_numpy()
    expected = calibration.fit(labels, np.stack(validation["probabilities"]))
    assert summary["test_calibrated"]["temperature"] == pytest.approx(expected, rel=1e-4)


def test_the_logits_are_those_behind_the_probabilities(small):
    folder = small.folder / "data"
    data, classifier = dataset.open_dataset(folder / "clean", "pixels"), artifact.load(folder / "model")
    found = evaluate.predict(classifier, data, "validation")
    assert softmax(evaluate.logits(classifier, data, "validation"), axis=1) == pytest.approx(
        found["probabilities"], abs=1e-6
    )


def test_where_probabilities_are_0_the_logits_give_the_temperature():
    logits_ = np.zeros((40, 2), np.float32)
    logits_[:36, 0], logits_[36:, 1] = 200, 150
    output = {"labels": np.zeros(40, int), "units": np.arange(40), "probabilities": softmax(logits_, axis=1)}
    assert not output["probabilities"].all()
    blind, seeing = (evaluate.calibrated(some, some) for some in (output, {**output, "logits": logits_}))
    assert seeing["temperature"] > 1.2 * blind["temperature"]
    assert seeing["temperature_ci95"]["low"] < seeing["temperature"] < seeing["temperature_ci95"]["high"]


def test_a_model_of_other_classes_is_refused(small, tmp_path):
    project = Project.at(shutil.copytree(small.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("cache")))
    folder = project.folder / "data/model"
    described = files.read_json(folder / "model.json")
    described["classes"] = [f"{name}!" for name in described["classes"]]
    folder.chmod(0o755)
    (folder / "model.json").unlink()
    files.write_json(folder / "model.json", described)
    (folder / files.DIGESTS).unlink()
    files.seal(folder)
    done = project.stage("evaluate", check=False)
    assert done.returncode == 1
    assert "data/model was trained on other classes or pixels than data/clean has: run `dvc repro`" in done.stderr
