import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from makers.datasets import image_parts
from makers.images import noise, png
from makers.settings import settings
from PIL import Image, ImageOps

from kiln.core.errors import UserError
from kiln.deployment import inputs, predictor
from kiln.deployment.inputs import Input
from kiln.networks import artifact, registry

STANDARD = {"method": "standard", "offset": [127.0], "scale": [64.0]}
PHOTO = dataclasses.replace(image_parts()["image"], name="photo")


@pytest.fixture(scope="module")
def digits(small, tmp_path_factory):
    """Files of the source, named by their ids, in an order that does not depend on these."""
    folder = tmp_path_factory.mktemp("digits")
    paths = []
    for row in pq.read_table(small.folder / "data/raw/00000.parquet").to_pylist():
        paths.append(folder / f"{row['id']}.png")
        paths[-1].write_bytes(row["image"]["bytes"])
    return paths


def of_file(path) -> Input:
    return Input("path", str(path), Path(path))


def read_predictions(project):
    """What evaluate has predicted, by id."""
    return pq.read_table(project.folder / "data/evaluation/predictions.parquet").to_pandas().set_index("id")


def test_predictions_are_those_of_evaluate(small, digits):
    paths, evaluated = sorted(digits), read_predictions(small)
    done = small.kiln("predict", "--json", *paths)
    rows = json.loads(done.stdout)
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    for path, row in zip(paths, rows, strict=True):
        expected = evaluated.loc[path.stem]
        assert row["prediction"] == expected["prediction"]
        assert list(row["probabilities"].values()) == pytest.approx(list(expected["probabilities"]), abs=1e-5)


@pytest.mark.full
def test_text_names_the_likeliest_first(trained, digits):
    done = trained.kiln("predict", digits[0])
    assert done.stdout.startswith(f"{digits[0]}: {read_predictions(trained).loc[digits[0].stem, 'prediction']} ")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.full
def test_flip_averages_with_the_mirror_image(trained, digits, tmp_path):
    labels = read_predictions(trained)["label"]
    paths = [next(path for path in digits if labels[path.stem] == "2"), tmp_path / "mirrored.png"]
    ImageOps.mirror(Image.open(paths[0])).save(paths[1])
    done = trained.kiln("predict", "--json", "--flip", *paths)
    plain = trained.kiln("predict", "--json", *paths)
    both, alone = ([list(row["probabilities"].values()) for row in json.loads(out.stdout)] for out in (done, plain))
    assert both[0] == pytest.approx(both[1], abs=1e-5)
    assert both[0] == pytest.approx(np.mean(alone, axis=0).tolist(), abs=1e-5)
    assert alone[0] != pytest.approx(alone[1], abs=1e-2)


@pytest.fixture
def photos(digits, tmp_path):
    """Two good images, three paths that are none, a folder of images, and what a folder may hold beside them."""
    for name, digit in (("a.png", 0), ("z.png", 1), ("deep/b.PNG", 2), ("deep/er/c.png", 3), (".hidden.png", 4)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(digits[digit].read_bytes())
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("hello")
    (tmp_path / "deep/notes.txt").write_text("no image")
    return tmp_path


@pytest.mark.full
def test_good_files_are_classified_beside_bad_ones(small, photos):
    bad = {
        "none.png": "it does not exist",
        "text.jpg": "not an image of a known format",
        "empty": "holds no image file",
    }
    paths = [photos / name for name in ("a.png", *bad, "z.png")]
    done = small.kiln("predict", *paths, check=False)
    assert done.returncode == 1
    assert [line.partition(": ")[0] for line in done.stdout.splitlines()] == [str(paths[0]), str(paths[-1])]
    for line, (name, says) in zip(done.stderr.splitlines(), bad.items(), strict=True):
        assert line.startswith(f"predict: {photos / name}: ") and says in line
    done = small.kiln("predict", "--json", *paths, check=False)
    assert done.returncode == 1 and done.stderr == "predict: 3 files could not be read\n"
    rows = json.loads(done.stdout)
    assert [row["path"] for row in rows] == [str(path) for path in paths]
    assert ["prediction" in row for row in rows] == [True, False, False, False, True]
    for row, says in zip(rows[1:-1], bad.values(), strict=True):
        assert set(row) == {"path", "error"} and says in row["error"]
    done = small.kiln("predict", "--json", photos / "deep")
    assert not done.stderr and len(json.loads(done.stdout)) == 2


@pytest.mark.full
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_a_reader_that_has_enough_or_is_none_is_no_fault(small, photos, arguments):
    command = f"{sys.executable} -m kiln predict {' '.join(arguments)} {photos}"
    headed = small.run("bash", "-c", f"set -o pipefail; {command} 2>&1 | head -n 1", check=False)
    assert headed.returncode == 1 and len(headed.stdout.splitlines()) == 1, headed
    closed = small.run("bash", "-c", f"{command} >&-", check=False)
    assert closed.returncode == 1 and "could not be read" in closed.stderr + "could not be read" * (not arguments)
    assert "Traceback" not in closed.stderr and closed.stderr.startswith("predict: ")
    deaf = small.run("bash", "-c", f"{command} 2>&-", check=False)
    assert deaf.returncode == 1 and "predict: " not in deaf.stdout


@pytest.mark.full
def test_folders_and_standard_input_name_files(small, photos):
    lines = f"{photos / 'z.png'}\r\n\n{photos / 'deep'}\n".encode()
    command = [sys.executable, "-m", "kiln", "predict", "-", str(photos / "deep")]
    done = subprocess.run(command, cwd=small.folder, env=small.environment, input=lines, capture_output=True)
    assert done.returncode == 0, done.stderr
    named = [line.partition(b": ")[0].decode() for line in done.stdout.splitlines()]
    assert named == [str(photos / name) for name in ("z.png", *["deep/b.PNG", "deep/er/c.png"] * 2)]


def test_of_a_folder_the_image_files_are_listed(tmp_path):
    for name in ("b/2.jpg", "b/10.jpg", "b.png", "c/notes.txt", ".git/x.png", "._b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b/round").symlink_to(tmp_path)
    (tmp_path / "d").symlink_to("b")
    (tmp_path / "b/link.gif").symlink_to(tmp_path / "gone.gif")
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "notes.txt").touch()
    listed = inputs.list_files(
        [str(tmp_path), "-", "x", str(tmp_path / "c")], [b"\xef\xbb\xbfy\n", b"-\n", b"\xff z\r\n"], PHOTO.modality
    )
    assert list(inputs.list_files(["-"], [b"BMW/y\n"], PHOTO.modality)) == [of_file("BMW/y")]
    names = ("10.jpg", "2.jpg", "link.gif")
    inside = [tmp_path / name for name in (*(f"b/{name}" for name in names), "b.png", *(f"d/{name}" for name in names))]
    assert [one.name for one in listed] == [*map(str, inside), "y", "-", "\udcff z", "x", str(tmp_path / "c")]


@pytest.mark.parametrize("first", [b"P6\0\n", png(0)[:6], b"\xff\xd8\xff\xe0\0\n"])
def test_an_image_on_standard_input_is_one_complaint(first):
    listed = list(inputs.list_files(["-"], [first, *[b"\0\xff\n"] * 100], PHOTO.modality))
    assert len(listed) == 1
    with pytest.raises(UserError, match=r"it is not a path: .* or /dev/stdin for an image on standard input"):
        predictor.read(listed[0], PHOTO)


def test_what_the_system_refuses_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read .File name too long.: check the path and its permissions"):
        predictor.read(of_file(tmp_path / ("x" * 999)), PHOTO)


@pytest.fixture(scope="module")
def classifier():
    """A network with fresh weights for samples of one part, ``photo``."""
    parts, fitted = {"photo": PHOTO}, {"photo": STANDARD}
    model = registry.build(registry.settle(settings(model="mlp"), parts, fitted), parts, 3, fitted)
    return artifact.Classifier(model, list("abc"), parts)


def test_files_are_read_as_they_are_needed_and_come_in_order(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(predictor, "BATCH", 4)
    asked = []

    def paths():
        for number in range(1000):
            path = tmp_path / f"{number}.png"
            if number % 5:
                path.write_bytes(png(number))
            asked.append(of_file(path))
            yield asked[-1]

    results = predictor.classify(classifier, paths())
    head = [next(results) for _ in range(10)]
    assert len(asked) < 200
    assert [one for one, _ in head] == asked[:10]
    assert [isinstance(outcome, UserError) for _, outcome in head] == [number % 5 == 0 for number in range(10)]
    alone = classifier.predict({"photo": np.stack([noise(number) for number in range(10)])})
    for number, (_, outcome) in enumerate(head):
        assert number % 5 == 0 or outcome == pytest.approx(alone[number], abs=1e-6)


def test_large_images_make_small_batches(classifier, monkeypatch, tmp_path):
    sizes = []

    def predict(self, values, average_views):
        sizes.append(len(values["photo"]))
        return np.full((sizes[-1], 3), 1 / 3, np.float32)

    monkeypatch.setattr(artifact.Classifier, "predict", predict)
    (tmp_path / "a.png").write_bytes(png(0))
    for limit, expected in ((64 * 2**20, [9]), (4 * 64, [4, 4, 1]), (1, [1] * 9)):
        monkeypatch.setattr(predictor, "BATCH_BYTES", limit)
        sizes.clear()
        assert len(list(predictor.classify(classifier, [of_file(tmp_path / "a.png")] * 9))) == 9
        assert sizes == expected


def test_views_are_averaged_where_asked(classifier, tmp_path):
    (tmp_path / "a.png").write_bytes(png(0))
    pixels = noise(0)[None]
    expected = (classifier.predict({"photo": pixels}) + classifier.predict({"photo": pixels[:, :, ::-1]})) / 2
    ((_, row),) = predictor.classify(classifier, [of_file(tmp_path / "a.png")], average_views=True)
    assert row == pytest.approx(expected[0], abs=1e-6)
    ((_, alone),) = predictor.classify(classifier, [of_file(tmp_path / "a.png")])
    assert row != pytest.approx(alone, abs=1e-4)


def test_a_model_of_several_parts_is_refused_in_a_sentence(tmp_path):
    several = artifact.Classifier(None, list("abc"), {"left": PHOTO, "right": PHOTO})
    with pytest.raises(UserError) as caught:
        list(predictor.classify(several, [of_file(tmp_path / "a.png")]))
    assert str(caught.value) == (
        "the model takes samples of several parts (left, right), but `kiln predict` supports only one part so far"
    )


NAMES = ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\u2028b", "a\x85b", "a\u202eb", "a\x0bb", "a\udcffb", "a\tb"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_file_or_class_breaks_a_line(capsys, name):
    results = [(of_file(f"{name}.png"), np.array([0.2, 0.8], np.float32)), (of_file(name), UserError("no"))]
    assert predictor.print_results(results, [name, "x"], in_json=False) == 1
    assert capsys.readouterr() == (
        f"{f'{name}.png'!a}: x 80.0%, {name!a} 20.0%\n",
        f"predict: {name!a}: no\n",
    )
    assert predictor.print_results(results, [name, "x"], in_json=True) == 1
    out = capsys.readouterr().out
    assert out.isascii() and out.splitlines() == out.rstrip("\n").split("\n")
    good, bad = json.loads(out)
    assert good["path"] == f"{name}.png" and list(good["probabilities"]) == [name, "x"]
    assert bad == {"path": name, "error": "no"}
