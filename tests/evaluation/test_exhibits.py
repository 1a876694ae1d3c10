import numpy as np
from makers.datasets import source
from makers.images import noise
from makers.networks import join, standard
from makers.pairs import write_pairs
from makers.predictions import LABELS, PROBABILITIES

from kiln.evaluation import exhibits, predictions
from kiln.networks import artifact


def test_surest_mistakes():
    assert exhibits.surest_mistakes(LABELS, PROBABILITIES, 5).tolist() == [3, 1]
    assert exhibits.surest_mistakes(LABELS, PROBABILITIES, 1).tolist() == [3]
    assert exhibits.surest_mistakes(LABELS, PROBABILITIES, 0).tolist() == []


def test_surest_right_are_one_a_class():
    labels = np.array([0, 0, 1, 1, 2])
    rows = np.array([[0.6, 0.2, 0.2], [0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.4, 0.3, 0.3], [0.8, 0.1, 0.1]], np.float32)
    assert exhibits.surest_right(labels, rows, 5).tolist() == [1, 2]
    assert exhibits.surest_right(labels, rows, 1).tolist() == [1]


def test_pixels_are_those_of_their_rows(tmp_path):
    data = source(tmp_path)
    found = exhibits.read_rows(data, "train", np.array([20, 3]))
    assert found.keys() == {"image"} and (found["image"] == np.stack([noise(i) for i in (20, 3)])).all()
    assert exhibits.read_rows(data, "train", np.array([], int))["image"].shape == (0, 8, 8, 1)


def test_every_part_of_a_sample_and_of_its_neighbours_is_shown(tmp_path):
    data, values = write_pairs(tmp_path, rows=9, splits=("train", "test"))
    network, _ = join("article_cnn", data.parts, {"left": standard(1), "right": standard(3)}, 3, width=0.25)
    classifier = artifact.Classifier(network, data.classes, data.parts)
    output = predictions.predict_split(classifier, data, "test")
    table = exhibits.make_exhibits(classifier, data, output, np.array([7, 2])).to_pylist()
    assert [row["id"] for row in table] == ["test7", "test2"]

    def show(row: int) -> list[tuple]:
        return [(name, "sample", *data.parts[name].modality.show(array[row])) for name, array in values.items()]

    for row, number in zip(table, (7, 2), strict=True):
        shown = [tuple(one.values()) for one in row["shown"]]
        assert shown[:2] == show(number)
        # Where several parts have a network each, none has feature maps of the whole.
        assert [one[:3] for one in shown[2:]] == [(name, "occlusion", "picture") for name in values]
        nearest = row["neighbours"][0]
        assert (nearest["id"], nearest["label"]) == (f"train{number}", "abc"[number % 3])
        assert [tuple(one.values()) for one in nearest["shown"]] == show(number)
