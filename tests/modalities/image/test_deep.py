"""Golden pixels of samples of more than 8 bits in PNG, PPM and JPEG 2000, and of transparent colours."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from makers.images import encoded
from makers.pngs import chunk, png_of, put_in
from makers.profiles import ADOBE, LINEAR_GRAY, in_srgb
from PIL import Image

from kiln.modalities import base
from kiln.modalities.image import decoding
from kiln.modalities.image.conversion import Conversion

SIDE = 32
RGB, GRAY = Conversion(SIDE, SIDE, 3, "crop"), Conversion(SIDE, SIDE, 1, "crop")
RAMP = np.linspace(0, 1, SIDE * SIDE * 3).reshape(SIDE, SIDE, 3)  # with the whitest white and the blackest black


def png(values: np.ndarray, bits: int, color: int, clear: bytes = b"") -> bytes:
    """Write [H, W] or [H, W, C] of 2, 4, 8 or 16 bits, and the colour that is transparent."""
    rows = values.reshape(len(values), -1).astype(">u2")
    if bits < 16:
        rows = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
        rows = np.packbits(rows.reshape(len(values), -1), axis=-1)
    rows = b"".join(b"\0" + row.tobytes() for row in rows)
    return png_of(*values.shape[:2], bits, color, rows, chunk(b"tRNS", clear) if clear else b"")


def jpeg_2000(values: np.ndarray) -> bytes:
    """Write 16 bits a channel without loss."""
    colors = values[..., ::-1] if values.ndim == 3 else values
    return cv2.imencode(".jp2", colors, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])[1].tobytes()


def expected(values: np.ndarray, most: float) -> np.ndarray:
    return np.floor(values * 255.0 / most + 0.5)


@pytest.mark.parametrize("most", [1023, 4095, 65535])
@pytest.mark.parametrize("within", [None, "given"])
@pytest.mark.parametrize("letters", [False, True])
def test_a_deep_ppm_counts_to_what_its_header_says(most, within, letters):
    for values, mark, conversion in ((RAMP, 6, RGB), (RAMP[..., 0], 5, GRAY)):
        values = np.rint(values * most).astype(np.uint16)
        body = " ".join(map(str, values.ravel().tolist())).encode() if letters else values.astype(">u2").tobytes()
        content = b"P%d\n# a scanner\n%d %d\n%d\n%b" % (mark - 3 * letters, SIDE, SIDE, most, body)
        conversion = Conversion(*conversion.image_shape, "crop", (0, most) if within else None)
        assert (decoding.convert(content, conversion).squeeze() == expected(values, most)).all()
        assert decoding.inspect(content) == conversion.image_shape
        assert decoding.span(content).high == pytest.approx(most, rel=0.01)


@pytest.mark.parametrize("color", [0, 2, 4, 6])
def test_12_of_16_bits_of_a_png_fill_the_range(color):
    bands = {0: 1, 2: 3, 4: 2, 6: 4}[color]
    values = np.rint(np.concatenate([RAMP, RAMP[..., :1]], axis=-1)[..., :bands] * 4095).astype(np.uint16)
    if color in (4, 6):
        values[..., -1] = 65535
    content = png(values, 16, color)
    conversion = Conversion(SIDE, SIDE, 3 if bands > 2 else 1, "crop", (0, 4095))
    shown = values[..., :3] if bands > 2 else values[..., :1]
    assert (decoding.convert(content, conversion) == expected(shown, 4095)).all()
    assert decoding.inspect(content) == conversion.image_shape


def test_gray_with_opacity_is_gray_to_its_profile():
    content = put_in(
        png(np.full((SIDE, SIDE, 2), (32896, 65535)), 16, 4), b"iCCP", b"x\0\0" + zlib.compress(LINEAR_GRAY)
    )
    result = decoding.decode(content, GRAY)
    assert (result.pixels == 188).all() and not result.notes


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("color", [0, 2])
def test_the_transparent_colour_of_a_png_is_white_and_no_other(bits, color):
    if color == 2 and bits < 8:
        return
    most = 2**bits - 1
    values = np.rint(RAMP[..., 0] * most).astype(np.uint16) if color == 0 else np.rint(RAMP * most).astype(np.uint16)
    clear = values[9, 9]
    content = png(values, bits, color, struct.pack(f">{1 + color}H", *np.atleast_1d(clear).tolist()))
    shown = expected(np.atleast_3d(values), most)
    shown[(np.atleast_3d(values) == clear).all(axis=-1)] = 255
    assert (decoding.convert(content, RGB) == shown).all()


@pytest.mark.parametrize("most", [65535, 4095])
def test_deep_jpeg_2000_keeps_its_white_and_its_dark(most):
    for values in (np.rint(RAMP * most).astype(np.uint16), np.rint(RAMP[..., 0] * most).astype(np.uint16)):
        content = jpeg_2000(values)
        conversion = Conversion(SIDE, SIDE, 3 if values.ndim == 3 else 1, "crop", (0, most))
        assert (decoding.convert(content, conversion).squeeze() == expected(values, most)).all()
        assert decoding.span(content).high == pytest.approx(most, rel=0.01)
        assert decoding.inspect(content) == conversion.image_shape


@pytest.mark.parametrize("bits", [9, 15])
def test_the_bits_of_a_jpeg_2000_are_those_of_its_header(bits):
    most = 2**bits - 1
    values = np.rint(RAMP[..., 0] * most).astype(np.uint16)
    # The same codestream is of fewer bits where the zero that it counts from is half of their most as well.
    shifted = (values.astype(int) - 2 ** (bits - 1) + 2**15).astype(np.uint16)
    content = jpeg_2000(shifted).replace(struct.pack(">HB", 1, 15), struct.pack(">HB", 1, bits - 1))
    assert (decoding.convert(content, GRAY)[..., 0] == expected(values, most)).all()
    assert decoding.span(content).high == pytest.approx(most, rel=0.01)


def test_signed_jpeg_2000_is_read_as_signed():
    values = np.rint(RAMP[..., 0] * 65535).astype(np.uint16)
    content = jpeg_2000(values).replace(struct.pack(">HB", 1, 0x0F), struct.pack(">HB", 1, 0x8F))
    shown = decoding.convert(content, Conversion(SIDE, SIDE, 1, "crop", (-32768, 32767)))
    assert (shown[..., 0] == expected(values, 65535)).all()
    with pytest.raises(base.Undecodable, match="no agreed range"):
        decoding.convert(content, GRAY)


def test_the_profile_of_a_jpeg_2000_counts():
    picture = Image.fromarray(np.rint(RAMP * 255).astype(np.uint8))
    content = encoded(picture, "JPEG2000")
    place, header = content.index(b"colr") - 4, content.index(b"jp2h") - 4
    size, whole = (struct.unpack_from(">I", content, at)[0] for at in (place, header))
    color = struct.pack(">I4s3B", 11 + len(ADOBE), b"colr", 2, 0, 0) + ADOBE
    length = struct.pack(">I", whole + len(color) - size)
    changed = content[:header] + length + content[header + 4 : place] + color + content[place + size :]
    assert (decoding.convert(changed, RGB) == in_srgb(picture, ADOBE)).all()
    assert (decoding.convert(content, RGB) == np.asarray(picture)).all()


@pytest.mark.parametrize("depth", [b"", b"\x00", b"\xff\x4f\xff\x51" + bytes(20)])
def test_a_jpeg_2000_without_a_picture_is_refused(depth):
    content = encoded(Image.new("RGB", (8, 8)), "JPEG2000")
    head = content[: content.index(b"jp2c") + 4]
    with pytest.raises(base.Undecodable):
        decoding.convert(head + depth + b"\xff\xd9", RGB)
    with pytest.raises(base.Undecodable):
        decoding.convert(b"\xff\x4f\xff\x51" + depth + b"\xff\xd9", RGB)


def test_a_cut_deep_file_is_refused_or_whole_in_silence(capfd):
    values = np.rint(RAMP * 4095).astype(np.uint16)
    for content in (
        b"P6 32 32 4095\n" + values.astype(">u2").tobytes(),
        png(values, 16, 2, struct.pack(">3H", 1, 2, 3)),
        jpeg_2000(values),
    ):
        whole, refused = decoding.convert(content, RGB), 0
        cuts = range(1, len(content), max(1, len(content) // 60))
        for cut in cuts:
            try:
                assert (decoding.convert(content[:-cut], RGB) == whole).all()
            except base.Undecodable:
                refused += 1
        assert refused > 0.8 * len(cuts)
    assert capfd.readouterr() == ("", "")
