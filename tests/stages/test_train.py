"""The stage as a whole, on what the faults' tests have made: what it writes and prints."""

import pandas as pd
from makers.projects import configure
from test_values import here, made  # noqa: F401

from kiln.core import files
from kiln.networks import artifact
from kiln.training import checkpoint
from stages import train


def test_the_model_its_history_and_its_summary_are_written(here, capsys):  # noqa: F811
    configure(here, epochs="2")
    train.main()
    history, summary = pd.read_csv("data/model/history.csv"), files.read_json(train.OUTPUT / "summary.json")
    classifier = artifact.load(train.OUTPUT)
    assert history["epoch"].tolist() == [1, 2]
    assert (summary["model"], summary["images"], summary["epochs"], summary["epoch_kept"]) == ("mlp", 16, 2, 2)
    assert summary["parameters"] == classifier.model.count_params()
    assert summary["megabytes"] > 0 and summary["multiply_adds"] > 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"train: mlp of {summary['parameters']:,} parameters on 16 images, float32"
    assert lines[1].startswith("epoch   1/2: loss")
    assert lines[-1] == f"train: epoch 2 kept, validation accuracy {history['validation_accuracy'][1]:.2%}"
    assert not list(checkpoint.FOLDER.glob("*"))


def test_the_same_params_give_the_same_bytes(here):  # noqa: F811
    train.main()
    first = files.read_json(train.OUTPUT / files.DIGESTS)
    train.main()
    assert files.read_json(train.OUTPUT / files.DIGESTS) == first
