"""95 % intervals of shares: of trials that are independent, and of images of which some belong together."""

import numpy as np
from scipy import special, stats

Z = float(stats.norm.ppf(0.975))
_ONE_SIDED = 0.07


def wilson(successes, trials):
    """Score interval of a proportion, 95 %, held to the exact bound near 0 and 1.

    E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22 (1927). Unlike the bootstrap it does not shrink to a
    point where every trial succeeds. Where a single success or failure is seen
    it covers too seldom (84 %), so there the end goes to the exact one-sided 7 %
    bound, as Brown, Cai and DasGupta propose (Statistical Science 16, 2001, 4.1.1;
    they take 5 %). So it covers 93 % or more (tests/bench/coverage.py).

    Args:
        successes, trials: floats, trials above 0; numbers or arrays. SciPy's own takes one pair of
            whole numbers, but an effective number of images is a fraction.

    Returns:
        low, high, in which the share of successes lies; nan for no trials.
    """
    successes, trials = np.asarray(successes, float), np.asarray(trials, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        share, spread = successes / trials, Z**2 / trials
        center = (share + spread / 2) / (1 + spread)
        half = Z / (1 + spread) * np.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    low = np.minimum(center - half, _exact_low(successes, trials))
    high = np.maximum(center + half, 1 - _exact_low(trials - successes, trials))
    return np.clip(np.minimum(low, share), 0, 1), np.clip(np.maximum(high, share), 0, 1)


def _exact_low(successes: np.ndarray, trials: np.ndarray) -> np.ndarray:
    some = successes > 1e-9
    bound = special.betaincinv(np.where(some, successes, 1), np.maximum(trials - successes, 0) + 1, _ONE_SIDED)
    return np.where(some, bound, 0)


def widening_factor(units) -> np.ndarray:
    """How many times the normal's width few units need: Student's t with one degree of freedom less than units."""
    return stats.t.ppf(0.975, np.maximum(np.asarray(units, float) - 1, 1)) / Z


def degrees_of_freedom(squares: np.ndarray, fourths: np.ndarray, units: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """How many units a jackknife variance is as uncertain with, were influences normal: 2 to ``apart``.

    Args:
        squares, fourths: sums of the units' influences, squared and to the fourth.
        units: how many.
        apart: how many of one size would be worth as much.
    """
    freedom = 2 * squares**2 / (fourths - squares**2 / units)
    # Without any movement, or with all of one size (up to rounding), nothing speaks against all units.
    return np.where(freedom > 0, np.clip(freedom, 2, apart), apart)


def shares(right: np.ndarray, owner: np.ndarray, unit: np.ndarray, owners: int) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of shares of images that are right, where images of a unit may be right together.

    The score interval of the effective number of images: that which would vary as
    much if images were independent (Kish, "Survey sampling", 1965; Dean and Pagano,
    "Evaluating confidence interval methods for binomial proportions in clustered
    surveys", JSSAM 3, 2015). The variance is the jackknife's over units, widened
    by Student's t. Where a few units make most of it, it is more uncertain than
    their number says, and comes out too small where none of them was drawn: the
    degrees of freedom are those of the influences' kurtosis (Satterthwaite, "An
    approximate distribution of estimates of variance components", Biometrics
    Bulletin 2, 1946; Valliant and Rust, "Degrees of freedom approximations and
    rules-of-thumb", Journal of Official Statistics 26, 2010). The number lies
    between that of units, all equal or as uneven as they are, and that of images;
    with an image a unit it is that of images.

    Args:
        right: bool [N].
        owner: int [N], whose share an image counts for, below ``owners``.
        unit: int [N].
        owners: how many.

    Returns:
        low, high [owners]; nan for an owner without images.
    """
    pairs, pair = np.unique(owner.astype(np.int64) * (int(unit.max(initial=0)) + 1) + unit, return_inverse=True)
    of = pairs // (int(unit.max(initial=0)) + 1)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(of, values, owners)

    size, hits = np.bincount(pair, minlength=len(pairs)), np.bincount(pair, right, len(pairs))
    images, units = total(size), np.bincount(of, minlength=owners)
    with np.errstate(divide="ignore", invalid="ignore"):
        share, part = total(hits) / images, size / images[of]
        apart = 1 / total(part**2)
        moved = np.nan_to_num((hits - size * share[of]) / images[of] / (1 - part), posinf=0, neginf=0)
        squares = total(moved**2)
        variance = np.where(units > 1, (units - 1) / units * squares, share * (1 - share))
        number = effective_number(
            share, variance, images, apart, degrees_of_freedom(squares, total(moved**4), units, apart)
        )
    number = np.clip(number, apart, images)
    return wilson(share * number, number)


def share(right: np.ndarray, unit: np.ndarray) -> tuple[float, float]:
    """95 % interval of the share of images that are right; see ``shares``."""
    low, high = shares(right, np.zeros(len(right), np.int64), unit, 1)
    return float(low[0]), float(high[0])


def effective_number(value, variance, images, apart, freedom):
    """How many independent images would vary as much as a metric between 0 and 1, plus one of unknown outcome.

    Args:
        value, variance: of the metric.
        images: how many count for it, were they independent.
        apart: how many, were those of a unit all alike.
        freedom: units that the variance comes from.
    """
    return (value * (1 - value) + 1 / images) / (variance + 1 / (images * apart)) / widening_factor(freedom) ** 2
