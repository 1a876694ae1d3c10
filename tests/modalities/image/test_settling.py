import numpy as np
import pytest
from makers.images import png
from makers.settings import clean_settings
from makers.tiffs import tiff

from kiln.core.errors import UserError
from kiln.modalities.image import settling
from kiln.modalities.image.conversion import Conversion
from kiln.modalities.image.levels import Span


def settings(**changes):
    return clean_settings(**{f"image__{name}": value for name, value in changes.items()}).parts["image"]


AUTO = settings()


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({(8, 8, 1): 5}, (8, 8, 1)),
        ({(32, 32, 3): 5, (32, 32, 1): 1}, (32, 32, 3)),
        ({(65, 65, 3): 5}, (64, 64, 3)),
        ({(20, 30, 3): 5, (30, 20, 3): 1}, (64, 64, 3)),
        ({}, (64, 64, 3)),
    ],
)
def test_automatic_shape(shapes, expected):
    assert settling.choose(shapes, AUTO).image_shape == expected


def test_a_given_shape_stands():
    given = settings(size=[10, 12], channels=3, fit="pad")
    assert settling.choose({(8, 8, 1): 5}, given, (0, 9)) == Conversion(10, 12, 3, "pad", (0, 9))


def test_nothing_is_read_where_nothing_is_automatic():
    def unread():
        raise AssertionError
        yield

    given = settings(size=[10, 12], channels=3, range=[0, 9])
    assert settling.settle(unread(), given) == Conversion(10, 12, 3, "crop", (0, 9))


def deep(low: float, high: float, kind: type = np.uint16, count: int = 12) -> list[bytes]:
    """Gray TIFF whose values lie between two."""
    drawn = np.random.default_rng(0).random((count, 16, 16))
    return [tiff((low + (high - low) * values).astype(kind), 1) for values in drawn]


def settle(contents: list[bytes], **changes) -> Conversion:
    return settling.settle((contents[start : start + 5] for start in range(0, len(contents), 5)), settings(**changes))


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ([png(0), png(1)], None),
        (deep(0, 4095), (0, 4095)),
        ([png(0), *deep(0, 4095)], (0, 4095)),
        (deep(0, 65535), (0, 65535)),
        (deep(0, 1, np.float32), (0, 1)),
        (deep(-1000, 3000, np.int16), (-1000, 3000)),
        ([*deep(0, 4095, count=30), *deep(0, 1, np.float32, count=1)], (0, 4095)),
    ],
)
def test_the_range_of_deep_images_is_found_over_the_set(contents, expected):
    found = settle(contents).range
    assert found is None if expected is None else found == pytest.approx(expected, rel=0.01, abs=0.02)
    assert settle(contents[::-1]).range == found


def test_what_the_chosen_range_clips_is_reported(capsys):
    usual = deep(0, 4095, count=30)
    assert settle(usual).range == (0, 4095)
    assert capsys.readouterr().out == ""
    settle([*usual, *deep(50_000, 60_000, count=1)])
    assert "1 of 31 deep images have values outside 0 to 4095" in capsys.readouterr().out


def test_a_given_range_stands_and_8_bit_images_have_none():
    assert settle(deep(0, 4095), range=[-100, 300]).range == (-100, 300)
    assert "range" not in settle([png(0)]).to_json()


def test_whole_numbers_and_floating_point_ones_have_no_common_range():
    contents = [*deep(0, 4095, count=6), *deep(0, 1, np.float32, count=4)]
    with pytest.raises(UserError, match="6 images hold integers of more than 8 bits and 4 floating-point numbers"):
        settle(contents)


def test_few_of_the_other_kind_of_number_do_not_move_the_range():
    spans = [*[Span(0, 4000, False)] * 19, Span(0, 1, True)]
    assert settling.find_range(spans) == settling.find_range(spans[:19])
    assert settling.find_range([]) is None


def test_what_cannot_be_decoded_has_no_shape():
    assert settle([b"text", png(0, height=9, width=7), png(1)[:20]]).image_shape == (9, 7, 1)
    assert settle([b"text"]).image_shape == (64, 64, 3)
