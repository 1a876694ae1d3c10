"""Repair files with broken metadata or a broken tail, by removing what is not the picture."""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from PIL import Image

from kiln.modalities.image import tiff_values, tiffs

_NOTE = "its metadata is broken: read without it"
_END = b"\xff\xd9"
_JP2 = b"\0\0\0\x0c"
_PNG_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_PNG_KEPT = (*_PNG_NEEDED, b"eXIf", b"iCCP", b"sRGB")
# First column, first row, and the steps between columns and rows of each pass of an interlaced PNG.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_WEBP_NEEDED = (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
_WEBP_FLAGS = 0x20 | 0x08 | 0x04  # profile, EXIF, XMP
# JPEG's markers: comments and application segments, except Adobe's, which defines the colours.
_JPEG_BESIDE = frozenset(range(0xE0, 0xF0)) - {0xEE} | {0xFE}
_JPEG_ADOBE = 16  # bytes, with the marker
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_PROGRESSIVE = frozenset([0xC2, 0xC6, 0xCA, 0xCE])
_JPEG_LOSSLESS = frozenset([0xC3, 0xC7, 0xCB, 0xCF])
_JPEG_LS = 0xF7
_ZEROS = bytes(64)


def attempts(kind: str | None, content: bytes) -> Iterator[tuple[bytes, str]]:
    """Yield repaired versions of a file that cannot be decoded as it is, each with a note.

    Args:
        kind: as returned by ``formats.sniff``.
        content: the file.
    """
    ways = {
        "JPEG": (_jpeg_upright, _jpeg),
        "PNG": (_png_upright, _png, _png_opaque),
        "WEBP": (_webp,),
        "TIFF": (_tiff,),
    }
    for way in ways.get(kind, ()):
        # The first attempt has reported what is wrong with the file.
        with suppress(IndexError, ValueError, struct.error, zlib.error, tiffs.Broken):
            changed = way(content)
            if changed != content:
                yield changed, _NOTE


def _png_upright(content: bytes) -> bytes:
    return _png(content, _PNG_KEPT)


def _png(content: bytes, kept: tuple[bytes, ...] = _PNG_NEEDED) -> bytes:
    parts = [content[:8]]
    for name, start, end in _chunks(content):
        # A wrong checksum costs metadata, not pixels.
        if name in kept and (name in _PNG_NEEDED or _is_sound(content, start, end)):
            parts.append(content[start:end])
        if name == b"IEND":
            break
    return b"".join(parts)


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of a PNG's chunks; the last may be truncated."""
    place = 8
    while place + 8 <= len(content):
        size, name = struct.unpack_from(">I4s", content, place)
        yield name, place, place + 12 + size
        place += 12 + size


def _is_sound(content: bytes, start: int, end: int) -> bool:
    return struct.pack(">I", zlib.crc32(content[start + 4 : end - 4])) == content[end - 4 : end]


def png_exif(content: bytes) -> bytes | None:
    """Return a PNG's EXIF, also if it follows the pixels, where Pillow would have to decode them to find it."""
    return next((content[start + 8 : end - 4] for name, start, end in _chunks(content) if name == b"eXIf"), None)


def is_damaged_png(content: bytes) -> bool:
    """Check whether a PNG's pixels are damaged, by their checksums, which Pillow ignores."""
    return not all(
        _is_sound(content, start, end)
        for name, start, end in _chunks(content)
        if name == b"IDAT" and end <= len(content)
    )


def _png_opaque(content: bytes) -> bytes:
    return _png(content, tuple(name for name in _PNG_NEEDED if name != b"tRNS"))


def flawless_png(content: bytes) -> bytes:
    """Return a PNG that gives a decoder nothing to warn about, since libpng prints warnings to the terminal.

    Args:
        content: a PNG of several channels of 16 bits.

    Raises:
        ValueError, zlib.error, struct.error: its pixels are incomplete.
    """
    width, height, _, color, _, _, interlaced = struct.unpack_from(">IIBBBBB", content, 16)
    pixel_bytes = 2 * {2: 3, 4: 2, 6: 4}[color]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(-(-(height - top) // down), -(-(width - left) // right)) for left, top, right, down in passes]
    sizes = [(rows, 1 + pixel_bytes * columns) for rows, columns in sizes if rows > 0 and columns > 0]
    packed = [content[start + 8 : end - 4] for name, start, end in _chunks(content) if name == b"IDAT"]
    length = sum(rows * step for rows, step in sizes)
    pixels = zlib.decompressobj().decompress(b"".join(packed), length)
    filters, place = set(), 0
    for rows, step in sizes:
        filters |= set(pixels[place : place + rows * step : step])
        place += rows * step
    if len(pixels) != length or max(filters, default=0) > 4:
        raise ValueError
    return content[:33] + _chunk(b"IDAT", zlib.compress(pixels, 1)) + _chunk(b"IEND", b"")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _webp(content: bytes) -> bytes:
    parts, place = [], 12
    while place + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, place)
        chunk = content[place : place + 8 + size + size % 2]
        place += 8 + size + size % 2
        if name == b"VP8X":
            parts.append(chunk[:8] + bytes([chunk[8] & ~_WEBP_FLAGS]) + chunk[9:])
        elif name in _WEBP_NEEDED:
            parts.append(chunk)
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _tiff(content: bytes) -> bytes:
    return tiff_values.bare(content, tiffs.layout(content))


def _jpeg_upright(content: bytes) -> bytes:
    return _jpeg(content, _JPEG_BESIDE - {0xE0, 0xE1, 0xE2})


def _jpeg(content: bytes, left_out: frozenset[int] = _JPEG_BESIDE) -> bytes:
    parts, last = [content[:2]], len(content)
    for marker, start, end in _segments(content):
        if marker == 0xDA:
            last = start
            break
        if marker not in left_out and (marker != 0xEE or end - start >= _JPEG_ADOBE):
            parts.append(content[start:end])
    return b"".join([*parts, content[last:]])


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, start and end of a JPEG's segments; data of scans are skipped."""
    place = 2
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            # After a scan's header: skip to the next marker that is neither a stuffed byte nor a restart.
            place = content.find(b"\xff", place)
            if not 0 <= place <= len(content) - 4:
                return
        marker = content[place + 1]
        if marker == 0xFF:
            place += 1
        elif marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD9:
            place += 2
        else:
            end = place + 2 + struct.unpack_from(">H", content, place + 2)[0]
            yield marker, place, end
            place = end


def with_end(content: bytes) -> bytes | None:
    """Append the end marker to a JPEG that lacks nothing else; None if more is missing.

    Nothing else is missing if all scans are present and bytes that are appended
    change no pixel: a decoder that has read the last block reads no further.

    Args:
        content: a JPEG that the decoder reports as truncated.
    """
    content = content.rstrip(b"\xff")  # fill bytes before a marker, and the content of erased memory
    if content.endswith(_END) or not _all_scans(content) or (ends_in_zeros(content) and has_lost_end(content)):
        return None
    seen = [_pixels(content + 1024 * filler + _END) for filler in (b"\x00", b"\x55", b"\xfe")]
    whole = seen[0] is not None and all(np.array_equal(seen[0], other) for other in seen[1:])
    return content + _END if whole else None


def ends_in_zeros(content: bytes) -> bool:
    """Check whether a file ends in a block of zeros."""
    return content.endswith(_ZEROS)


def has_lost_end(content: bytes) -> bool:
    """Check whether zeros replace the last part of a JPEG, as after an interrupted copy.

    A decoder silently reads them as pixels: other bytes in their place give another picture.

    Args:
        content: a JPEG that can be decoded, except perhaps for a missing end marker.
    """
    kept = content.rstrip(b"\0")
    changed = kept + (len(content) - len(kept)) * b"\x55" + _END
    return not np.array_equal(_pixels(content + _END), _pixels(changed))


def _pixels(content: bytes) -> np.ndarray | None:
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            return np.asarray(image)
    except Exception:  # Pillow raises arbitrary exceptions
        return None


def jpeg_kind(content: bytes) -> str | None:
    """Name the kind of an unsupported JPEG; None for the usual kind."""
    for marker, start, _ in _segments(content):
        if marker == _JPEG_LS:
            return "JPEG-LS"
        if marker in _JPEG_FRAMES:
            bits = int.from_bytes(content[start + 4 : start + 5], "big")
            return f"{bits}-bit {'lossless ' * (marker in _JPEG_LOSSLESS)}JPEG" if bits != 8 else None
    return None


def _all_scans(content: bytes) -> bool:
    """Check whether the scans' headers cover every coefficient of every component, to the last bit."""
    missing, progressive = None, False
    with suppress(IndexError, KeyError, ValueError, struct.error):
        for marker, start, end in _segments(content):
            part = content[start + 4 : end]
            if marker in _JPEG_FRAMES:
                progressive = marker in _JPEG_PROGRESSIVE
                missing = {part[6 + 3 * number]: set(range(64)) for number in range(part[5])}
            elif marker == 0xDA and missing:
                count = part[0]
                first, last, bits = part[1 + 2 * count : 4 + 2 * count]
                for component in part[1 : 1 + 2 * count : 2]:
                    if not progressive:
                        missing[component] = set()
                    elif not bits & 15:
                        missing[component] -= set(range(first, last + 1))
    return bool(missing) and not any(missing.values())


def has_end(content: bytes) -> bool:
    """Check whether a JPEG 2000 file is complete, since the decoder would make a coarser picture of a part."""
    end = next((end for name, _, end in _boxes(content, 0, len(content)) if name == b"jp2c"), len(content))
    return end <= len(content) and content[:end].endswith(_END)


def jp2_profile(content: bytes) -> bytes | None:
    """Return the ICC profile of a JPEG 2000 file, which Pillow does not read."""
    for name, start, end in _boxes(content, 0, len(content)):
        if name == b"jp2h":
            colors = (content[at:stop] for box, at, stop in _boxes(content, start, end) if box == b"colr")
            return next((color[3:] for color in colors if color[:1] == b"\x02"), None)
    return None


def jp2_depths(content: bytes) -> tuple[int, ...]:
    """Return the bits of each component of a JPEG 2000 file (ISO 15444-1, A.5.1), negative if it is signed."""
    start = next((start for name, start, _ in _boxes(content, 0, len(content)) if name == b"jp2c"), 0)
    count = int.from_bytes(content[start + 40 : start + 42], "big")
    sizes = content[start + 42 : start + 42 + 3 * count : 3]
    return tuple((size % 128 + 1) * (-1 if size >= 128 else 1) for size in sizes)


def _boxes(content: bytes, place: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and end of a JPEG 2000 file's boxes up to its picture; none for other files."""
    while content[:4] == _JP2 and place + 8 <= stop:
        size, name = struct.unpack_from(">I4s", content, place)
        start = place + 8
        if size == 1 and place + 16 <= stop:
            (size,) = struct.unpack_from(">Q", content, start)
            start += 8
        end = place + size if size else stop
        yield name, start, end
        if name == b"jp2c" or end < start:
            return
        place = end
