"""Knobs of the modality image, section by section."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kiln.params import types
from kiln.params.types import Action, Fraction, Section, knob

Strength = Annotated[float, Field(ge=0, le=0.5)]


def _size(value: Any) -> Any:
    fits = (
        isinstance(value, list) and len(value) == 2 and all(type(side) is int and 1 <= side <= 1024 for side in value)
    )
    if value != "auto" and not fits:
        raise ValueError("should be auto or [height, width], each from 1 to 1024")
    return value


def _range(value: Any) -> Any:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(end) in (int, float) for end in value)
    if value != "auto" and not (numbers and -1e30 <= value[0] < value[1] <= 1e30):
        raise ValueError("should be auto or [low, high], two numbers, the lower first")
    return value


class Fetch(Section):
    """Where an image stands in a table."""

    column: str = knob("auto", "of a table; auto: path or file_name, in Parquet image or img", min_length=1)


class Clean(Section):
    """The shape of all images, and faults that only images have."""

    size: Annotated[Literal["auto"] | list[int], BeforeValidator(_size)] = knob(
        "auto", "[height, width] in pixels, 1 to 1024; auto: their common size up to 64, else [64, 64]"
    )
    fit: Literal["crop", "pad", "stretch"] = knob("crop", "of other shapes; crop: the centre; pad: black borders")
    channels: Literal["auto", 1, 3] = knob("auto", "1: grey; 3: RGB; auto: 1 if every image is grey")
    range: Annotated[Literal["auto"] | list[float], BeforeValidator(_range)] = knob(
        "auto", "[low, high]: what 16-bit and float images show as 0 and 255; auto: what they span, or their bits"
    )
    max_pixels: int = knob(100_000_000, "height x width; larger images are set aside undecoded", ge=1, le=10**9)
    metadata: Action = knob("flag", "broken EXIF or colour profile, or no end marker")
    too_small: Action = knob("drop", "shorter side below min_side")
    min_side: int = knob(8, "pixels", ge=1)
    odd_aspect: Action = knob("flag", "longer side by shorter above max_aspect")
    max_aspect: float = knob(3.0, "longer side by shorter", ge=1)
    constant: Action = knob("drop", "contrast below min_contrast")
    min_contrast: float = knob(3.0, "standard deviation of the channel that varies most", ge=0, le=127.5)
    too_dark: Action = knob("flag", "highlights below min_highlight")
    min_highlight: float = knob(60, "luminance that 1 % of the pixels exceed", ge=0, le=255)
    too_bright: Action = knob("flag", "shadows above max_shadow")
    max_shadow: float = knob(230, "luminance that 5 % of the pixels fall below", ge=0, le=255)
    blurry: Action = knob("flag", "sharpness below min_sharpness")
    min_sharpness: float = knob(0.25, "deviation of the Laplacian by that of luminance, at 64 pixels at most", ge=0)
    low_information: Action = knob("flag", "entropy below min_entropy")
    min_entropy: float = knob(1.0, "bits of luminance", ge=0, le=8)
    near_duplicate_score: Literal["auto"] | Annotated[float, Field(ge=0.5, le=1)] = knob(
        "auto", "correlation, once aligned, from which two images are copies; auto: by what is usual, 0.65 to 0.9"
    )


class Augment(Section):
    """How far a view may differ from its image; 0 is off."""

    rotate: float = knob(10, "degrees either way", ge=0, le=180)
    scale: Strength = knob(0.1, "fraction: zoom in or out")
    crop: Strength = knob(0.1, "fraction of a side: shift, with borders reflected")
    flip: Fraction = knob(0, "probability of a left-right flip; wrong for digits, text and signs")
    brightness: Fraction = knob(0, "fraction of the full range, either way")
    contrast: float = knob(0.2, "fraction, about the image's mean", ge=0, lt=1)
    cutout: Fraction = knob(0, "fraction of a side: blank a square of that size")


class Normalize(Section):
    """What the model's first layer does to pixels."""

    method: Literal["standard", "minmax", "per_image", "none"] = knob(
        "standard", "standard: mean 0, deviation 1 per channel; minmax: 0 to 1; none: 0 to 255"
    )


class Evaluate(Section):
    """How images are predicted."""

    flip: bool = knob(False, "score test also by the mean over each image and its mirror image, as `predict --flip`")


KNOBS: types.Knobs = {"fetch": Fetch, "clean": Clean, "augment": Augment, "normalize": Normalize, "evaluate": Evaluate}
