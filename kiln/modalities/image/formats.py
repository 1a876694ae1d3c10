"""Image files: extensions, supported kinds, and remedies for those that are not supported."""

import importlib.util

import numpy as np

from kiln.core.formats import sniff

# The supported kinds; ``opening`` decodes them. No other is ever tried: some run programs (EPS), some have no
# signature (TGA). DIB is BMP without its signature: recognised by its header. HEIC needs its plug-in, which is
# optional because its codec is under the GPL, and larger than all others together.
HEIF_PLUGIN = "pillow_heif"
READ = frozenset(["AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG 2000", "PNG", "PPM", "TIFF", "WEBP"])
READ |= {"HEIC"} if importlib.util.find_spec(HEIF_PLUGIN) else set()
_NAMES = ".avif .bmp .dib .gif .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .mpo .pbm .pgm .png .pnm .ppm"
_NAMES += " .tif .tiff .webp" + " .heic .heif .hif" * ("HEIC" in READ)
EXTENSIONS = frozenset(_NAMES.split())
# Camera raw files that begin like TIFF, but whose first image is only a preview.
_RAW = (".3fr", ".arw", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".nef", ".nrw", ".pef", ".sr2", ".srw")
_REMEDIES = {
    "HEIC": f"run `pip install {HEIF_PLUGIN.replace('_', '-')}` in .venv to read HEIC, or convert them to JPEG, "
    "or remove their folder"
}


class ImageFiles:
    """The modality ``image`` as sources need it; see ``kiln.modalities.base.FileKinds``."""

    name, noun = "image", "image"
    extensions = EXTENSIONS
    refused = dict.fromkeys(_RAW, "camera raw")
    usual_formats = "JPEG or PNG"
    columns = ("image", "img")
    separator = None
    remedies = _REMEDIES

    def reads(self, head: bytes) -> bool:
        """Check, by a file's first ``formats.HEAD`` bytes, whether its kind is supported."""
        return sniff(head) in READ

    def encode(self, value: np.ndarray) -> bytes:
        """Encode pixels as PNG: uint8 [H, W, C], C 1 (gray) or 3 (RGB)."""
        from kiln.modalities.image import pictures

        return pictures.encode_png(value)
