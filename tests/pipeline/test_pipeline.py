"""What people do with Kiln, done with the real dvc and git."""

import io
import json
import shutil
import zipfile

import pyarrow.parquet as pq
import pytest
from makers.effort import full
from makers.images import noise, write_photos
from makers.projects import STAGES, Project
from PIL import Image

from kiln.modalities.image import pictures


def ran(done) -> set[str]:
    """The stages that a `dvc` command executed, by the command lines that it shows."""
    return {stage for stage in STAGES if f"> exec python -m stages.{stage}" in done.stdout}


@pytest.fixture(scope="module")
def short(small, tmp_path_factory):
    """A reproduced and committed project with its cache, in which each test cleans up."""
    return small.copy(tmp_path_factory.mktemp("short") / "project")


@pytest.mark.full
def test_the_default_run_learns_the_digits(trained):
    metrics = json.loads((trained.folder / "metrics/metrics.json").read_text())
    # The floor that the README promises for this seed and these images.
    assert metrics["test"]["accuracy"] >= 0.97


def test_a_second_repro_does_nothing(short):
    done = short.dvc("repro")
    assert ran(done) == set()
    assert "up to date" in done.stdout


@pytest.mark.full
def test_twice_from_nothing_gives_the_same_lock(short, tmp_path):
    again = Project(tmp_path / "again")
    shutil.copy(short.folder / "params.yaml", again.folder)
    (again.folder / "dvc.lock").unlink()
    again.dvc("repro")
    assert (again.folder / "dvc.lock").read_bytes() == (short.folder / "dvc.lock").read_bytes()
    assert (again.folder / "metrics/report.html").read_bytes() == (short.folder / "metrics/report.html").read_bytes()


@pytest.mark.full
def test_going_back_costs_no_training(short):
    before = (short.folder / "dvc.lock").read_bytes()
    short.set(train__lr=0.01)
    assert ran(short.dvc("repro")) == {"train", "evaluate", "report"}
    short.set(train__lr=0.002)
    back = short.dvc("repro")
    assert ran(back) == {"report"}
    assert "Stage 'train' is cached - skipping run" in back.stdout
    assert (short.folder / "dvc.lock").read_bytes() == before
    short.run("git", "checkout", "-q", ".")


def test_a_param_concerns_its_own_stage_alone(short):
    changes = {
        "fetch": {"fetch__limit": 5},
        "clean": {"clean__test": 0.3},
        "augment": {"augment__image__rotate": 5},
        "normalize": {"normalize__image__method": "minmax"},
        "train": {"train__ema__decay": 0.9},
        "evaluate": {"evaluate__mistakes": 3},
        "report": {"report__title": "Another"},
    }
    for stage, change in changes.items():
        short.set(**change)
        # The report tracks the whole file, so that an unknown section fails there.
        assert set(json.loads(short.dvc("status", "--json").stdout)) == {stage, "report"}
        short.run("git", "checkout", "-q", "params.yaml")


@pytest.mark.full
def test_an_experiment_runs_from_train_on_and_can_be_compared(short):
    # A whole number where a float is due; test_experiments.py has fractions.
    done = short.dvc("exp", "run", "-S", "train.lr=1", "-S", "train.epochs=1", "-n", "whole")
    assert ran(done) == {"train", "evaluate", "report"}
    history = (short.folder / "data/model/history.csv").read_text().splitlines()
    assert float(history[1].split(",")[1]) < 1  # cosine: the last step's rate
    shown = json.loads(short.dvc("exp", "show", "--json").stdout)
    experiments = [e for rev in shown for e in rev.get("experiments") or []]
    named = next(e for e in experiments if e["name"] == "whole")
    values = named["revs"][0]["data"]
    assert values["params"]["params.yaml"]["data"]["train"]["lr"] == 1
    assert values["metrics"]["metrics/metrics.json"]["data"]["test"]["accuracy"] > 0.05
    table = short.dvc("metrics", "diff", "--md").stdout
    assert "| metrics/metrics.json | test.accuracy" in " ".join(table.split())
    short.run("git", "checkout", "-q", ".")
    short.dvc("checkout")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("train.lr=abc", "params.yaml: train.lr is 'abc'"),
        *full(
            ("train.epochs=-1", "params.yaml: train.epochs is -1, but should be greater than or equal to 1"),
            ("+train.lrr=1", "params.yaml: there is no key train.lrr: did you mean train.lr?"),
            ("+trian.lr=1", "params.yaml: there is no key trian: did you mean train?"),
            ("train.precise_norm=true", "train.precise_norm is true, but article_cnn as it is set has no batch"),
            (
                "train.model.name=resent",
                "params.yaml: train.model.name is 'resent', but should be one of: mlp, lenet5, ",
            ),
        ),
    ],
)
def test_a_wrong_param_ends_before_any_training(short, change, says):
    failed = short.dvc("exp", "run", "-S", change, check=False)
    assert failed.returncode != 0
    assert says in failed.stdout + failed.stderr
    assert "epoch " not in failed.stdout
    assert "Traceback" not in failed.stdout + failed.stderr
    short.run("git", "checkout", "-q", ".")


@pytest.mark.full
def test_metrics_and_plots_of_two_commits_in_a_fresh_clone_without_cache(short, tmp_path):
    short.set(train__epochs=2)
    short.dvc("repro")
    short.commit("two epochs")
    short.run("git", "clone", "-q", short.folder, tmp_path / "clone")
    clone = Project.at(tmp_path / "clone")
    assert not (clone.folder / ".dvc/cache").exists()
    table = clone.dvc("metrics", "diff", "HEAD~1", "--md").stdout
    row = next(line for line in table.splitlines() if "| model.epochs" in line)
    assert [cell.strip() for cell in row.split("|")[3:6]] == ["1", "2", "1"]
    plots = clone.dvc("plots", "diff", "HEAD~1", "--json")
    content = json.loads(plots.stdout)
    assert not content.get("errors")
    assert {"Loss", "Accuracy", "Confusion", "F1"} <= set(content["data"])
    clone.dvc("plots", "diff", "HEAD~1")
    assert (clone.folder / "dvc_plots/index.html").is_file()


@pytest.mark.full
def test_the_users_own_images(tmp_path):
    project = Project(tmp_path / "own")
    photos = tmp_path / "photos"
    write_photos(photos, per_class=14)
    whole = (photos / "red/00.jpg").read_bytes()
    (photos / "red/truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "blue/text.jpg").write_text("this is no image")
    Image.fromarray(noise(1, 50, 50)[:, :, 0]).save(photos / "green/gray.png")
    Image.fromarray(noise(2, 60, 50, 4)).save(photos / "green/alpha.png")
    Image.fromarray(noise(3, 50, 50)[:, :, 0].astype("uint16") * 257).save(photos / "green/deep.png")
    project.set(fetch__source__name="images", fetch__path=str(photos))
    project.set(train__epochs=4, train__batch_size=8, augment__views=1)
    project.dvc("repro")

    gone = pq.read_table(project.folder / "data/clean/set_aside.parquet").to_pandas()
    assert sorted(gone["id"]) == ["blue/text.jpg", "red/truncated.jpg"]
    report = (project.folder / "metrics/report.html").read_text()
    for name, reason in zip(gone["id"], gone["detail"], strict=True):
        assert name in report and reason in report

    predictions = pq.read_table(project.folder / "data/evaluation/predictions.parquet").to_pandas().set_index("id")
    assert len(predictions) == 3 * 14 + 3
    names = ("green/alpha.png", "green/deep.png", "red/00.jpg")
    rows = json.loads(project.kiln("predict", *(photos / name for name in names), "--json").stdout)
    for name, row in zip(names, rows, strict=True):
        assert row["prediction"] == predictions["prediction"][name]
        assert list(row["probabilities"].values()) == pytest.approx(list(predictions["probabilities"][name]), abs=1e-5)

    assert ran(project.dvc("repro")) == set()
    (photos / "red/new.png").write_bytes(pictures.encode_png(noise(4, 40, 40, 3)))
    assert {"fetch", "clean", "train"} <= ran(project.dvc("repro", "train"))
    summary = json.loads((project.folder / "data/raw/summary.json").read_text())
    assert summary["samples"] == 3 * 14 + 6


def scenes(path) -> None:
    """Zip a set as Kaggle's scenes: each split in a folder of its own name, the images to predict without classes."""
    folders = {"train/seg_train": 12, "test/seg_test": 4}
    with zipfile.ZipFile(path, "w") as archive:
        for number, (label, shade) in enumerate({"buildings": 40, "forest": 120, "sea": 200}.items()):
            for split, (folder, count) in enumerate(folders.items()):
                for index in range(count):
                    pixels = noise(1000 * number + 100 * split + index, 30, 30, 3) // 4 + shade - 32
                    content = io.BytesIO()
                    Image.fromarray(pixels).save(content, "JPEG")
                    archive.writestr(f"archive/seg_{folder}/{label}/{index}.jpg", content.getvalue())
        for index in range(5):
            archive.writestr(f"archive/seg_pred/seg_pred/{index}.jpg", b"never read")


@pytest.mark.full
def test_a_set_as_kaggle_packs_it(tmp_path):
    project = Project(tmp_path / "scenes")
    scenes(tmp_path / "archive.zip")
    archive = str(tmp_path / "archive.zip")
    project.set(fetch__source__name="images", fetch__path=archive)
    project.set(train__epochs=1, train__batch_size=8, augment__views=1)
    project.set(evaluate__resamples=100, evaluate__robustness_samples=20, evaluate__mistakes=2)
    done = project.dvc("repro")
    assert (
        "fetch: 48 images of 3 classes: buildings (16), forest (16), sea (16); splits: test 12, train 36" in done.stdout
    )
    assert "skipped: 5 in seg_pred, which has no class folders" in done.stdout
    summary = json.loads((project.folder / "data/clean/summary.json").read_text())
    assert {name: sum(counts.values()) for name, counts in summary["splits"].items()}["test"] == 12
    assert sum(sum(counts.values()) for counts in summary["splits"].values()) == 48
    predictions = pq.read_table(project.folder / "data/evaluation/predictions.parquet").to_pandas()
    assert set(predictions["id"][predictions["split"] == "test"]) == {
        f"seg_test/seg_test/{label}/{index}.jpg" for label in ("buildings", "forest", "sea") for index in range(4)
    }
    report = (project.folder / "metrics/report.html").read_text()
    assert all(label in report for label in ("buildings", "forest", "sea")) and "seg_pred" in report


def test_make_lists_its_commands(project):
    listing = project.run("make").stdout
    for target in ("setup", "repro", "test", "lint", "bench", "clean"):
        assert f"make {target}" in listing
