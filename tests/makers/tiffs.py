"""TIFF written tag by tag: what no library writes."""

import struct
import zlib

import numpy as np

FORMATS = {"u": 1, "i": 2, "f": 3}


def tiff(values: np.ndarray, photometric: int, **how) -> bytes:
    """Write one strip a plane: [H, W] or [H, W, C].

    ``how``: planar 1 or 2, order "<" or ">", deflate, predictor, orientation, big (BigTIFF), tags (numbers or bytes).
    """
    order, planar, predictor = how.get("order", "<"), how.get("planar", 1), how.get("predictor", 1)
    values = np.atleast_3d(values)
    height, width, channels = values.shape
    planes = [values[..., number] for number in range(channels)] if planar == 2 else [values]
    if predictor == 2:
        planes = [np.concatenate([plane[:, :1], np.diff(plane, axis=1)], axis=1) for plane in planes]
    strips = [plane.astype(values.dtype.newbyteorder(order)).tobytes() for plane in planes]
    strips = [zlib.compress(strip) for strip in strips] if how.get("deflate") else strips
    big = how.get("big", False)
    content = bytearray(16 if big else 8)
    offsets = []
    for strip in strips:
        offsets.append(len(content))
        content += strip + bytes(len(strip) % 2)
    tags = {
        256: [width], 257: [height], 258: [8 * values.dtype.itemsize] * channels, 259: [8 if how.get("deflate") else 1],
        262: [photometric], 273: offsets, 274: [how.get("orientation", 1)], 277: [channels], 278: [height],
        279: [len(strip) for strip in strips], 284: [planar], 317: [predictor],
        339: [FORMATS[values.dtype.kind]] * channels, **how.get("tags", {}),
    }  # fmt: skip
    entries, inline = [], 8 if big else 4
    for tag, numbers in sorted(tags.items()):
        kind = 2 if isinstance(numbers, bytes) else 4 if tag in (273, 279) else 3
        raw = numbers if kind == 2 else struct.pack(f"{order}{len(numbers)}{'I' if kind == 4 else 'H'}", *numbers)
        if len(raw) > inline:
            place, raw = len(content), raw + bytes(len(raw) % 2)
            content += raw
            raw = struct.pack(order + ("Q" if big else "I"), place)
        entries.append(
            struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(numbers)) + raw.ljust(inline, b"\0")
        )
    directory = len(content)
    content += struct.pack(order + ("Q" if big else "H"), len(entries)) + b"".join(entries) + bytes(inline)
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, directory) if big else struct.pack(f"{order}HI", 42, directory)
    content[: len(mark + head)] = mark + head
    return bytes(content)
