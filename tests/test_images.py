"""Golden pixels of the one conversion."""

import io

import numpy as np
import pytest
from conftest import noise, png
from PIL import Image

from stages.lib import images

RGB = images.Conversion(2, 2, 3, "stretch")
GRAY = images.Conversion(2, 2, 1, "stretch")


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def flat(mode: str, color, **options) -> bytes:
    return encoded(Image.new(mode, (2, 2), color), **options)


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
        (flat("CMYK", (0, 0, 0, 0), kind="TIFF"), RGB, (255, 255, 255)),
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


def test_exif_orientation_turns_the_image():
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    result = images.convert(encoded(Image.fromarray(pixels), exif=exif), RGB)
    assert result[0, 1].tolist() == [255, 255, 255]
    assert result[0, 0].tolist() == [0, 0, 0]


def test_the_first_frame_of_an_animation():
    frames = [Image.new("L", (2, 2), value) for value in (50, 200)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
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
def test_every_truncation_is_refused_or_whole(kind):
    content = encoded(Image.fromarray(noise(2, 16, 16, 3)), kind)
    whole = images.convert(content, images.Conversion(16, 16, 3, "crop"))
    refused = 0
    for length in range(0, len(content), max(1, len(content) // 60)):
        try:
            part = images.convert(content[:length], images.Conversion(16, 16, 3, "crop"))
            assert (part == whole).all() or kind in ("BMP", "GIF", "PPM")
        except images.Undecodable as error:
            refused += 1
            assert str(error)
    assert refused > 20


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


def test_inspect_reads_the_shape_as_shown():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(noise(0, 3, 5, 3)), "JPEG", exif=exif)
    assert images.inspect(content) == (5, 3, 3)
    assert images.inspect(images.encode_png(noise(0, 3, 5))) == (3, 5, 1)
    assert images.inspect(b"junk") is None


def test_contact_sheet_enlarges_by_whole_factors():
    pixels = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 255)])
    sheet = Image.open(io.BytesIO(images.contact_sheet(pixels, 2)))
    assert sheet.size == (2 * 56 + 12, 56 + 8)
    assert sheet.getpixel((30, 30)) == (0, 0, 0)
    assert sheet.getpixel((90, 30)) == (255, 255, 255)
