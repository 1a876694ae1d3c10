import cv2
import numpy as np
import pytest
from makers.images import noise

from kiln.modalities.image import checks


def test_known_measures():
    half = np.zeros((8, 8, 1), np.uint8)
    half[:, 4:] = 200
    measured = checks.measure(np.stack([np.full((8, 8, 1), 7, np.uint8), half]))
    assert measured["contrast"].tolist() == pytest.approx([0, 100])
    assert measured["highlight"].tolist() == [7, 200]
    assert measured["shadow"].tolist() == [7, 0]
    assert measured["entropy"].tolist() == pytest.approx([0, 1])
    assert np.isnan(measured["sharpness"][0])
    # The Laplacian of a step is 200, -200 on two of the six inner columns.
    assert measured["sharpness"][1] == pytest.approx(200 * np.sqrt(1 / 3) / 100)


def test_colour_counts_as_contrast():
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[:, ::2] = (29 * 2, 0, 0)
    assert checks.measure(stripes[None])["contrast"][0] == pytest.approx(29)


def test_brightness_weighs_red_green_and_blue_as_the_eye_does():
    red, green, blue = (np.full((8, 8, 3), 255 * np.eye(3, dtype=np.uint8)[channel]) for channel in range(3))
    # ITU-R 601-2: 0.299, 0.587 and 0.114 of 255.
    assert checks.measure(np.stack([red, green, blue]))["brightness"].tolist() == [76, 150, 29]


def test_blur_lowers_sharpness_at_any_size():
    sharp = np.stack([noise(seed, 96, 120, 3) for seed in range(3)])
    blurred = np.stack([cv2.GaussianBlur(image, (0, 0), 6) for image in sharp])
    assert (checks.measure(blurred)["sharpness"] < 0.3 * checks.measure(sharp)["sharpness"]).all()


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 2, 9, 3), (1, 300, 65, 1)])
def test_odd_shapes_are_measured(shape):
    assert len(checks.measure(np.zeros(shape, np.uint8))) == shape[0]
