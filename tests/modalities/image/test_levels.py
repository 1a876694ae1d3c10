"""The range of deep values."""

import numpy as np
import pytest

from kiln.modalities.image import levels


def whole(*spans) -> list[levels.Span]:
    return [levels.Span(low, high, False) for low, high in spans]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([(0, 4000), (10, 3900)], (0, 4095)),  # 12 of 16 bits
        ([(0, 65535)], (0, 65535)),
        ([(0, 40000)], (0, 65535)),
        ([(0.0, 1.0), (0.2, 0.9)], (0, 1)),
        ([(3, 250)], (0, 255)),
        ([(-1000, 3000), (-900, 2000)], (-1000, 3000)),  # Hounsfield units
        ([(31768, 35768)], (31768, 35768)),  # the same, with an offset: a sixteenth of 16 bits
        ([(0.1, 0.3)], (0.1, 0.3)),
        ([(7, 7)], (7, 8)),  # nothing to see: a range all the same
        ([(0, 0)], (0, 1)),
        ([(0, 4000)] * 19 + [(0, 60000)], (0, 4095)),  # one wild image of twenty
        ([(0, 4000)] * 19 + [(-9e9, 4000)], (0, 4095)),
        ([(0, 3000)] * 95 + [(0, 4000)] * 5, (0, 4095)),  # a rare class that is brighter is not clipped
    ],
)
def test_the_range_of_a_set(spans, expected):
    assert levels.fit(whole(*spans)) == pytest.approx(expected)


def test_the_range_does_not_depend_on_the_order():
    spans = whole(*[(low, low + 3000) for low in range(0, 1000, 50)])
    assert levels.fit(spans) == levels.fit(spans[::-1])


def test_single_pixels_and_values_that_are_none_do_not_count():
    values = np.linspace(0, 1, 10_000, dtype=np.float32).reshape(100, 100)
    values[0, :8] = [np.nan, np.inf, -np.inf, np.finfo(np.float32).min, 1e31, -1e31, 500, -500]
    assert levels.span(values) == pytest.approx((0, 1, True), abs=0.002)
    void = np.zeros((100, 100), bool)
    values[50:] = -9999
    void[50:] = True
    assert levels.span(values, void) == pytest.approx((0, 0.5, True), abs=0.002)
    assert levels.span(np.stack([values] * 3, axis=-1), void) == pytest.approx((0, 0.5, True), abs=0.002)
    assert levels.span(np.full((3, 3), np.nan)) is None


@pytest.mark.filterwarnings("error")
def test_half_floats_have_a_span():
    values = np.linspace(0, 60_000, 10_000).astype(np.float16).reshape(100, 100)
    values[0, :4] = [np.nan, np.inf, -np.inf, np.finfo(np.float16).min]
    assert levels.span(values) == pytest.approx((0, 60_000, True), rel=0.01, abs=100)


def test_images_beyond_a_range_are_counted():
    spans = whole((0, 4000), (-1, 4000), (0, 5000), (-5, 9000))
    assert levels.beyond(spans, (0, 4095)) == 3


@pytest.mark.parametrize("kind", [np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_values_are_scaled_rounded_and_clipped(kind):
    values = np.array([[-50, 0, 50, 100, 150]]).astype(kind)
    if kind is np.uint16:
        values[0, 0] = 0
    assert levels.scale(values, (0, 100)).tolist() == [[0, 0, 128, 255, 255]]


def test_all_16_bits_are_scaled_as_whole_numbers_are():
    values = np.arange(65536, dtype=np.uint16)
    assert (levels.scale(values, (0, 65535)) == (values.astype(int) + 128) // 257).all()


def test_what_is_no_number_is_black_and_infinity_is_white():
    values = np.array([np.nan, np.inf, -np.inf, 1e308, -1e308])
    assert levels.scale(values, (-1, 1)).tolist() == [0, 255, 0, 255, 0]
