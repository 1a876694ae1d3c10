import cv2
import numpy as np
import pytest
from makers.images import noise
from scipy.special import softmax

from kiln.modalities.explained import FeatureMaps
from kiln.modalities.image import explanation

SIDE = 16


def compute_logits(maps: np.ndarray) -> np.ndarray:
    """The second class is as likely as the upper left quarter is bright: [N, 16, 16, 1] -> [N, 2]."""
    corner = maps[:, : SIDE // 2, : SIDE // 2].mean(axis=(1, 2, 3))
    return np.stack([np.zeros_like(corner), 8 * corner], axis=1)


class Corner:
    """A network whose feature maps are the image itself, or that has none."""

    def __init__(self, pixels: np.ndarray, has_maps: bool = True):
        self.maps = FeatureMaps(pixels.astype(np.float32) / 255, compute_logits, 512) if has_maps else None

    def predict(self, row: int, changed: np.ndarray) -> np.ndarray:
        return softmax(compute_logits(changed / 255), axis=1)

    def compute_maps(self) -> FeatureMaps | None:
        return self.maps


def test_hiding_what_matters_lowers_the_probability():
    bright = np.full((SIDE, SIDE, 1), 255, np.uint8)
    heat = explanation.occlusion(lambda pixels: softmax(compute_logits(pixels / 255), axis=1), bright, 1)
    assert heat.shape == (SIDE, SIDE)
    assert heat[:6, :6].min() > 1e-4
    assert np.abs(heat[10:, 10:]).max() < 1e-6


def test_grad_cam_is_high_where_the_maps_speak_for_the_class():
    pixels = np.zeros((2, SIDE, SIDE, 1), np.uint8)
    pixels[0, 2:6, 2:6] = 255
    pixels[1, :4, :4] = pixels[1, 12:, 12:] = 255
    heat = explanation.grad_cam(Corner(pixels).maps, (SIDE, SIDE), np.array([1, 1]))
    # The map is the image: what is bright speaks for the class, since its mean gradient is above 0.
    assert heat == pytest.approx(pixels[..., 0] / 255)


def test_grad_cam_is_as_large_as_the_image():
    values = np.float32([1, 3]).reshape(1, 2, 1, 1)  # above and below
    maps = FeatureMaps(values, lambda changed: changed.mean(axis=(1, 2)), 512)
    heat = explanation.grad_cam(maps, (8, 6), np.array([0]))
    assert heat.shape == (1, 8, 6) and heat[0, 0] == pytest.approx(1 / 3, abs=1e-4)
    assert heat[0, -1] == pytest.approx(1, abs=1e-4)


def test_grad_cam_in_pieces_is_the_same():
    values = np.random.default_rng(0).normal(size=(2, 3, 3, 64)).astype(np.float32)
    weights = np.random.default_rng(1).normal(size=(64, 4))
    sizes = []

    def logits(changed: np.ndarray) -> np.ndarray:
        sizes.append(len(changed))
        return np.tanh(changed).mean(axis=(1, 2)) @ weights

    whole, pieces = (
        explanation.grad_cam(FeatureMaps(values, logits, batch), (12, 12), np.array([0, 1])) for batch in (512, 7)
    )
    assert pieces == pytest.approx(whole, abs=1e-3) and whole.max() > 0.9
    assert sizes[:4] == [64] * 4 and max(sizes[4:]) == 7 and sum(sizes[4:]) == 2 * 2 * 64


@pytest.mark.parametrize("has_maps", [True, False])
def test_each_image_is_explained_by_what_its_network_has(has_maps):
    pixels = np.stack([noise(seed, SIDE, SIDE) for seed in range(3)])
    network = Corner(pixels, has_maps)
    shown = explanation.explain(network, pixels, np.array([0, 1, 1]))
    assert len(shown) == 3
    for row, exhibits in enumerate(shown):
        assert list(exhibits) == ["occlusion", "grad_cam"][: 1 + has_maps]
        heat = explanation.occlusion(lambda changed: network.predict(0, changed), pixels[row], int(row > 0))
        assert exhibits["occlusion"] == explanation.draw_heat(pixels[row], heat)


def test_heat_is_drawn_red_above_and_blue_below():
    heat = np.zeros((8, 8))
    heat[:4], heat[4:] = 1, -1
    exhibit = explanation.draw_heat(np.full((8, 8, 1), 100, np.uint8), heat)
    assert exhibit.kind == "picture"
    drawn = cv2.imdecode(np.frombuffer(exhibit.content, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert drawn.shape == (112, 112, 3)
    red, blue = drawn[5, 5].astype(int), drawn[-5, 5].astype(int)
    assert red[0] > red[2] + 50 and blue[2] > blue[0] + 50
