import numpy as np
import pytest
from makers.predictions import patients
from scipy import stats

from kiln.evaluation import proportions


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (300, 359), (5, 10)])
def test_wilson_equals_scipy(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, "wilson")
    assert proportions.wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_near_the_edge_the_end_is_the_exact_one_sided_bound():
    low, high = proportions.wilson([1, 49], [50, 50])
    # 1 - (1 - low)^50 = 0.07: what a single success of 50 is still likely under.
    assert 1 - (1 - low[0]) ** 50 == pytest.approx(0.07)
    assert high[1] == pytest.approx(1 - low[0])
    assert low[0] < stats.binomtest(1, 50).proportion_ci(0.95, "wilson").low
    assert np.isnan(proportions.wilson(0, 0)).all()


@pytest.mark.parametrize("images", [20, 50, 100, 200, 1000])
def test_the_accuracys_interval_covers_nowhere_too_seldom(images):
    counts = np.arange(images + 1)
    low, high = proportions.wilson(counts, images)
    for share in np.concatenate([np.linspace(0.5, 0.98, 100), 1 - np.geomspace(1e-4, 0.02, 100)]):
        covered = stats.binom.pmf(counts, images, share)[(low <= share) & (share <= high)].sum()
        assert covered > 0.925, share  # Wilson's alone: 0.84


def test_the_interval_of_a_share_knows_units():
    generator = np.random.default_rng(0)
    right = generator.random(40) < 0.8
    alone = tuple(float(end) for end in proportions.wilson(right.sum(), 40))
    assert proportions.share(right, np.arange(40)) == pytest.approx(alone)
    # Copies tell nothing new.
    copied = proportions.share(np.repeat(right, 5), np.repeat(np.arange(40), 5))
    assert copied == pytest.approx(alone, abs=0.01) and copied[0] <= alone[0] + 1e-9
    # One patient, or one who is always right: hardly anything is known.
    assert proportions.share(right, np.zeros(40, int))[0] < 0.3
    assert proportions.share(np.ones(40, bool), np.zeros(40, int)) == pytest.approx(
        tuple(float(end) for end in proportions.wilson(1, 1))
    )
    # Twenty patients of thirty images, all right, are twenty that are.
    low, high = proportions.share(np.ones(600, bool), np.repeat(np.arange(20), 30))
    assert (low, high) == pytest.approx((float(proportions.wilson(20, 20)[0]), 1))


@pytest.mark.parametrize(
    ("units", "uneven", "share", "alike"),
    [
        *((10, 0, 0.8, 1 / 3), (20, 0, 0.8, 1 / 3), (20, 0.5, 0.8, 1 / 3), (50, 0, 0.8, 1 / 3)),
        # By the degrees of freedom of the number of units: 0.91, 0.90 and 0.87.
        *((50, 0, 0.95, 0.8), (50, 0.5, 0.95, 0.8), (50, 1, 0.95, 0.8)),
    ],
)
def test_intervals_cover_where_the_images_of_a_patient_are_right_together(units, uneven, share, alike):
    generator, held, tries = np.random.default_rng(0), 0, 600
    for _ in range(tries):
        low, high = proportions.share(*patients(units, uneven, share, alike, generator))
        held += low <= share <= high
    assert 0.925 < held / tries < 0.985  # by images alone: 0.39


def test_a_variance_that_few_units_make_widens_the_interval():
    # Of 50 patients of 25 images two are wrong throughout, or all are wrong in one: 96 % right either way.
    influences = np.repeat([-48, 2], [2, 48])
    freedom = proportions.degrees_of_freedom((influences**2).sum(), (influences**4).sum(), 50, 50)
    assert freedom == pytest.approx(4.537, abs=1e-3)  # 2 * 4800^2 / (2 * 48^4 + 48 * 2^4 - 4800^2 / 50)
    normal = stats.norm.ppf((np.arange(500) + 0.5) / 500)
    assert proportions.degrees_of_freedom((normal**2).sum(), (normal**4).sum(), 500, 1000) == pytest.approx(
        500, rel=0.05
    )
    with np.errstate(invalid="ignore"):
        assert proportions.degrees_of_freedom(np.array(0.0), np.array(0.0), 50, 40) == 40
