"""Colours as a file's ICC profile defines them, brought to sRGB by LittleCMS."""

import functools
import io

import numpy as np
from PIL import Image, ImageCms

# A profile that moves no colour by more levels than that is that of sRGB, as one of its many makers rounds it.
_SAME = 2
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_GRAY = ("1", "L", "LA", "La")


class Unusable(Exception):
    """The profile is broken, or is of another kind of image; the text says which."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image of 8 bits a channel to sRGB, with the perceptual intent.

    Args:
        image: gray, a palette, RGB, CMYK or CIELab, with or without transparency.
        profile: as its file holds it, if it does.

    Returns:
        The image itself where there is no profile, or it is that of sRGB; else RGB or RGBA.

    Raises:
        Unusable: to be read without the profile.
    """
    if image.mode == "LAB":
        return ImageCms.applyTransform(image, _of_lab())  # which says itself what its colours are
    if not profile:
        return image
    space, transform = _transform(profile)
    fits = {"GRAY": image.mode in _GRAY, "CMYK": image.mode == "CMYK"}.get(space, image.mode != "CMYK")
    if not fits:
        raise Unusable(f"the colour profile is of {space} images, and this is none: read without it")
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
    """Give the profile's space and the way from it, None where that changes nothing; or what is wrong."""
    try:
        opened = ImageCms.getOpenProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        if space not in _SPACES:
            return f"the colour profile is of {space} images, which no file holds: read without it"
        mode = _SPACES[space]
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), mode, "RGB")
        return space, None if mode != "CMYK" and _changes_nothing(transform, mode) else transform
    except Exception:  # LittleCMS and Pillow raise what they please on hostile bytes
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
