"""Images mixed with each other, and their targets with them: mixup, cutmix."""

import numpy as np
from scipy.special import betaincinv

from kiln.core import randomness

_DRAWS = ("kind", "share", "down", "right")


def mixed(
    pixels: np.ndarray, probabilities: np.ndarray, mixup: float, cutmix: float, keys: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mix each image of a batch, and its target, with the next one (the last with the first).

    mixup blends them (Zhang et al., "mixup", ICLR 2018), cutmix puts a rectangle
    of the other in (Yun et al., "CutMix", ICCV 2019). The own share is drawn
    from Beta(a, a); where both are on, each image takes one of them at random.

    Args:
        pixels: uint8 [N, H, W, C].
        probabilities: targets, float32 [N, classes].
        mixup, cutmix: a of each; 0 is off.
        keys: uint64 [N]; the same keys draw the same.

    Returns:
        uint8 [N, H, W, C] and float32 [N, classes], new arrays.
    """
    if not (mixup or cutmix):
        return pixels, probabilities
    draws = dict(zip(_DRAWS, randomness.uniform(keys, len(_DRAWS)).T, strict=True))
    blends = np.full(len(pixels), bool(mixup)) if not (mixup and cutmix) else draws["kind"] < 0.5
    alpha = np.where(blends, mixup or 1, cutmix or 1)
    share = betaincinv(alpha, alpha, draws["share"])
    inside = _boxes(pixels.shape, share, draws) & ~blends[:, None, None]
    share = np.where(blends, share, 1 - inside.mean(axis=(1, 2)))
    others = np.roll(pixels, -1, axis=0)
    result = np.where(inside[..., None], others, pixels)
    part = share[blends, None, None, None].astype(np.float32)
    result[blends] = np.rint(part * pixels[blends] + (1 - part) * others[blends]).astype(np.uint8)
    own = share[:, None].astype(np.float32)
    return result, own * probabilities + (1 - own) * np.roll(probabilities, -1, axis=0)


def _boxes(shape: tuple, share: np.ndarray, draws: dict) -> np.ndarray:
    """Mark a rectangle of area 1 - share, less what lies beyond the image: bool [N, H, W]."""
    spans = []
    for side, draw in ((shape[1], draws["down"]), (shape[2], draws["right"])):
        half, centre = np.sqrt(1 - share) * side / 2, draw * side
        places = np.arange(side) + 0.5
        spans.append(np.abs(places - centre[:, None]) < half[:, None])
    return spans[0][:, :, None] & spans[1][:, None, :]
