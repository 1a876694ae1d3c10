import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers.effort import examples, full
from makers.images import noise
from makers.photographs import crowd, photographs, things
from PIL import Image

from kiln.core import parallel
from kiln.modalities.image import copies
from kiln.quality import splits


def shifted(image):
    return cv2.warpAffine(image, np.float32([[1, 0, 2], [0, 1, -3]]), image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def encoded(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=50)
    return np.asarray(Image.open(buffer))


def brighter(image):
    return np.clip(image * 1.15, 0, 255).astype(np.uint8)


def darker(image):
    return (image * 0.85).astype(np.uint8)


def mirrored(image):
    return image[:, ::-1]


def cropped(image):
    height, width = (round(side * 0.9) for side in image.shape[:2])
    return cv2.resize(image[2 : 2 + height, 1 : 1 + width], image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def found(pixels: np.ndarray) -> list[tuple[int, int]]:
    pairs = copies.find(pixels, np.arange(len(pixels)), seed=0).pairs
    assert ((pairs["score"] > 0) & (pairs["score"] <= 1.001)).all()
    return list(zip(pairs["first"], pairs["second"], strict=True))


@pytest.mark.parametrize("copy", [shifted, encoded, brighter, mirrored, cropped])
@pytest.mark.parametrize("shape", [(48, 64), *full(((32, 32),))])
def test_every_kind_of_copy_is_found_and_nothing_else(copy, shape):
    originals = photographs(40, *shape)
    pixels = np.concatenate([originals, np.stack([copy(image) for image in originals[:10]])])
    assert found(pixels) == [(number, 40 + number) for number in range(10)]


def test_gray_and_small():
    originals = photographs(30, 20, 24, 1)
    pixels = np.concatenate([originals, originals[:3, :, ::-1]])
    assert found(pixels) == [(0, 30), (1, 31), (2, 32)]


def test_an_alike_background_makes_no_copy():
    sky = np.linspace(90, 230, 32).astype(np.uint8)[:, None, None] * np.ones((1, 32, 3), np.uint8)
    pixels = np.stack([sky] * 20)
    for number, thing in enumerate(photographs(20)):
        outline = cv2.resize(noise(number, 5, 5), (12, 12), interpolation=cv2.INTER_CUBIC) > 120
        pixels[number, 10:22, 10:22][outline] = thing[10:22, 10:22][outline]
    assert found(pixels) == []


def test_an_alike_frame_makes_no_copy():
    pixels = photographs(20)
    pixels[:, :2], pixels[:, -2:], pixels[:, :, :2], pixels[:, :, -2:] = 255, 255, 255, 255
    assert found(pixels) == []


def test_half_an_image_in_common_makes_no_copy():
    pixels = photographs(20)
    pixels[:, :, 16:] = pixels[:, :, 16:] // 2 + 60
    pixels[:10, :, :16] = pixels[10:, :, :16]
    assert found(pixels) == []


def test_constant_images_pair_with_none():
    pixels = photographs(12)
    pixels[:4] = np.arange(4, dtype=np.uint8)[:, None, None, None]
    assert found(pixels) == []


def test_below_16_pixels_nothing_is_sought():
    pixels = photographs(10, 15, 40)
    assert found(np.concatenate([pixels, pixels])) == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images(count):
    pixels = photographs(count) if count else np.zeros((0, 32, 32, 3), np.uint8)
    assert found(pixels) == []


def test_only_usable_rows_of_a_memory_map_are_paired_the_same_with_any_workers(tmp_path, monkeypatch):
    originals = photographs(30)
    pixels = np.concatenate([originals, originals[:, :, ::-1]])
    pixels.tofile(tmp_path / "spool")
    mapped = np.memmap(tmp_path / "spool", np.uint8, "r", shape=pixels.shape)
    usable = np.delete(np.arange(60), [3, 35])
    first = copies.find(mapped, usable, seed=0).pairs
    assert first[["first", "second"]].to_numpy().tolist() == [[n, 30 + n] for n in range(30) if n not in (3, 5)]
    ordered = parallel.ordered_map
    monkeypatch.setattr(parallel, "ordered_map", lambda function, items: ordered(function, items, workers=7))
    assert copies.find(mapped, usable, seed=0).pairs.equals(first)


@pytest.mark.parametrize("side", [32, *full(64)])
def test_things_of_one_kind_on_one_ground_are_no_copies_but_copies_of_them_are(side):
    originals = things(150, side)
    kinds = np.repeat([shifted, darker, mirrored], 10)
    planted = [copy(image) for copy, image in zip(kinds, originals, strict=False)]
    pairs = set(found(np.concatenate([originals, np.stack(planted)])))
    true = {(number, 150 + number) for number in range(30)}
    assert true <= pairs and len(pairs - true) <= 1


def skies(count: int, side: int = 32) -> np.ndarray:
    """Smooth pictures without any fine structure, each with its own slow change of brightness."""
    made = []
    for seed in range(count):
        waves = cv2.resize(
            np.random.default_rng(seed).normal(0, 1, (3, 3)), (side, side), interpolation=cv2.INTER_CUBIC
        )
        made.append(160 + 6 * (waves - waves.mean()) / waves.std())
    return np.stack(made)[..., None] * np.ones(3)


def grainy(picture: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return np.clip(picture + generator.integers(-2, 3, picture.shape), 0, 255).astype(np.uint8)


def test_crowds_of_nearly_flat_pictures_are_found_whole():
    # Their fine structure is noise: what agrees are the images as they are.
    generator = np.random.default_rng(0)
    large = skies(6, 36)
    crowds = [grainy(sky[at : at + 32, at : at + 32], generator) for sky in large for at in (0, 2) for _ in range(6)]
    pixels = np.concatenate([photographs(60), np.stack(crowds)])
    pairs = copies.find(pixels, np.arange(len(pixels)), seed=0).pairs
    label = splits.components(len(pixels), pairs["first"].to_numpy(), pairs["second"].to_numpy())
    expected = [*range(60), *np.repeat(range(60, 66), 12)]
    assert len(set(zip(label, expected, strict=True))) == len(set(label)) == 66


def test_dark_things_of_one_kind_are_no_copies():
    # A few gray levels are all that such images have.
    pixels = (things(100, 32) // 10).astype(np.uint8)
    assert found(pixels) == []


@pytest.mark.full
def test_coarse_copies_of_alike_screens_are_found():
    generator = np.random.default_rng(0)
    screens = []
    for _ in range(100):
        picture = np.full((256, 256, 3), 240, np.uint8)
        picture[:26], picture[:, :50] = (60, 90, 150), (215, 215, 220)
        for row in range(7):
            words = " ".join(generator.choice(["loss", "save", "edit", "mean", "total", "left", "cell"], 3))
            cv2.putText(
                picture, words, (60, 55 + 28 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (20, 20, 20), 1, cv2.LINE_AA
            )
        seen = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA) * generator.uniform(0.85, 1.0)
        screens.append(np.clip(seen + generator.normal(0, 3, seen.shape), 0, 255).astype(np.uint8))
    pixels = np.concatenate([np.stack(screens), np.stack([encoded(image) for image in screens[:20]])])
    assert found(pixels) == [(number, 100 + number) for number in range(20)]


def test_a_border_that_is_given_stands():
    pixels = things(100, 32)
    strict, lenient = (copies.find(pixels, np.arange(100), 0, border) for border in (None, 0.5))
    assert strict.pairs.empty and strict.border > 0.65
    assert len(lenient.pairs) and lenient.border == 0.5 and lenient.pairs["score"].min() >= 0.5


@settings(max_examples=examples(15))
@given(st.lists(st.integers(2, 60), min_size=1, max_size=3), st.integers(0, 1000))
def test_crowds_of_copies_are_found_whole(sizes, seed):
    generator = np.random.default_rng(seed)
    pictures = photographs(150 + len(sizes), first=seed)
    parts = [crowd(image, size, generator) for image, size in zip(pictures[150:], sizes, strict=True)]
    pixels = np.concatenate([pictures[:150], *map(np.stack, parts)])
    pairs = copies.find(pixels, np.arange(len(pixels)), seed=0).pairs
    label = splits.components(len(pixels), pairs["first"].to_numpy(), pairs["second"].to_numpy())
    expected = [*range(150), *np.repeat(range(150, 150 + len(sizes)), sizes)]
    # The same sets: each found one is one that was planted, and the other way round.
    assert len(set(zip(label, expected, strict=True))) == len(set(label)) == len(set(expected))


def test_two_crowds_of_one_picture_are_joined_beyond_the_nearest_neighbours():
    # Of each image the eleven nearest are those that lie as it does.
    generator = np.random.default_rng(0)
    pictures = photographs(151)
    noisy = [
        np.clip(image + generator.integers(-2, 3, image.shape), 0, 255).astype(np.uint8)
        for image in (pictures[150], shifted(pictures[150]))
        for _ in range(12)
    ]
    pairs = copies.find(np.concatenate([pictures[:150], np.stack(noisy)]), np.arange(174), seed=0).pairs
    label = splits.components(174, pairs["first"].to_numpy(), pairs["second"].to_numpy())
    assert len(set(label[150:])) == 1 and len(set(label)) == 151
