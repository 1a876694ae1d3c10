"""Which files are images: extensions, the kinds that are decoded, and what to do about those that are not."""

import importlib.util

import numpy as np

from kiln.core.formats import sniff

# What is decoded; see ``opening`` for how. No other is ever tried: some start programs (EPS), some have no mark to
# know them by (TGA). DIB is BMP without its mark: known by a header in which all but the size is as it must be.
# HEIC where its plug-in is installed, whose codec is under the GPL, and which is larger than all others together.
HEIF_PLUGIN = "pillow_heif"
READ = frozenset(["AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG 2000", "PNG", "PPM", "TIFF", "WEBP"])
READ |= {"HEIC"} if importlib.util.find_spec(HEIF_PLUGIN) else set()
_NAMES = ".avif .bmp .dib .gif .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg .jpx .mpo .pbm .pgm .png .pnm .ppm"
_NAMES += " .tif .tiff .webp" + " .heic .heif .hif" * ("HEIC" in READ)
EXTENSIONS = frozenset(_NAMES.split())
# Camera raws that begin as TIFF does, whose first image is but a preview.
_RAW = (".3fr", ".arw", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".nef", ".nrw", ".pef", ".sr2", ".srw")
_REMEDIES = {
    "HEIC": f"run `pip install {HEIF_PLUGIN.replace('_', '-')}` in .venv to have HEIC read, or convert them to JPEG, "
    "or take their folder out"
}


class ImageFiles:
    """What sources ask of the modality ``image``; the attributes are those of ``kiln.modalities.base.Modality``."""

    name, noun = "image", "image"
    extensions = EXTENSIONS
    refused = dict.fromkeys(_RAW, "camera raw")
    usual_formats = "JPEG or PNG"
    columns = ("image", "img")
    remedies = _REMEDIES

    def reads(self, head: bytes) -> bool:
        """Tell by a file's first ``formats.HEAD`` bytes whether it is of a kind that is decoded."""
        return sniff(head) in READ

    def encode(self, value: np.ndarray) -> bytes:
        """Make a PNG of pixels, uint8 [H, W, C], C 1 (gray) or 3 (RGB)."""
        from kiln.modalities.image import pictures

        return pictures.encode_png(value)
