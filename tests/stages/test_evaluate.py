import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from makers.projects import ROOT, Project, configure
from scipy.special import softmax

from kiln.core import files
from kiln.evaluation import calibration, exhibits, predictions
from kiln.modalities.base import STRENGTHS
from kiln.networks import artifact
from kiln.store import dataset


@pytest.mark.full
def test_mirror_images_are_scored_where_asked_for(trained, tmp_path):
    for name in ("clean", "model"):
        shutil.copytree(trained.folder / "data" / name, tmp_path / "data" / name)
    configure(tmp_path, evaluate__image__flip=True)
    for name in ("stages", "kiln"):
        (tmp_path / name).symlink_to(ROOT / name)
    project = Project.at(tmp_path)
    assert "with mirror images" in project.stage("evaluate").stdout
    scored = files.read_json(tmp_path / "data/evaluation/summary.json")
    plain = files.read_json(trained.folder / "data/evaluation/summary.json")
    assert scored["test"] == plain["test"] and "test_flipped" not in plain
    assert scored["test_flipped"].keys() == plain["test"].keys()
    # A mirrored digit is no digit.
    assert scored["test_flipped"]["accuracy"] < plain["test"]["accuracy"]


@pytest.mark.full
def test_the_stages_files_agree_with_each_other(trained):
    folder = trained.folder / "data/evaluation"
    summary = files.read_json(folder / "summary.json")
    predicted = pq.read_table(folder / "predictions.parquet").to_pandas()
    for split, rows in predicted.groupby("split"):
        assert summary[split]["samples"] == len(rows)
        assert summary[split]["accuracy"] == pytest.approx((rows["label"] == rows["prediction"]).mean(), abs=1e-5)
    assert predicted["id"].is_unique
    shown = pq.read_table(folder / "exhibits.parquet").to_pandas()
    mistakes = shown[shown["label"] != shown["prediction"]]
    right = shown[shown["label"] == shown["prediction"]]
    assert len(right) == exhibits.RIGHT_SHOWN and right["label"].is_unique
    train = predicted[predicted["split"] == "train"].set_index("id")
    for row in shown.itertuples():
        cosines = [near["cosine"] for near in row.neighbours]
        assert len(cosines) == 3 and cosines == sorted(cosines, reverse=True) and max(cosines) <= 1 + 1e-6
        assert all(train.loc[near["id"], "label"] == near["label"] for near in row.neighbours)
        assert [one["title"] for one in row.shown] == ["sample", "occlusion", "grad_cam"]
        assert all(one["part"] == "image" and one["kind"] == "picture" for one in row.shown)
        assert all(one["content"].startswith(b"\x89PNG") for one in row.shown)
    test = predicted[predicted["split"] == "test"].set_index("id")
    wrong = test[test["label"] != test["prediction"]]
    assert set(mistakes["id"]) == set(wrong.index)
    assert (mistakes["probability"].diff().dropna() <= 0).all()


@pytest.mark.full
def test_the_trained_model_gets_worse_with_the_strength_of_a_corruption(trained):
    folder = trained.folder / "data/evaluation"
    table, summary = pd.read_csv(folder / "robustness.csv"), files.read_json(folder / "summary.json")
    strengths = list(STRENGTHS)
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
    data, classifier = dataset.open_dataset(folder / "clean", "clean"), artifact.load(folder / "model")
    found = predictions.predict_split(classifier, data, "validation")
    assert softmax(predictions.predict_logits(classifier, data, "validation"), axis=1) == pytest.approx(
        found["probabilities"], abs=1e-6
    )


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
    assert "data/model was trained on other classes or parts than data/clean has: run `dvc repro`" in done.stderr
