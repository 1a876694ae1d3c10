import re
import shutil

import pytest
from click.testing import CliRunner
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml
from makers.effort import full
from makers.projects import ROOT
from ruamel.yaml import YAML

from kiln import params
from kiln.commands import recipe as command
from kiln.core.errors import UserError
from kiln.params import recipes, schema, updating
from kiln.params.renames import RENAMED

DEFAULT = (ROOT / "params.yaml").read_text()
TEXTS = {name: recipes.write(recipes.read(name)) for name in recipes.names()}


def values(text: str) -> dict[str, object]:
    def flat(content, prefix=""):
        for name, value in content.items():
            key = f"{prefix}{name}"
            if isinstance(value, dict) and key not in params.knobs():
                yield from flat(value, f"{key}.")
            else:
                yield key, value

    return dict(flat(YAML(typ="safe", pure=True).load(text)))


def comments(text: str) -> list[str]:
    return [line.partition(" # ")[2] for line in text.splitlines()]


def settings_of(text: str, folder) -> params.Params:
    (folder / "params.yaml").write_text(text)
    return params.load(folder / "params.yaml")


def test_the_default_params_are_those_that_the_schema_writes():
    assert TEXTS["default"] == DEFAULT
    assert len(DEFAULT.splitlines()) <= 92
    assert recipes.names()[0] == "default" and len(recipes.names()) > 5


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_is_whole_and_says_why_it_differs(name, tmp_path):
    recipe = recipes.read(name)
    assert len(recipe.purpose) > 20
    settings = settings_of(TEXTS[name], tmp_path)
    assert settings == recipes.settings(name)
    knobs = params.knobs(settings.inputs)
    assert not set(values(TEXTS[name])) - set(knobs)
    for key, value in recipe.values.items():
        assert value != knobs[key].default, key
        assert len(recipe.reasons[key]) > 5, key
    for line in TEXTS[name].splitlines():
        if re.match(r"\s*\w+: \S", line):
            assert re.search(r" # .{5,}", line), line


def other(value):
    """Give another value of the same kind."""
    if isinstance(value, bool):
        return not value
    return "another" if isinstance(value, str) else value + 1


@pytest.mark.parametrize("name", TEXTS)
def test_the_writer_of_dvc_changes_nothing(name, tmp_path):
    (tmp_path / "params.yaml").write_text(TEXTS[name])
    with modify_yaml(tmp_path / "params.yaml"):  # as `dvc exp run -S` writes
        pass
    assert (tmp_path / "params.yaml").read_text() == TEXTS[name]


@pytest.mark.parametrize("name", ["default", *full(*(name for name in TEXTS if name != "default"))])
def test_what_dvc_sets_changes_the_values_on_their_lines_alone(name, tmp_path):
    (tmp_path / "params.yaml").write_text(TEXTS[name])
    given = {key: value for key, value in values(TEXTS[name]).items() if not isinstance(value, list | dict)}
    assert len(given) > 75
    wanted = {key: other(value) for key, value in given.items()}
    apply_overrides(tmp_path / "params.yaml", [f"{key}={value}" for key, value in wanted.items()])
    after = (tmp_path / "params.yaml").read_text()
    assert {key: values(after)[key] for key in wanted} == wanted
    assert comments(after) == comments(TEXTS[name])


@pytest.mark.parametrize(
    "setting",
    [
        "train.lr=1e-05",
        "train.optimizer.name=sgd",
        "train.model.dropout=0.5",
        "train.ema.decay=0.999",
        "clean.image.min_side=7",
        "+fetch.source.url=https://example.org/a.zip",
        "+train.optimizer.momentum=0.5",
        "seed=7",
        "report.title='One: two'",
        f"report.intended_use='For sorting parcels, {'and for nothing else, ' * 9}at all.'",
    ],
)
def test_a_set_value_of_any_kind_is_one_line(setting, tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(tmp_path / "params.yaml", [setting])
    after = (tmp_path / "params.yaml").read_text()
    assert sum(old != new for old, new in zip(DEFAULT.splitlines(), after.splitlines(), strict=True)) == 1
    params.load(tmp_path / "params.yaml")


def flat_layout(text: str) -> dict:
    """Give a params file as it was before groups and parts, every key of it."""
    old = {"seed": 3, "report": {"title": "Ours", "intended_use": "Ours."}, "compare": {"floors": {}, "drops": {}}}
    present = values(text)
    names = {new: key for key, new in RENAMED.items() if "plateau" not in key}
    for key, field in params.knobs().items():
        section, _, name = names.get(key, key).partition(".")
        if name and "." not in name and section not in ("report", "compare"):  # and no key that came later
            old.setdefault(section, {})[name] = present.get(key, field.default)
    return old


@pytest.mark.parametrize("name", [name for name in TEXTS if recipes.settings(name).inputs == schema.DEFAULT_INPUTS])
def test_an_older_file_is_brought_up_to_date_with_its_values(name, tmp_path):
    path = tmp_path / "params.yaml"
    YAML(typ="safe", pure=True).dump(flat_layout(TEXTS[name]), path)
    with pytest.raises(UserError, match="earlier version"):
        params.load(path)
    text, changes = updating.update(path)
    assert settings_of(text, tmp_path).model_dump(exclude={"seed", "report", "compare"}) == recipes.settings(
        name
    ).model_dump(exclude={"seed", "report", "compare"})
    assert params.load(path).seed == 3
    assert "train.lr" not in " ".join(changes) and "train.optimizer is now train.optimizer.name" in changes
    assert updating.update(path) == (text, [])


def test_what_a_user_wrote_stays(tmp_path):
    path = tmp_path / "params.yaml"
    text = re.sub(r"(?m)^  patience: .*\n", "", DEFAULT).replace("lr: 0.002  ", "lr: 0.5 # mine\n  # about clip\n#")
    text = re.sub(r"(?m)^#.*\n", "", text).replace("fetch:", "\n# my data\nfetch:", 1)
    text = text.replace("decay: 0,", "decay: 0.9,").replace("clip: {name: global_norm, at: 1.0}", "clip: value")
    path.write_text(text)
    updated, changes = updating.update(path)
    assert changes == [
        "train.clip is now train.clip.name",
        "train.clip.at is new: 1.0",
        "train.patience is new: 0",
    ]
    settings = settings_of(updated, tmp_path)
    assert (settings.train.lr, settings.train.ema.decay, settings.train.clip.name) == (0.5, 0.9, "value")
    assert "\n\n# my data\nfetch:" in updated and "lr: 0.5 # mine\n  # about clip\n" in updated


def test_an_update_that_changes_nothing_leaves_every_byte(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(DEFAULT)
    assert updating.update(path) == (DEFAULT, [])


def test_an_update_drops_what_another_kind_left_behind(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(DEFAULT.replace("{name: adam}", "{name: sgd, side_lr: 0.1}"))
    text, changes = updating.update(path)
    assert changes[0] == "train.optimizer.side_lr has no effect here and is gone: 0.1"
    assert changes[1:] == [f"train.optimizer.{key} is new: {value}" for key, value in
                           (("weight_decay", 0), ("momentum", 0.9), ("nesterov", True))]  # fmt: skip
    assert settings_of(text, tmp_path).train.optimizer.name == "sgd"


@pytest.mark.parametrize(
    ("text", "says"), [("train: {lrr: 1}\n", "no key train.lrr"), ("seed: [\n", "not readable as YAML")]
)
def test_an_update_of_a_wrong_file_changes_nothing(text, says, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        updating.update(path)
    assert path.read_text() == text


def test_an_unknown_recipe_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match=r"no recipe 'cifar': choose one of default, cifar10"):
        recipes.read("cifar")


def test_a_recipe_replaces_only_what_git_has(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    command.write_recipe("folder", path, force=False)
    assert path.read_text() == TEXTS["folder"]
    path.write_text("seed: 1\n")
    with pytest.raises(UserError, match="is not in git: commit it, or overwrite it with --force"):
        command.write_recipe("folder", path, force=False)
    monkeypatch.setattr("kiln.core.git.ask", lambda *arguments: "M params.yaml")
    with pytest.raises(UserError, match="has uncommitted changes"):
        command.write_recipe("folder", path, force=False)
    command.write_recipe("folder", path, force=True)
    assert path.read_text() == TEXTS["folder"]
    path.write_text("seed: 1\n")
    monkeypatch.setattr("kiln.core.git.ask", lambda *arguments: "")
    command.write_recipe("folder", path, force=False)
    assert path.read_text() == TEXTS["folder"]


def test_the_command_lists_writes_and_updates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(command.command, []).output
    assert all(f"{name} " in listed for name in recipes.names())
    assert "written" in CliRunner().invoke(command.command, ["folder", "--output", "x.yaml"]).output
    assert "up to date" in CliRunner().invoke(command.command, ["--update", "--output", "x.yaml"]).output
