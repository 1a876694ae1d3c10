"""What the report and the model card say of images alone: sizes, colours, what cleaning saw in one."""

from kiln.modalities.image import levels

VALUES = "Pixel values from 0 to 255"  # that networks are given
_FINDINGS = {
    "metadata": "Whole pixels, but {detail}",
    "too_small": "Too small: shorter side {score:.0f} pixels",
    "odd_aspect": "Long and thin: {score:.1f} to 1",
    "constant": "Nothing to see: contrast {score:.1f}",
    "too_dark": "Too dark: highlights at {score:.0f} of 255",
    "too_bright": "Too bright: shadows at {score:.0f} of 255",
    "blurry": "Blurry: sharpness {score:.2f}",
    "low_information": "Little to see: {score:.1f} bits",
    "left_out": "Left out by a correction",
    "conflicting_labels": "The same pixels under two labels",
    "exact_duplicate": "The same pixels twice",
    "near_duplicate": "Copies: correlation {score:.3f}",
    "label_error": "Label suspect: quality {score:.2f}",
    "outlier": "Unlike its class: {score:.1f} deviations from the median",
}


def describe_conversion(conversion: dict) -> str:
    """Describe what images are converted to, for use in a sentence: 8 x 8 pixels, gray.

    Args:
        conversion: height, width, channels, and range where values of more than 8 bits were scaled.
    """
    colors = "gray" if conversion["channels"] == 1 else "RGB"
    size = f"{conversion['height']} x {conversion['width']} pixels"
    return f"{size}, {colors}{levels.told(conversion.get('range'))}"


def describe_finding(reason: str, score: float | None, detail: str | None) -> str:
    """Describe what a check saw in an image: Blurry: sharpness 0.12."""
    return _FINDINGS[reason].format(score=score, detail=detail)


def name_channels(count: int) -> tuple[str, ...]:
    """Name the channels of an image; an only one has no name."""
    return ("",) if count == 1 else ("red", "green", "blue")
