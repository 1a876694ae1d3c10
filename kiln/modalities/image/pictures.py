"""Pixels as pictures for people: PNG files, thumbnails and contact sheets."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image


def encode_png(pixels: np.ndarray) -> bytes:
    """Encode uint8 [H, W, C] (C 1 or 3) as PNG."""
    buffer = io.BytesIO()
    _picture(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def thumbnail(pixels: np.ndarray, side: int = 128) -> bytes:
    """Encode uint8 [H, W, C] as PNG, shrunk if a side is longer than ``side`` pixels."""
    picture = _picture(pixels)
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def contact_sheet(rows: Sequence[np.ndarray], columns: int, height: int = 56) -> bytes:
    """Arrange images on a gray background, each enlarged by an integer factor.

    Args:
        rows: of uint8 [at most columns, H, W, C]; at least one image.
        columns: images per row.
        height: smallest height of an image on the sheet, in pixels; smaller images
            are enlarged, and larger ones shrunk to twice this.

    Returns:
        A PNG.
    """
    image_height, image_width = rows[0].shape[1:3]
    factor = max(1, -(-height // image_height))
    shrink = max(1, image_height // (2 * height))
    tile = (max(1, image_width * factor // shrink), max(1, image_height * factor // shrink))
    gap = 4
    sheet = Image.new("RGB", (columns * (tile[0] + gap) + gap, len(rows) * (tile[1] + gap) + gap), (128, 128, 128))
    for row, images in enumerate(rows):
        for column, pixels in enumerate(images):
            picture = _picture(pixels).convert("RGB")
            picture = picture.resize(tile, Image.Resampling.NEAREST if shrink == 1 else Image.Resampling.BOX)
            sheet.paste(picture, (gap + column * (tile[0] + gap), gap + row * (tile[1] + gap)))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
