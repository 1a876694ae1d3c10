"""The schema of params.yaml, and the only place that reads it.

The schema holds no defaults: params.yaml and every recipe hold every key, so
what a run used can be read in one file.
"""

import difflib
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from kiln.core.errors import UserError

PATH = Path("params.yaml")
# Thirty times the file as it comes; anything larger or deeper is another file.
MAX_BYTES = 256_000
MAX_DEPTH = 8
# Three in each of ten anchors are 3^10 copies: what merging or hashing them may take at most.
MAX_ALIASES = 30
_TOLD = 5
# What git leaves of a merge that it could not make; none can begin a line of YAML that holds keys.
_MERGE = re.compile(rb"^(<{7}|={7}|>{7}|[|]{7})(?=[ \r\n]|\Z)", re.M)
RENAMED = {"train.plateau_factor": "train.decay_factor", "train.plateau_patience": "train.decay_epochs"}
_SECRET = re.compile(r"(^|[-_])(sig|signature|token|(api)?key|secret|pass(word|wd)?|pwd|auth|credential)s?$", re.I)


def _image_size(value: Any) -> Any:
    fits = (
        isinstance(value, list) and len(value) == 2 and all(type(side) is int and 1 <= side <= 1024 for side in value)
    )
    if value != "auto" and not fits:
        raise ValueError("should be auto or [height, width], each from 1 to 1024")
    return value


def _range(value: Any) -> Any:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(end) in (int, float) for end in value)
    if value != "auto" and not (numbers and -1e30 <= value[0] < value[1] <= 1e30):
        raise ValueError("should be auto or [low, high], two numbers, the lower first")
    return value


def _source_path(value: Any) -> Any:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("should be the path of a folder or an archive")
    if value.startswith("~") or ".." in Path(value).parts:
        raise ValueError("should be absolute, or lie inside the project, without ~ and ..")
    return value


def _label_column(value: Any) -> Any:
    names = value if isinstance(value, list) else [value]
    several = isinstance(value, list) and not 2 <= len({*map(str, names)}) == len(names)
    if several or not all(isinstance(name, str) and name for name in names):
        raise ValueError("should be the name of a column, or a list of different names, one for each class")
    return value


def _digest(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"([0-9a-fA-F]{64})?", value):
        raise ValueError("should be 64 hexadecimal digits, or empty")
    return value.lower()


def _address(value: Any) -> Any:
    """Refuse secrets in a URL: params.yaml is in git, and DVC copies it to dvc.lock and every experiment."""
    if not isinstance(value, str) or "://" not in value:
        return value
    try:
        parts = urlsplit(value)
        named = next((name for name, _ in parse_qsl(parts.query) if _SECRET.search(name)), None)
    except ValueError:
        raise ValueError("should be an address, but cannot be read as one") from None
    if parts.password is not None or (parts.username and parts.scheme in ("http", "https")):
        raise ValueError(
            "holds a user or password, which git and dvc.lock would keep: put them into ~/.netrc, or for an object "
            "store into its own configuration"
        )
    if named:
        raise ValueError(
            f"holds a secret ({named[:40]!a}), which git and dvc.lock would keep: download the file yourself and give "
            "its path"
        )
    return value


Address = Annotated[str, BeforeValidator(_address)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(ge=0, le=0.5)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Fetch(_Section):
    """Where the images come from."""

    source: Literal["digits", "images", "manifest", "parquet", "cifar10", "cifar100"]
    path: Annotated[str, BeforeValidator(_source_path)]
    url: Address
    sha256: Annotated[str, BeforeValidator(_digest)]
    deadline: Annotated[float, Field(gt=0)]
    limit: Annotated[int, Field(ge=0)]
    manifest: Annotated[str, Field(min_length=1)]
    image_column: Annotated[str, Field(min_length=1)]
    label_column: Annotated[str | list[str], BeforeValidator(_label_column)]
    split_column: Annotated[str, Field(min_length=1)]
    group_column: Annotated[str, Field(min_length=1)]


Action = Literal["drop", "flag", "keep"]


class Clean(_Section):
    """The shape that images are brought to, the splits, and what to do about each fault."""

    image_size: Annotated[Literal["auto"] | list[int], BeforeValidator(_image_size)]
    fit: Literal["stretch", "pad", "crop"]
    channels: Literal["auto", 1, 3]
    range: Annotated[Literal["auto"] | list[float], BeforeValidator(_range)]
    test: Annotated[float, Field(gt=0, lt=1)]
    validation: Annotated[float, Field(gt=0, lt=1)]
    max_set_aside: Fraction
    undecodable: Literal["drop", "stop"]
    max_pixels: Annotated[int, Field(ge=1, le=10**9)]
    metadata: Action
    too_small: Action
    min_side: Annotated[int, Field(ge=1)]
    odd_aspect: Action
    max_aspect: Annotated[float, Field(ge=1)]
    constant: Action
    min_contrast: Annotated[float, Field(ge=0, le=127.5)]
    too_dark: Action
    min_highlight: Annotated[float, Field(ge=0, le=255)]
    too_bright: Action
    max_shadow: Annotated[float, Field(ge=0, le=255)]
    blurry: Action
    min_sharpness: Annotated[float, Field(ge=0)]
    low_information: Action
    min_entropy: Annotated[float, Field(ge=0, le=8)]
    conflicting_labels: Action
    exact_duplicate: Action
    near_duplicate: Literal["drop", "leaks", "flag", "keep"]
    near_duplicate_score: Literal["auto"] | Annotated[float, Field(ge=0.5, le=1)]
    label_error: Action
    min_label_quality: Fraction
    outlier: Action
    max_isolation: Annotated[float, Field(gt=0)]


class Augment(_Section):
    """What may be done to training images."""

    mode: Literal["offline", "online"]
    views: Annotated[int, Field(ge=1, le=100)]
    rotate: Annotated[float, Field(ge=0, le=180)]
    scale: Strength
    crop: Strength
    flip: Fraction
    brightness: Fraction
    contrast: Annotated[float, Field(ge=0, lt=1)]
    cutout: Fraction


class Normalize(_Section):
    """What the model's first layer does."""

    method: Literal["standard", "minmax", "per_image", "none"]


class Train(_Section):
    """The network, the loss, the optimiser and how long."""

    model: str
    width: Annotated[float, Field(gt=0, le=32)]
    depth: Literal["auto"] | Annotated[int, Field(ge=1)]
    patch: Literal["auto"] | Annotated[int, Field(ge=1)]
    activation: Literal["auto", "sigmoid", "tanh", "relu", "gelu", "silu"]
    normalization: Literal["auto", "batch", "none"]
    dropout: Literal["auto"] | Annotated[float, Field(ge=0, lt=1)]
    weights: Address
    weights_sha256: Annotated[str, BeforeValidator(_digest)]
    frozen_epochs: Annotated[int, Field(ge=0)]
    thaw_factor: Annotated[float, Field(gt=0, le=1)]
    loss: Literal["cross_entropy", "squared_error"]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    class_weight: Literal["none", "balanced"]
    mixup: Annotated[float, Field(ge=0, le=100)]
    cutmix: Annotated[float, Field(ge=0, le=100)]
    optimizer: Literal["adam", "adamw", "sgd", "lion", "muon"]
    lr: Annotated[float, Field(gt=0)]
    side_lr: Annotated[float, Field(gt=0)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    nesterov: bool
    weight_decay: Annotated[float, Field(ge=0)]
    clip: Literal["none", "value", "norm", "global_norm"]
    clip_at: Annotated[float, Field(gt=0)]
    schedule: Literal["constant", "linear", "cosine", "one_cycle", "step", "plateau"]
    warmup: Annotated[float, Field(ge=0)]
    decay_factor: Annotated[float, Field(gt=0, lt=1)]
    decay_epochs: Annotated[int, Field(ge=1)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    ema_every: Annotated[int, Field(ge=1)]
    ema_restart: bool
    precise_norm: bool
    precision: Literal["auto", "mixed", "float32", "mixed_float16", "mixed_bfloat16"]
    batch_size: Annotated[int, Field(ge=1, le=65536)]
    memory: Annotated[float, Field(gt=0)]
    epochs: Annotated[int, Field(ge=1, le=100_000)]
    monitor: Literal["loss", "accuracy", "precision", "recall", "f1"]
    keep: Literal["last", "best"]
    patience: Annotated[int, Field(ge=0)]
    seed: Seed

    @model_validator(mode="after")
    def _agree(self):
        wrong = (
            "warmup is above 0, but one_cycle warms up by itself: set warmup to 0"
            if self.schedule == "one_cycle" and self.warmup
            else "warmup should be less than epochs"
            if self.warmup >= self.epochs
            else "weight_decay is above 0, which adam has no place for: choose adamw, or set it to 0"
            if self.optimizer == "adam" and self.weight_decay
            else "weights needs weights_sha256: give the file's 64 hex digits, as `sha256sum` prints them"
            if self.weights and not self.weights_sha256
            else "frozen_epochs freezes trained weights, but weights is empty: set it to 0 or give weights"
            if self.frozen_epochs and not self.weights
            else "precise_norm computes statistics anew, but a body with trained weights keeps its own: set it to false"
            if self.precise_norm and self.weights
            else None
        )
        if wrong:
            raise ValueError(wrong)
        return self


class Evaluate(_Section):
    """How to predict, and how many resamples and pictures."""

    flip: bool
    resamples: Annotated[int, Field(ge=100, le=100_000)]
    mistakes: Annotated[int, Field(ge=0, le=100)]
    robustness_images: Annotated[int, Field(ge=0)]


class Report(_Section):
    """What the report is called, and what the model is for."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    intended_use: Annotated[str, Field(min_length=1, max_length=2000)]


class Compare(_Section):
    """What a pull request may not do to the figures; keys are those of metrics.json, such as test.accuracy."""

    floors: dict[str, float]
    drops: dict[str, Annotated[float, Field(ge=0)]]


class Params(_Section):
    """The whole of params.yaml: ``seed``, one section a stage, and that of the command compare."""

    seed: Seed
    fetch: Fetch
    clean: Clean
    augment: Augment
    normalize: Normalize
    train: Train
    evaluate: Evaluate
    report: Report
    compare: Compare


def load(path: Path = PATH) -> Params:
    """Read and check a params file.

    Args:
        path: a YAML 1.2 file, as DVC reads it: ``1e-4`` and ``1e-05`` are floats.

    Raises:
        UserError: the file is missing, is no YAML mapping, or holds an unknown
            key, a missing key or a value that is not allowed; the sentence names
            the first such keys, what is allowed, and the nearest key that exists.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run from the project's root folder") from None
    if len(text) > MAX_BYTES:
        raise UserError(f"{path} has more than {MAX_BYTES:,} bytes; restore it with `git checkout {path}`")
    if line := merge_mark(text):
        raise UserError(f"{path} line {line}: both sides of a merge are left: keep one and delete the marks of git")
    content = _parsed(text, path)
    if not isinstance(content, Mapping):
        raise UserError(f"{path}: holds no `section: ...` lines; restore it with `git checkout {path}`")
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        raise UserError(_sentences(error, path)) from None


def merge_mark(text: bytes) -> int | None:
    """Find the first line that git wrote between the sides of a merge; None where there is none."""
    found = _MERGE.search(text)
    return text.count(b"\n", 0, found.start()) + 1 if found else None


class _Composer(Composer):
    """Takes few aliases, since each may stand for as much as all before it."""

    aliases = 0

    def return_alias(self, node):
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise YAMLError(f"it has more than {MAX_ALIASES} aliases (*name)")
        return super().return_alias(node)


def _parsed(text: bytes, path: Path) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth, yaml.Composer = MAX_DEPTH, _Composer
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        # Of a key that stands twice it quotes the values, and an address may hold a password.
        problem = str(error.problem).partition(" with value")[0]
        raise UserError(f"{path}{line}: not readable as YAML: {_brief(problem)}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as YAML: {_brief(' '.join(str(error).split()))}") from None
    # Dates that are none, numbers too long, tags over what they cannot hold: it raises what it pleases.
    except Exception as error:
        raise UserError(f"{path}: not readable as YAML: a value cannot be built ({type(error).__name__})") from None


def _brief(text: str) -> str:
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= 150 else f"{text[:150]}..."


def _shown(value: Any) -> str:
    """Show a value, abbreviated: a few aliases can stand for gigabytes."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = 80
    try:
        return _brief(shown.repr(value))
    except ValueError:
        return "a number of thousands of digits"


def _sentences(error: ValidationError, path: Path) -> str:
    errors = error.errors(include_url=False)
    new = {RENAMED.get(_key(one)) for one in errors if one["type"] == "extra_forbidden"}
    errors = [one for one in errors if one["type"] != "missing" or _key(one) not in new]
    told = [f"{path}: {_sentence(one)}" for one in errors[:_TOLD]]
    return "; ".join(told) + (f"; and {len(errors) - _TOLD} more" if len(errors) > _TOLD else "")


def _key(error: Mapping) -> str:
    # A union adds the name of its branch to the location; no key is an integer
    # or deeper than section.key, so the first two strings are the key.
    return _brief(".".join(part for part in error["loc"][:2] if isinstance(part, str)))


def _sentence(error: Mapping) -> str:
    key = _key(error)
    if error["type"] == "missing":
        return f"the key {key} is missing: add it, with a value like that of the original params.yaml"
    if error["type"] == "extra_forbidden":
        if key in RENAMED:
            return f"{key} was renamed to {RENAMED[key]}"
        near = difflib.get_close_matches(key, known_keys(), n=1, cutoff=0.5)
        return f"there is no key {key}" + (f": did you mean {near[0]}?" if near else "")
    if error["type"] == "invalid_key":
        return f"there is no key {_shown(error['input'])}"
    if error["type"] == "model_type":
        return f"{key} is {_shown(error['input'])}, but should hold `key: value` lines"
    allowed = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if isinstance(error["input"], Mapping) and error["type"] == "value_error":
        return f"{key}.{allowed}"
    # A URL may hold a password.
    secret = key in ("fetch.url", "train.weights")
    return f"{key} {allowed}" if secret else f"{key} is {_shown(error['input'])}, but {allowed}"


def known_keys() -> list[str]:
    """Every section and every ``section.key`` of the schema."""
    keys = []
    for section, field in Params.model_fields.items():
        keys.append(section)
        if isinstance(field.annotation, type) and issubclass(field.annotation, _Section):
            keys += [f"{section}.{name}" for name in field.annotation.model_fields]
    return keys
