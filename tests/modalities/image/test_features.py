import numpy as np
import pytest
from makers.images import noise

from kiln.core import parallel
from kiln.modalities.image import features

SIZE = features.Size(side=32, filters=32, sample=40, dimensions=16)


def textures(count: int, height: int = 24, width: int = 24, channels: int = 3) -> np.ndarray:
    return np.stack([noise(seed, height, width, channels) for seed in range(count)])


def made(pixels: np.ndarray, size: features.Size = SIZE) -> np.ndarray:
    rows = np.arange(len(pixels))
    return features.fit(pixels, rows, size, np.random.default_rng(0)).transform(pixels, rows)


@pytest.mark.parametrize("shape", [(8, 8, 1), (24, 24, 3), (40, 70, 3), (16, 100, 1)])
def test_unit_length_at_any_shape(shape):
    result = made(textures(30, *shape))
    assert result.shape == (30, 16) and result.dtype == np.float16
    assert np.linalg.norm(result.astype(float), axis=1) == pytest.approx(1, abs=2e-3)


def test_a_mirrored_image_has_the_same_features():
    pixels = textures(20)
    pixels = np.concatenate([pixels, pixels[:, :, ::-1]])
    result = made(pixels).astype(float)
    assert result[:20] == pytest.approx(result[20:], abs=0.01)


def test_order_of_workers_and_batches_changes_nothing(monkeypatch):
    pixels = textures(70)
    first = made(pixels)
    ordered = parallel.ordered_map
    monkeypatch.setattr(parallel, "ordered_map", lambda function, items: ordered(function, items, workers=5))
    assert (made(pixels) == first).all()


def test_constant_images_have_features():
    pixels = np.zeros((12, 16, 16, 3), np.uint8)
    assert np.isfinite(made(pixels)).all()
