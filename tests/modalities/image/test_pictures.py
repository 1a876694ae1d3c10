import io

import numpy as np
import pytest
from makers.images import noise
from PIL import Image

from kiln.modalities.image import pictures


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_every_pixel(channels):
    pixels = noise(0, 5, 7, channels)
    assert (np.asarray(opened(pictures.encode_png(pixels))).reshape(pixels.shape) == pixels).all()


def test_thumbnails_shrink_and_never_enlarge():
    assert opened(pictures.thumbnail(noise(0, 100, 300, 3))).size == (128, 43)
    assert opened(pictures.thumbnail(noise(0, 8, 9))).size == (9, 8)


def test_contact_sheet_enlarges_by_whole_factors():
    pixels = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 255)])
    sheet = opened(pictures.contact_sheet([pixels], 2))
    assert sheet.size == (2 * 56 + 12, 56 + 8)
    assert sheet.getpixel((30, 30)) == (0, 0, 0)
    assert sheet.getpixel((90, 30)) == (255, 255, 255)


def test_rows_of_a_contact_sheet_may_be_shorter_than_the_sheet():
    white = np.full((1, 8, 8, 1), 255, np.uint8)
    sheet = opened(pictures.contact_sheet([white, np.concatenate([white, white]), white[:0]], 2))
    assert sheet.size == (2 * 60 + 4, 3 * 60 + 4)
    shown = [[sheet.getpixel((30 + 60 * column, 30 + 60 * row)) for column in range(2)] for row in range(3)]
    ground, filled = (128, 128, 128), (255, 255, 255)
    assert shown == [[filled, ground], [filled, filled], [ground, ground]]


def test_contact_sheet_shrinks_large_images():
    assert opened(pictures.contact_sheet([noise(0, 448, 224, 3)[None]], 1)).size == (56 + 8, 112 + 8)
