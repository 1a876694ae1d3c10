"""From the bytes of an image file to pixels: the one conversion, used by clean and predict."""

import ctypes
import functools
import importlib
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from kiln.core import formats, parallel
from kiln.core.formats import HEIF_PLUGIN, READ, sniff
from kiln.modalities.image import colors, deep, levels, metadata, tiffs

# Pillow's names of those that are called otherwise here. No other is ever tried.
_PLUGINS = {"JPEG 2000": "JPEG2000", "HEIC": "HEIF"}
_NAMES = ".avif .bmp .dib .gif .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .mpo .pbm .pgm .png .pnm .ppm"
_NAMES += " .tif .tiff .webp" + " .heic .heif .hif" * ("HEIC" in READ)
EXTENSIONS = frozenset(_NAMES.split())
MAX_PIXELS = 100_000_000
# What images that are being decoded may take together, however many cores decode: 22 photos of 12 million pixels.
_DECODING = parallel.Budget(2 * 2**30)
# Pillow's four bytes a pixel, once more where the image is turned, and twice more where it is laid on white.
_BYTES, _BYTES_OF_OTHERS = 8, 16
# What deep values take a sample while they are brought to 8 bits, as floats of 64 bits beside their own.
_BYTES_OF_DEEP = 14
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
_LYING = frozenset(_TURNS[orientation] for orientation in (5, 6, 7, 8))
_DEEP_GRAY = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
_GRAY = ("1", "L", "LA", "La", *_DEEP_GRAY)
_FULL = 65535
_NOT_READ = "not read, save it as gray or RGB"
_REMEDIES = {
    "HEIC": f"HEIC photo: run `.venv/bin/pip install {HEIF_PLUGIN.replace('_', '-')}` once, or save it as JPEG",
    "HEIF": "HEIF photo of another codec: save it as JPEG",
    "Git LFS pointer": "Git LFS pointer, not the image: run `git lfs pull` where the images come from",
    "git-annex pointer": "git-annex pointer, not the image: run `git annex get .` where the images come from",
    "DVC pointer": "DVC pointer, not the image: run `dvc pull` where the images come from",
    "HTML": "HTML page, not an image, as a failed download leaves it: download it again",
    "empty file": "the file is empty",
    "empty file (all zeros)": "nothing but zeros, as an interrupted copy leaves it: copy it again",
}


class Undecodable(Exception):
    """The bytes are not a whole image that the conversion knows; the text says why."""


class _Refused(Undecodable):
    """It is whole for all that is known, but of a kind that is not read."""


class _Unidentified(Undecodable):
    """Pillow finds no image that it knows."""


class TooLarge(Undecodable):
    """The image has more pixels than may be decoded."""


@dataclass(frozen=True)
class Conversion:
    """How every image is brought to one shape.

    Attributes:
        height, width: pixels.
        channels: 1 (gray) or 3 (RGB).
        fit: ``crop`` (centre), ``pad`` (black borders) or ``stretch``.
        range: (low, high): the values of deep images that become 0 and 255; None: all 16 bits.
    """

    height: int
    width: int
    channels: int
    fit: str
    range: levels.Range | None = None

    def __post_init__(self):
        if self.range is not None:
            low, high = self.range  # a list where it comes from JSON
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError("range")
            object.__setattr__(self, "range", (low, high))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    def to_json(self) -> dict:
        """The fields, for a manifest; ``Conversion(**fields)`` reads them back. No range is no field."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        return fields | ({"range": list(self.range)} if self.range else {})


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
        with _open(changed) as file:
            return *file.size, 1 if file.gray else 3

    try:
        return _first(look, content, MAX_PIXELS)[0]
    # Pillow raises what it pleases on hostile bytes.
    except Exception:
        return None


def span(content: bytes, max_pixels: int = MAX_PIXELS) -> levels.Span | None:
    """Find what the values of a deep image span, as ``levels.span`` does; None where it is not deep, or not whole."""

    def look(changed: bytes) -> levels.Span | None:
        with _open(changed, max_pixels) as file:
            if not file.deep:
                return None
            with _DECODING.hold(file.bytes()):
                values, void = file.values()
                return levels.span(_parted(values)[0], void)

    try:
        # Most images are not deep, which all but TIFF say without being opened: ``inspect`` did so already.
        if (kind := sniff(content[: formats.HEAD])) != "TIFF" and deep.most(kind, content) is None:
            return None
        return _first(look, content, max_pixels)[0]
    except Exception:  # as above
        return None


def convert(content: bytes, conversion: Conversion) -> np.ndarray:
    """Do as ``decode``, for those who need the pixels alone: uint8 [height, width, channels]."""
    return read(content, conversion).pixels


def decode(content: bytes, conversion: Conversion, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, tuple[int, int]]:
    """Do as ``read``, for those who need the pixels and the image's own (height, width)."""
    return read(content, conversion, max_pixels)[:2]


def read(content: bytes, conversion: Conversion, max_pixels: int = MAX_PIXELS) -> Decoded:
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
        Undecodable, TooLarge: as ``read`` does.
    """
    try:
        return look(content), None
    except (TooLarge, _Refused):
        raise
    except Undecodable as error:
        first = error
    for changed, note in _attempts(content, max_pixels):
        with suppress(Undecodable):
            return look(changed), note
    raise first


def _refuse_lost_end(content: bytes, max_pixels: int) -> None:
    if metadata.ends_in_zeros(content) and sniff(content[: formats.HEAD]) == "JPEG":
        with _open(content, max_pixels) as file, _DECODING.hold(2 * file.bytes()):
            if metadata.has_lost_end(content):
                raise _Refused("broken or truncated: its last part is zeros, as an interrupted copy leaves it")


def _attempts(content: bytes, max_pixels: int) -> Iterator[tuple[bytes, str]]:
    kind = sniff(content[: formats.HEAD])
    if kind == "JPEG":
        with suppress(Undecodable), _open(content, max_pixels) as file, _DECODING.hold(2 * file.bytes()):
            if ended := metadata.with_end(content):
                yield ended, "it lacks its end marker"
    yield from metadata.attempts(kind, content)


def _read(content: bytes, conversion: Conversion, max_pixels: int) -> Decoded:
    with _open(content, max_pixels) as file, _DECODING.hold(file.bytes()):
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
            raise Undecodable(_reason(error)) from None
        return Decoded(np.asarray(image, np.uint8).reshape(conversion.image_shape), size, tuple(notes))


class _ByPillow:
    """An image file whose header is read, and that Pillow decodes.

    Attributes:
        deep: whether 8 bits do not hold its values.
        gray: whether it has one colour.
        size: (height, width) as it will be shown.
        profile: the ICC profile, or None.
        trouble: what is wrong beside the pixels, or None.
    """

    def __init__(self, content: bytes, kind: str, image: Image.Image, layout: tiffs.Layout | None = None):
        self.content, self.kind, self.image = content, kind, image
        # Of several channels of more than 8 bits Pillow keeps eight.
        self.most = deep.most(kind, content)
        self.name, self.deep = f"deep {kind}", self.most is not None or image.mode in _DEEP_GRAY
        if layout and self.deep:
            self.name, self.most = layout.name, 2**layout.bits - 1
        self.gray = image.mode in _GRAY or (kind == "PNG" and content[25] == deep.PNG_GRAY_ALPHA)
        self.profile = metadata.jp2_profile(content) if kind == "JPEG 2000" else image.info.get("icc_profile")
        if kind == "PNG" and image.mode == "L" and content[24] < 8 and "transparency" in image.info:
            # Which Pillow leaves as it lies, while it stretches the values.
            image.info["transparency"] = image.info["transparency"] * 255 // (2 ** content[24] - 1)
        self.turn, self.trouble = None, None
        if kind != "TIFF":  # of which Pillow gives the size, and then the pixels, as they will be shown
            if kind == "PNG" and (exif := metadata.png_exif(content)):
                image.info["exif"] = exif
            try:
                # Not by the method of a PNG, which decodes it, and forgets what is wrong with it.
                self.turn = _TURNS.get(Image.Image.getexif(image).get(_ORIENTATION))
            except Exception:  # Pillow raises what it pleases; the pixels may be whole
                self.trouble = "EXIF is broken: read without it"
        self.size = (image.width, image.height) if self.turn in _LYING else (image.height, image.width)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.image.close()

    def bytes(self) -> int:
        """Bound the memory that the image takes while it is converted."""
        plain = self.image.mode in ("L", "RGB") and not self.image.has_transparency_data
        each = _BYTES if plain else _BYTES_OF_OTHERS
        if self.deep and self.image.mode != "I;16":  # which are brought to 8 bits by a table
            each += _BYTES_OF_DEEP * len(self.image.getbands())
        return self.image.width * self.image.height * each

    def values(self) -> tuple[np.ndarray, None]:
        """Decode deep values as they lie: [height, width], or [height, width, 2 to 4]: the 2nd or 4th is opacity."""
        self.image.load()
        if self.kind == "TIFF":
            return np.asarray(self.image).astype(np.uint16, copy=False), None
        try:
            return deep.values(self.kind, self.content, self.image), None
        except deep.Broken as error:
            raise Undecodable(f"{self.name}: {error}") from None

    def picture(self, within: levels.Range | None) -> Image.Image:
        """Decode to 8 bits a channel, upright."""
        self.image.load()
        if self.kind == "PNG" and metadata.is_damaged_png(self.content):
            self.trouble = "its checksum is wrong: some pixels may be damaged"
        image = _eight_bits(*self.values(), within, self.name, self.most) if self.deep else self.image
        image = image.convert("LA") if image.mode == "La" else image  # which Pillow converts to nothing else
        return image if self.turn is None else image.transpose(self.turn)


class _ByOpenCV:
    """As ``_ByPillow``: a TIFF that Pillow does not decode, or not rightly."""

    trouble = None

    def __init__(self, content: bytes, layout: tiffs.Layout):
        self.content, self.layout = content, layout
        self.deep, self.gray, self.profile = True, layout.gray, layout.profile
        self.turn = _TURNS.get(layout.orientation)
        size = (layout.height, layout.width)
        self.size = size[::-1] if self.turn in _LYING else size

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def bytes(self) -> int:
        """Bound the memory that the image takes while it is converted."""
        each = self.layout.pixel_bytes() + _BYTES_OF_DEEP * self.layout.samples
        return 2 * len(self.content) + 80 * self.layout.places() + self.layout.decoded_pixels() * each

    def values(self) -> tuple[np.ndarray, np.ndarray | None]:
        """As of ``_ByPillow``, and where there is nothing: bool [height, width], or None."""
        try:
            return tiffs.values(self.content, self.layout)
        except tiffs.Broken:
            raise Undecodable(f"{self.layout.name}: broken, truncated or of a kind that is not read") from None

    def picture(self, within: levels.Range | None) -> Image.Image:
        """Decode to 8 bits a channel, upright."""
        image = _eight_bits(*self.values(), within, self.layout.name, _FULL, self.layout.inverted)
        return image if self.turn is None else image.transpose(self.turn)


def _open(content: bytes, max_pixels: int = MAX_PIXELS) -> _ByPillow | _ByOpenCV:
    """Read the header.

    Raises:
        Undecodable, TooLarge: as ``read`` does.
    """
    _quieten()
    kind = sniff(content[: formats.HEAD])
    if kind not in READ:
        known = f"not an image of a known format ({', '.join(sorted(READ))})"
        raise _Refused(_REMEDIES.get(kind, f"{kind}: {known}" if kind else known))
    if kind == "JPEG 2000" and not metadata.has_end(content):
        raise Undecodable("broken or truncated: it lacks its end")
    if kind != "TIFF":
        try:
            return _ByPillow(content, kind, _opened(content, kind, max_pixels))
        except _Unidentified:
            if kind == "JPEG" and (of := metadata.jpeg_kind(content)):
                raise _Refused(f"{of}: not read, convert it to PNG") from None
            raise
    try:
        layout = tiffs.layout(content)
    except tiffs.Broken:
        raise Undecodable("broken or truncated: its TIFF directory is not whole") from None
    if layout.decoded_pixels() > max_pixels:
        raise TooLarge(f"{layout.width} x {layout.height} pixels are more than {max_pixels:,}")
    if layout.by_opencv:
        return _ByOpenCV(content, layout)
    if layout.unreadable:
        raise _Refused(f"{layout.name}: {_NOT_READ}")
    try:
        if content[:4] == b"MM\0+":  # which Pillow does not know
            content = tiffs.bare(content, layout)
        return _ByPillow(content, kind, _opened(content, kind, max_pixels), layout)
    except (_Unidentified, tiffs.Broken):
        raise _Refused(f"{layout.name}: {_NOT_READ}") from None


def _opened(content: bytes, kind: str, max_pixels: int) -> Image.Image:
    # Pillow refuses what is twice its own limit, which a user may want to exceed.
    Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    if kind == "HEIC":
        _register_heif()
    try:
        image = Image.open(io.BytesIO(content), formats=[_PLUGINS.get(kind, kind)])
    except Image.DecompressionBombError:
        raise TooLarge(f"it has more than {max_pixels:,} pixels") from None
    except Image.UnidentifiedImageError:
        raise _Unidentified(f"broken or truncated: it begins as {kind}, but its header is not whole") from None
    except Exception as error:
        raise Undecodable(_reason(error)) from None
    if image.width * image.height > max_pixels:
        raise TooLarge(f"{image.width} x {image.height} pixels are more than {max_pixels:,}")
    return image


@functools.cache
def _register_heif() -> None:
    importlib.import_module(HEIF_PLUGIN).register_heif_opener()


def _quieten() -> None:
    """Keep what libraries print by themselves off the terminal: what is wrong with an image is told as a finding."""
    # By module, and not by catch_warnings, which is for one thread; a filter that is there is not added again.
    warnings.filterwarnings("ignore", module=r"(PIL\.|kiln\.modalities\.image\.(deep|images|levels|metadata|tiffs)$)")
    _quieten_libraries()


@functools.cache
def _quieten_libraries() -> None:
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Pillow's libtiff writes to the terminal from C; where it cannot be reached like that, it goes on writing.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"broken or truncated: {text[:200]}"


def _eight_bits(
    values: np.ndarray,
    void: np.ndarray | None,
    within: levels.Range | None,
    name: str,
    most: int,
    inverted: bool = False,
) -> Image.Image:
    """Scale deep values, as ``values`` gives them, where whole numbers reach up to ``most``."""
    if within is None:
        if values.dtype.kind == "f" or (values.size and not 0 <= values.min() <= values.max() <= most):
            raise _Refused(f"{name}: its values have no agreed range, give clean.range or save it with 8 or 16 bits")
        within = (0, most)
    shades, opacity = _parted(values)
    scaled = levels.scale(shades, within)
    if inverted:
        scaled = 255 - scaled
    if void is not None:
        scaled[void] = 0
    image = Image.fromarray(scaled)
    if opacity is not None:
        full = 1 if values.dtype.kind == "f" else most if values.dtype == np.uint16 else np.iinfo(values.dtype).max
        image.putalpha(Image.fromarray(levels.scale(opacity, (0, full))))
    return image


def _parted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Part deep values from how opaque each pixel is."""
    if values.ndim == 2:
        return values, None
    bands = values.shape[2]
    return values[..., 0] if bands < 3 else values[..., :3], None if bands % 2 else values[..., -1]


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
