"""Sentences of the report on images: findings of cleaning, and how to read explanations."""

from kiln.modalities.base import Explanation

VALUES, RANGE = "Pixel values from 0 to 255", ", 0 to 255"
REPEATED = "with these pixels: a placeholder for photos that were not found?"
COPIES = "fine structure correlates by {score:.2f} or more"
FINDINGS = {
    "near_duplicate": "Copies: correlation {score:.3f}",
    "metadata": "Whole pixels, but {detail}",
    "too_small": "Too small: shorter side {score:.0f} pixels",
    "odd_aspect": "Long and thin: {score:.1f} to 1",
    "constant": "Nothing to see: contrast {score:.1f}",
    "too_dark": "Too dark: highlights at {score:.0f} of 255",
    "too_bright": "Too bright: shadows at {score:.0f} of 255",
    "blurry": "Blurry: sharpness {score:.2f}",
    "low_information": "Little to see: {score:.1f} bits",
}
EXPLANATIONS = {
    "occlusion": Explanation(
        "where hiding a patch changes the prediction",
        "Red is where hiding a patch makes the prediction less likely, blue where more.",
        "",
    ),
    "grad_cam": Explanation(
        "Grad-CAM of the prediction",
        "Then: what in the last feature maps supports it (Grad-CAM).",
        "There is no Grad-CAM: this network has no feature maps near its end.",
    ),
}


def name_channels(count: int) -> list[str]:
    """Name the channels of an image; a single one has no name."""
    return [""] if count == 1 else ["red", "green", "blue"]
