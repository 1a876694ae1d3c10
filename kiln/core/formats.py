"""What a file is, by its first bytes, whatever its name says."""

# How many bytes ``sniff`` reads.
HEAD = 140
_MARKS = (
    (b"\xff\xd8\xff\xf7", "JPEG-LS"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI", "PNG for iOS alone (CgBI)"),
    (b"\x89PNG", "PNG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0\x10\0\0\0CR", "camera raw (CR2)"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"MM*\0", "TIFF"),
    (b"II\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"IIRO", "camera raw (ORF)"),
    (b"IIRS", "camera raw (ORF)"),
    (b"IIU\0", "camera raw (RW2)"),
    (b"FUJIFILMCCD-RAW", "camera raw (RAF)"),
    (b"8BPS", "Photoshop (PSD)"),
    (b"8BIM", "Photoshop (PSD)"),
    (b"gimp xcf", "GIMP (XCF)"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"\0\0\x01\0", "ICO"),
    (b"icns", "ICNS"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"FORM", "IFF"),
    (b"SIMPLE  =", "FITS"),
    (b"CDF\x01", "NetCDF"),
    (b"CDF\x02", "NetCDF"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"\x93NUMPY", "NumPy array"),
    (b"MATLAB 5.0 MAT-file", "MATLAB file"),
    (b"NRRD000", "NRRD"),
    (b"AT&TFORM", "DjVu"),
    (b"%PDF", "PDF"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"PK\x07\x08", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"PAR1", "Parquet"),
    (b"SQLite format 3\0", "SQLite"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Office or Thumbs.db (OLE)"),
    (b"\0\x05\x16\x07", "macOS resource fork (AppleDouble)"),
    (b"\0\x05\x16\0", "macOS resource fork (AppleSingle)"),
    (b"\0\0\0\x01Bud1", "macOS folder settings (.DS_Store)"),
    (b"L\0\0\0\x01\x14\x02\0", "Windows shortcut"),
    (b"\x1aE\xdf\xa3", "video (Matroska, WebM)"),
    (b"\0\0\x01\xba", "video (MPEG)"),
    (b"\0\0\x01\xb3", "video (MPEG)"),
    (b"OggS", "Ogg"),
    (b"ID3", "MP3"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
)
_RIFF = {b"WEBP": "WEBP", b"WAVE": "WAV", b"AVI ": "video (AVI)"}
# Brands of ISO media files (ISO 14496-12): the first that occurs counts, since some files name several.
_BRANDS = (
    ("AVIF", (b"avif", b"avis")),
    ("HEIC", (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")),
    ("camera raw (CR3)", (b"crx ",)),
    ("HEIF", (b"mif1", b"msf1", b"mif2")),
)
_TEXTS = (
    (b"version https://git-lfs", "Git LFS pointer"),
    (b"version https://hawser", "Git LFS pointer"),
    (b"/annex/objects/", "git-annex pointer"),
    (b"../.git/annex/", "git-annex pointer"),
    (b"outs:\n- md5", "DVC pointer"),
    (b"<!doctype html", "HTML"),
    (b"<html", "HTML"),
    (b"<head", "HTML"),
    (b"<body", "HTML"),
    (b"<svg", "SVG"),
    (b"<!doctype svg", "SVG"),
    (b"[internetshortcut]", "internet shortcut"),
    (b"<?xml", "XML"),
    (b"<error>", "XML"),
    (b"<", "XML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
_DIB_HEADERS, _DIB_BITS = (12, 40, 52, 56, 64, 108, 124), (1, 4, 8, 16, 24, 32)


def sniff(head: bytes) -> str | None:
    """Name what a file is.

    Args:
        head: its first ``HEAD`` bytes; 64 are enough for all but DICOM.

    Returns:
        Its format ("JPEG", "Parquet", "text", ...), or what it is instead ("Git LFS
        pointer", "empty file", ...); None if unknown.
    """
    if not head:
        return "empty file"
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    for look in (_riff, _media, _netpbm, _dib, _text):
        if name := look(head):
            return name
    if head[128:132] == b"DICM":
        return "DICOM"
    return "empty file (all zeros)" if not head.strip(b"\0") else None


def _riff(head: bytes) -> str | None:
    return _RIFF.get(head[8:12], "RIFF") if head.startswith(b"RIFF") else None


def _media(head: bytes) -> str | None:
    if head[4:8] != b"ftyp":
        return None
    size = int.from_bytes(head[:4], "big")
    known = {head[place : place + 4] for place in (8, *range(16, min(size, len(head)), 4))}
    return next((name for name, brands in _BRANDS if known.intersection(brands)), "video (MP4, MOV)")


def _netpbm(head: bytes) -> str | None:
    if head[:1] != b"P" or not head[2:3].isspace():
        return None
    return "PPM" if head[1:2] in b"123456" else {b"7": "PAM", b"f": "PFM", b"F": "PFM"}.get(head[1:2])


def _dib(head: bytes) -> str | None:
    old = head[:4] == b"\x0c\0\0\0"
    planes, bits = (head[8:10], head[10:12]) if old else (head[12:14], head[14:16])
    known = int.from_bytes(head[:4], "little") in _DIB_HEADERS and int.from_bytes(planes, "little") == 1
    known = known and int.from_bytes(bits, "little") in _DIB_BITS
    return "DIB" if known and (old or int.from_bytes(head[16:20], "little") <= 6) else None


def _text(head: bytes) -> str | None:
    for mark, form in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            head = head[len(mark) :].decode(form, "ignore").encode()
    start = head.lstrip().lower()
    for mark, name in _TEXTS:
        if start.startswith(mark):
            # An SVG may begin as XML, and so may HTML.
            inside = next((inner for word, inner in _TEXTS if inner in ("SVG", "HTML") and word in start), None)
            return inside if name == "XML" and inside else name
    # A multi-byte character may be cut at the end.
    plain = head.decode("utf-8", "ignore")
    whole = len(head) - len(plain.encode()) < 4 and all(sign.isprintable() or sign.isspace() for sign in plain)
    return "text" if whole and plain.strip() else None
