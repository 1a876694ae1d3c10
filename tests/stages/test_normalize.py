import numpy as np
import pytest
from makers.datasets import image_table, whole, write_images
from makers.images import noise
from makers.settings import configure

from kiln.core import files
from stages import normalize


@pytest.mark.parametrize("groups", [1, 3])
def test_only_train_is_fitted_and_every_split_described(tmp_path, monkeypatch, groups):
    pixels = {"train": 12, "validation": 3, "test": 3}
    tables = []
    for number, (split, rows) in enumerate(pixels.items()):
        values = np.stack([noise(100 * number + row) // (number + 1) for row in range(rows)])
        for start in range(0, rows, rows // groups):
            part = values[start : start + rows // groups]
            tables.append(
                (split, image_table([f"{split}{start + row}" for row in range(len(part))], np.zeros(len(part)), part))
            )
    data = write_images(tmp_path / "data/clean", tables, "a")
    files.seal(tmp_path / "data/clean")
    monkeypatch.chdir(tmp_path)
    configure(tmp_path)
    normalize.main()
    fitted = files.read_json(tmp_path / "data/normalized/normalizer.json")["image"]
    train = whole(data, "train").parts["image"]
    assert fitted["offset"] == pytest.approx([train.mean()])
    assert fitted["scale"] == pytest.approx([train.std()])
    about = files.read_json(tmp_path / "data/normalized/summary.json")["parts"]["image"]
    assert about["method"] == "standard" and about["splits"]["train"]["shift"] == [0]
    for split in ("validation", "test"):
        assert about["splits"][split]["mean"] == pytest.approx([whole(data, split).parts["image"].mean()], abs=1e-5)
