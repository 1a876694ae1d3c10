"""Mixing of images: blending (mixup), or pasting a rectangle of the other in (cutmix)."""

from collections.abc import Mapping

import numpy as np


def mix(
    pixels: np.ndarray, blends: np.ndarray, shares: np.ndarray, draws: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Mix each image of a batch with the next one (the last with the first).

    Zhang et al., "mixup", ICLR 2018; Yun et al., "CutMix", ICCV 2019.

    Args:
        pixels: uint8 [N, H, W, C].
        blends: bool [N]: whether to blend; otherwise to paste.
        shares: float [N]: of each image itself.
        draws: down, right: uniform numbers [N] in [0, 1), for the centre of the rectangle.

    Returns:
        uint8 [N, H, W, C], a new array; and the remaining share of each image itself,
        larger than requested where the rectangle extends beyond the border.
    """
    inside = _boxes(pixels.shape, shares, draws) & ~blends[:, None, None]
    shares = np.where(blends, shares, 1 - inside.mean(axis=(1, 2)))
    others = np.roll(pixels, -1, axis=0)
    result = np.where(inside[..., None], others, pixels)
    part = shares[blends, None, None, None].astype(np.float32)
    result[blends] = np.rint(part * pixels[blends] + (1 - part) * others[blends]).astype(np.uint8)
    return result, shares


def _boxes(shape: tuple, share: np.ndarray, draws: Mapping[str, np.ndarray]) -> np.ndarray:
    """Mark a rectangle of area 1 - share, clipped to the image: bool [N, H, W]."""
    spans = []
    for side, draw in ((shape[1], draws["down"]), (shape[2], draws["right"])):
        half, centre = np.sqrt(1 - share) * side / 2, draw * side
        places = np.arange(side) + 0.5
        spans.append(np.abs(places - centre[:, None]) < half[:, None])
    return spans[0][:, :, None] & spans[1][:, None, :]
