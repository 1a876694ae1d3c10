"""Conversion of colours from a file's ICC profile to sRGB, by LittleCMS."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

# A profile that changes no colour by more levels than this is sRGB, with the rounding of its vendor.
_SAME = 2
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_GRAY = ("1", "L", "LA", "La")


class Unusable(Exception):
    """The profile is broken or belongs to another kind of image; the text says which."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image of 8 bits per channel to sRGB, with the perceptual intent.

    Args:
        image: gray, a palette, RGB, CMYK or CIELab, with or without transparency.
        profile: the ICC profile in its file, if any.

    Returns:
        The image itself if it has no profile, or that of sRGB; else RGB or RGBA.

    Raises:
        Unusable: the profile must be ignored.
    """
    if image.mode == "LAB":
        return ImageCms.applyTransform(image, _of_lab())  # whose colours need no profile
    if not profile:
        return image
    space, transform = _transform(profile)
    fits = {"GRAY": image.mode in _GRAY, "CMYK": image.mode == "CMYK"}.get(space, image.mode != "CMYK")
    if not fits:
        raise Unusable(f"the colour profile is of {space} images, and this is not one: read without it")
    if transform is None:
        return image
    alpha = None
    if image.has_transparency_data:
        image = image.convert("RGBA")
        alpha = image.getchannel("A")
    image = image.convert(_SPACES[space])
    image = ImageCms.applyTransform(image, transform)
    if alpha is not None:
        image.putalpha(alpha)
    return image


@functools.cache
def _of_lab() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")


@functools.lru_cache(maxsize=64)
def _built(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None] | str:
    """Return the profile's colour space and the transform to sRGB (None if it changes nothing), or what is wrong."""
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        if space not in _SPACES:
            return f"the colour profile is of {space} images, which no file contains: read without it"
        mode = _SPACES[space]
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
        return space, None if mode != "CMYK" and _changes_nothing(transform, mode) else transform
    except Exception:  # LittleCMS and Pillow raise arbitrary exceptions on hostile bytes
        return "the colour profile is broken: read without it"


def _transform(profile: bytes) -> tuple[str, ImageCms.ImageCmsTransform | None]:
    built = _built(profile)
    if isinstance(built, str):
        raise Unusable(built)
    return built


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    steps = np.linspace(0, 255, 18).round().astype(np.uint8)
    colors = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    if mode == "L":
        colors = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    before = Image.fromarray(colors if mode == "RGB" else colors[..., 0])
    after = np.asarray(ImageCms.applyTransform(before, transform))
    return np.abs(after.astype(int) - colors).max() <= _SAME
