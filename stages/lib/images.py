"""From the bytes of an image file to pixels: the one conversion, used by clean and predict."""

import io
import warnings
from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image, ImageOps

from stages.lib import parallel
from stages.lib.formats import READ, sniff

__all__ = ["READ", "sniff"]

# No other is ever tried: some start programs (EPS), some have no mark to know them by (TGA).
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
EXTENSIONS = frozenset([".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"])
MAX_PIXELS = 100_000_000
# What images that are being decoded may take together, however many cores decode: 22 photos of 12 million pixels.
_DECODING = parallel.Budget(2 * 2**30)
# Pillow's four bytes a pixel, once more where the image is turned, and twice more where it is laid on white.
_BYTES, _BYTES_OF_OTHERS = 8, 16
_ORIENTATION = 0x0112
# How the picture comes upright, by what EXIF says of it.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_DEEP_GRAY = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_GRAY = ("1", "L", "LA", "La", *_DEEP_GRAY)


class Undecodable(Exception):
    """The bytes are not a whole image that the conversion knows; the text says why."""


class TooLarge(Undecodable):
    """The image has more pixels than may be decoded."""


@dataclass(frozen=True)
class Conversion:
    """How every image is brought to one shape.

    Attributes:
        height, width: pixels.
        channels: 1 (gray) or 3 (RGB).
        fit: ``crop`` (centre), ``pad`` (black borders) or ``stretch``.
    """

    height: int
    width: int
    channels: int
    fit: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    def to_json(self) -> dict:
        """The fields, for a manifest; ``Conversion(**fields)`` reads them back."""
        return asdict(self)


def inspect(content: bytes) -> tuple[int, int, int] | None:
    """Read (height, width, channels) from an image's header, as it will be shown.

    Channels are 1 where the image is gray, else 3. None where the header is broken,
    or what Pillow reads on its way to EXIF.
    """
    try:
        with _open(content) as image:
            width, height = image.size
            # Of a TIFF Pillow gives the size, and then the pixels, as they will be shown.
            if image.format != "TIFF" and image.getexif().get(_ORIENTATION) in (5, 6, 7, 8):
                width, height = height, width
            return height, width, 1 if image.mode in _GRAY else 3
    # Pillow raises what it pleases on hostile bytes; of a PNG it looks for EXIF behind the pixels.
    except Exception:
        return None


def convert(content: bytes, conversion: Conversion) -> np.ndarray:
    """Do as ``decode``, for those who need the pixels alone: uint8 [height, width, channels]."""
    return decode(content, conversion)[0]


def decode(content: bytes, conversion: Conversion, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode an image in full and bring it to the shape of ``conversion``.

    The first frame of an animation; turned as EXIF says; 16-bit gray scaled to 8
    bits; transparent pixels laid on white; then gray or RGB; then resized
    (bicubic, with antialiasing) where the size differs.

    Args:
        content: an image file of one of ``FORMATS``.
        conversion: the shape, and how it is reached.
        max_pixels: larger images are refused by their header, before any decoding.

    Returns:
        uint8 [height, width, channels], and the image's own (height, width).

    Raises:
        Undecodable: broken, truncated or of an unknown kind.
        TooLarge: it has more pixels than ``max_pixels``.
    """
    with _open(content, max_pixels) as image, _DECODING.hold(_bytes(image)):
        try:
            image.load()
            image = _upright(image)
            size = (image.height, image.width)
            image = _eight_bits(image)
            image = _converted(image, "L" if conversion.channels == 1 else "RGB")
            image = _resized(image, conversion)
        except Undecodable:
            raise
        # Pillow's decoders raise what they please on hostile bytes.
        except Exception as error:
            raise Undecodable(_reason(error)) from None
        return np.asarray(image, np.uint8).reshape(conversion.image_shape), size


def _open(content: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    # Pillow refuses what is twice its own limit, which a user may want to exceed.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError:
        raise TooLarge(f"it has more than {max_pixels:,} pixels") from None
    except Image.UnidentifiedImageError:
        what = "the file is empty" if not content else f"not an image of a known format ({', '.join(FORMATS)})"
        raise Undecodable(what) from None
    except Exception as error:
        raise Undecodable(_reason(error)) from None
    if image.width * image.height > max_pixels:
        raise TooLarge(f"{image.width} x {image.height} pixels are more than {max_pixels:,}")
    return image


def _bytes(image: Image.Image) -> int:
    """Bound the memory that an image takes while it is converted."""
    plain = image.mode in ("L", "RGB") and not image.has_transparency_data
    return image.width * image.height * (_BYTES if plain else _BYTES_OF_OTHERS)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"broken or truncated: {text[:200]}"


def _upright(image: Image.Image) -> Image.Image:
    # ImageOps.exif_transpose writes all of EXIF anew, and loses whole pictures where a tag in it is odd.
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:  # Pillow raises what it pleases; the pixels are whole
        return image
    return image if turn is None else image.transpose(turn)


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode in _DEEP_GRAY:
        values = np.asarray(image)
        if values.size and (values.min() < 0 or values.max() > 65535):
            raise Undecodable("32-bit gray values have no agreed range: save it with 8 or 16 bits")
        values = values.astype(np.int32)
        values += 128
        values //= 257
        return Image.fromarray(values.astype(np.uint8))
    if image.mode == "F":
        raise Undecodable("floating-point pixels have no agreed range: save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = _converted(image, "RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image)
    return image


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
