"""What a file is by its first bytes."""

import io
import struct

import pytest
from PIL import Image

from kiln.core import formats
from kiln.modalities.image.formats import READ


def encoded(kind: str, mode: str = "RGB", **options) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (32, 32), 7).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (encoded("JPEG"), "JPEG"),
        (encoded("MPO"), "JPEG"),
        (encoded("PNG"), "PNG"),
        (encoded("GIF", "L"), "GIF"),
        (encoded("BMP"), "BMP"),
        (encoded("DIB"), "DIB"),
        (encoded("WEBP"), "WEBP"),
        (encoded("TIFF"), "TIFF"),
        (encoded("TIFF", big_tiff=True), "TIFF"),
        (encoded("PPM"), "PPM"),
        (encoded("AVIF"), "AVIF"),
        (encoded("JPEG2000"), "JPEG 2000"),
        (encoded("JPEG2000", no_jp2=True), "JPEG 2000"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", "video (MP4, MOV)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer"),
        (b"/annex/objects/SHA256E-s1--0.jpg\n", "git-annex pointer"),
        (b"outs:\n- md5: 0\n", "DVC pointer"),
        (b"\r\n <!DOCTYPE html>\n<html>", "HTML"),
        (b"\xef\xbb\xbf<html><body>404</body></html>", "HTML"),
        ("\ufeff<html>".encode("utf-16-le"), "HTML"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', "SVG"),
        (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "XML"),
        (b'{"error": "forbidden"}', "JSON"),
        (b"a photo of a cat", "text"),
        ("Ein Käfer".encode(), "text"),
        (b"%PDF-1.7\n", "PDF"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"PK\x03\x04", "zip"),
        (b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ", "macOS resource fork (AppleDouble)"),
        (bytes(128) + b"DICM\x02\0", "DICOM"),
        (b"", "empty file"),
        (bytes(140), "empty file (all zeros)"),
        (b"\x81\x82\x83\x84\x85", None),
        (b"(\0\0\0" + bytes(36), None),  # a header of 40 bytes, but of no picture
    ],
)
def test_a_file_is_known_by_its_first_bytes(content, name):
    assert formats.sniff(content[: formats.HEAD]) == name
    if name != "DICOM" and content:
        assert formats.sniff(content[:64]) in (name, "empty file (all zeros)")


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff\xe0" + bytes(60), struct.pack("<IiiHH", 40, 9, 9, 1, 24) + bytes(40)]
)
def test_what_is_read_is_named_by_one_of_the_names_that_are_read(content):
    assert formats.sniff(content) in READ
