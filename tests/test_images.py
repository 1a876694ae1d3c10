"""Golden pixels of the one conversion."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from conftest import noise, png
from PIL import Image

from stages.lib import images, parallel

RGB = images.Conversion(2, 2, 3, "stretch")
GRAY = images.Conversion(2, 2, 1, "stretch")


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def flat(mode: str, color, **options) -> bytes:
    return encoded(Image.new(mode, (2, 2), color), **options)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def deep_png(*pixel: int) -> bytes:
    """Make 2 x 2 pixels of 16-bit RGB, which Pillow does not write."""
    rows = (b"\0" + struct.pack(">3H", *pixel) * 2) * 2
    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def huge_png(height: int, width: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "conversion", "pixel"),
    [
        (flat("RGB", (10, 20, 30)), RGB, (10, 20, 30)),
        (flat("L", 77), RGB, (77, 77, 77)),
        (flat("L", 77), GRAY, (77,)),
        (flat("1", 1), GRAY, (255,)),
        (flat("RGB", (255, 0, 0)), GRAY, (76,)),  # ITU-R 601-2: 0.299 of 255
        (flat("RGBA", (255, 0, 0, 255)), RGB, (255, 0, 0)),
        (flat("RGBA", (255, 0, 0, 0)), RGB, (255, 255, 255)),  # fully transparent: white
        (flat("LA", (0, 0)), GRAY, (255,)),
        (flat("RGBA", (255, 0, 0, 128)), RGB, (255, 127, 127)),  # half of it: 255 - 128 of white shines through
        (flat("LA", (0, 128)), GRAY, (127,)),
        (flat("CMYK", (0, 0, 0, 0), kind="TIFF"), RGB, (255, 255, 255)),
        (flat("CMYK", (255, 0, 0, 0), kind="TIFF"), RGB, (0, 255, 255)),
        (flat("CMYK", (0, 0, 0, 0), kind="JPEG"), RGB, (255, 255, 255)),  # Adobe's, stored inverted
        (flat("CMYK", (255, 0, 0, 0), kind="JPEG"), RGB, (0, 255, 255)),
        (deep_png(65535, 32768, 128), RGB, (255, 128, 0)),  # of 16 bits a channel the upper eight
        (encoded(Image.fromarray(np.full((2, 2), 65535, np.uint16))), GRAY, (255,)),
        (encoded(Image.fromarray(np.full((2, 2), 32768, np.uint16))), GRAY, (128,)),
        (encoded(Image.fromarray(np.full((2, 2), 128, np.uint16))), GRAY, (0,)),
        (encoded(Image.fromarray(np.full((2, 2), 129, np.uint16))), GRAY, (1,)),
    ],
)
def test_modes(content, conversion, pixel):
    result = images.convert(content, conversion)
    assert result.dtype == np.uint8
    assert (result == np.array(pixel)).all()
    assert result.shape == conversion.image_shape


def test_a_palette_with_transparency():
    image = Image.new("P", (2, 2), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    result = images.convert(encoded(image, transparency=0), RGB)
    assert result[0].tolist() == [[255, 255, 255], [0, 255, 0]]


def test_a_palette():
    image = Image.new("P", (2, 2), 1)
    image.putpalette([255, 0, 0, 10, 20, 30])
    assert (images.convert(encoded(image), RGB) == (10, 20, 30)).all()


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [[9, 5, 0], [0, 0, 0]]),
        (2, [[0, 5, 9], [0, 0, 0]]),
        (3, [[0, 0, 0], [0, 5, 9]]),
        (4, [[0, 0, 0], [9, 5, 0]]),
        (5, [[9, 0], [5, 0], [0, 0]]),
        (6, [[0, 9], [0, 5], [0, 0]]),
        (7, [[0, 0], [0, 5], [0, 9]]),
        (8, [[0, 0], [5, 0], [9, 0]]),
        (99, [[9, 5, 0], [0, 0, 0]]),
    ],
)
def test_exif_orientation_turns_and_mirrors_the_image(orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(np.array([[9, 5, 0], [0, 0, 0]], np.uint8)), exif=exif)
    conversion = images.Conversion(len(expected), len(expected[0]), 1, "crop")
    assert images.convert(content, conversion)[:, :, 0].tolist() == expected
    assert images.inspect(content) == conversion.image_shape


def tiff(*entries: tuple[int, int, bytes]) -> bytes:
    """Make EXIF of (tag, type, four bytes of one value), in which nothing need be right."""
    body = b"".join(struct.pack("<HHI", tag, kind, 1) + value for tag, kind, value in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)


TURNED = (0x0112, 3, struct.pack("<HH", 6, 0))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("exif", "turned"),
    [
        (tiff(TURNED), True),
        (tiff((0x010F, 11, struct.pack("<f", 1.5)), TURNED), True),  # a text that is a number
        (tiff((0x011A, 9, struct.pack("<i", -5)), TURNED), True),  # a resolution below 0
        (tiff((0x0100, 9, struct.pack("<i", -5)), TURNED), True),  # a width below 0
        (tiff(TURNED, (0x8825, 4, struct.pack("<I", 70_000))), True),  # a pointer that leads outside
        (tiff((0x0112, 5, struct.pack("<I", 9999))), False),
        (b"Exif\0\0garbage", False),
    ],
)
def test_odd_exif_loses_no_picture(exif, turned):
    content = encoded(Image.fromarray(noise(0, 8, 12, 3)), "JPEG", exif=exif)
    plain = np.asarray(Image.open(io.BytesIO(content)))
    pixels, size = images.decode(content, images.Conversion(*((12, 8) if turned else (8, 12)), 3, "crop"))
    assert size == pixels.shape[:2]
    assert (pixels == (np.rot90(plain, -1) if turned else plain)).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP", "MPO"])
def test_the_first_frame_of_an_animation(kind):
    frames = [Image.new("L", (2, 2), value) for value in (50, 200)]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (images.convert(content, GRAY) == 50).all()


def test_an_image_of_the_right_size_is_not_resampled():
    pixels = noise(1, 16, 12, 3)
    conversion = images.Conversion(16, 12, 3, "crop")
    assert (images.convert(images.encode_png(pixels), conversion) == pixels).all()


@pytest.mark.parametrize(("fit", "expected"), [("stretch", 0.5), ("crop", 0.5), ("pad", 0.25)])
def test_fit(fit, expected):
    # Twice as wide as high, the left half white.
    pixels = np.zeros((10, 20, 1), np.uint8)
    pixels[:, :10] = 255
    result = images.convert(images.encode_png(pixels), images.Conversion(10, 10, 1, fit))
    assert result.mean() / 255 == pytest.approx(expected, abs=0.02)
    assert (result[0] == 0).all() == (fit == "pad")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_an_image_cut_at_any_byte_is_refused_or_whole(kind):
    content = encoded(Image.fromarray(noise(2, 16, 16, 3)), kind)
    whole = images.convert(content, images.Conversion(16, 16, 3, "crop"))
    refused = 0
    for length in range(len(content)):
        images.inspect(content[:length])
        try:
            part = images.convert(content[:length], images.Conversion(16, 16, 3, "crop"))
            assert (part == whole).all()
        except images.Undecodable as error:
            refused += 1
            assert str(error)
    assert refused > len(content) / 3


def test_half_a_jpeg_is_undecodable():
    content = encoded(Image.fromarray(noise(2, 64, 64, 3)), "JPEG")
    with pytest.raises(images.Undecodable, match="truncated"):
        images.convert(content[: len(content) // 2], RGB)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"not an image at all", "known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "known format"),
        (huge_png(0, 5), "known format"),
        (b"P6 0 5 255\n", "known format"),
        (encoded(Image.fromarray(np.full((2, 2), 70000, np.int32)), "TIFF"), "32-bit"),
        (encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "floating-point"),
    ],
)
def test_what_cannot_be_decoded_says_why(content, says):
    with pytest.raises(images.Undecodable, match=says):
        images.convert(content, RGB)


def test_a_pixel_bomb_is_refused_before_decoding():
    content, conversion = png(0, height=10, width=10), images.Conversion(8, 8, 1, "crop")
    assert images.decode(content, conversion, max_pixels=100)[1] == (10, 10)
    with pytest.raises(images.TooLarge, match="10 x 10 pixels are more than 99"):
        images.decode(content, conversion, max_pixels=99)


@pytest.mark.parametrize(
    ("content", "bytes_a_pixel"),
    [
        (flat("RGB", 0), 8),
        (flat("L", 0), 8),
        (flat("RGBA", 0), 16),
        (flat("CMYK", 0, kind="TIFF"), 16),
        (encoded(Image.fromarray(np.zeros((2, 2), np.uint16))), 16),
        (encoded(Image.new("RGB", (2, 2)), transparency=(0, 0, 0)), 16),
        (huge_png(2, 2), 8),  # without its pixels
    ],
)
def test_what_is_decoded_at_the_same_time_is_bounded_by_bytes(monkeypatch, content, bytes_a_pixel):
    held = []

    class Budget(parallel.Budget):
        def hold(self, size):
            held.append(size)
            return super().hold(size)

    monkeypatch.setattr(images, "_DECODING", budget := Budget(10**6))
    with suppress(images.Undecodable):
        images.convert(content, RGB)
    assert held == [4 * bytes_a_pixel] and budget.held == 0


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "TGA", "PCX", "JPEG2000", "SGI", "DDS", "AVIF"])
def test_other_formats_are_known_by_content_and_never_tried(kind):
    content = encoded(Image.new("RGB", (32, 32)), kind)
    with pytest.raises(images.Undecodable, match=r"known format \(BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP\)"):
        images.convert(content, RGB)
    assert images.inspect(content) is None


def test_beyond_pillows_own_limit_it_is_too_large_all_the_same(monkeypatch):
    with pytest.raises(images.TooLarge, match="it has more than 100,000,000 pixels"):
        images.convert(huge_png(50_000, 50_000), RGB)
    with pytest.raises(images.TooLarge, match="15000 x 15000 pixels are more than 200,000,000"):
        images.decode(huge_png(15_000, 15_000), RGB, max_pixels=200_000_000)


def test_inspect_reads_the_shape_as_shown():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(noise(0, 3, 5, 3)), "JPEG", exif=exif)
    assert images.inspect(content) == (5, 3, 3)
    assert images.inspect(images.encode_png(noise(0, 3, 5))) == (3, 5, 1)
    # Pillow turns a TIFF by itself.
    content = encoded(Image.fromarray(noise(0, 3, 5, 3)), "TIFF", exif=exif)
    assert images.inspect(content)[:2] == images.decode(content, RGB)[1] == (5, 3)
    assert images.inspect(b"junk") is None


def test_contact_sheet_enlarges_by_whole_factors():
    pixels = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 255)])
    sheet = Image.open(io.BytesIO(images.contact_sheet(pixels, 2)))
    assert sheet.size == (2 * 56 + 12, 56 + 8)
    assert sheet.getpixel((30, 30)) == (0, 0, 0)
    assert sheet.getpixel((90, 30)) == (255, 255, 255)
