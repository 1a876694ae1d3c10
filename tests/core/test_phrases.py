import pytest

from kiln.core import phrases


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (3e-49, "<0.000001%"),
        (1 - 1e-12, ">99.999999%"),
        (1, "100%"),
        (0.99996, "99.996%"),
        (0.5, "50.0%"),
        (0, "0.0%"),
        (0.00001, "0.001%"),
        (0.9996, "99.96%"),
    ],
)
def test_a_share_is_not_rounded_to_all_or_nothing(share, shown):
    assert phrases.percent(share) == shown


def test_numbers_and_ranges_keep_what_tells_them_apart():
    assert phrases.span(0.99951, 0.99954) == "99.951% to 99.954%"
    assert phrases.span(0.5, 0.75) == "50.0% to 75.0%"
    assert [phrases.number(value) for value in (1, 0.5, 0.99999, 0, 1e-6)] == [
        "1.0000",
        "0.5000",
        "0.99999",
        "0.0000",
        "1e-06",
    ]
    assert [phrases.plural(count, "class", "classes") for count in (1, 2, 1000)] == [
        "1 class",
        "2 classes",
        "1,000 classes",
    ]


def test_names_are_listed_as_in_a_sentence():
    assert [phrases.joined(list(names)) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


def test_a_noun_has_its_article():
    assert [phrases.with_article(noun) for noun in ("image", "text")] == ["an image", "a text"]
