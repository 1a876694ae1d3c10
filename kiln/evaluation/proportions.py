"""95 % intervals of proportions: of independent trials, and of samples of which some belong together."""

import numpy as np
from scipy import special, stats

Z = float(stats.norm.ppf(0.975))
_ONE_SIDED = 0.07


def wilson(successes, trials):
    """95 % score interval of a proportion, widened to the exact bound near 0 and 1.

    E. B. Wilson, "Probable inference, the law of succession, and statistical
    inference", JASA 22 (1927). Unlike the bootstrap interval it does not shrink to a
    point if every trial succeeds. With a single success or failure its coverage is
    too low (84 %), so the end is then extended to the exact one-sided 7 % bound, as
    Brown, Cai and DasGupta propose (Statistical Science 16, 2001, 4.1.1; they use
    5 %). Coverage is then at least 93 % (tests/bench/coverage.py).

    Args:
        successes, trials: floats, trials above 0; numbers or arrays. SciPy's version takes one pair
            of integers, but an effective number of samples is a fraction.

    Returns:
        low, high, which hold the proportion of successes; NaN without trials.
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
    """Ratio of the width for few units to the normal's: Student's t with one degree of freedom less than units."""
    return stats.t.ppf(0.975, np.maximum(np.asarray(units, float) - 1, 1)) / Z


def degrees_of_freedom(squares: np.ndarray, fourths: np.ndarray, units: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Effective number of units of a jackknife variance: with normal influences it would be as uncertain.

    Args:
        squares, fourths: sums of the units' influences, squared and to the fourth power.
        units: their number.
        apart: effective number of units, were all of the same size.

    Returns:
        2 to ``apart``.
    """
    freedom = 2 * squares**2 / (fourths - squares**2 / units)
    # If all influences are 0, or equal up to rounding, all units count.
    return np.where(freedom > 0, np.clip(freedom, 2, apart), apart)


def shares(right: np.ndarray, owner: np.ndarray, unit: np.ndarray, owners: int) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of the proportions of correct samples, where samples of a unit may be correlated.

    The score interval for the effective number of samples: the number that would vary
    as much if samples were independent (Kish, "Survey sampling", 1965; Dean and
    Pagano, "Evaluating confidence interval methods for binomial proportions in
    clustered surveys", JSSAM 3, 2015). The variance is the jackknife's over units,
    widened by Student's t. If a few units contribute most of it, it is more uncertain
    than the number of units suggests, and too small in samples without such units: so
    the degrees of freedom come from the kurtosis of the influences (Satterthwaite,
    "An approximate distribution of estimates of variance components", Biometrics
    Bulletin 2, 1946; Valliant and Rust, "Degrees of freedom approximations and
    rules-of-thumb", Journal of Official Statistics 26, 2010). The number is at least
    the effective number of units and at most the number of samples; with one sample
    per unit it is the number of samples.

    Args:
        right: bool [N].
        owner: int [N], the proportion that a sample counts for, below ``owners``.
        unit: int [N].
        owners: number of proportions.

    Returns:
        low, high [owners]; NaN for an owner without samples.
    """
    pairs, pair = np.unique(owner.astype(np.int64) * (int(unit.max(initial=0)) + 1) + unit, return_inverse=True)
    of = pairs // (int(unit.max(initial=0)) + 1)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(of, values, owners)

    size, hits = np.bincount(pair, minlength=len(pairs)), np.bincount(pair, right, len(pairs))
    samples, units = total(size), np.bincount(of, minlength=owners)
    with np.errstate(divide="ignore", invalid="ignore"):
        share, part = total(hits) / samples, size / samples[of]
        apart = 1 / total(part**2)
        moved = np.nan_to_num((hits - size * share[of]) / samples[of] / (1 - part), posinf=0, neginf=0)
        squares = total(moved**2)
        variance = np.where(units > 1, (units - 1) / units * squares, share * (1 - share))
        number = effective_number(
            share, variance, samples, apart, degrees_of_freedom(squares, total(moved**4), units, apart)
        )
    number = np.clip(number, apart, samples)
    return wilson(share * number, number)


def share(right: np.ndarray, unit: np.ndarray) -> tuple[float, float]:
    """95 % interval of the proportion of correct samples; see ``shares``."""
    low, high = shares(right, np.zeros(len(right), np.int64), unit, 1)
    return float(low[0]), float(high[0])


def effective_number(value, variance, samples, apart, freedom):
    """Effective number of samples: as many independent ones, plus one of unknown outcome, would vary as much.

    Args:
        value, variance: of a metric between 0 and 1.
        samples: effective number if samples were independent.
        apart: effective number if the samples of a unit were all alike.
        freedom: effective number of units that the variance is estimated from.
    """
    return (value * (1 - value) + 1 / samples) / (variance + 1 / (samples * apart)) / widening_factor(freedom) ** 2
