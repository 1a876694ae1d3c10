"""Golden pixels of deep TIFF: each is written here, tag by tag."""

import io
import struct

import numpy as np
import pytest
from makers.tiffs import tiff
from PIL import Image

from kiln.modalities import base
from kiln.modalities.image import decoding, tiff_values, tiffs
from kiln.modalities.image.conversion import Conversion

GENERATOR = np.random.default_rng(0)


KINDS = {
    "uint16": (0, 65535),
    "int16": (-1000, 3000),
    "int32": (-(10**6), 10**6),
    "uint32": (0, 10**6),
    "float16": (0, 1),
    "float32": (0, 1),
    "float64": (-1, 1),
    "int8": (-128, 127),
}
LAID = [
    {},
    {"order": ">"},
    {"deflate": True},
    {"deflate": True, "order": ">"},
    {"planar": 2},
    {"planar": 2, "order": ">"},
    {"planar": 2, "deflate": True},
    {"orientation": 6},
    {"planar": 2, "orientation": 5},
    {"big": True},
    {"big": True, "planar": 2},
    {"big": True, "order": ">"},
]


@pytest.mark.parametrize("how", LAID, ids=str)
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)], ids=["gray", "RGB"])
@pytest.mark.parametrize("kind", KINDS)
def test_golden_pixels_of_deep_tiff(kind, shape, how):
    low, high = KINDS[kind]
    values = (low + (high - low) * GENERATOR.random(shape)).astype(kind)
    expected = np.floor((values.astype(float) - low) * 255 / (high - low) + 0.5).astype(np.uint8)
    expected = {6: np.rot90(expected, -1), 5: np.swapaxes(expected, 0, 1)}.get(how.get("orientation"), expected)
    height, width = expected.shape[:2]
    content = tiff(values, 2 if len(shape) == 3 else 1, **how)
    conversion = Conversion(height, width, 3 if len(shape) == 3 else 1, "crop", (low, high))
    pixels, size = decoding.decode(content, conversion)[:2]
    assert (pixels == expected.reshape(pixels.shape)).all()
    assert size == (height, width) and decoding.inspect(content) == conversion.image_shape
    assert low - 1 <= decoding.span(content).low <= decoding.span(content).high <= high


@pytest.mark.parametrize("kind", ["uint16", "int16", "float32"])
def test_white_is_zero(kind):
    low, high = KINDS[kind]
    values = (low + (high - low) * GENERATOR.random((5, 7))).astype(kind)
    conversion = Conversion(5, 7, 1, "crop", (low, high))
    negative = decoding.convert(tiff(values, 0), conversion)
    assert (negative == 255 - decoding.convert(tiff(values, 1), conversion)).all()
    if kind == "uint16":
        whole = Conversion(5, 7, 1, "crop")
        assert (decoding.convert(tiff(values, 0), whole) == decoding.convert(tiff(65535 - values, 1), whole)).all()


@pytest.mark.parametrize("how", [{"deflate": True, "predictor": 2}, {"planar": 2, "deflate": True, "predictor": 2}])
def test_a_predictor(how):
    values = GENERATOR.integers(0, 65536, (5, 7, 3)).astype(np.uint16)
    conversion = Conversion(5, 7, 3, "crop")
    assert (decoding.convert(tiff(values, 2, **how), conversion) == decoding.convert(tiff(values, 2), conversion)).all()


@pytest.mark.parametrize("kind", ["uint16", "int16", "float16", "float32"])
@pytest.mark.parametrize(("bands", "planar"), [(4, 1), (4, 2), (2, 2)])
def test_premultiplied_colours_are_those_of_the_others_on_white(kind, bands, planar):
    low, high = (0, 1) if kind.startswith("f") else (0, np.iinfo(kind).max)
    shades, opaque = GENERATOR.random((5, 7, bands - 1)), np.tile(np.linspace(0, 1, 7), (5, 1))[..., None]
    photometric, conversion = 2 if bands == 4 else 1, Conversion(5, 7, 3, "crop", (low, high))

    def of(colors, extra):
        values = (np.concatenate([colors, opaque], axis=-1) * high).astype(kind)
        return decoding.convert(tiff(values, photometric, planar=planar, tags={338: [extra]}), conversion)

    straight, multiplied = of(shades, 2), of(shades * opaque, 1)
    assert np.abs(straight.astype(int) - multiplied).max() <= 1 and (straight[:, 0] == 255).all()


def test_premultiplied_gray_of_8_bits_is_laid_on_white():
    values = np.array([[[0, 0], [128, 128], [64, 128], [200, 255]]], np.uint8)
    pixels = decoding.convert(tiff(values, 1, tags={338: [1]}), Conversion(1, 4, 1, "crop"))
    assert np.abs(pixels.ravel().astype(int) - [255, 255, 191, 200]).max() <= 1


@pytest.mark.parametrize("how", [{}, {"deflate": True}, {"orientation": 6}], ids=str)
@pytest.mark.parametrize("bands", [1, 3])
def test_bigtiff_from_the_other_end_is_read(bands, how):
    values = GENERATOR.integers(0, 256, (5, 7, bands)).astype(np.uint8)
    height, width = (7, 5) if how.get("orientation") else (5, 7)
    contents = [tiff(values, 2 if bands == 3 else 1, order=">", big=big, **how) for big in (False, True)]
    conversion = Conversion(height, width, bands, "crop")
    assert (decoding.convert(contents[0], conversion) == decoding.convert(contents[1], conversion)).all()
    assert decoding.inspect(contents[1]) == conversion.image_shape


@pytest.mark.parametrize("within", [None, (0, 4095)])
def test_12_packed_bits_count_to_4095(within):
    values = np.linspace(0, 4095, 60).astype(np.uint16).reshape(6, 10)
    pairs = values.reshape(-1, 2).astype(int)
    packed = np.stack([pairs[:, 0] >> 4, pairs[:, 0] % 16 * 16 + (pairs[:, 1] >> 8), pairs[:, 1] % 256], axis=-1)
    content = bytearray(tiff(np.zeros((6, 10), np.uint16), 1, tags={258: [12], 279: [90]}))
    content[8:98] = packed.astype(np.uint8).tobytes()
    pixels = decoding.convert(bytes(content), Conversion(6, 10, 1, "crop", within))
    assert (pixels[..., 0] == np.floor(values * 255.0 / 4095 + 0.5)).all()


def test_numbers_that_signal_that_they_are_none_are_black_in_silence(capfd):
    values = np.full((5, 7), 0x3F800000, np.uint32)
    values[0] = 0x7FA00000
    content = tiff(values.view(np.float32), 1)
    pixels = decoding.convert(content, Conversion(5, 7, 1, "crop", (0, 1)))
    assert (pixels[0] == 0).all() and (pixels[1:] == 255).all()
    assert decoding.span(content) == (1, 1, True)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("planar", [1, 2])
def test_transparent_deep_pixels_are_laid_on_white(planar):
    values = np.zeros((2, 3, 4), np.uint16)
    values[0, :, 3] = 65535
    pixels = decoding.convert(tiff(values, 2, planar=planar, tags={338: [2]}), Conversion(2, 3, 3, "crop"))
    assert (pixels[0] == 0).all() and (pixels[1] == 255).all()


@pytest.mark.parametrize("nothing", [-9999, 9999])
def test_where_gdal_has_nothing_there_is_black_and_no_part_of_the_range(nothing):
    values = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    values[:10] = nothing
    content = tiff(values, 1, tags={42113: b"%d\0" % nothing})
    assert decoding.span(content) == pytest.approx((0.5, 1, True), abs=0.01)
    pixels = decoding.convert(content, Conversion(20, 20, 1, "crop", (0, 1)))
    assert (pixels[:10] == 0).all() and pixels[10:].min() > 120


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (tiff(GENERATOR.integers(0, 9, (5, 7, 13)).astype(np.uint16), 1), "TIFF with 13 bands of 16-bit values"),
        (tiff(GENERATOR.integers(0, 9, (5, 7, 5)).astype(np.uint8), 1), "TIFF with 5 bands of 8-bit values"),
        (tiff(np.zeros((5, 7, 9), np.uint8), 2, tags={338: [0] * 6}), "TIFF with 9 bands of 8-bit values: not read"),
        (tiff(np.zeros((5, 7, 2), np.uint16), 1, tags={338: [2]}), r"16-bit gray \+ alpha TIFF"),
        (tiff(np.zeros((5, 7, 2), np.uint8), 1, planar=2, tags={338: [2]}), r"8-bit gray \+ alpha TIFF in planes"),
        (tiff(np.zeros((5, 7, 4), np.uint16), 5, planar=2), "16-bit CMYK TIFF in planes"),
        (tiff(np.zeros((5, 7, 3), np.uint8), 8, planar=2), "8-bit CIELab TIFF in planes"),
        (tiff(np.zeros((6, 8, 3), np.uint8), 6), "8-bit YCbCr TIFF"),
        (tiff(np.ones((5, 7), np.float16), 1), "16-bit floating-point gray TIFF: its values have no agreed range"),
        (tiff(np.zeros((5, 7, 3), np.uint16), 1, planar=2), "TIFF with 3 bands of 16-bit values"),
        (tiff(np.zeros((5, 7), np.uint16), 1, tags={259: [50000]}), "16-bit gray TIFF compressed by Zstandard"),
        (tiff(np.zeros((5, 7, 3), np.uint8), 2, tags={259: [50001]}), "8-bit RGB TIFF compressed by WebP: not read"),
        (tiff(np.zeros((5, 7), np.uint8), 1, tags={259: [50002]}), "8-bit gray TIFF compressed by JPEG XL: not read"),
        (tiff(np.zeros((5, 7, 4), np.uint8), 2, planar=2, tags={338: [1]}), r"8-bit RGB \+ alpha TIFF in planes: not"),
        (tiff(np.zeros((5, 7), np.uint8), 1, predictor=2, tags={259: [32773]}), "PackBits with a predictor: not read"),
        (tiff(np.zeros((5, 7), np.uint16), 1, predictor=2, tags={259: [32773]}), "PackBits with a predictor: not read"),
        (tiff(np.zeros((5, 7, 2), np.uint16), 1, tags={339: [5, 5]}), "TIFF with 2 bands of complex integer 16-bit"),
        (tiff(np.zeros((5, 7), np.uint16), 32803), "camera raw"),
        (tiff(np.zeros((5, 7, 3), np.uint8), 2, tags={50706: [1, 4]}), "camera raw"),  # the preview of a DNG
        (tiff(np.ones((5, 7), np.float32), 1), "32-bit floating-point gray TIFF: its values have no agreed range"),
        (tiff(np.full((5, 7), -3, np.int16), 1), "signed 16-bit gray TIFF: its values have no agreed range"),
    ],
)
def test_what_is_not_read_is_named_and_never_scrambled(content, says, capfd, caplog):
    with pytest.raises(base.Undecodable, match=says):
        decoding.convert(content, Conversion(5, 7, 3, "crop"))
    assert capfd.readouterr() == ("", "") and not caplog.records


@pytest.mark.parametrize("how", [{}, {"deflate": True}, {"planar": 2}, {"planar": 2, "deflate": True}], ids=str)
def test_a_cut_or_damaged_deep_tiff_is_refused_or_whole_in_silence(how, capfd):
    values = GENERATOR.integers(0, 65536, (16, 16, 3)).astype(np.uint16)
    content, conversion = tiff(values, 2, **how), Conversion(16, 16, 3, "crop")
    whole, refused = decoding.convert(content, conversion), 0
    for length in range(0, len(content), 7):
        try:
            assert (decoding.convert(content[:length], conversion) == whole).all()
        except base.Undecodable as error:
            refused += str(error) != ""
    assert refused > len(content) / 7 * 0.9
    if how.get("deflate"):
        damaged = bytearray(content)
        damaged[200:260] = b"\xff" * 60
        with pytest.raises(base.Undecodable, match="16-bit RGB TIFF"):
            decoding.convert(bytes(damaged), conversion)
    assert capfd.readouterr() == ("", "")


def test_strips_that_lead_outside_are_refused():
    content = tiff(np.zeros((5, 7, 3), np.uint16), 2, tags={279: [10**6]})
    with pytest.raises(base.Undecodable, match="broken"):
        decoding.convert(content, Conversion(5, 7, 3, "crop"))


def test_a_tag_of_the_picture_that_lies_outside_is_refused():
    content = bytearray(tiff(np.zeros((5, 7, 3), np.uint16), 2))
    place = content.index(struct.pack("<HHI", 258, 3, 3))
    content[place + 8 : place + 12] = struct.pack("<I", 10**6)
    with pytest.raises(base.Undecodable, match="its TIFF directory is not whole"):
        decoding.convert(bytes(content), Conversion(5, 7, 3, "crop"))


def test_a_deep_pixel_bomb_is_refused_by_its_header():
    content = tiff(np.zeros((10, 10, 3), np.uint16), 2)
    with pytest.raises(base.TooLarge, match="10 x 10 pixels are more than 99"):
        decoding.decode(content, Conversion(8, 8, 3, "crop"), max_pixels=99)[:2]
    assert decoding.span(content, max_pixels=99) is None
    tiled = tiff(np.zeros((10, 10), np.uint16), 1, tags={322: [60000], 323: [60000], 324: [8], 325: [200]})
    with pytest.raises(base.TooLarge):
        decoding.convert(tiled, Conversion(8, 8, 3, "crop"))


def test_the_bare_file_has_the_same_picture():
    for image in (Image.new("RGB", (9, 5), (1, 2, 3)), Image.linear_gradient("L").convert("P")):
        for options in ({}, {"compression": "tiff_lzw"}, {"big_tiff": True}):
            buffer = io.BytesIO()
            image.save(buffer, "TIFF", **options)
            content = buffer.getvalue()
            again = Image.open(io.BytesIO(tiff_values.bare(content, tiffs.layout(content))))
            assert (np.asarray(again.convert("RGB")) == np.asarray(image.convert("RGB"))).all()


@pytest.mark.parametrize("target", [3, 60_000])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_broken_exif_directory_costs_neither_the_picture_nor_its_orientation(kind, target, capfd):
    values = GENERATOR.integers(0, 256, (8, 12, 3)).astype(kind)
    values *= 257 if kind is np.uint16 else 1
    content = tiff(values, 2, orientation=6, tags={0x8769: [target], 0x8825: [target]})
    pixels, size = decoding.decode(content, Conversion(12, 8, 3, "crop"))[:2]
    assert (pixels == np.rot90(values if kind is np.uint8 else values // 257, -1)).all() and size == (12, 8)
    assert decoding.inspect(content) == (12, 8, 3)
    assert capfd.readouterr() == ("", "")
