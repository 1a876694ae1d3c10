"""Colour profiles (ICC, version 2) written tag by tag."""

import io
import struct

import numpy as np
from PIL import Image, ImageCms


def curve(gamma: float) -> bytes:
    """Make a curve of an ICC profile: one number, in 1/256."""
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def xyz(*numbers: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(number * 65536) for number in numbers))


def profile(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Make an ICC profile (version 2) of a display."""
    head = (
        struct.pack(">I4sI4s4s4s", 0, bytes(4), 0x02400000, b"mntr", space, b"XYZ ") + bytes(12) + b"acsp" + bytes(28)
    )
    head += struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D) + bytes(48)
    place, entries, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        entries += struct.pack(">4sII", name, place + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    whole = head + struct.pack(">I", len(tags)) + entries + body
    return struct.pack(">I", len(whole)) + whole[4:]


WHITE = {b"wtpt": xyz(0.9642, 1, 0.8249)}


def of_rgb(red: bytes, green: bytes, blue: bytes, gamma: float) -> bytes:
    primaries = {b"rXYZ": red, b"gXYZ": green, b"bXYZ": blue}
    return profile(b"RGB ", WHITE | primaries | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma)))


# Primaries of Adobe RGB (1998), adapted to D50, by its specification; and a linear RGB of sRGB's primaries.
ADOBE = of_rgb(
    xyz(0.60974, 0.31111, 0.01947), xyz(0.20528, 0.62567, 0.06087), xyz(0.14919, 0.06322, 0.74457), gamma=2.2
)
LINEAR = of_rgb(xyz(0.43607, 0.22249, 0.01392), xyz(0.38515, 0.71687, 0.09708), xyz(0.14307, 0.06061, 0.7141), gamma=1)
LINEAR_GRAY = profile(b"GRAY", WHITE | {b"kTRC": curve(1)})


def in_srgb(image: Image.Image, made: bytes) -> np.ndarray:
    converted = ImageCms.profileToProfile(image, io.BytesIO(made), ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.asarray(converted)
