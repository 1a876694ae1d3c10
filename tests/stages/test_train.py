"""The stage as a whole: what it writes and prints."""

import numpy as np
import pandas as pd
import pytest
from makers.datasets import image_parts, image_table
from makers.images import noise
from makers.projects import configure

from kiln import params
from kiln.core import files
from kiln.networks import artifact
from kiln.store import dataset
from kiln.training import checkpoint
from stages import augment, normalize, train


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """What train reads, of eight images per split, and params.yaml with a small network and two epochs."""
    monkeypatch.chdir(tmp_path)
    configure(tmp_path, augment__views=1, train__model={"name": "mlp", "width": 0.05}, train__epochs=2)
    pixels = np.stack([noise(number) for number in range(8)])
    tables = [
        (split, image_table([f"{split}{number}" for number in range(8)], np.arange(8) % 2, pixels))
        for split in dataset.SPLITS
    ]
    parts = {name: part.to_json() for name, part in image_parts().items()}
    with files.publish(train.CLEAN) as folder:
        dataset.write(folder, tables, "clean", classes=["a", "b"], parts=parts)
    augment.main()
    normalize.main()


def test_the_model_its_history_and_its_summary_are_written(inputs, capsys):
    train.main()
    lines = capsys.readouterr().out.splitlines()
    history, summary = pd.read_csv(train.OUTPUT / "history.csv"), files.read_json(train.OUTPUT / "summary.json")
    classifier = artifact.load(train.OUTPUT)
    assert history["epoch"].tolist() == [1, 2]
    assert (summary["model"], summary["samples"], summary["epochs"], summary["epoch_kept"]) == ("mlp", 16, 2, 2)
    assert summary["parameters"] == classifier.model.count_params()
    assert summary["megabytes"] > 0 and summary["multiply_adds"] > 0
    assert files.read_json(train.OUTPUT / "params.json") == {"train": params.resolved(params.load())["train"]}
    assert f"train: mlp of {summary['parameters']:,} parameters on 16 samples, float32" in lines
    assert lines[-1] == f"train: epoch 2 kept, validation accuracy {history['validation_accuracy'][1]:.2%}"
    assert not list(checkpoint.FOLDER.glob("*"))


def test_the_same_params_give_the_same_bytes(inputs):
    train.main()
    first = files.read_json(train.OUTPUT / files.DIGESTS)
    train.main()
    assert files.read_json(train.OUTPUT / files.DIGESTS) == first
