"""Pixels as pictures for people: PNG files, thumbnails and contact sheets."""

import io

import numpy as np
from PIL import Image


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode uint8 [H, W, C] (C 1 or 3) as PNG."""
    buffer = io.BytesIO()
    _picture(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def thumbnail(pixels: np.ndarray, side: int = 128) -> bytes:
    """Encode uint8 [H, W, C] as PNG, shrunk where a side is longer than ``side`` pixels."""
    picture = _picture(pixels)
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def contact_sheet(pixels: np.ndarray, columns: int, height: int = 56) -> bytes:
    """Lay images out in rows of ``columns`` on a gray ground, each enlarged by a whole factor.

    Args:
        pixels: uint8 [N, H, W, C]; N at least 1.
        columns: images a row.
        height: the least height of an image on the sheet, in pixels, where it
            is smaller; larger images are shrunk to twice this.

    Returns:
        A PNG.
    """
    count, image_height, image_width, _ = pixels.shape
    factor = max(1, -(-height // image_height))
    shrink = max(1, image_height // (2 * height))
    tile = (max(1, image_width * factor // shrink), max(1, image_height * factor // shrink))
    gap = 4
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * (tile[0] + gap) + gap, rows * (tile[1] + gap) + gap), (128, 128, 128))
    for number, one in enumerate(pixels):
        picture = _picture(one).convert("RGB")
        picture = picture.resize(tile, Image.Resampling.NEAREST if shrink == 1 else Image.Resampling.BOX)
        row, column = divmod(number, columns)
        sheet.paste(picture, (gap + column * (tile[0] + gap), gap + row * (tile[1] + gap)))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
