import re
import shutil

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml
from makers.projects import ROOT
from ruamel.yaml import YAML

from kiln import params

RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
FILES = [ROOT / "params.yaml", *RECIPES]


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


def other(value):
    """Give another value of the same kind."""
    if isinstance(value, bool):
        return not value
    return "another" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_writer_of_dvc_changes_nothing(path, tmp_path):
    shutil.copy(path, tmp_path / "params.yaml")
    with modify_yaml(tmp_path / "params.yaml"):  # as `dvc exp run -S` writes
        pass
    assert (tmp_path / "params.yaml").read_text() == path.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_dvc_sets_changes_the_values_on_their_lines_alone(path, tmp_path):
    shutil.copy(path, tmp_path / "params.yaml")
    given = {key: value for key, value in values(path.read_text()).items() if not isinstance(value, list | dict)}
    assert len(given) > 90
    wanted = {key: other(value) for key, value in given.items()}
    apply_overrides(tmp_path / "params.yaml", [f"{key}={value}" for key, value in wanted.items()])
    before, after = path.read_text(), (tmp_path / "params.yaml").read_text()
    assert {key: values(after)[key] for key in wanted} == wanted
    assert comments(after) == comments(before)
    changed = [old != new for old, new in zip(before.splitlines(), after.splitlines(), strict=True)]
    assert sum(changed) == len(wanted)


@pytest.mark.parametrize(
    "setting",
    [
        "train.lr=1e-05",
        "train.dropout=0.5",
        "seed=7",
        "fetch.url=https://example.org/a.zip",
        "report.title='One: two'",
        f"report.intended_use='For sorting parcels, {'and for nothing else, ' * 9}at all.'",
    ],
)
def test_a_set_value_of_any_kind_is_one_line(setting, tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(tmp_path / "params.yaml", [setting])
    before, after = ((folder / "params.yaml").read_text().splitlines() for folder in (ROOT, tmp_path))
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 1
