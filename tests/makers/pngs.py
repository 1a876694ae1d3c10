"""PNG written chunk by chunk: what no library writes."""

import struct
import zlib


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(height: int, width: int, bits: int, color: int, rows: bytes, beside: bytes = b"", passes: int = 0) -> bytes:
    """Make a PNG of a colour type, its rows with their filters, and the chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, passes)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + beside + pixels + chunk(b"IEND", b"")


def put_in(content: bytes, name: bytes, body: bytes, wrong: bool = False) -> bytes:
    """Put a chunk before the pixels of a PNG, perhaps with a wrong checksum."""
    made = chunk(name, body)
    return content[:33] + (made[:-4] + bytes(4) if wrong else made) + content[33:]
