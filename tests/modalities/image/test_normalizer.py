import numpy as np
import pytest
from makers.images import noise

from kiln.modalities.image import normalizer

PIXELS = np.stack([noise(i, 5, 7, 3) // 2 + 10 for i in range(20)])


def test_moments_are_exact_and_do_not_depend_on_batches():
    counts = normalizer.histogram(PIXELS)
    mean, std = normalizer.moments(counts)
    np.testing.assert_allclose(mean, PIXELS.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, PIXELS.std(axis=(0, 1, 2)), rtol=1e-12)
    assert (normalizer.histogram(PIXELS[:3]) + normalizer.histogram(PIXELS[3:]) == counts).all()


@pytest.mark.parametrize(
    ("method", "low", "high", "mean", "std"),
    [("standard", None, None, 0, 1), ("minmax", 0, 1, None, None), ("none", 10, 137, None, None)],
)
def test_the_map(method, low, high, mean, std):
    fitted = normalizer.fit(normalizer.histogram(PIXELS), method)
    mapped = (PIXELS - np.array(fitted["offset"])) / np.array(fitted["scale"])
    for wanted, found in ((low, mapped.min()), (high, mapped.max()), (mean, mapped.mean()), (std, mapped.std())):
        assert wanted is None or found == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("method", ["standard", "minmax"])
def test_a_channel_of_one_value_does_not_divide_by_zero(method):
    fitted = normalizer.fit(normalizer.histogram(np.full((2, 3, 3, 1), 9, np.uint8)), method)
    assert fitted == {"method": method, "offset": [9.0], "scale": [1.0]}


def test_description():
    counts = normalizer.histogram(np.array([0, 10, 20, 30], np.uint8).reshape(1, 2, 2, 1))
    train = normalizer.histogram(np.array([0, 10], np.uint8).reshape(1, 1, 2, 1))
    assert normalizer.describe(counts, train) == {
        "mean": [15.0],
        "std": [pytest.approx(11.18034, abs=1e-5)],
        "min": [0],
        "median": [10],
        "max": [30],
        "shift": [2.0],
    }
