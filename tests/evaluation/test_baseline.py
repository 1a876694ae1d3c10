from types import SimpleNamespace

import numpy as np
import pytest
from makers.pairs import write_pairs
from makers.texts import as_array, text_parts

from kiln.evaluation import baseline
from kiln.modalities.baseline import Baseline
from kiln.store import dataset

CLASSES = ["no", "yes"]


def write(folder, train: list[str], test: list[str]) -> dataset.Dataset:
    """Write texts as a dataset, in row groups of 30; those of class 1 begin with y."""
    parts = text_parts()

    def tables():
        for split, all_texts in (("train", train), ("test", test)):
            for start in range(0, len(all_texts), 30):
                texts = all_texts[start : start + 30]
                ids = [f"{split}{start + number}" for number in range(len(texts))]
                labels = np.array([int(text[0] == "y") for text in texts], np.int32)
                yield split, dataset.clean_table(parts, ids, labels, {"text": as_array(texts)})

    about = {name: part.to_json() for name, part in parts.items()}
    dataset.write(folder, tables(), "clean", classes=CLASSES, parts=about)
    return dataset.open_dataset(folder, "clean")


def ask(data: dataset.Dataset, predicted: list[int], units: list[int] | None = None) -> dict:
    """Compare with a network that predicts these classes on test."""
    (test,) = data.batches("test")
    output = {"labels": test.labels, "probabilities": np.eye(2)[predicted]}
    return baseline.compare(data, output, np.arange(len(predicted)) if units is None else np.array(units), 50, 0)


@pytest.fixture
def data(tmp_path):
    train = [f"{word} {number % 3}" for number in range(12) for word in ("yes", "no")]
    # The fifth says no, and begins with y.
    return write(tmp_path, train, ["yes a", "yes b", "no c", "no d", "y no no"])


def test_it_is_scored_on_test_and_compared_text_by_text(data):
    found = ask(data, [0, 1, 0, 0, 1])["baseline"]
    assert found["fitted_on"] == 24
    assert found["accuracy"] == pytest.approx(4 / 5) and found["accuracy_ci95"]["low"] < 0.8
    assert found["recall"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["f1"] == pytest.approx((0.8 + 0.8) / 2)
    assert (found["lost"], found["won"], found["p"]) == (1, 1, 1.0)
    assert list(found) == [
        "fitted_on",
        *(key for name in ("accuracy", "recall", "f1") for key in (name, f"{name}_ci95")),
        "lost",
        "won",
        "p",
    ]


def test_a_difference_within_one_unit_is_one_outcome(data):
    # Four texts that only the baseline gets right: beyond doubt were they apart, nothing if they belong together.
    apart, together = (ask(data, [0, 0, 1, 1, 0], units)["baseline"] for units in (None, [0, 0, 0, 0, 1]))
    assert apart["lost"] == together["lost"] == 4
    assert apart["p"] == pytest.approx(0.125) and together["p"] == 1


def test_of_many_samples_some_are_drawn_the_same_each_time():
    about = Baseline("", "", most=10, most_bytes=200, fit=lambda values, labels: None)
    for size, count in ((20, 10), (50, 4), (1000, 1)):
        part = SimpleNamespace(modality=SimpleNamespace(baseline=about), storage=SimpleNamespace(bytes_per_sample=size))
        rows = baseline.choose_rows(part, 30, 0)
        assert len(rows) == count and (np.diff(rows) > 0).all() and rows.max() < 30
        assert rows.tolist() == baseline.choose_rows(part, 30, 0).tolist()
    part = SimpleNamespace(modality=SimpleNamespace(baseline=about), storage=SimpleNamespace(bytes_per_sample=1))
    assert baseline.choose_rows(part, 8, 0).tolist() == list(range(8))
    assert baseline.choose_rows(part, 30, 0).tolist() != baseline.choose_rows(part, 30, 1).tolist()


def test_drawn_rows_are_read_across_row_groups(tmp_path):
    data = write(tmp_path, [f"{'yn'[number % 2]}{number}" for number in range(40)], ["y"])
    assert len(list(data.row_groups("train"))) == 2
    values, labels = baseline._read(data, "text", np.array([0, 7, 39]))
    assert values.tolist() == ["y0", "n7", "n39"] and labels.tolist() == [1, 0, 0]


def test_samples_of_several_parts_and_images_have_none(tmp_path):
    data, _ = write_pairs(tmp_path, rows=4)
    assert baseline.compare(data, {}, np.arange(4), 10, 0) == {}
    assert all(part.modality.baseline is None for part in data.parts.values())
