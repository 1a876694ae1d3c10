"""Image files whose header is read and whose pixels can be decoded, by Pillow or, where it cannot, by OpenCV."""

import ctypes
import functools
import importlib
import io
import logging
import warnings
from contextlib import suppress

import cv2
import numpy as np
from PIL import Image

from kiln.core import formats, parallel
from kiln.core.formats import sniff
from kiln.modalities.base import TooLarge, Undecodable
from kiln.modalities.image import deep, levels, metadata, tiff_values, tiffs
from kiln.modalities.image.formats import HEIF_PLUGIN, READ

_PLUGINS = {"JPEG 2000": "JPEG2000", "HEIC": "HEIF"}
MAX_PIXELS = 100_000_000
# What images that are being decoded may take together, however many cores decode: 22 photos of 12 million pixels.
DECODING = parallel.Budget(2 * 2**30)
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


class Refused(Undecodable):
    """It is whole for all that is known, but of a kind that is not read."""


class _Unidentified(Undecodable):
    """Pillow finds no image that it knows."""


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
            return tiff_values.values(self.content, self.layout)
        except tiffs.Broken:
            raise Undecodable(f"{self.layout.name}: broken, truncated or of a kind that is not read") from None

    def picture(self, within: levels.Range | None) -> Image.Image:
        """Decode to 8 bits a channel, upright."""
        image = _eight_bits(*self.values(), within, self.layout.name, _FULL, self.layout.inverted)
        return image if self.turn is None else image.transpose(self.turn)


def open_image(content: bytes, max_pixels: int = MAX_PIXELS) -> _ByPillow | _ByOpenCV:
    """Read the header.

    Raises:
        Undecodable, TooLarge: as ``decoding.decode`` does.
    """
    _quieten()
    kind = sniff(content[: formats.HEAD])
    if kind not in READ:
        known = f"not an image of a known format ({', '.join(sorted(READ))})"
        raise Refused(_REMEDIES.get(kind, f"{kind}: {known}" if kind else known))
    if kind == "JPEG 2000" and not metadata.has_end(content):
        raise Undecodable("broken or truncated: it lacks its end")
    if kind != "TIFF":
        try:
            return _ByPillow(content, kind, _opened(content, kind, max_pixels))
        except _Unidentified:
            if kind == "JPEG" and (of := metadata.jpeg_kind(content)):
                raise Refused(f"{of}: not read, convert it to PNG") from None
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
        raise Refused(f"{layout.name}: {_NOT_READ}")
    try:
        if content[:4] == b"MM\0+":  # which Pillow does not know
            content = tiff_values.bare(content, layout)
        return _ByPillow(content, kind, _opened(content, kind, max_pixels), layout)
    except (_Unidentified, tiffs.Broken):
        raise Refused(f"{layout.name}: {_NOT_READ}") from None


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
        raise Undecodable(describe_error(error)) from None
    if image.width * image.height > max_pixels:
        raise TooLarge(f"{image.width} x {image.height} pixels are more than {max_pixels:,}")
    return image


@functools.cache
def _register_heif() -> None:
    importlib.import_module(HEIF_PLUGIN).register_heif_opener()


def _quieten() -> None:
    """Keep what libraries print by themselves off the terminal: what is wrong with an image is told as a finding."""
    # By module, and not by catch_warnings, which is for one thread; a filter that is there is not added again.
    warnings.filterwarnings("ignore", module=r"(PIL\.|kiln\.modalities\.image\.)")
    _quieten_libraries()


@functools.cache
def _quieten_libraries() -> None:
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Pillow's libtiff writes to the terminal from C; where it cannot be reached like that, it goes on writing.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


def describe_error(error: Exception) -> str:
    """Say in a line why a file cannot be decoded."""
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
            raise Refused(
                f"{name}: its values have no agreed range, give clean.image.range or save it with 8 or 16 bits"
            )
        within = (0, most)
    shades, opacity = split_opacity(values)
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


def split_opacity(values: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Part deep values from how opaque each pixel is."""
    if values.ndim == 2:
        return values, None
    bands = values.shape[2]
    return values[..., 0] if bands < 3 else values[..., :3], None if bands % 2 else values[..., -1]
