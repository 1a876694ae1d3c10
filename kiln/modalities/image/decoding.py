"""Decode the bytes of an image file to pixels: the one conversion, used by clean and predict."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from kiln.core import formats
from kiln.core.formats import sniff
from kiln.modalities.base import TooLarge, Undecodable
from kiln.modalities.image import colors, deep, levels, metadata
from kiln.modalities.image.conversion import Conversion
from kiln.modalities.image.opening import DECODING, MAX_PIXELS, Refused, describe_error, open_image, split_opacity


class Decoded(NamedTuple):
    """An image: uint8 [height, width, channels], its original (height, width), and faults outside the pixels."""

    pixels: np.ndarray
    size: tuple[int, int]
    notes: tuple[str, ...]


def inspect(content: bytes) -> tuple[int, int, int] | None:
    """Read (height, width, channels) of the upright image from its header.

    Channels are 1 if the image is gray, else 3. None if the header is broken.
    """

    def look(changed: bytes) -> tuple[int, int, int]:
        with open_image(changed) as file:
            return *file.size, 1 if file.gray else 3

    try:
        return _first(look, content, MAX_PIXELS)[0]
    # Pillow raises arbitrary exceptions on hostile bytes.
    except Exception:
        return None


def span(content: bytes, max_pixels: int = MAX_PIXELS) -> levels.Span | None:
    """Find the span of a deep image's values, as ``levels.span``; None if it is not deep or is broken."""

    def look(changed: bytes) -> levels.Span | None:
        with open_image(changed, max_pixels) as file:
            if not file.deep:
                return None
            with DECODING.hold(file.bytes()):
                values, void = file.values()
                return levels.span(split_opacity(values)[0], void)

    try:
        # Most images are not deep; in all formats but TIFF, this shows without opening them again after ``inspect``.
        if (kind := sniff(content[: formats.HEAD])) != "TIFF" and deep.most(kind, content) is None:
            return None
        return _first(look, content, max_pixels)[0]
    except Exception:  # as above
        return None


def convert(content: bytes, conversion: Conversion) -> np.ndarray:
    """Decode an image, as ``decode``, and return its pixels alone: uint8 [height, width, channels]."""
    return decode(content, conversion).pixels


def decode(content: bytes, conversion: Conversion, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode an image completely and convert it to the shape of ``conversion``.

    In order: the first frame of an animation; deep values (more than 8 bits, or floating
    point) scaled to 8 bits by the conversion's range; rotated as EXIF says; ICC colours
    converted to sRGB; transparent pixels on white; gray or RGB; resized (bicubic, with
    antialiasing) if the size differs. Faults outside the pixels become notes.

    Args:
        content: an image file of one of ``READ``.
        conversion: the target shape, and how to reach it.
        max_pixels: larger images are rejected by their header, before decoding.

    Raises:
        Undecodable: broken, truncated or of an unsupported kind.
        TooLarge: it has more pixels than ``max_pixels``.
    """

    def look(changed: bytes) -> Decoded:
        decoded = _read(changed, conversion, max_pixels)
        _refuse_lost_end(changed, max_pixels)
        return decoded

    (pixels, size, notes), note = _first(look, content, max_pixels)
    return Decoded(pixels, size, (note, *notes) if note else notes)


def _first(look: Callable[[bytes], Any], content: bytes, max_pixels: int) -> tuple[Any, str | None]:
    """Apply ``look`` to a file or, if that fails, to the file without metadata.

    Returns:
        The result of ``look``, and what is wrong with the file, or None.

    Raises:
        Undecodable, TooLarge: as ``decode`` does.
    """
    try:
        return look(content), None
    except (TooLarge, Refused):
        raise
    except Undecodable as error:
        first = error
    for changed, note in _attempts(content, max_pixels):
        with suppress(Undecodable):
            return look(changed), note
    raise first


def _refuse_lost_end(content: bytes, max_pixels: int) -> None:
    if metadata.ends_in_zeros(content) and sniff(content[: formats.HEAD]) == "JPEG":
        with open_image(content, max_pixels) as file, DECODING.hold(2 * file.bytes()):
            if metadata.has_lost_end(content):
                raise Refused("broken or truncated: its last part is zeros, as an interrupted copy leaves it")


def _attempts(content: bytes, max_pixels: int) -> Iterator[tuple[bytes, str]]:
    kind = sniff(content[: formats.HEAD])
    if kind == "JPEG":
        with suppress(Undecodable), open_image(content, max_pixels) as file, DECODING.hold(2 * file.bytes()):
            if ended := metadata.with_end(content):
                yield ended, "it lacks its end marker"
    yield from metadata.attempts(kind, content)


def _read(content: bytes, conversion: Conversion, max_pixels: int) -> Decoded:
    with open_image(content, max_pixels) as file, DECODING.hold(file.bytes()):
        try:
            image, notes = file.picture(conversion.range), [file.trouble] if file.trouble else []
            size = (image.height, image.width)
            try:
                image = colors.to_srgb(image, file.profile)
            except colors.Unusable as error:
                notes.append(str(error))
            image = _on_white(image)
            image = _converted(image, "L" if conversion.channels == 1 else "RGB")
            image = _resized(image, conversion)
        except Undecodable:
            raise
        # Pillow's decoders raise arbitrary exceptions on hostile bytes.
        except Exception as error:
            raise Undecodable(describe_error(error)) from None
        return Decoded(np.asarray(image, np.uint8).reshape(conversion.image_shape), size, tuple(notes))


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    image = _converted(image, "RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which always copies


def _resized(image: Image.Image, conversion: Conversion) -> Image.Image:
    size = (conversion.width, conversion.height)
    if image.size == size:
        return image
    if conversion.fit == "stretch":
        return image.resize(size, Image.Resampling.BICUBIC)
    if conversion.fit == "pad":
        return ImageOps.pad(image, size, Image.Resampling.BICUBIC)
    return ImageOps.fit(image, size, Image.Resampling.BICUBIC)
