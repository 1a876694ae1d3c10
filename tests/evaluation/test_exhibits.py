import numpy as np
from makers.datasets import source
from makers.images import noise
from makers.predictions import LABELS, PROBABILITIES

from kiln.evaluation import exhibits


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
