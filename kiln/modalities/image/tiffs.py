"""The first directory of a TIFF (TIFF 6.0, BigTIFF), and which library decodes it.

Pillow decodes samples of 8 bits. It scrambles planes and byte orders of deep pixels
and supports few kinds of them; OpenCV decodes these, see ``tiff_values``.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
_CMYK, _YCBCR = 5, 6
_RAW, _WEBP, _PACKBITS = 1, 50001, 32773
PREMULTIPLIED, ALPHA = 1, 2  # values of the tag ExtraSamples
_PHOTOMETRICS = {
    0: "gray",
    1: "gray",
    2: "RGB",
    3: "palette",
    4: "mask",
    5: "CMYK",
    6: "YCbCr",
    8: "CIELab",
    9: "ICCLab",
    10: "ITULab",
    32803: "camera raw (CFA)",
    32844: "LogL",
    32845: "LogLuv",
    34892: "camera raw (linear)",
}
_FORMATS = {_SIGNED: "signed ", 5: "complex integer ", 6: "complex "}
# Compressions that few programs support, so that messages name them.
_COMPRESSIONS = {
    6: "old JPEG",
    22610: "JPEG XR",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34712: "JPEG 2000",
    34887: "LERC",
    34925: "LZMA",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, SAMPLES = 256, 257, 258, 259, 262, 274, 277
_SUBFILE, _PLANAR, EXTRA, FORMAT, _SUB_DIRECTORIES, PROFILE, NODATA, _DNG = (
    254,
    284,
    338,
    339,
    330,
    34675,
    42113,
    50706,
)
OFFSETS, COUNTS = (273, 324), (279, 325)
TILE, _PREDICTOR = (322, 323), 317
_SUBSAMPLING = 530
# Where pixels are and how they are encoded: rows per strip, predictor, fill order, fax options, tiles, JPEG tables ...
LAID = (266, 278, 292, 293, _PREDICTOR, *TILE, 347)
# ... and their meaning: palette, inks, YCbCr's coefficients and ranges, extra samples.
MEANT = (
    BITS,
    COMPRESSION,
    PHOTOMETRIC,
    SAMPLES,
    _PLANAR,
    EXTRA,
    FORMAT,
    320,
    332,
    336,
    529,
    _SUBSAMPLING,
    531,
    532,
)
_PICTURE = frozenset([WIDTH, HEIGHT, *OFFSETS, *COUNTS, *LAID, *MEANT])
_READ = _PICTURE | {ORIENTATION, PROFILE, _SUBFILE, _SUB_DIRECTORIES, NODATA, _DNG}
# Field types of integers, and the bytes of each type.
_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
SHORT, LONG, LONG8 = 3, 4, 16


class Broken(Exception):
    """The directory is incomplete or describes no picture."""


@dataclass(frozen=True)
class Layout:
    """The content of the first directory.

    Attributes:
        width, height: of the stored pixels, not upright.
        bits: of a sample; 0 if samples differ.
        format: of samples: 1 unsigned, 2 signed, 3 floating point, else others.
        samples: per pixel.
        extra: meaning of the samples after the colours.
        photometric: meaning of the colours.
        planes: whether each sample has its own plane.
        orientation: 1 to 8, as in EXIF; 1 if invalid.
        order: of bytes, as in ``struct``.
        tags: tag -> (type, bytes), of all readable tags.
    """

    width: int
    height: int
    bits: int
    format: int
    samples: int
    extra: tuple[int, ...]
    photometric: int
    planes: bool
    orientation: int
    order: str
    tags: Mapping[int, tuple[int, bytes]]

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The integers of a tag."""
        return _numbers(self.tags, tag, self.order) or default

    @property
    def raw(self) -> bool:
        """Whether it is not compressed."""
        return self.compression == _RAW

    @property
    def compression(self) -> int:
        """The number of the algorithm."""
        return self.numbers(COMPRESSION, (_RAW,))[0]

    @property
    def colors(self) -> int:
        """The number of samples that are colours."""
        return self.samples - len(self.extra)

    @property
    def deep(self) -> bool:
        """Whether the samples need more than 8 bits."""
        return self.bits > 8 or self.format in (_SIGNED, _FLOAT)

    @property
    def gray(self) -> bool:
        """Whether it has one colour."""
        return self.photometric in (_WHITE_IS_ZERO, BLACK_IS_ZERO)

    @property
    def inverted(self) -> bool:
        """Whether 0 is white."""
        return self.photometric == _WHITE_IS_ZERO

    @property
    def by_opencv(self) -> bool:
        """Whether ``values`` reads it: deep gray or RGB, of which Pillow supports a part, and decodes some wrongly."""
        colors = 1 if self.gray else 3 if self.photometric == RGB else 0
        kind = self.deep and self.bits in (8, 16, 32, 64) and self.format <= _FLOAT and colors == self.colors
        known = not self.extra or (colors == 3 and (self.planes or (self.bits > 8 and len(self.extra) == 1)))
        return kind and not self.disputed and (known or (self.planes and len(self.extra) == 1 and self.alpha))

    @property
    def alpha(self) -> bool:
        """Whether ``values`` includes opacity."""
        return self.extra[:1] in ((PREMULTIPLIED,), (ALPHA,))

    @property
    def unreadable(self) -> bool:
        """Whether Pillow would scramble it or call it broken."""
        planes = (self.photometric in (RGB, _CMYK) and self.bits == 8) or (self.photometric == _YCBCR and not self.raw)
        planes = planes and not (self.raw and PREMULTIPLIED in self.extra)
        subsampled = self.photometric == _YCBCR and self.raw and self.numbers(_SUBSAMPLING) != (1, 1)
        scrambled = subsampled or (self.planes and self.samples > 1 and not planes) or self.disputed
        known = self.bits and self.colors <= 4 and self.format <= 4 and self.compression != _WEBP
        return self.camera_raw or scrambled or not known

    @property
    def disputed(self) -> bool:
        """Whether programs disagree on its pixels: some apply a predictor with PackBits, others do not."""
        return self.compression == _PACKBITS and self.numbers(_PREDICTOR, (1,)) != (1,)

    @property
    def camera_raw(self) -> bool:
        """Whether it is a camera raw file, whose first picture is a small preview."""
        preview = self.numbers(_SUBFILE) == (1,) and _SUB_DIRECTORIES in self.tags
        return _DNG in self.tags or preview or self.photometric in (32803, 34892)

    @property
    def profile(self) -> bytes | None:
        """The ICC profile."""
        return self.tags[PROFILE][1] if PROFILE in self.tags else None

    @property
    def name(self) -> str:
        """The kind of file, for messages."""
        if self.camera_raw:
            return "camera raw file (DNG, NEF, ...)"
        depth = "mixed" if not self.bits else f"{self.bits}-bit"
        kind = f"{_FORMATS.get(self.format, '')}{depth}{' floating-point' if self.format == _FLOAT else ''}"
        colors = {"gray": 1, "palette": 1, "mask": 1, "CMYK": 4}.get(what := _PHOTOMETRICS.get(self.photometric), 3)
        packed = f" compressed by {by}" if (by := _COMPRESSIONS.get(self.compression)) else ""
        packed = " compressed by PackBits with a predictor" if self.disputed else packed
        if what is None or self.colors != colors or len(self.extra) > 1:
            return f"TIFF with {self.samples} bands of {kind} values{packed}"
        alpha = "" if not self.extra else " + alpha" if self.alpha else " + band"
        return f"{kind} {what}{alpha} TIFF{' in planes' if self.planes and self.samples > 1 else ''}{packed}"

    def pixel_bytes(self) -> int:
        """Bytes of memory per pixel while ``values`` decodes: samples, copy and buffer."""
        return 3 * self.samples * max(self.bits, 8) // 8

    def places(self) -> int:
        """Upper bound of the number of strips or tiles."""
        return max(len(self.tags[tag][1]) // 2 if tag in self.tags else 0 for tag in OFFSETS)

    def decoded_pixels(self) -> int:
        """Number of decoded pixels: those of a tile if it is larger than the image."""
        tile = [self.numbers(tag, (0,))[0] for tag in TILE]
        return max(self.width * self.height, tile[0] * tile[1])


def layout(content: bytes) -> Layout:
    """Read the first directory.

    Raises:
        Broken: the directory or a tag that the picture needs is incomplete.
    """
    order = "<" if content[:1] == b"I" else ">"
    try:
        tags = _directory(content, order)
    except (struct.error, OverflowError):
        raise Broken from None

    def numbers(tag: int, default: int) -> tuple[int, ...]:
        return _numbers(tags, tag, order) or (default,)

    width, height, samples = (numbers(tag, 0)[0] for tag in (WIDTH, HEIGHT, SAMPLES))
    samples = samples or 1
    bits, formats, orientation = (
        numbers(BITS, 1)[:samples],
        numbers(FORMAT, UNSIGNED)[:samples],
        numbers(ORIENTATION, 1),
    )
    extra, photometric = _numbers(tags, EXTRA, order), numbers(PHOTOMETRIC, 0)[0]
    if samples == 4 and not extra and photometric == RGB:
        extra = (ALPHA,)  # as Pillow assumes if the tag is missing
    if min(width, height) < 1 or not samples - len(extra) > 0:
        raise Broken
    return Layout(
        width,
        height,
        bits[0] if len(set(bits)) == 1 else 0,
        formats[0] if len(set(formats)) == 1 else 0,
        samples,
        extra,
        photometric,
        numbers(_PLANAR, 1)[0] == 2,
        orientation[0] if orientation[0] in range(1, 9) else 1,
        order,
        tags,
    )


def _directory(content: bytes, order: str) -> dict[int, tuple[int, bytes]]:
    big = b"+" in content[2:4]
    (start,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", content, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", content, start)
    inline, entry = (8, f"{order}HHQ") if big else (4, f"{order}HHI")
    place, step = start + (8 if big else 2), struct.calcsize(entry) + inline
    if place + count * step > len(content):
        raise Broken
    tags, held = {}, 0
    for at in range(place, place + count * step, step):
        tag, kind, values = struct.unpack_from(entry, content, at)
        size, value = SIZES.get(kind, 0) * values, at + step - inline
        if size > inline:
            (value,) = struct.unpack_from(f"{order}{'Q' if big else 'I'}", content, value)
        if tag not in _READ or tag in tags:
            continue
        # Values that overlap could add up to any size: together they may not exceed the file.
        held += size
        if size and value + size <= len(content) and held <= len(content):
            tags[tag] = (kind, content[value : value + size])
        elif tag in _PICTURE:
            raise Broken
    return tags


def _numbers(tags: Mapping[int, tuple[int, bytes]], tag: int, order: str) -> tuple[int, ...]:
    kind, raw = tags.get(tag, (0, b""))
    form = _NUMBERS.get(kind)
    return struct.unpack(f"{order}{len(raw) // SIZES[kind]}{form}", raw) if form else ()
