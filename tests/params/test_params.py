import re
import tracemalloc
from itertools import pairwise
from typing import Annotated

import pytest
from makers.projects import ROOT
from pydantic import Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML

from kiln import params
from kiln.core.errors import UserError
from kiln.networks import applications, encoders, registry
from kiln.params import recipes
from kiln.params.train import Model

NET = {"name": "applications/MobileNet"}
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
        (r"^  precise_norm: \S+", "  precise_norm: no", "train.precise_norm", "'no'"),
        (r"name: adam\b", "name: adm", "train.optimizer.name", "'adam', 'adamw', 'sgd', 'lion' or 'muon'"),
        (r"name: digits", "name: images, url: [secret]", "fetch.source.url", "should be a valid string"),
        (r"name: digits", "name: images, sha256: abc", "fetch.source.sha256", "64 hexadecimal digits"),
        (
            r"^  near_duplicate: \S+",
            "  near_duplicate: remove",
            "clean.near_duplicate",
            "'drop', 'leaks', 'flag' or 'keep'",
        ),
        (r"^  lr: \S+", "  lr: !!float abc", "params.yaml", "a value cannot be built"),
        (r"^  lr: \S+", "  lr: 2025-13-45", "params.yaml", "a value cannot be built"),
        (r"^  epochs: \S+", f"  epochs: {'9' * 5000}", "params.yaml", "a value cannot be built"),
        (r"^  epochs: \S+", f"  epochs: 0x{'f' * 5000}", "train.epochs", "is a number of thousands of digits, but"),
        (r"^  batch_size: \S+", f"  batch_size: {'9' * 50}", "train.batch_size", "less than or equal to 65536"),
        (r"^  lr: \S+", "  lr:", "train.lr", "None, but should be a valid number"),
        (r"^  seed: \S+", "  seed: 1\n  seed: 2", "params.yaml", 'found duplicate key "seed"'),
        (r"^  lr: \S+", "  lr: 1\n  7: 8", "params.yaml", "there is no key 7"),
        (r"^seed: 0", '"a\\\\nb": 1\nseed: 0', "params.yaml", "there is no key 'a\\nb'"),
        (r"^seed: 0", f"{'x' * 900}: 1\nseed: 0", "params.yaml", "xxx..."),
        (r"^train:", "train:\nx:", "train", "None, but should hold `key: value` lines"),
        (r"^  lr: \S+", "  lr: 1\n  clip_at: 2", "train.clip_at", "was renamed to train.clip.at"),
        (r"^inputs: .*", "inputs: {}", "inputs", "should name one or several parts"),
        (r"^inputs: .*", "inputs: {Image: image}", "inputs", "small letters, digits and _"),
        (r"^inputs: .*", "inputs: {source: image}", "inputs", "other part names than source"),
        (r"^inputs: .*", "inputs: {label: image}", "inputs", "other part names than label, which is a column of every"),
        (r"^inputs: .*", "inputs: {image: odour}", "inputs", "a modality for each part: image"),
        (
            r"name: adam\b",
            "name: adam, momentm: 1",
            "train.optimizer.momentm",
            "did you mean train.optimizer.momentum?",
        ),
        (r"name: adam\b", "name: adam, momentum: 2", "train.optimizer.momentum", "less than 1"),
        (r"^    min_side: \S+", "    min_side: 8\n    min_sides: 8", "clean.image.min_sides", "clean.image.min_side?"),
        (r"^  optimizer: .*", "  optimizer: sgd", "train.optimizer", "set train.optimizer.name"),
        (r"^    size: \S+", "    size: [0, 8]", "clean.image.size", "1 to 1024"),
        (r"^    size: \S+", "    size: [8]", "clean.image.size", "[height, width]"),
        (
            r"name: digits",
            "name: manifest, label_column: [cat]",
            "fetch.source.label_column",
            "a list of different names",
        ),
        (
            r"name: digits",
            "name: manifest, label_column: [cat, cat]",
            "fetch.source.label_column",
            "one for each class",
        ),
        (r"name: digits", "name: manifest, label_column: [1, 2]", "fetch.source.label_column", "the name of a column"),
        (r"name: digits", "name: manifest, label_column: ''", "fetch.source.label_column", "the name of a column"),
        (r"^    channels: \S+", "    channels: 2", "clean.image.channels", "1 or 3"),
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
        (
            {"precise_norm": True, "model": {**NET, "weights": "a.h5", "weights_sha256": "0" * 64}},
            "train.precise_norm computes statistics anew, but a body with trained",
        ),
        ({"schedule": {"name": "cosine", "warmup": 20.0}}, "train.schedule.warmup should be less than epochs"),
        ({"model": {**NET, "weights": "a.h5"}}, "train.model.weights needs weights_sha256"),
        ({"model": {**NET, "frozen_epochs": 1}}, "train.model.frozen_epochs freezes trained weights, but weights is"),
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


def test_one_hot_columns_are_a_list(load):
    given = load(r"source: .*", "source: {name: manifest, label_column: [cat, dog]}\n  image: {column: auto}")
    assert given.fetch.source.label_column == ["cat", "dog"]


@pytest.mark.parametrize("name", ["auto", "utf-16", "gb18030"])
def test_encodings_of_tables(load, name):
    given = load(r"source: .*", f"source: {{name: table, encoding: {name}}}\n  image: {{column: auto}}")
    assert given.fetch.source.encoding == name


@pytest.mark.parametrize("name", ["utf-99", "unicode-escape", "rot13", "7", "''"])
def test_what_is_no_encoding_is_refused(load, name):
    with pytest.raises(
        UserError, match=r"fetch\.source\.encoding .*should be auto, or the name of an encoding such as"
    ):
        load(r"source: .*", f"source: {{name: table, encoding: {name}}}\n  image: {{column: auto}}")


def test_a_missing_key_is_named(load):
    with pytest.raises(UserError, match=r"missing: train\.seed: run `kiln recipe --update`"):
        load(r"^  seed: 0.*\n", "")


def test_an_older_file_is_told_how_to_get_up_to_date(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("seed: 0\ntrain: {optimizer: adam}\n")
    with pytest.raises(UserError, match=r"earlier version of Kiln: run `kiln recipe --update`"):
        params.load(path)


def test_another_kind_needs_its_name_alone(load, capsys):
    chosen = load(r"name: adam\b", "name: sgd").train.optimizer
    assert (chosen.name, chosen.momentum, chosen.nesterov) == ("sgd", 0.9, True)


def test_knobs_of_another_kind_have_no_effect_and_are_named(load, tmp_path, capsys):
    plain = params.load(ROOT / "params.yaml")
    path = tmp_path / "params.yaml"
    assert load(r"name: adam\b", "name: adam, momentum: 0.5, side_lr: 1.0") == plain
    assert capsys.readouterr().err == ""
    settings = params.load(path, uses="train")
    assert params.resolved(settings) == params.resolved(plain)
    assert params.resolved(settings)["train"]["optimizer"] == {"name": "adam"}
    keys = "train.optimizer.momentum, train.optimizer.side_lr"
    assert capsys.readouterr().err == f"train: no effect with train.optimizer.name: adam: {keys}\n"
    params.load(path, uses="fetch")
    assert capsys.readouterr().err == ""


def test_each_part_has_the_knobs_of_its_modality(tmp_path):
    content = YAML(typ="safe", pure=True).load(TEXT)
    content["inputs"] = {"front": "image", "copy": "image"}
    for section in ("clean", "augment", "normalize", "evaluate"):
        content[section]["front"] = content[section].pop("image")
        content[section]["copy"] = dict(content[section]["front"])
    content["clean"]["copy"]["min_side"] = 99
    path = tmp_path / "params.yaml"
    YAML(typ="safe", pure=True).dump(content, path)
    clean = params.load(path).clean
    assert [clean.parts[name].min_side for name in ("front", "copy")] == [8, 99]
    del content["clean"]["copy"]["min_side"], content["augment"]["front"]
    YAML(typ="safe", pure=True).dump(content, path)
    with pytest.raises(UserError, match=r"missing: clean\.copy\.min_side, augment\.front: run"):
        params.load(path)


def test_another_source_needs_no_other_key(load):
    assert not load(r"name: digits", "name: images").fetch.parts_count
    table = load(r"name: digits", "name: parquet").fetch
    assert table.parts_count and table.parts["image"].column == "auto"
    assert load(r"^fetch:", "fetch:\n  image: {column: photo}").fetch.parts["image"].column == "photo"


def test_the_knobs_of_a_network_are_those_that_its_family_has():
    for name, entry in registry.ZOO.items():
        if name in encoders.NAMES:
            continue
        knobs = set(Model.knobs_of(name))
        has = {"depth": bool(entry.depths), "patch": name == "vit", "activation": entry.activation is not None}
        has |= {"normalization": entry.normalization is not None, "width": True, "dropout": True, "weights": False}
        assert {key: key in knobs for key in has} == has, name
    published = {"name", "dropout", "weights", "weights_sha256", "frozen_epochs", "thaw_factor"}
    assert all(set(Model.knobs_of(name)) == published for name in [*applications.names(), "bert_preset"])
    assert set(Model.knobs_of("minilm")) == {"name", "dropout", "frozen_epochs", "thaw_factor"}
    assert Model(name="minilm", frozen_epochs=1).frozen_epochs == 1
    with pytest.raises(ValidationError, match="weights is empty, but bert_preset starts from them"):
        Model(name="bert_preset")


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.encode("utf-16"),
    ],
    ids=["bom", "crlf", "utf16"],
)
def test_how_editors_save_it_is_no_matter(tmp_path, spoilt):
    path = tmp_path / "params.yaml"
    path.write_bytes(spoilt(TEXT))
    assert params.load(path) == params.load(ROOT / "params.yaml")


def test_a_leading_zero_is_no_octal(load):
    assert load(r"^  batch_size: \S+", "  batch_size: 010").train.batch_size == 10


BOMBS = {
    "aliases": "a: &a [x, x]\n"
    + "".join(f"{n}: &{n} [{', '.join([f'*{p}'] * 9)}]\n" for p, n in pairwise("abcdefghij")),
    "merges": "a: &a {x: 1}\n"
    + "".join(f"{n}: &{n} {{<<: [{', '.join([f'*{p}'] * 9)}]}}\n" for p, n in pairwise("abcdefghij")),
    "keys": "a: &a [x, x]\n"
    + "".join(f"{n}: &{n} {{? [{', '.join([f'*{p}'] * 9)}] : 1}}\n" for p, n in pairwise("abcdefghij")),
    "deep": "a: " + "[" * 2000 + "]" * 2000,
    "deeper": "a: " + "[" * 200_000,
    "large": "#" * 300_000,
    "few aliases": "seed: &a [x, x, x]\nfetch: &b [*a, *a, *a]\ntrain: &c [*b, *b, *b]\nclean: [*c, *c, *c]\n",
    "circle": "seed: &a [*a]\n",
    "many": "".join(f"key{number}: 1\n" for number in range(10_000)),
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_bomb_ends_in_one_short_sentence(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml") as error:
        params.load(path)
    assert len(str(error.value)) < 2000 and "\n" not in str(error.value)


def test_a_value_of_gigabytes_is_never_spelt_out(tmp_path):
    path = tmp_path / "params.yaml"
    levels = "".join(f"{n}: &{n} [*{p}, *{p}, *{p}]\n" for p, n in pairwise("abcdefgh"))
    path.write_text(f"a: &a {'x' * 50_000}\n{levels}seed: *h\n")
    tracemalloc.start()
    with pytest.raises(UserError, match=r"seed is \[\[\["):
        params.load(path)
    assert tracemalloc.get_traced_memory()[1] < 2**25
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMBS["aliases"], "more than 30 aliases"),
        (BOMBS["merges"], "more than 30 aliases"),
        (BOMBS["keys"], "more than 30 aliases"),
        (BOMBS["deep"], "maximum depth"),
        (BOMBS["large"], "has more than 256,000 bytes"),
        (BOMBS["many"], "more$"),
    ],
)
def test_bombs_are_told_apart(tmp_path, text, says):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        params.load(path)


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


def test_every_knob_has_a_default_that_it_allows_and_says_what_it_may_be():
    for key, field in params.knobs().items():
        kind = Annotated[field.annotation, Field(), *field.metadata]
        TypeAdapter(kind, config={"strict": True}).validate_python(field.default)
        assert len(recipes.describe(field)) > 4, key


def test_known_keys_hold_those_of_the_file():
    def keys(content, prefix=""):
        for name, value in content.items():
            yield f"{prefix}{name}"
            if isinstance(value, dict) and f"{prefix}{name}" not in params.knobs():
                yield from keys(value, f"{prefix}{name}.")

    assert set(keys(YAML(typ="safe", pure=True).load(TEXT))) <= set(params.known_keys())


@pytest.mark.parametrize(
    "written",
    ["[hunter2]", "http://me:hunter2@h/x, url: http://me:hunter2@h/y", "!!int http://me:hunter2@h/x"],
)
def test_an_address_is_not_repeated_since_it_may_hold_a_password(load, written):
    with pytest.raises(UserError) as caught:
        load(r"name: digits}", f"name: images, url: {written}}}")
    assert "hunter2" not in str(caught.value)


def test_nor_is_that_of_a_tokenizer(tmp_path):
    path = tmp_path / "params.yaml"
    written = recipes.write(recipes.read("text"))
    path.write_text(re.sub(r"tokenizer: fitted", "tokenizer: [http://me:hunter2@h/x]", written, count=1))
    with pytest.raises(UserError, match=r"normalize\.text\.tokenizer should be a valid string") as caught:
        params.load(path)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://me:hunter2@host/x.zip", "holds a user or password, which git and dvc.lock would keep"),
        ("https://hunter2@host/x.zip", "holds a user or password"),
        ("s3://key:hunter2@bucket/x.zip", "holds a user or password"),
        ("https://host/x.zip?token=hunter2", "holds a secret .'token'."),
        ("https://host/x.zip?sv=1&sig=hunter2", "holds a secret .'sig'."),
        ("https://host/x.zip?X-Amz-Signature=hunter2", "holds a secret .'X-Amz-Signature'."),
        ("https://host/x.zip?api_key=hunter2", "holds a secret .'api_key'."),
        ("https://[hunter2/x.zip", "cannot be read as one"),
    ],
)
@pytest.mark.parametrize(
    ("old", "new"),
    [("name: digits", "name: images, url:"), ("name: article_cnn.*", "name: applications/VGG16\n    weights:")],
)
def test_an_address_with_a_secret_is_refused_since_git_would_keep_it(load, old, new, address, says):
    with pytest.raises(UserError, match=says) as caught:
        load(old, f"{new} '{address}'")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "https://host/x.zip?download=1",
        "ssh://me@host/x.zip",
        "az://container@account/x.zip",
        "s3://bucket/monkey/x.zip",
    ],
)
def test_an_address_without_a_secret_passes(load, address):
    assert load(r"name: digits", f"name: images, url: '{address}'").fetch.source.url == address
