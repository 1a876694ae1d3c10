import io

import cv2
import numpy as np
import pytest
from conftest import noise
from PIL import Image

from stages.lib import copies, parallel


def photographs(count: int, height: int = 32, width: int = 32, channels: int = 3, first: int = 0) -> np.ndarray:
    """Seeded pictures with structure of all sizes, as photographs have."""
    made = []
    for seed in range(first, first + count):
        layers = [
            cv2.resize(noise(100 * seed + side, side, side).astype(np.float32), (width, height)) * weight
            for side, weight in ((3, 0.5), (6, 0.3), (16, 0.2))
        ]
        picture = cv2.normalize(sum(layers), None, 0, 255, cv2.NORM_MINMAX)[:, :, None]
        tint = noise(seed, 1, 1, channels) / 510 + 0.5
        made.append((picture * tint).astype(np.uint8))
    return np.stack(made)


def shifted(image):
    return cv2.warpAffine(image, np.float32([[1, 0, 2], [0, 1, -3]]), image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def encoded(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=50)
    return np.asarray(Image.open(buffer))


def brighter(image):
    return np.clip(image * 1.15, 0, 255).astype(np.uint8)


def mirrored(image):
    return image[:, ::-1]


def cropped(image):
    height, width = (round(side * 0.9) for side in image.shape[:2])
    return cv2.resize(image[2 : 2 + height, 1 : 1 + width], image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def found(pixels: np.ndarray) -> list[tuple[int, int]]:
    pairs = copies.find(pixels, np.arange(len(pixels)), seed=0)
    assert ((pairs["score"] > 0) & (pairs["score"] <= 1.001)).all()
    return list(zip(pairs["first"], pairs["second"], strict=True))


@pytest.mark.parametrize("copy", [shifted, encoded, brighter, mirrored, cropped])
@pytest.mark.parametrize("shape", [(32, 32), (48, 64)])
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
    first = copies.find(mapped, usable, seed=0)
    assert first[["first", "second"]].to_numpy().tolist() == [[n, 30 + n] for n in range(30) if n not in (3, 5)]
    ordered = parallel.ordered_map
    monkeypatch.setattr(parallel, "ordered_map", lambda function, items: ordered(function, items, workers=7))
    assert copies.find(mapped, usable, seed=0).equals(first)
