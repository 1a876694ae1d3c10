"""Mixing samples and their targets: mixup, cutmix."""

from collections.abc import Mapping

import numpy as np
from scipy.special import betaincinv

from kiln.core import randomness
from kiln.modalities.base import Part

_DRAWS = ("kind", "share", "down", "right")


def mix(
    parts: Mapping[str, Part],
    values: Mapping[str, np.ndarray],
    targets: np.ndarray,
    mixup: float,
    cutmix: float,
    keys: np.ndarray,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Mix each sample of a batch, and its target, with the next one (the last with the first).

    The weight of the sample itself is drawn from Beta(a, a). If both mixup
    (blending) and cutmix (pasting) are on, each sample uses one of them at random.

    Args:
        parts: of the samples.
        values: part -> values [N, ...].
        targets: float32 [N, classes].
        mixup, cutmix: a of each; 0 turns it off.
        keys: uint64 [N]; equal keys give equal draws.

    Returns:
        New values and targets; the weight of a target is the mean over parts of the share that remains of the sample.
    """
    if not (mixup or cutmix):
        return dict(values), targets
    draws = dict(zip(_DRAWS, randomness.uniform(keys, len(_DRAWS)).T, strict=True))
    blends = np.full(len(targets), bool(mixup)) if not (mixup and cutmix) else draws["kind"] < 0.5
    alpha = np.where(blends, mixup or 1, cutmix or 1)
    shares = betaincinv(alpha, alpha, draws["share"])
    mixed = {name: part.modality.mix(values[name], blends, shares, draws) for name, part in parts.items()}
    weight = np.mean([share for _, share in mixed.values()], axis=0)[:, None].astype(np.float32)
    targets = weight * targets + (1 - weight) * np.roll(targets, -1, axis=0)
    return {name: changed for name, (changed, _) in mixed.items()}, targets
