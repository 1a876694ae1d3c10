"""Wrong values and half outputs: the stage that meets them stops with one sentence and publishes nothing."""

import json
import shutil

import numpy as np
import pytest
from makers.datasets import image_parts, image_table, write_images
from makers.images import noise, png
from makers.projects import configure
from makers.records import record

from kiln.core import files
from kiln.core.errors import UserError
from kiln.networks import backend
from kiln.store import dataset
from stages import augment, clean, evaluate, normalize, train

MAINS = {"clean": clean.main, "augment": augment.main, "normalize": normalize.main, "train": train.main}
SMALL = {"train__model__name": "mlp", "train__model__width": 0.05, "train__epochs": 1, "augment__views": 1}


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch):
    monkeypatch.setattr("sys.argv", ["stage"])


def images_of(split: str, rows: int = 8):
    pixels = np.stack([noise(number) for number in range(rows)])
    return split, image_table([f"{split}/{number}" for number in range(rows)], np.arange(rows) % 2, pixels)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the outputs of clean, augment and normalize."""
    folder = tmp_path_factory.mktemp("made")
    configure(folder, **SMALL)
    with files.publish(folder / "data/clean") as clean_folder:
        write_images(clean_folder, map(images_of, dataset.SPLITS), "ab")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        augment.main()
        normalize.main()
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("stage", "spoil", "says"),
    [
        ("clean", "data/raw", r"data/raw/digests\.json is missing: run `dvc repro`"),
        ("augment", "data/clean/manifest.json", r"data/clean/manifest\.json is missing: delete data/clean and run"),
        ("augment", "data/clean/train/00000.parquet", "is missing: delete .* and run `dvc checkout`"),
        ("augment", "data/clean", r"data/clean/digests\.json is missing: run `dvc repro`"),
        ("normalize", "data/clean/test/00000.parquet", "is missing: delete .* and run `dvc checkout`"),
        ("train", "data/clean/validation/00000.parquet", "is missing: delete .* and run `dvc checkout`"),
        ("train", "data/augmented/policy.json", r"policy\.json is missing: delete data/augmented and run"),
        ("train", "data/augmented/train/00000.parquet", "is missing: delete .* and run `dvc checkout`"),
        ("train", "data/normalized/normalizer.json", r"normalizer\.json is missing: delete data/normalized and run"),
    ],
)
def test_what_an_earlier_stage_left_out_is_named_with_the_command_that_makes_it(here, stage, spoil, says):
    path = here / spoil
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    before = {entry.name for entry in (here / "data").iterdir()}
    with pytest.raises(UserError, match=says):
        MAINS[stage]()
    assert {entry.name for entry in (here / "data").iterdir()} == before


@pytest.mark.parametrize("stage", ["augment", "normalize", "train"])
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": 0}, "is of schema 0, .* reads schema 3, kind 'clean': delete data/clean and run `dvc repro`"),
        ({"shards": [{"file": "train/00000.parquet"}]}, "is damaged: delete data/clean and run `dvc checkout`"),
        (
            {"parts": {"image": image_parts((8, 8, 3))["image"].to_json()}},
            "is not what manifest.json says was written: delete data/clean and run `dvc checkout`",
        ),
        (
            {"classes": ["a"]},  # of which train has another list too
            "is not what manifest.json says was written: delete data/clean and run `dvc checkout`|differ in classes",
        ),
    ],
)
def test_a_manifest_that_another_version_wrote_or_that_lies_is_refused(here, stage, changes, says):
    path = here / "data/clean/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (path.parent / files.DIGESTS).unlink()
    files.seal(path.parent)
    with pytest.raises(UserError, match=says):
        MAINS[stage]()
    assert not (here / "data/model").exists()


def test_a_batch_larger_than_the_data_is_all_of_it(here):
    configure(here, train__batch_size=65536, augment__mode="online")
    augment.main()
    train.main()
    assert json.loads((here / "data/model/summary.json").read_text())["epochs"] == 1


@pytest.mark.parametrize("emulated", [True, False])
def test_emulated_halves_are_told_of(here, monkeypatch, capsys, emulated):
    configure(here, train__precision="mixed_bfloat16")
    monkeypatch.setattr(backend, "cpu_multiplies", lambda policy: not emulated)
    train.main()
    warning = "train: this CPU emulates mixed_bfloat16, which is many times slower than float32: set train.precision"
    assert (warning in capsys.readouterr().err) == emulated


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_learning_rate_beyond_measure_publishes_no_model(here, optimizer):
    configure(here, train__lr=1e30, train__epochs=5, train__optimizer__name=optimizer)
    configure(here, train__clip__name="none", train__schedule__name="constant")
    with pytest.raises(
        UserError, match=r"loss is (nan|inf) (in|after) epoch \d+.* so no model is saved: lower train\.lr"
    ):
        train.main()
    assert not (here / "data/model").exists()


def test_evaluate_asks_for_the_model_that_is_not_there(here):
    (here / "data/model").mkdir()
    with pytest.raises(UserError, match=r"data/model/digests\.json is missing: run `dvc repro`"):
        evaluate.main()
    assert not (here / "data/evaluation").exists()


def raw(folder, rows) -> None:
    """Write data/raw of (label, split, content), and an empty list of corrections."""
    listed = [
        record(f"{label}/{number}", label, split, None, content, None)
        for number, (label, split, content) in enumerate(rows)
    ]
    with files.publish(folder / "data/raw") as raw_folder:
        dataset.write(raw_folder, [(None, dataset.raw_table(listed, ["image"]))], "raw", parts=["image"])
    files.write_bytes(folder / "data/corrections.csv", b"id,label\n")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("a", None, png(number)) for number in range(20)], "1 class is left after cleaning"),
        (
            [(label, split, png(number)) for number, (label, split) in enumerate([("a", "train"), ("b", "test")] * 20)],
            "class b has no image left for train",
        ),
        ([(label, None, b"") for label in "ab" * 20], "40 of 40 samples would be set aside .40 undecodable"),
        ([(label, None, b"GIF89a" + bytes(7)) for label in "ab" * 20], "would be set aside .40 undecodable"),
    ],
    ids=["one class", "a class without train", "no image", "no pixels"],
)
def test_data_that_no_classifier_can_learn_from_publish_nothing(tmp_path, monkeypatch, rows, says):
    monkeypatch.chdir(tmp_path)
    configure(tmp_path, **SMALL)
    raw(tmp_path, rows)
    with pytest.raises(UserError, match=says):
        clean.main()
    assert not (tmp_path / "data/clean").exists()
