import numpy as np
import pytest
from makers.images import noise
from makers.settings import OFF

from kiln.core import randomness
from kiln.modalities.image import augmentation
from kiln.params.image import Augment

KEYS = randomness.key(0, randomness.item_keys([str(i) for i in range(64)]))
ALL = {"rotate": 10, "scale": 0.1, "crop": 0.1, "flip": 0.5, "brightness": 0.1, "contrast": 0.2, "cutout": 0.3}


def knobs(**strengths) -> Augment:
    return Augment(**{**OFF, **strengths})


def batch(height: int = 32, width: int = 32, channels: int = 3) -> np.ndarray:
    return np.stack([noise(i, height, width, channels) for i in range(64)])


@pytest.mark.parametrize("channels", [1, 3])
def test_all_off_is_identity_in_an_array_of_its_own(channels):
    pixels = batch(channels=channels)
    views = augmentation.apply(knobs(), pixels, KEYS)
    assert (views == pixels).all()
    assert not np.shares_memory(views, pixels)


def test_a_warp_by_nothing_is_exact():
    pixels = batch()
    assert (augmentation.apply(knobs(crop=1e-9), pixels, KEYS) == pixels).all()
    assert (augmentation.apply(knobs(rotate=1e-9), pixels, KEYS) == pixels).all()


def test_flip_mirrors_exactly_and_as_often_as_asked():
    pixels = batch(31, 33)
    assert (augmentation.apply(knobs(flip=1), pixels, KEYS) == pixels[:, :, ::-1]).all()
    many = np.repeat(pixels[:1], 4000, axis=0)
    keys = randomness.key(1, np.arange(4000, dtype=np.uint64))
    flipped = (augmentation.apply(knobs(flip=0.3), many, keys) != many).any(axis=(1, 2, 3))
    assert flipped.mean() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_flips_alternate(share):
    many = np.repeat(batch(8, 8)[:1], 4000, axis=0)
    keys = randomness.key(2, np.arange(4000, dtype=np.uint64))
    first, second, third = (
        (augmentation.apply(knobs(flip=share), many, keys, view) != many).any(axis=(1, 2, 3)) for view in range(3)
    )
    assert (first == third).all()
    assert not (first & second).any()
    assert second.mean() == pytest.approx(share, abs=0.03)


def test_crop_shifts_by_whole_pixels_and_reflects():
    pixels = batch()
    views = augmentation.apply(knobs(crop=0.1), pixels, KEYS)
    padded = np.pad(pixels, [(0, 0), (3, 3), (3, 3), (0, 0)], mode="reflect")
    shifts = set()
    for number, view in enumerate(views):
        found = [
            (down, right)
            for down in range(7)
            for right in range(7)
            if (padded[number, down : down + 32, right : right + 32] == view).all()
        ]
        assert found
        shifts |= set(found)
    assert {down for down, _ in shifts} == {right for _, right in shifts} == set(range(7))


def test_rotation_by_a_quarter_turn(monkeypatch):
    monkeypatch.setattr(randomness, "uniform", lambda keys, draws: np.ones((len(keys), draws)) - 1e-12)
    pixels = batch()
    views = augmentation.apply(knobs(rotate=90), pixels, KEYS)
    assert np.abs(views.astype(int) - np.rot90(pixels, -1, axes=(1, 2))).max() <= 1


def test_zoom_keeps_the_centre_and_enlarges(monkeypatch):
    monkeypatch.setattr(randomness, "uniform", lambda keys, draws: np.ones((len(keys), draws)) - 1e-12)
    square = np.zeros((1, 33, 33, 1), np.uint8)
    square[:, 12:21, 12:21] = 255
    view = augmentation.apply(knobs(scale=0.5), square, KEYS[:1])
    assert view.sum() / square.sum() == pytest.approx(1.5**2, rel=0.05)
    weights = view[0, :, :, 0].astype(float)
    center = (weights * np.arange(33)).sum() / weights.sum(), (weights.T * np.arange(33)).sum() / weights.sum()
    assert center == pytest.approx((16, 16), abs=0.02)


def test_brightness_and_contrast_by_hand(monkeypatch):
    monkeypatch.setattr(randomness, "uniform", lambda keys, draws: np.ones((len(keys), draws)) - 1e-12)
    image = np.array([0, 100, 200, 100], np.uint8).reshape(1, 2, 2, 1)
    assert augmentation.apply(knobs(brightness=0.2), image, KEYS[:1]).ravel().tolist() == [51, 151, 251, 151]
    assert augmentation.apply(knobs(contrast=0.5), image, KEYS[:1]).ravel().tolist() == [0, 100, 250, 100]
    assert augmentation.apply(knobs(brightness=1), image, KEYS[:1]).ravel().tolist() == [255, 255, 255, 255]


def test_cutout_fills_one_square_with_the_mean():
    pixels = batch(20, 20)
    views = augmentation.apply(knobs(cutout=0.25), pixels, KEYS)
    for image, view in zip(pixels, views, strict=True):
        rows, columns = np.nonzero((image != view).any(axis=2))
        assert rows.max() - rows.min() <= 4 and columns.max() - columns.min() <= 4
        inside = view[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert (inside == np.rint(image.mean(axis=(0, 1)))).all()
    assert (
        len({int(np.nonzero((image != view).any(axis=2))[0].min()) for image, view in zip(pixels, views, strict=True)})
        > 5
    )


def test_a_view_depends_on_its_key_alone():
    pixels = batch()
    views = augmentation.apply(knobs(**ALL), pixels, KEYS)
    order = np.random.default_rng(0).permutation(64)
    assert (augmentation.apply(knobs(**ALL), pixels[order], KEYS[order]) == views[order]).all()
    assert (augmentation.apply(knobs(**ALL), pixels[5:6], KEYS[5:6]) == views[5]).all()
    assert (augmentation.apply(knobs(**ALL), pixels, KEYS + np.uint64(1)) != views).any(axis=(1, 2, 3)).all()
    assert (augmentation.apply(knobs(**ALL), pixels, KEYS, 2) != views).any(axis=(1, 2, 3)).all()


def test_one_strength_leaves_the_draws_of_the_others():
    pixels = batch()
    cut = augmentation.apply(knobs(flip=0.5, cutout=0.25), pixels, KEYS)
    flipped = augmentation.apply(knobs(flip=0.5), pixels, KEYS)
    assert ((cut != flipped).any(axis=3).sum(axis=(1, 2)) <= 64).all()


@pytest.mark.parametrize("strength", OFF)
def test_any_strength_is_active(strength):
    assert not augmentation.is_active(knobs())
    assert augmentation.is_active(knobs(**{strength: 0.1}))
