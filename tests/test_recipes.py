import re

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from stages.lib import params

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def values(text: str) -> dict[str, object]:
    content = YAML(typ="safe", pure=True).load(text)
    flat = {}
    for section, inner in content.items():
        flat |= (
            {f"{section}.{key}": value for key, value in inner.items()} if isinstance(inner, dict) else {section: inner}
        )
    return flat


def comments(text: str) -> dict[str, str]:
    found, section = {}, None
    for line in text.splitlines():
        if match := re.match(r"(\s*)(\w+):(.*)", line):
            indent, key, rest = match.groups()
            section = section if indent else key
            found[f"{section}.{key}" if indent else key] = rest.partition(" # ")[2]
    return found


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_whole_and_says_why_it_differs(path):
    params.load(path)
    text, base = path.read_text(), values((ROOT / "params.yaml").read_text())
    said = comments(text)
    assert values(text).keys() == base.keys()
    for key, value in values(text).items():
        marked = said[key].startswith("changed: ") and len(said[key]) > len("changed: ") + 5
        assert marked == (value != base[key]), key
