import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Project, noise
from test_augment import source

from stages import evaluate
from stages.lib import files, images

LABELS = np.array([0, 1, 2, 1], np.int32)
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.0, 0.1, 0.9], [0.05, 0.0, 0.95]], np.float32)


def test_score_by_hand():
    figures, counts = evaluate.score(LABELS, PROBABILITIES)
    assert counts.tolist() == [[1, 0, 0], [1, 0, 1], [0, 0, 1]]
    assert figures["images"] == 4
    assert figures["accuracy"] == 0.5
    assert figures["recall"] == pytest.approx(2 / 3)
    assert figures["precision"] == pytest.approx(1 / 3)
    assert figures["log_loss"] == pytest.approx(-np.log([0.8, 0.2, 0.9, 1e-7]).mean())


def test_every_test_figure_has_an_interval_around_it():
    figures, _ = evaluate.score(LABELS, PROBABILITIES)
    full = evaluate.with_intervals(figures, LABELS, PROBABILITIES, 500, seed=0)
    for name in ("accuracy", "precision", "recall", "f1", "log_loss"):
        assert full[f"{name}_ci95"]["low"] <= full[name] <= full[f"{name}_ci95"]["high"]
    assert full == evaluate.with_intervals(figures, LABELS, PROBABILITIES, 500, seed=0)


def test_tables():
    _, counts = evaluate.score(LABELS, PROBABILITIES)
    table = evaluate.class_table(np.pad(counts, (0, 1)), list("abcd"))
    assert table["support"].tolist() == [1, 2, 1, 0]
    assert table["recall"].tolist() == [1, 0, 1, 0]
    assert table["recall_low"].isna().tolist() == [False, False, False, True]
    pairs = evaluate.confusion_table(counts, list("abc"))
    assert pairs.to_dict("records")[1] == {"label": "b", "prediction": "a", "images": 1, "share": 0.5}
    assert pairs["images"].sum() == 4


def test_surest_mistakes():
    assert evaluate.surest_mistakes(LABELS, PROBABILITIES, 5).tolist() == [3, 1]
    assert evaluate.surest_mistakes(LABELS, PROBABILITIES, 1).tolist() == [3]
    assert evaluate.surest_mistakes(LABELS, PROBABILITIES, 0).tolist() == []


def test_pictures_are_the_images_of_their_rows(tmp_path):
    data = source(tmp_path)
    assert evaluate.pictures(data, "train", np.array([20, 3])) == [images.encode_png(noise(i)) for i in (20, 3)]


def test_mirror_images_are_scored_where_asked_for(trained, tmp_path):
    for name in ("clean", "model"):
        shutil.copytree(trained.folder / "data" / name, tmp_path / "data" / name)
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("  flip: false", "  flip: true"))
    project = Project.at(tmp_path)
    project.environment["PYTHONPATH"] = str(ROOT)
    assert "with mirror images" in project.stage("evaluate").stdout
    scored = files.read_json(tmp_path / "data/evaluation/summary.json")
    plain = files.read_json(trained.folder / "data/evaluation/summary.json")
    assert scored["test"] == plain["test"] and "test_flipped" not in plain
    assert scored["test_flipped"].keys() == plain["test"].keys()
    # A mirrored digit is no digit.
    assert scored["test_flipped"]["accuracy"] < plain["test"]["accuracy"]


def test_the_stages_files_agree_with_each_other(trained):
    folder = trained.folder / "data/evaluation"
    summary = files.read_json(folder / "summary.json")
    predictions = pq.read_table(folder / "predictions.parquet").to_pandas()
    for split, rows in predictions.groupby("split"):
        assert summary[split]["images"] == len(rows)
        assert summary[split]["accuracy"] == pytest.approx((rows["label"] == rows["prediction"]).mean(), abs=1e-5)
    assert predictions["id"].is_unique
    mistakes = pq.read_table(folder / "mistakes.parquet").to_pandas()
    test = predictions[predictions["split"] == "test"].set_index("id")
    wrong = test[test["label"] != test["prediction"]]
    assert set(mistakes["id"]) == set(wrong.index)
    assert (mistakes["probability"].diff().dropna() <= 0).all()
