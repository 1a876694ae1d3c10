import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from kiln.core import scores
from kiln.evaluation import calibration


def test_the_temperature_that_spoilt_probabilities_is_found():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(20_000, 5)) * 2
    honest = softmax(logits, axis=1)
    labels = (generator.random((20_000, 1)) > honest.cumsum(axis=1)).sum(axis=1)
    spoilt = softmax(logits * 3, axis=1).astype(np.float32)
    temperature = calibration.fit(labels, spoilt)
    assert temperature == pytest.approx(3, rel=0.05)
    mended = calibration.scaled(spoilt, temperature)
    assert scores.cross_entropy(mended, labels).mean() < scores.cross_entropy(spoilt, labels).mean()
    assert (mended.argmax(axis=1) == spoilt.argmax(axis=1)).all()


def test_a_temperature_of_one_changes_nothing():
    rows = np.array([[0.7, 0.2, 0.1], [0.0, 0.0, 1.0]], np.float32)
    assert calibration.scaled(rows, 1) == pytest.approx(rows, abs=1e-6)


@pytest.mark.parametrize("spoilt", [0.2, 1, 6, 15, 40])
def test_the_temperature_is_found_however_sure_the_model_is(spoilt):
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(2000, 10)) * 2
    labels = (generator.random((2000, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    much = spoilt * logits
    found = calibration.fit(labels, softmax(much.astype(np.float32), axis=1), much)

    def loss(temperature: float) -> float:
        return -log_softmax(much / temperature, axis=1)[np.arange(2000), labels].mean()

    assert found == pytest.approx(spoilt, rel=0.05)
    assert loss(found) < min(loss(found * 1.001), loss(found / 1.001))
    low, high = calibration.interval(labels, softmax(much, axis=1), much)
    assert low < found < high and (low, high) == pytest.approx((spoilt, spoilt), rel=0.1)


def test_mistakes_at_which_the_model_is_very_sure_count():
    # 95 % right at a gap of 15 in the logits, 5 % wrong at one of 80: a clipped loss makes it surer still, by 0.2.
    logits = np.zeros((1000, 2), np.float32)
    logits[:950, 0], logits[950:, 1] = 15, 80
    labels = np.zeros(1000, int)
    assert calibration.fit(labels, softmax(logits, axis=1)) == pytest.approx(15.794, rel=1e-3)
    assert calibration.fit(labels, softmax(logits, axis=1), logits) == pytest.approx(15.794, rel=1e-3)
    # Beyond what float32 can hold, only the logits tell.
    logits[950:, 1] = 800
    assert calibration.fit(labels, softmax(logits, axis=1), logits) == pytest.approx(157.9, abs=60)


def test_right_images_do_not_prove_certainty():
    def sure(confidence: float, images: int) -> tuple[float, float, float]:
        rows = np.tile(np.float32([confidence, 1 - confidence]), (images, 1))
        labels = np.zeros(images, int)
        return calibration.fit(labels, rows), *calibration.interval(labels, rows)

    # At 99 %, 143 right ones are nothing special; 1,000 are.
    temperature, low, high = sure(0.99, 143)
    assert temperature == 1 and low == pytest.approx(calibration.LOWEST) and high > 1
    temperature, _, high = sure(0.99, 1000)
    assert calibration.LOWEST < temperature == pytest.approx(high) and high < 1


def test_the_interval_of_the_temperature_covers_and_knows_units():
    generator, held = np.random.default_rng(0), 0
    for _ in range(100):
        logits = 2 * generator.normal(size=(150, 4))
        labels = (generator.random((150, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
        low, high = calibration.interval(labels, softmax(2 * logits, axis=1), 2 * logits)
        held += low <= 2 <= high
    assert held >= 90
    copied = (np.tile(labels, 5), np.tile(softmax(2 * logits, axis=1), (5, 1)), np.tile(2 * logits, (5, 1)))
    narrow, wide = calibration.interval(*copied), calibration.interval(*copied, np.tile(np.arange(150), 5))
    assert wide == pytest.approx((low, high), rel=0.15) and wide[0] < narrow[0] and narrow[1] < wide[1]


def test_a_model_that_is_always_right_gets_a_temperature_within_bounds():
    rows = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    assert calibration.LOWEST <= calibration.fit(np.array([0, 1]), rows) <= calibration.HIGHEST
