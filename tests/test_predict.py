import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps


@pytest.fixture(scope="module")
def digits(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    table = pq.read_table(trained.folder / "data/raw/00000.parquet").slice(0, 300).to_pylist()
    for row in table:
        (folder / f"{row['id']}.png").write_bytes(row["image"]["bytes"])
    return folder


def test_predictions_are_those_of_evaluate(trained, digits):
    paths = sorted(digits.glob("*.png"))
    done = trained.stage("predict", "--json", *paths)
    evaluated = pq.read_table(trained.folder / "data/evaluation/predictions.parquet").to_pandas().set_index("id")
    rows = json.loads(done.stdout)
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    for path, row in zip(paths, rows, strict=True):
        expected = evaluated.loc[path.stem]
        assert row["prediction"] == expected["prediction"]
        assert list(row["probabilities"].values()) == pytest.approx(list(expected["probabilities"]), abs=1e-5)


def test_text_names_the_likeliest_first(trained, digits):
    done = trained.stage("predict", digits / "0.png")
    assert done.stdout.startswith(f"{digits}/0.png: 0 ")
    assert len(done.stdout.splitlines()) == 1


def test_flip_averages_with_the_mirror_image(trained, digits, tmp_path):
    ImageOps.mirror(Image.open(digits / "2.png")).save(tmp_path / "mirrored.png")
    done = trained.stage("predict", "--json", "--flip", digits / "2.png", tmp_path / "mirrored.png")
    plain = trained.stage("predict", "--json", digits / "2.png", tmp_path / "mirrored.png")
    both, alone = ([list(row["probabilities"].values()) for row in json.loads(out.stdout)] for out in (done, plain))
    assert both[0] == pytest.approx(both[1], abs=1e-5)
    assert both[0] == pytest.approx(np.mean(alone, axis=0).tolist(), abs=1e-5)
    assert alone[0] != pytest.approx(alone[1], abs=1e-2)


def test_a_wrong_file_is_one_sentence(trained, digits, tmp_path):
    (tmp_path / "text.jpg").write_text("hello")
    for path, says in (
        (tmp_path / "none.png", "does not exist"),
        (tmp_path / "text.jpg", "known format"),
        (tmp_path, "is a folder"),
    ):
        failed = trained.stage("predict", digits / "0.png", path, check=False)
        assert failed.returncode == 1
        assert failed.stdout == ""
        assert failed.stderr.startswith(f"predict: {path}") and says in failed.stderr
        assert len(failed.stderr.splitlines()) == 1


def test_the_benchmark_tells_what_the_model_costs(trained):
    done = trained.stage("predict", "--benchmark")
    summary = json.loads((trained.folder / "data/model/summary.json").read_text())
    assert f"{summary['parameters']:,} parameters, {summary['multiply_adds']:,} multiply-adds" in done.stdout
    assert "ms an image at batch 1" in done.stdout and "images a second at batch 256" in done.stdout
    for arguments in ([], ["--benchmark", "x.png"]):
        failed = trained.stage("predict", *arguments, check=False)
        assert failed.returncode == 2 and "name image files, or give --benchmark alone" in failed.stderr
