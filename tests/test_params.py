import re

import pytest
from conftest import ROOT
from ruamel.yaml import YAML

from stages.lib import params
from stages.lib.errors import UserError

TEXT = (ROOT / "params.yaml").read_text()


@pytest.fixture
def load(tmp_path):
    def load(old: str, new: str):
        assert re.search(old, TEXT, re.M), old
        path = tmp_path / "params.yaml"
        path.write_text(re.sub(old, new, TEXT, count=1, flags=re.M))
        return params.load(path)

    return load


@pytest.mark.parametrize(("written", "meant"), [("1e-4", 1e-4), ("1e-05", 1e-5), ("1", 1.0), ("1E+0", 1.0)])
def test_numbers_are_read_by_yaml_1_2_and_floats_are_floats(load, written, meant):
    lr = load(r"^  lr: \S+", f"  lr: {written}").train.lr
    assert lr == meant
    assert type(lr) is float


@pytest.mark.parametrize(
    ("old", "new", "key", "hint"),
    [
        (r"^  lr: \S+", "  lr: abc", "train.lr", "'abc'"),
        (r"^  lr: \S+", "  lr: 0", "train.lr", "greater than 0"),
        (r"^  lr: \S+", "  lr: .nan", "train.lr", "finite"),
        (r"^  lr: \S+", "  lr: .inf", "train.lr", "finite"),
        (r"^  lr: \S+", "  lr: true", "train.lr", "number"),
        (r"^  lr: \S+", "  lrr: 1", "train.lrr", "did you mean train.lr?"),
        (r"^  epochs: \S+", "  epochs: -1", "train.epochs", "greater than or equal to 1"),
        (r"^  epochs: \S+", "  epochs: 2.5", "train.epochs", "2.5"),
        (r"^  nesterov: \S+", "  nesterov: no", "train.nesterov", "'no'"),
        (r"^  optimizer: \S+", "  optimizer: adm", "train.optimizer", "'adam', 'adamw', 'sgd', 'lion' or 'muon'"),
        (r"^  url: \S+", "  url: [secret]", "fetch.url", "should be a valid string"),
        (r"^  sha256: \S+", "  sha256: abc", "fetch.sha256", "64 hexadecimal digits"),
        (r"^  near_duplicate: \S+", "  near_duplicate: remove", "clean.near_duplicate", "'drop', 'flag' or 'keep'"),
        (r"^  image_size: \S+", "  image_size: [0, 8]", "clean.image_size", "1 to 1024"),
        (r"^  image_size: \S+", "  image_size: [8]", "clean.image_size", "[height, width]"),
        (r"^  channels: \S+", "  channels: 2", "clean.channels", "1 or 3"),
        (r"^  path: \S+", "  path: ../photos", "fetch.path", "absolute"),
        (r"^train:", "trian:", "trian", "did you mean train?"),
        (r"^seed: 0", "seed: -1", "seed", "greater than or equal to 0"),
    ],
)
def test_a_wrong_value_ends_in_one_sentence_that_names_the_key(load, old, new, key, hint):
    with pytest.raises(UserError) as error:
        load(old, new)
    sentence = str(error.value)
    assert re.search(rf"\b{re.escape(key)}\b", sentence)
    assert hint in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schedule": "one_cycle", "warmup": 1.0}, "train.warmup is above 0, but one_cycle warms up by itself"),
        ({"warmup": 20.0}, "train.warmup should be less than epochs"),
        ({"weight_decay": 0.1}, "train.weight_decay is above 0, which adam has no place for: choose adamw"),
        ({"weights": "a.h5"}, "train.weights needs weights_sha256"),
        ({"frozen_epochs": 1}, "train.frozen_epochs freezes trained weights, but weights is empty"),
    ],
)
def test_keys_that_disagree_end_in_one_sentence(tmp_path, changes, says):
    content = YAML(typ="safe", pure=True).load(TEXT)
    content["train"] |= changes
    path = tmp_path / "params.yaml"
    YAML(typ="safe", pure=True).dump(content, path)
    with pytest.raises(UserError) as error:
        params.load(path)
    assert str(error.value).startswith(f"{path}: {says}")


def test_a_missing_key_is_named(load):
    with pytest.raises(UserError, match=r"train\.seed is missing"):
        load(r"^  seed: 0.*\n", "")


@pytest.mark.parametrize(
    "text", ["", "- 1\n", "train: [1\n", "seed: 1\nseed: 2\n", "\x00", "a: !!python/object:os.x {}\n"]
)
def test_what_is_no_params_file_is_one_sentence(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml") as error:
        params.load(path)
    assert "\n" not in str(error.value)


def test_no_params_file(tmp_path):
    with pytest.raises(UserError, match="root folder"):
        params.load(tmp_path / "params.yaml")


def test_every_key_has_a_comment():
    for line in TEXT.splitlines():
        if re.match(r"\s*\w+: \S", line):
            assert re.search(r" # .{10,}", line), line


def test_the_schema_holds_no_defaults():
    for name, section in params.Params.model_fields.items():
        assert section.is_required(), name
        for key, field in getattr(section.annotation, "model_fields", {}).items():
            assert field.is_required(), f"{name}.{key}"


def test_known_keys_are_those_of_the_file():
    content = YAML(typ="safe", pure=True).load(TEXT)
    keys = set(content) | {f"{s}.{k}" for s, inner in content.items() if isinstance(inner, dict) for k in inner}
    assert set(params.known_keys()) == keys


def test_an_address_is_not_repeated_since_it_may_hold_a_password(load):
    with pytest.raises(UserError) as caught:
        load(r"^  url: \S+", "  url: [secret]")
    assert "secret" not in str(caught.value)
