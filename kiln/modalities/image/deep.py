"""Samples of more than 8 bits in PNG, PPM and JPEG 2000 files, which Pillow truncates, stretches or wraps."""

import re
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from kiln.modalities.image import metadata

PNG_GRAY_ALPHA = 4  # the colour type that Pillow converts to RGBA at 16 bits
_GAP = rb"(?:\s|#[^\n]*\n)+"
# Signature, width, height and largest value of a PPM.
_PPM = re.compile(rb"P[2356]" + _GAP + rb"\d+" + _GAP + rb"\d+" + _GAP + rb"(\d+)")

# By Pillow's modes.
_BANDS = {"I": (), "I;16": (), "L": (), "RGB": (3,), "RGBA": (4,)}


class Broken(Exception):
    """The samples are incomplete, or of an unsupported kind."""


def most(kind: str, content: bytes) -> int | None:
    """Return the largest possible value of a sample, by the header; None if it fits into 8 bits.

    Args:
        kind: as returned by ``formats.sniff``.
        content: the file.

    Raises:
        IndexError: a PNG ends within its header.
    """
    largest = None
    if kind == "PNG":
        largest = 2 ** content[24] - 1
    elif kind == "PPM" and (header := _PPM.match(content)):
        largest = int(header[1])
    elif kind == "JPEG 2000":
        largest = 2 ** max(map(abs, metadata.jp2_depths(content)), default=8) - 1
    return largest if largest and largest > 255 else None


def values(kind: str, content: bytes, image: Image.Image) -> np.ndarray:
    """Decode deep samples.

    Args:
        kind: PNG, PPM or JPEG 2000.
        content: the file.
        image: the same file, opened and loaded by Pillow.

    Returns:
        [height, width], or [height, width, 2 to 4], where the second or fourth band is opacity.

    Raises:
        Broken: the text says what is wrong.
    """
    if kind == "PNG":
        return _of_png(content, image)
    if kind == "JPEG 2000" and image.mode == "I;16" and (bits := metadata.jp2_depths(content)[0]) < 0:
        # OpenCV does not read these, and Pillow shifts and stretches them to 16 bits.
        return (np.asarray(image) >> (16 + bits)).astype(np.int32) - 2 ** (-bits - 1)
    # OpenCV reads beyond the last number of an ASCII PPM.
    return _by_opencv(content + b"\n" * (kind == "PPM"), image)


def _of_png(content: bytes, image: Image.Image) -> np.ndarray:
    if image.mode == "I;16":
        samples = np.asarray(image).astype(np.uint16, copy=False)
    else:
        try:
            samples = _by_opencv(metadata.flawless_png(content), image)
        except (ValueError, zlib.error, struct.error):
            raise Broken("broken or truncated, its values are not whole") from None
        samples = samples[..., ::3] if content[25] == PNG_GRAY_ALPHA else samples
    # The transparent colour, which Pillow loses together with the low bits.
    if (clear := image.info.get("transparency")) is None:
        return samples
    samples = np.atleast_3d(samples)
    opaque = (samples != np.asarray(clear)).any(axis=-1, keepdims=True)
    return np.concatenate([samples, np.where(opaque, 65535, 0).astype(np.uint16)], axis=-1)


def _by_opencv(content: bytes, image: Image.Image) -> np.ndarray:
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    shape = (image.height, image.width, *_BANDS.get(image.mode, ()))
    if image.mode not in _BANDS or decoded is None or decoded.dtype != np.uint16 or decoded.shape != shape:
        raise Broken("broken, truncated or of a kind that is not read")
    return decoded[..., [2, 1, 0, 3][: shape[2]]] if len(shape) == 3 else decoded
