import numpy as np
import pytest
from makers.datasets import image_parts
from makers.images import noise

from kiln.core import randomness
from kiln.training import mixing

KEYS = randomness.item_keys([str(i) for i in range(200)])
PIXELS = np.stack([noise(i) for i in range(200)])
PARTS = image_parts(PIXELS.shape[1:])
TARGETS = np.eye(4, dtype=np.float32)[np.arange(200) % 4]


def mix(mixup: float, cutmix: float, keys=KEYS) -> tuple[np.ndarray, np.ndarray]:
    """Mix the images and targets above."""
    values, targets = mixing.mix(PARTS, {"image": PIXELS}, TARGETS, mixup, cutmix, keys)
    return values["image"], targets


def test_off_is_identity():
    pixels, targets = mix(0, 0)
    assert (pixels == PIXELS).all() and (targets == TARGETS).all()


def test_mixup_blends_pixels_as_it_blends_targets():
    pixels, targets = mix(0.5, 0)
    share = targets[np.arange(200), np.arange(200) % 4]
    assert targets.sum(axis=1) == pytest.approx(np.ones(200))
    assert targets[np.arange(200), (np.arange(200) + 1) % 4] == pytest.approx(1 - share, abs=1e-6)
    part = share[:, None, None, None]
    expected = part * PIXELS + (1 - part) * np.roll(PIXELS, -1, axis=0)
    assert np.abs(pixels - expected).max() <= 0.51
    # Beta(1/2, 1/2): the arcsine law, of mean 1/2 and variance 1/8, a third below 1/4.
    assert share.mean() == pytest.approx(0.5, abs=0.08)
    assert share.var() == pytest.approx(1 / 8, abs=0.03)
    assert (share < 0.25).mean() == pytest.approx(1 / 3, abs=0.1)


def test_cutmix_pastes_the_part_that_the_target_says():
    pixels, targets = mix(0, 1.0)
    own = (pixels == PIXELS).all(axis=-1)
    other = (pixels == np.roll(PIXELS, -1, axis=0)).all(axis=-1)
    assert (own | other).all()
    share = targets[np.arange(200), np.arange(200) % 4]
    # A pixel may be equal in both; else its share of the area is the target's.
    assert (own.mean(axis=(1, 2)) >= share - 1e-6).all()
    assert own.mean(axis=(1, 2)) == pytest.approx(share, abs=0.05)
    # What is pasted is a rectangle.
    pasted = [mask for mask in ~own if mask.any()]
    assert len(pasted) > 100
    for mask in pasted:
        box = mask[np.ix_(np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0)))]
        assert box.mean() > 0.85
    assert 0.3 < share.mean() < 0.8


def test_both_at_once_choose_by_image():
    pixels, _ = mix(1.0, 1.0)
    pasted = ((pixels == PIXELS) | (pixels == np.roll(PIXELS, -1, axis=0))).all(axis=(1, 2, 3))
    assert 60 < pasted.sum() < 140


def test_the_same_keys_draw_the_same():
    one = mix(1.0, 1.0)
    two = mix(1.0, 1.0)
    other = mix(1.0, 1.0, KEYS + np.uint64(1))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert (one[0] != other[0]).any()
