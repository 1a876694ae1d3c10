"""Samples of more than 8 bits as a PNG, PPM or JPEG 2000 holds them, which Pillow shortens, stretches or wraps."""

import re
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from kiln.modalities.image import metadata

PNG_GRAY_ALPHA = 4  # the colour type, of which Pillow makes RGBA where it has 16 bits
_GAP = rb"(?:\s|#[^\n]*\n)+"
# The mark, width and height of a PPM, and its largest value.
_PPM = re.compile(rb"P[2356]" + _GAP + rb"\d+" + _GAP + rb"\d+" + _GAP + rb"(\d+)")

# By Pillow's modes.
_BANDS = {"I": (), "I;16": (), "L": (), "RGB": (3,), "RGBA": (4,)}


class Broken(Exception):
    """The samples are not whole, or of a kind that is not read."""


def most(kind: str, content: bytes) -> int | None:
    """Give the largest value that a sample may have, by the header; None where 8 bits hold it.

    Args:
        kind: as ``formats.sniff`` names it.
        content: the file.

    Raises:
        IndexError: a PNG ends within its header.
    """
    found = None
    if kind == "PNG":
        found = 2 ** content[24] - 1
    elif kind == "PPM" and (header := _PPM.match(content)):
        found = int(header[1])
    elif kind == "JPEG 2000":
        found = 2 ** max(map(abs, metadata.jp2_depths(content)), default=8) - 1
    return found if found and found > 255 else None


def values(kind: str, content: bytes, image: Image.Image) -> np.ndarray:
    """Decode deep samples.

    Args:
        kind: PNG, PPM or JPEG 2000.
        content: the file.
        image: the same, opened and loaded by Pillow.

    Returns:
        [height, width], or [height, width, 2 to 4], where the second or fourth tells how opaque a pixel is.

    Raises:
        Broken: the text says what is wrong.
    """
    if kind == "PNG":
        return _of_png(content, image)
    if kind == "JPEG 2000" and image.mode == "I;16" and (bits := metadata.jp2_depths(content)[0]) < 0:
        # Which OpenCV does not read, and Pillow shifts and stretches to 16 bits.
        return (np.asarray(image) >> (16 + bits)).astype(np.int32) - 2 ** (-bits - 1)
    # OpenCV reads on behind the last of numbers in letters.
    return _by_opencv(content + b"\n" * (kind == "PPM"), image)


def _of_png(content: bytes, image: Image.Image) -> np.ndarray:
    if image.mode == "I;16":
        found = np.asarray(image).astype(np.uint16, copy=False)
    else:
        try:
            found = _by_opencv(metadata.flawless_png(content), image)
        except (ValueError, zlib.error, struct.error):
            raise Broken("broken or truncated, its values are not whole") from None
        found = found[..., ::3] if content[25] == PNG_GRAY_ALPHA else found
    # The one colour that is transparent; Pillow loses it with the bits.
    if (clear := image.info.get("transparency")) is None:
        return found
    found = np.atleast_3d(found)
    opaque = (found != np.asarray(clear)).any(axis=-1, keepdims=True)
    return np.concatenate([found, np.where(opaque, 65535, 0).astype(np.uint16)], axis=-1)


def _by_opencv(content: bytes, image: Image.Image) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    shape = (image.height, image.width, *_BANDS.get(image.mode, ()))
    if image.mode not in _BANDS or found is None or found.dtype != np.uint16 or found.shape != shape:
        raise Broken("broken, truncated or of a kind that is not read")
    return found[..., [2, 1, 0, 3][: shape[2]]] if len(shape) == 3 else found
