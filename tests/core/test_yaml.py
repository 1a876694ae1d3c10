import pytest

from kiln.core import yaml


def test_values_are_those_of_yaml_1_2():
    text = "rate: 1e-4\nsmall: 1e-05\nword: no\nwhole: 1\nempty:\nlist: [true, 0o17]\n"
    content = {"rate": 1e-4, "small": 1e-5, "word": "no", "whole": 1, "empty": None, "list": [True, 15]}
    assert yaml.load(text) == yaml.load(text.encode()) == content
    assert yaml.load("") is None


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: [", 2, "expected the node content"),
        ("a: 1\n\nurl: secret\nurl: secret", 4, 'found duplicate key "url"'),
        ("a: 2024-13-45", None, "a value cannot be built (ValueError)"),
        (b"a: \xff", None, "unacceptable character"),
        ("a: !!python/name:os.system x", 1, "could not determine a constructor for the tag"),
    ],
)
def test_what_is_not_yaml_is_one_error_that_shows_no_value(text, line, problem):
    with pytest.raises(yaml.Invalid) as caught:
        yaml.load(text)
    assert problem in str(caught.value) and "secret" not in str(caught.value)
    assert caught.value.line == line


def test_depth_and_aliases_are_limited_where_asked():
    deep, aliases = "[[[1]]]", "a: &a [1]\nb: [*a, *a, *a]\n"
    assert yaml.load(deep) == [[[1]]] and yaml.load(aliases)["b"] == [[1]] * 3
    assert yaml.load(deep, max_depth=4) and yaml.load(aliases, max_aliases=3)
    with pytest.raises(yaml.Invalid):
        yaml.load(deep, max_depth=3)
    with pytest.raises(yaml.Invalid, match=r"it has more than 2 aliases"):
        yaml.load(aliases, max_aliases=2)


def test_comments_and_order_stay():
    text = "# head\nb: 1e-4   # why\na: [1, 2]\n"
    content = yaml.load_commented(text)
    assert yaml.dump(content) == text
    content["a"][1] = 3
    assert yaml.dump(content) == text.replace("2]", "3]")
    assert yaml.load_commented("# nothing\n") == {}
