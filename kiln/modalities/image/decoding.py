"""From the bytes of an image file to pixels: the one conversion, used by clean and predict."""

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
    """An image: uint8 [height, width, channels], its own (height, width), and what is wrong beside the pixels."""

    pixels: np.ndarray
    size: tuple[int, int]
    notes: tuple[str, ...]


def inspect(content: bytes) -> tuple[int, int, int] | None:
    """Read (height, width, channels) from an image's header, as it will be shown.

    Channels are 1 where the image is gray, else 3. None where the header is broken.
    """

    def look(changed: bytes) -> tuple[int, int, int]:
        with open_image(changed) as file:
            return *file.size, 1 if file.gray else 3

    try:
        return _first(look, content, MAX_PIXELS)[0]
    # Pillow raises what it pleases on hostile bytes.
    except Exception:
        return None


def span(content: bytes, max_pixels: int = MAX_PIXELS) -> levels.Span | None:
    """Find what the values of a deep image span, as ``levels.span`` does; None where it is not deep, or not whole."""

    def look(changed: bytes) -> levels.Span | None:
        with open_image(changed, max_pixels) as file:
            if not file.deep:
                return None
            with DECODING.hold(file.bytes()):
                values, void = file.values()
                return levels.span(split_opacity(values)[0], void)

    try:
        # Most images are not deep, which all but TIFF say without being opened: ``inspect`` did so already.
        if (kind := sniff(content[: formats.HEAD])) != "TIFF" and deep.most(kind, content) is None:
            return None
        return _first(look, content, max_pixels)[0]
    except Exception:  # as above
        return None


def convert(content: bytes, conversion: Conversion) -> np.ndarray:
    """Do as ``decode``, for those who need the pixels alone: uint8 [height, width, channels]."""
    return decode(content, conversion).pixels


def decode(content: bytes, conversion: Conversion, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode an image in full and bring it to the shape of ``conversion``.

    The first frame of an animation; deep values (more than 8 bits, or floating point) scaled
    to 8 bits by the conversion's range; turned as EXIF says; colours of an ICC profile
    converted to sRGB; transparent pixels laid on white; then gray or RGB; then resized
    (bicubic, with antialiasing) where the size differs. What fails beside the pixels costs
    a note and not the image.

    Args:
        content: an image file of one of ``READ``.
        conversion: the shape, and how it is reached.
        max_pixels: larger images are refused by their header, before any decoding.

    Raises:
        Undecodable: broken, truncated or of an unknown kind.
        TooLarge: it has more pixels than ``max_pixels``.
    """

    def look(changed: bytes) -> Decoded:
        found = _read(changed, conversion, max_pixels)
        _refuse_lost_end(changed, max_pixels)
        return found

    (pixels, size, notes), note = _first(look, content, max_pixels)
    return Decoded(pixels, size, (note, *notes) if note else notes)


def _first(look: Callable[[bytes], Any], content: bytes, max_pixels: int) -> tuple[Any, str | None]:
    """Look at a file as it is or, where that fails, without what lies beside its picture.

    Returns:
        What ``look`` finds, and what is wrong with the file, or None.

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
        # Pillow's decoders raise what they please on hostile bytes.
        except Exception as error:
            raise Undecodable(describe_error(error)) from None
        return Decoded(np.asarray(image, np.uint8).reshape(conversion.image_shape), size, tuple(notes))


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    image = _converted(image, "RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which copies in any case


def _resized(image: Image.Image, conversion: Conversion) -> Image.Image:
    size = (conversion.width, conversion.height)
    if image.size == size:
        return image
    if conversion.fit == "stretch":
        return image.resize(size, Image.Resampling.BICUBIC)
    if conversion.fit == "pad":
        return ImageOps.pad(image, size, Image.Resampling.BICUBIC)
    return ImageOps.fit(image, size, Image.Resampling.BICUBIC)
