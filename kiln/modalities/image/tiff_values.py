"""The values of deep TIFFs, decoded by OpenCV from a rewritten directory.

OpenCV supports more kinds of deep pixels than Pillow, but neither planes nor
white-is-zero, and it applies the orientation: it gets only the tags that say
where the pixels are and how they are encoded.
"""

import struct

import cv2
import numpy as np

from kiln.modalities.image import tiffs


def bare(content: bytes, of: tiffs.Layout) -> bytes:
    """Return the file with only the tags of the picture, its orientation and its profile."""
    tags = {
        tag: of.tags[tag] for tag in (*tiffs.LAID, *tiffs.MEANT, tiffs.ORIENTATION, tiffs.PROFILE) if tag in of.tags
    }
    offsets, counts = _places(of)
    return _rewritten(content, of, tags, offsets, counts)


def values(content: bytes, of: tiffs.Layout) -> tuple[np.ndarray, np.ndarray | None]:
    """Decode deep pixels, not upright.

    Args:
        content: a TIFF.
        of: its layout, for which ``by_opencv`` holds.

    Returns:
        [height, width] or [height, width, 2 to 4] in the samples' type (of the extra
        samples, only opacity; colours are not premultiplied by it), and where there
        are no data by GDAL's tag: bool [height, width], or None.

    Raises:
        tiffs.Broken: OpenCV cannot decode it.
    """
    offsets, counts = _places(of)
    if of.planes and of.samples > 1:
        # Each plane is a gray image.
        strips, rest = divmod(len(offsets), of.samples)
        if rest or not strips:
            raise tiffs.Broken
        starts = range(0, strips * (of.colors + of.alpha), strips)
        planes = [_decoded(content, of, offsets[at : at + strips], counts[at : at + strips], 1) for at in starts]
        samples = planes[0] if len(planes) == 1 else np.stack(planes, axis=-1)
    else:
        samples = _decoded(content, of, offsets, counts, of.samples)
        if of.samples > 1:
            samples = samples[..., [2, 1, 0, 3][: 3 + of.alpha]]
    void = _void(samples, of)
    return (_divided(samples) if of.extra[:1] == (tiffs.PREMULTIPLIED,) else samples), void


def _divided(samples: np.ndarray) -> np.ndarray:
    """Divide premultiplied colours by opacity."""
    whole = None if samples.dtype.kind == "f" else np.iinfo(samples.dtype)
    opaque = samples[..., -1:] / (whole.max if whole else 1.0)
    colors = np.divide(samples[..., :-1], opaque, out=np.zeros(samples[..., :-1].shape), where=opaque > 0)
    if whole:
        # The largest value that float64 represents as well.
        np.clip(np.rint(colors, out=colors), whole.min, whole.max - whole.max // 2**53, out=colors)
    return np.concatenate([colors.astype(samples.dtype), samples[..., -1:]], axis=-1)


def _places(of: tiffs.Layout) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if of.places() > of.height * of.width * of.samples:
        raise tiffs.Broken
    offsets, counts = (of.numbers(strips) or of.numbers(tiles) for strips, tiles in (tiffs.OFFSETS, tiffs.COUNTS))
    if not counts and len(offsets) == 1 and of.raw:
        counts = (of.width * of.height * of.samples * of.bits // 8,)
    if not offsets or len(offsets) != len(counts):
        raise tiffs.Broken
    return offsets, counts


def _decoded(content: bytes, of: tiffs.Layout, offsets: tuple, counts: tuple, samples: int) -> np.ndarray:
    kind = np.dtype(f"{'?uif'[of.format]}{of.bits // 8}")
    # OpenCV does not support these two, so their bytes are read as unsigned.
    form = tiffs.UNSIGNED if kind in (np.int8, np.float16) else of.format
    tags = {tag: of.tags[tag] for tag in (*tiffs.LAID, tiffs.COMPRESSION) if tag in of.tags}
    tags |= {
        tiffs.BITS: _shorts(of, *(of.bits,) * samples),
        tiffs.PHOTOMETRIC: _shorts(of, tiffs.BLACK_IS_ZERO if samples == 1 else tiffs.RGB),
        tiffs.SAMPLES: _shorts(of, samples),
        tiffs.FORMAT: _shorts(of, *(form,) * samples),
        **({tiffs.EXTRA: _shorts(of, tiffs.ALPHA)} if samples == 4 else {}),
    }
    try:
        decoded = cv2.imdecode(
            np.frombuffer(_rewritten(content, of, tags, offsets, counts), np.uint8), cv2.IMREAD_UNCHANGED
        )
    except cv2.error:
        decoded = None
    read = np.dtype(f"{'?uif'[form]}{of.bits // 8}")
    if decoded is None or decoded.shape != (of.height, of.width, samples)[: 2 + (samples > 1)] or decoded.dtype != read:
        raise tiffs.Broken
    return decoded.view(kind)


def _void(samples: np.ndarray, of: tiffs.Layout) -> np.ndarray | None:
    try:
        nothing = float(of.tags[tiffs.NODATA][1].strip(b"\0 "))
    except (KeyError, ValueError):
        return None
    same = samples[..., : of.colors] == nothing if samples.ndim == 3 else samples == nothing
    return same.all(axis=-1) if samples.ndim == 3 else same


def _rewritten(content: bytes, of: tiffs.Layout, tags: dict, offsets: tuple, counts: tuple) -> bytes:
    """Append a directory of plain TIFF, for BigTIFF too, and make it the first."""
    start = len(content) + len(content) % 2
    if start >= 2**31 or any(at + size > len(content) for at, size in zip(offsets, counts, strict=True)):
        raise tiffs.Broken
    tiled = tiffs.TILE[0] in tags
    tags = {
        **{tag: _plain(of, kind, raw) for tag, (kind, raw) in tags.items()},
        tiffs.WIDTH: _longs(of, of.width),
        tiffs.HEIGHT: _longs(of, of.height),
        tiffs.OFFSETS[tiled]: _longs(of, *offsets),
        tiffs.COUNTS[tiled]: _longs(of, *counts),
    }
    behind = start + 2 + 12 * len(tags) + 4
    entries, outside = [], b""
    for tag, (kind, raw) in sorted(tags.items()):
        count = len(raw) // tiffs.SIZES[kind]
        if len(raw) > 4:
            place = behind + len(outside)
            outside += raw + bytes(len(raw) % 2)
            raw = struct.pack(f"{of.order}I", place)
        entries.append(struct.pack(f"{of.order}HHI", tag, kind, count) + raw.ljust(4, b"\0"))
    head = (b"II*\0" if of.order == "<" else b"MM\0*") + struct.pack(f"{of.order}I", start)
    directory = struct.pack(f"{of.order}H", len(entries)) + b"".join(entries) + bytes(4)
    return b"".join([head, content[8:], bytes(start - len(content)), directory, outside])


def _shorts(of: tiffs.Layout, *numbers: int) -> tuple[int, bytes]:
    return tiffs.SHORT, struct.pack(f"{of.order}{len(numbers)}H", *numbers)


def _longs(of: tiffs.Layout, *numbers: int) -> tuple[int, bytes]:
    return tiffs.LONG, struct.pack(f"{of.order}{len(numbers)}I", *numbers)


def _plain(of: tiffs.Layout, kind: int, raw: bytes) -> tuple[int, bytes]:
    """Convert a field of BigTIFF's 64-bit type to plain TIFF's type."""
    if kind != tiffs.LONG8:
        return kind, raw
    numbers = struct.unpack(f"{of.order}{len(raw) // 8}Q", raw)
    return _longs(of, *(min(number, 2**32 - 1) for number in numbers))
