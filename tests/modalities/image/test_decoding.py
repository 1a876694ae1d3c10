"""Golden pixels of the one conversion."""

import io
import json
import math
import struct
import zlib
from contextlib import suppress
from dataclasses import replace

import cv2
import numpy as np
import pytest
from makers.images import encoded, noise, png
from makers.pngs import chunk, png_of, put_in
from makers.profiles import ADOBE, LINEAR, LINEAR_GRAY, in_srgb
from PIL import Image, ImageCms, ImageFile

from kiln.core import parallel
from kiln.modalities import base
from kiln.modalities.image import decoding, metadata, opening, pictures
from kiln.modalities.image.conversion import Conversion

RGB = Conversion(2, 2, 3, "stretch")
GRAY = Conversion(2, 2, 1, "stretch")


def flat(mode: str, color, **options) -> bytes:
    return encoded(Image.new(mode, (2, 2), color), **options)


def deep_png(*pixel: int) -> bytes:
    """Make 2 x 2 pixels of 16-bit RGB, which Pillow does not write."""
    return png_of(2, 2, 16, 2, (b"\0" + struct.pack(">3H", *pixel) * 2) * 2)


def huge_png(height: int, width: int) -> bytes:
    return png_of(height, width, 8, 0, b"")


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
    result = decoding.convert(content, conversion)
    assert result.dtype == np.uint8
    assert (result == np.array(pixel)).all()
    assert result.shape == conversion.image_shape


def test_a_palette_with_transparency():
    image = Image.new("P", (2, 2), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 0), 1)
    result = decoding.convert(encoded(image, transparency=0), RGB)
    assert result[0].tolist() == [[255, 255, 255], [0, 255, 0]]


def test_a_palette():
    image = Image.new("P", (2, 2), 1)
    image.putpalette([255, 0, 0, 10, 20, 30])
    assert (decoding.convert(encoded(image), RGB) == (10, 20, 30)).all()


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
    conversion = Conversion(len(expected), len(expected[0]), 1, "crop")
    assert decoding.convert(content, conversion)[:, :, 0].tolist() == expected
    assert decoding.inspect(content) == conversion.image_shape


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
    pixels, size = decoding.decode(content, Conversion(*((12, 8) if turned else (8, 12)), 3, "crop"))[:2]
    assert size == pixels.shape[:2]
    assert (pixels == (np.rot90(plain, -1) if turned else plain)).all()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP", "MPO"])
def test_the_first_frame_of_an_animation(kind):
    frames = [Image.new("L", (2, 2), value) for value in (50, 200)]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (decoding.convert(content, GRAY) == 50).all()


def test_an_image_of_the_right_size_is_not_resampled():
    pixels = noise(1, 16, 12, 3)
    conversion = Conversion(16, 12, 3, "crop")
    assert (decoding.convert(pictures.encode_png(pixels), conversion) == pixels).all()


@pytest.mark.parametrize(("fit", "expected"), [("stretch", 0.5), ("crop", 0.5), ("pad", 0.25)])
def test_fit(fit, expected):
    # Twice as wide as high, the left half white.
    pixels = np.zeros((10, 20, 1), np.uint8)
    pixels[:, :10] = 255
    result = decoding.convert(pictures.encode_png(pixels), Conversion(10, 10, 1, fit))
    assert result.mean() / 255 == pytest.approx(expected, abs=0.02)
    assert (result[0] == 0).all() == (fit == "pad")


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "AVIF", "JPEG2000", "progressive"]
)
def test_an_image_cut_at_any_byte_is_refused_or_whole(kind):
    picture = Image.fromarray(noise(2, 16, 16, 3))
    content = encoded(picture, "JPEG", progressive=True) if kind == "progressive" else encoded(picture, kind)
    whole = decoding.convert(content, Conversion(16, 16, 3, "crop"))
    refused = 0
    for length in range(len(content)):
        decoding.inspect(content[:length])
        try:
            part = decoding.convert(content[:length], Conversion(16, 16, 3, "crop"))
            assert (part == whole).all()
        except base.Undecodable as error:
            refused += 1
            assert str(error)
    assert refused > len(content) / 3


def test_half_a_jpeg_is_undecodable():
    content = encoded(Image.fromarray(noise(2, 64, 64, 3)), "JPEG")
    with pytest.raises(base.Undecodable, match="truncated"):
        decoding.convert(content[: len(content) // 2], RGB)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"not an image at all", "known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "known format"),
        (huge_png(0, 5), "begins as PNG, but its header is not whole"),
        (b"P6 0 5 255\n", "begins as PPM, but its header is not whole"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf", "HEIC photo: run `.venv/bin/pip install pillow-heif`"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "run `git lfs pull`"),
        (b"<!DOCTYPE html><html>404</html>", "HTML page, not an image, as a failed download leaves it"),
        (bytes(500), "nothing but zeros"),
        (
            encoded(Image.fromarray(np.full((2, 2), 70000, np.int32)), "TIFF"),
            "signed 32-bit gray TIFF: its values have no agreed range",
        ),
        (encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF"), "floating-point"),
    ],
)
def test_what_cannot_be_decoded_says_why(content, says):
    with pytest.raises(base.Undecodable, match=says):
        decoding.convert(content, RGB)


def test_a_pixel_bomb_is_refused_before_decoding():
    content, conversion = png(0, height=10, width=10), Conversion(8, 8, 1, "crop")
    assert decoding.decode(content, conversion, max_pixels=100)[:2][1] == (10, 10)
    with pytest.raises(base.TooLarge, match="10 x 10 pixels are more than 99"):
        decoding.decode(content, conversion, max_pixels=99)[:2]


@pytest.mark.parametrize(
    ("content", "bytes_a_pixel"),
    [
        (flat("RGB", 0), 8),
        (flat("L", 0), 8),
        (flat("RGBA", 0), 16),
        (flat("CMYK", 0, kind="TIFF"), 16),
        (encoded(Image.fromarray(np.zeros((2, 2), np.uint16))), 16),
        (encoded(Image.new("RGB", (2, 2)), transparency=(0, 0, 0)), 16),
        (deep_png(1, 2, 3), 8 + 3 * 14),
        (huge_png(2, 2), 8),  # without its pixels
    ],
)
def test_what_is_decoded_at_the_same_time_is_bounded_by_bytes(monkeypatch, content, bytes_a_pixel):
    held = []

    class Budget(parallel.Budget):
        def hold(self, size):
            held.append(size)
            return super().hold(size)

    monkeypatch.setattr(decoding, "DECODING", budget := Budget(10**6))
    with suppress(base.Undecodable):
        decoding.convert(content, RGB)
    assert held == [4 * bytes_a_pixel] and budget.held == 0


@pytest.mark.parametrize("kind", ["EPS", "PDF", "ICO", "TGA", "PCX", "SGI", "DDS"])
def test_other_formats_are_known_by_content_and_never_tried(kind):
    content = encoded(Image.new("RGB", (32, 32)), kind)
    with pytest.raises(
        base.Undecodable, match=r"known format \(AVIF, BMP, DIB, GIF, .*JPEG 2000, PNG, PPM, TIFF, WEBP"
    ):
        decoding.convert(content, RGB)
    assert decoding.inspect(content) is None


@pytest.mark.parametrize("kind", ["BMP", "DIB", "GIF", "JPEG", "MPO", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP", "AVIF"])
def test_what_is_read_is_read_by_content(kind):
    content = encoded(Image.new("RGB", (32, 24), (200, 100, 50)), kind)
    pixels, size = decoding.decode(content, Conversion(24, 32, 3, "crop"))[:2]
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() < 8 and size == (24, 32)
    assert decoding.inspect(content) == (24, 32, 3)


def test_beyond_pillows_own_limit_it_is_too_large_all_the_same(monkeypatch):
    with pytest.raises(base.TooLarge, match="it has more than 100,000,000 pixels"):
        decoding.convert(huge_png(50_000, 50_000), RGB)
    with pytest.raises(base.TooLarge, match="15000 x 15000 pixels are more than 200,000,000"):
        decoding.decode(huge_png(15_000, 15_000), RGB, max_pixels=200_000_000)[:2]


def test_inspect_reads_the_shape_as_shown():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(noise(0, 3, 5, 3)), "JPEG", exif=exif)
    assert decoding.inspect(content) == (5, 3, 3)
    assert decoding.inspect(pictures.encode_png(noise(0, 3, 5))) == (3, 5, 1)
    # Pillow turns a TIFF by itself.
    content = encoded(Image.fromarray(noise(0, 3, 5, 3)), "TIFF", exif=exif)
    assert decoding.inspect(content)[:2] == decoding.decode(content, RGB)[:2][1] == (5, 3)
    assert decoding.inspect(b"junk") is None


PROFILE_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
@pytest.mark.parametrize("made", [ADOBE, LINEAR], ids=["Adobe RGB", "linear"])
def test_colours_of_a_profile_are_brought_to_srgb(kind, made):
    picture = Image.fromarray(noise(3, 12, 10, 3))
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(picture, kind, icc_profile=made, **options)
    result = decoding.decode(content, Conversion(12, 10, 3, "crop"))
    plain = Image.open(io.BytesIO(content)).convert("RGB")
    assert (result.pixels == in_srgb(plain, made)).all() and not result.notes
    assert np.abs(result.pixels.astype(int) - np.asarray(plain)).max() > 5


def test_a_linear_gray_of_a_half_is_as_bright_as_srgb_has_it():
    content = encoded(Image.new("L", (2, 2), 128), icc_profile=LINEAR_GRAY)
    assert decoding.inspect(content) == (2, 2, 1)
    # 12.92 and 1.055 x^(1/2.4) - 0.055 of IEC 61966-2-1
    assert decoding.convert(content, GRAY).max() == round(255 * (1.055 * (128 / 255) ** (1 / 2.4) - 0.055))
    assert (decoding.convert(content, RGB) == 188).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1"])
def test_a_profile_goes_with_other_modes_and_keeps_what_is_transparent(mode):
    picture = Image.fromarray(noise(3, 12, 10, 3)).convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 6, 0).repeat(2, 0).repeat(5, 1)))
    conversion = Conversion(12, 10, 3, "crop")
    result = decoding.decode(encoded(picture, icc_profile=ADOBE), conversion)
    assert not result.notes
    expected = in_srgb(picture.convert("RGB"), ADOBE)
    if mode in ("RGBA", "LA"):
        expected = np.concatenate([np.full((12, 5, 3), 255), expected[:, 5:]], axis=1)
    assert (result.pixels == expected).all()


def test_srgb_by_any_name_changes_no_byte():
    picture, conversion = Image.fromarray(noise(3, 12, 10, 3)), Conversion(12, 10, 3, "crop")
    assert (decoding.convert(encoded(picture, icc_profile=PROFILE_SRGB), conversion) == noise(3, 12, 10, 3)).all()


@pytest.mark.parametrize(
    ("made", "picture", "note"),
    [
        (b"no profile" * 20, Image.fromarray(noise(3, 12, 10, 3)), "broken"),
        (ADOBE[:300], Image.fromarray(noise(3, 12, 10, 3)), "broken"),
        (LINEAR_GRAY, Image.fromarray(noise(3, 12, 10, 3)), "is of GRAY images"),
        (ADOBE, Image.fromarray(noise(3, 12, 10, 3)).convert("CMYK"), "is of RGB images"),
    ],
)
def test_a_profile_that_is_broken_or_of_another_kind_costs_a_note_alone(made, picture, note):
    conversion = Conversion(12, 10, 3, "crop")
    result = decoding.decode(encoded(picture, "TIFF", icc_profile=made), conversion)
    assert (result.pixels == decoding.convert(encoded(picture, "TIFF"), conversion)).all()
    assert len(result.notes) == 1 and note in result.notes[0]


def test_cielab_becomes_rgb():
    picture = Image.new("RGB", (2, 2), (200, 100, 50))
    lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    pixels = decoding.convert(encoded(ImageCms.applyTransform(picture, lab), "TIFF"), RGB)
    assert np.abs(pixels.astype(int) - (200, 100, 50)).max() <= 3


def deep_gray_png(values: np.ndarray) -> bytes:
    return encoded(Image.fromarray(values.astype(np.uint16)))


@pytest.mark.parametrize(("within", "expected"), [(None, 16), ((0, 4095), 255), ((4095, 8190), 0), ((0, 8190), 128)])
def test_deep_values_are_scaled_by_the_range_of_the_conversion(within, expected):
    conversion = Conversion(2, 2, 1, "stretch", within)
    assert (decoding.convert(deep_gray_png(np.full((2, 2), 4095)), conversion) == expected).all()
    assert (decoding.convert(deep_png(4095, 4095, 4095), replace(conversion, channels=3)) == expected).all()
    # 8 bits are what they are.
    assert (decoding.convert(flat("L", 77), conversion) == 77).all()


def test_what_deep_images_span():
    assert decoding.span(deep_gray_png(np.arange(4096).reshape(64, 64))) == (4, 4091, False)
    assert decoding.span(deep_png(9, 500, 3000)) == (9, 3000, False)
    assert decoding.span(flat("RGB", (1, 2, 3))) is decoding.span(b"text") is decoding.span(png(0)) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "PPM", "JPEG2000", "WEBP"])
def test_what_is_not_deep_is_not_opened_for_its_span(kind, monkeypatch):
    opened = []
    monkeypatch.setattr(decoding, "open_image", lambda *given: opened.append(given))
    assert decoding.span(encoded(Image.fromarray(noise(0, 8, 12, 3)), kind)) is None and not opened


def test_a_conversion_without_a_range_is_written_as_before_and_one_with_it_comes_back():
    assert RGB.to_json() == {"height": 2, "width": 2, "channels": 3, "fit": "stretch"}
    ranged = replace(RGB, range=(0.0, 4095.0))
    assert Conversion(**json.loads(json.dumps(ranged.to_json()))) == ranged
    # As evaluate compares the model's with the dataset's.
    assert ranged.to_json() == json.loads(json.dumps(ranged.to_json()))
    for wrong in ([1], [2, 1], ["a", "b"], 5, [0, math.nan]):
        with pytest.raises((TypeError, ValueError)):
            replace(RGB, range=wrong)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 95}], ids=str)
def test_a_jpeg_that_lacks_its_end_marker_alone_is_whole(options):
    content = encoded(Image.fromarray(noise(2, 33, 47, 3)), "JPEG", **options)
    conversion = Conversion(33, 47, 3, "crop")
    whole = decoding.convert(content, conversion)
    for cut in (1, 2):
        result = decoding.decode(content[:-cut], conversion)
        assert (result.pixels == whole).all()
        assert set(result.notes) <= {"it lacks its end marker"}  # which Pillow may pass over
    refused = 0
    for cut in range(3, 200):
        try:  # a last byte may be nothing but filling
            assert (decoding.convert(content[:-cut], conversion) == whole).all()
        except base.Undecodable as error:
            refused += "truncated" in str(error)
    assert refused > 190


def test_a_jpeg_that_ends_in_erased_memory_is_whole():
    content = encoded(Image.fromarray(noise(2, 33, 47, 3)), "JPEG")
    conversion = Conversion(33, 47, 3, "crop")
    assert (decoding.convert(content[:-2] + b"\xff" * 512, conversion) == decoding.convert(content, conversion)).all()


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=str)
def test_a_jpeg_whose_last_part_is_zeros_is_no_picture(options):
    content = encoded(Image.fromarray(noise(2, 64, 64, 3)), "JPEG", **options)
    conversion = Conversion(64, 64, 3, "crop")
    for kept in (0.3, 0.6, 0.9):
        place = int(len(content) * kept)
        for zeros in (len(content) - place, 20_000):
            with pytest.raises(base.Undecodable, match="truncated"):
                decoding.convert(content[:place] + bytes(zeros), conversion)
    # Zeros behind a whole picture change nothing, with an end marker and without.
    for whole in (content, content[:-2]) if not options else (content,):
        assert (decoding.convert(whole + bytes(500), conversion) == decoding.convert(content, conversion)).all()


def test_a_jpeg_whose_pixels_are_written_as_zeros_is_whole():
    # A wide white margin, whose blocks take two bits each: both 0.
    content = encoded(Image.new("L", (2000, 600), 255), "JPEG", optimize=True)
    assert bytes(64) in content
    assert (decoding.convert(content, Conversion(300, 1000, 1, "crop")) == 255).all()


@pytest.mark.parametrize(
    ("marker", "bits", "says"),
    [
        (0xC1, 12, "12-bit JPEG: not read"),
        (0xC3, 16, "16-bit lossless JPEG: not read"),
        (0xF7, 8, "JPEG-LS"),
    ],
)
def test_a_jpeg_of_another_kind_is_named(marker, bits, says):
    content = jpeg_with(0xE8, b"spiff").replace(b"\xff\xc0\0\x11\x08", struct.pack(">BBHB", 0xFF, marker, 17, bits))
    with pytest.raises(base.Undecodable, match=says):
        decoding.convert(content, RGB)


@pytest.mark.parametrize("turned", [False, True])
def test_a_png_with_a_changed_byte_is_refused_or_told_of(turned):
    exif = Image.Exif()
    if turned:
        exif[0x0112] = 3
    content = encoded(Image.fromarray(noise(2, 16, 16, 3) // 32), **({"exif": exif} if turned else {}))
    conversion = Conversion(16, 16, 3, "crop")
    whole, refused = decoding.convert(content, conversion), 0
    start, end = content.index(b"IDAT") + 4, len(content) - 16
    for place in range(start, end):
        changed = bytearray(content)
        changed[place] ^= 0x41
        try:
            result = decoding.decode(bytes(changed), conversion)
            assert (result.pixels == whole).all() or result.notes[0].startswith("its checksum is wrong")
        except base.Undecodable:
            refused += 1
    assert refused > 0.9 * (end - start)


def test_the_header_is_read_without_the_pixels(monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    contents = [encoded(Image.fromarray(noise(2, 8, 12, 3)), kind, exif=exif) for kind in ("PNG", "JPEG", "WEBP")]
    place = contents[0].index(b"eXIf") - 4
    size = 12 + struct.unpack_from(">I", contents[0], place)[0]
    behind = (
        contents[0][:place] + contents[0][place + size : -12] + contents[0][place : place + size] + chunk(b"IEND", b"")
    )
    assert decoding.decode(behind, RGB)[:2][1] == (12, 8)
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    assert {decoding.inspect(content) for content in [*contents, behind]} == {(12, 8, 3)}


def test_a_png_of_apples_own_kind_is_named():
    header = chunk(b"CgBI", b"P\0 \2")
    with pytest.raises(base.Undecodable, match="PNG for iOS"):
        decoding.convert(png(0)[:8] + header + png(0)[8:], RGB)


def test_a_progressive_jpeg_without_its_last_scan_is_truncated():
    content = encoded(Image.fromarray(noise(2, 33, 47, 3)), "JPEG", progressive=True)
    with pytest.raises(base.Undecodable, match="truncated"):
        decoding.decode(content[: content.rindex(b"\xff\xda")], Conversion(33, 47, 3, "crop"))


def webp_with(exif: bytes) -> bytes:
    some = Image.Exif()
    some[0x0112] = 1
    content = encoded(Image.fromarray(noise(2, 8, 12, 3)), "WEBP", lossless=True, exif=some)
    content = content[: content.index(b"EXIF")] + struct.pack("<4sI", b"EXIF", len(exif)) + exif + bytes(len(exif) % 2)
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


def png_with(name: bytes, body: bytes, wrong: bool = False) -> bytes:
    return put_in(encoded(Image.fromarray(noise(2, 8, 12, 3))), name, body, wrong)


def jpeg_with(marker: int, body: bytes) -> bytes:
    content = encoded(Image.fromarray(noise(2, 8, 12, 3)), "JPEG")
    return content[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + content[2:]


@pytest.mark.parametrize(
    "content",
    [
        png_with(b"eXIf", b"garbage"),
        png_with(b"eXIf", b"II*\0\x08\0\0\0\0\0", wrong=True),
        png_with(b"tEXt", b"Comment\0hello", wrong=True),
        png_with(b"zTXt", b"Comment\0\0no deflate"),
        png_with(b"iTXt", b"\xff"),
        png_with(b"iCCP", b"name\0\0no deflate"),
        png_with(b"iCCP", b"name\0\0" + zlib.compress(bytes(2**22))),  # more than Pillow unpacks
        png_with(b"pHYs", b"\1"),
        png_with(b"gAMA", b""),
        png_with(b"acTL", b"\0"),
        png_with(b"tRNS", b"\0"),
        png_with(b"tRNS", bytes(6), wrong=True),
        webp_with(b"garbage!"),
        webp_with(b""),
        jpeg_with(0xE1, b"Exif\0\0garbage"),
        jpeg_with(0xE1, b"Exif\0\0II*\0\xff\xff\xff\x7f"),
        jpeg_with(0xE2, b"ICC_PROFILE\0\1"),
        jpeg_with(0xE2, b"MPF\0garbage"),
        jpeg_with(0xED, b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\xff\xff\xff\xff"),
        jpeg_with(0xEE, b"Adobe"),
        jpeg_with(0xE0, b"JFIF"),
    ],
    ids=lambda content: repr(content[30:60]),
)
def test_what_is_broken_beside_the_pixels_does_not_cost_the_image(content, capfd):
    kind, lossless = {b"\x89": ("PNG", {}), b"R": ("WEBP", {"lossless": True}), b"\xff": ("JPEG", {})}[content[:1]]
    plain, conversion = (
        encoded(Image.fromarray(noise(2, 8, 12, 3)), kind, **lossless),
        Conversion(8, 12, 3, "crop"),
    )
    assert (decoding.convert(content, conversion) == decoding.convert(plain, conversion)).all()
    assert decoding.inspect(content) == (8, 12, 3)
    assert capfd.readouterr() == ("", "")


def test_a_broken_chunk_costs_neither_the_orientation_nor_the_profile():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(noise(2, 8, 12, 3)), exif=exif, icc_profile=ADOBE)
    assert decoding.inspect(content) == (12, 8, 3)
    whole = decoding.convert(content, Conversion(12, 8, 3, "crop"))
    broken = put_in(content, b"tEXt", b"a\0b", wrong=True)
    result = decoding.decode(broken, Conversion(12, 8, 3, "crop"))
    assert (result.pixels == whole).all() and result.notes == ("its metadata is broken: read without it",)
    assert decoding.inspect(broken) == (12, 8, 3)


def test_deep_values_beside_a_broken_chunk_have_a_span():
    content = deep_png(0, 4000, 2000)
    broken = put_in(content, b"tEXt", b"a\0b", wrong=True)
    assert decoding.span(broken) == decoding.span(content) == (0, 4000, False)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "group4", "jpeg", "packbits"])
def test_libraries_are_silent_about_damaged_files(compression, capfd, caplog):
    picture = Image.fromarray(noise(2, 64, 64, 3))
    picture = picture.convert("1") if compression == "group4" else picture
    content = bytearray(encoded(picture, "TIFF", compression=compression))
    content[100:160] = b"\xff" * 60
    with suppress(base.Undecodable):
        decoding.convert(bytes(content), RGB)
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_the_plug_in_of_heic_is_used_where_it_is_installed(monkeypatch):
    opened = []
    content = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf"
    monkeypatch.setattr(opening, "READ", opening.READ | {"HEIC"})
    monkeypatch.setattr(opening, "_register_heif", lambda: opened.append("registered"))

    def open_image(file, formats):
        opened.append(formats)
        return Image.new("RGB", (4, 2), (1, 2, 3))

    monkeypatch.setattr(opening.Image, "open", open_image)
    assert (decoding.convert(content, Conversion(2, 4, 3, "crop")) == (1, 2, 3)).all()
    assert opened == ["registered", ["HEIF"]]


def interlaced_png(values: np.ndarray) -> bytes:
    """Write 16-bit RGB, [H, W, 3], in the seven passes of Adam7."""
    height, width, _ = values.shape
    rows = b"".join(
        b"\0" + row.astype(">u2").tobytes()
        for left, top, right, down in metadata._ADAM7
        for row in values[top::down, left::right]
        if row.size
    )
    return png_of(height, width, 16, 2, rows, passes=1)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (9, 17)])
def test_deep_colour_png_plain_and_interlaced(shape):
    values = np.random.default_rng(0).integers(0, 65536, (*shape, 3)).astype(np.uint16)
    expected = (values.astype(int) + 128) // 257
    plain = cv2.imencode(".png", values[..., ::-1])[1].tobytes()
    for content in (plain, interlaced_png(values)):
        assert (decoding.convert(content, Conversion(*shape, 3, "crop")) == expected).all()


def test_a_wrong_filter_of_a_deep_png_is_refused_in_silence(capfd):
    rows = b"\7" + struct.pack(">3H", 1, 2, 3) * 2 + b"\0" + struct.pack(">3H", 1, 2, 3) * 2
    with pytest.raises(base.Undecodable, match="broken"):
        decoding.convert(png_of(2, 2, 16, 2, rows), RGB)
    assert capfd.readouterr() == ("", "")
