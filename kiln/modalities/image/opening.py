"""Open image files: read the header, and decode the pixels by Pillow or, where it cannot, by OpenCV."""

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
# Memory of all images that are being decoded, whatever the number of cores: 22 photos of 12 million pixels.
DECODING = parallel.Budget(2 * 2**30)
# Pillow takes four bytes per pixel, as many again if the image is rotated, and twice as many if it is put on white.
_BYTES, _BYTES_OF_OTHERS = 8, 16
# Memory per deep sample during the conversion to 8 bits: 64-bit floats in addition to the values.
_BYTES_OF_DEEP = 14
_ORIENTATION = 0x0112
# How to make the picture upright, by EXIF's orientation.
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
    """The file seems intact, but its kind is not supported."""


class _Unidentified(Undecodable):
    """Pillow does not recognise the image."""


class _ByPillow:
    """An open image file that Pillow decodes.

    Attributes:
        deep: whether its values need more than 8 bits.
        gray: whether it has one colour.
        size: (height, width) of the upright image.
        profile: the ICC profile, or None.
        trouble: what is wrong outside the pixels, or None.
    """

    def __init__(self, content: bytes, kind: str, image: Image.Image, layout: tiffs.Layout | None = None):
        self.content, self.kind, self.image = content, kind, image
        # Pillow reduces several channels of more than 8 bits to 8.
        self.most = deep.most(kind, content)
        self.name, self.deep = f"deep {kind}", self.most is not None or image.mode in _DEEP_GRAY
        if layout and self.deep:
            self.name, self.most = layout.name, 2**layout.bits - 1
        self.gray = image.mode in _GRAY or (kind == "PNG" and content[25] == deep.PNG_GRAY_ALPHA)
        self.profile = metadata.jp2_profile(content) if kind == "JPEG 2000" else image.info.get("icc_profile")
        if kind == "PNG" and image.mode == "L" and content[24] < 8 and "transparency" in image.info:
            # Pillow stretches the values, but not this one.
            image.info["transparency"] = image.info["transparency"] * 255 // (2 ** content[24] - 1)
        self.turn, self.trouble = None, None
        if kind != "TIFF":  # Pillow returns size and pixels of a TIFF upright
            if kind == "PNG" and (exif := metadata.png_exif(content)):
                image.info["exif"] = exif
            try:
                # Not by the method of PNG images, which decodes the file and loses its errors.
                self.turn = _TURNS.get(Image.Image.getexif(image).get(_ORIENTATION))
            except Exception:  # Pillow raises arbitrary exceptions; the pixels may be intact
                self.trouble = "EXIF is broken: read without it"
        self.size = (image.width, image.height) if self.turn in _LYING else (image.height, image.width)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.image.close()

    def bytes(self) -> int:
        """Estimate an upper bound of the memory for converting the image."""
        plain = self.image.mode in ("L", "RGB") and not self.image.has_transparency_data
        each = _BYTES if plain else _BYTES_OF_OTHERS
        if self.deep and self.image.mode != "I;16":  # which a table converts to 8 bits
            each += _BYTES_OF_DEEP * len(self.image.getbands())
        return self.image.width * self.image.height * each

    def values(self) -> tuple[np.ndarray, None]:
        """Decode deep values, not upright: [height, width], or [height, width, 2 to 4]; band 2 or 4 is opacity."""
        self.image.load()
        if self.kind == "TIFF":
            return np.asarray(self.image).astype(np.uint16, copy=False), None
        try:
            return deep.values(self.kind, self.content, self.image), None
        except deep.Broken as error:
            raise Undecodable(f"{self.name}: {error}") from None

    def picture(self, within: levels.Range | None) -> Image.Image:
        """Decode to 8 bits per channel, upright."""
        self.image.load()
        if self.kind == "PNG" and metadata.is_damaged_png(self.content):
            self.trouble = "its checksum is wrong: some pixels may be damaged"
        image = _eight_bits(*self.values(), within, self.name, self.most) if self.deep else self.image
        image = image.convert("LA") if image.mode == "La" else image  # the only conversion that Pillow knows for it
        return image if self.turn is None else image.transpose(self.turn)


class _ByOpenCV:
    """As ``_ByPillow``: a TIFF that Pillow does not decode, or decodes wrongly."""

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
        """Estimate an upper bound of the memory for converting the image."""
        each = self.layout.pixel_bytes() + _BYTES_OF_DEEP * self.layout.samples
        return 2 * len(self.content) + 80 * self.layout.places() + self.layout.decoded_pixels() * each

    def values(self) -> tuple[np.ndarray, np.ndarray | None]:
        """As in ``_ByPillow``, and where there are no data: bool [height, width], or None."""
        try:
            return tiff_values.values(self.content, self.layout)
        except tiffs.Broken:
            raise Undecodable(f"{self.layout.name}: broken, truncated or of a kind that is not read") from None

    def picture(self, within: levels.Range | None) -> Image.Image:
        """Decode to 8 bits per channel, upright."""
        image = _eight_bits(*self.values(), within, self.layout.name, _FULL, self.layout.inverted)
        return image if self.turn is None else image.transpose(self.turn)


def open_image(content: bytes, max_pixels: int = MAX_PIXELS) -> _ByPillow | _ByOpenCV:
    """Open an image file and read its header.

    Raises:
        Undecodable, TooLarge: as ``decoding.decode``.
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
            if kind == "JPEG" and (variant := metadata.jpeg_kind(content)):
                raise Refused(f"{variant}: not read, convert it to PNG") from None
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
        if content[:4] == b"MM\0+":  # which Pillow does not recognise
            content = tiff_values.bare(content, layout)
        return _ByPillow(content, kind, _opened(content, kind, max_pixels), layout)
    except (_Unidentified, tiffs.Broken):
        raise Refused(f"{layout.name}: {_NOT_READ}") from None


def _opened(content: bytes, kind: str, max_pixels: int) -> Image.Image:
    # Pillow rejects images of twice its own limit, which a user may raise.
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
    """Silence the output of libraries: what is wrong with an image is reported as a finding."""
    # By module, not by catch_warnings, which is for one thread; an existing filter is not added again.
    warnings.filterwarnings("ignore", module=r"(PIL\.|kiln\.modalities\.image\.)")
    _quieten_libraries()


@functools.cache
def _quieten_libraries() -> None:
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    # Pillow's libtiff writes to the terminal from C; if this call is not possible, it keeps writing.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


def describe_error(error: Exception) -> str:
    """Describe in one line why a file cannot be decoded."""
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
    """Scale deep values, as returned by ``values``; integers range up to ``most``."""
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
    """Separate deep values from the opacity of each pixel."""
    if values.ndim == 2:
        return values, None
    bands = values.shape[2]
    return values[..., 0] if bands < 3 else values[..., :3], None if bands % 2 else values[..., -1]
