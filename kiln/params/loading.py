"""Reading params.yaml, with its errors in sentences."""

import difflib
import re
import reprlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kiln.core import yaml
from kiln.core.errors import UserError
from kiln.params import schema
from kiln.params.renames import RENAMED
from kiln.params.schema import Params
from kiln.params.types import Group, Section

PATH = Path("params.yaml")
# Thirty times the file as it comes; anything larger or deeper is another file.
MAX_BYTES = 256_000
MAX_DEPTH = 8
# Three in each of ten anchors are 3^10 copies: what merging or hashing them may take at most.
MAX_ALIASES = 30
_MOST_SHOWN = 5
# What git leaves of a merge that it could not make; none can begin a line of YAML that holds keys.
_MERGE = re.compile(rb"^(<{7}|={7}|>{7}|[|]{7})(?=[ \r\n]|\Z)", re.M)
SECRETS = ("fetch.source.url", "train.model.weights")  # a URL may hold a password
UPDATE = "run `kiln recipe --update`"


def load(path: Path = PATH, uses: str | None = None) -> Params:
    """Read and check a params file.

    Args:
        path: a YAML 1.2 file, as DVC reads it: ``1e-4`` and ``1e-05`` are floats.
        uses: the section whose knobs without effect are named on standard error.

    Raises:
        UserError: the file is missing, is not a YAML mapping, or holds an unknown
            key, a missing key or a value that is not allowed; the sentence names
            the first such keys, what is allowed, and the nearest key that exists.
    """
    content = read(path)
    settings = check(content, path)
    unused = [key for key in unused_keys(content, settings) if key.split(".")[0] == uses]
    if unused:
        names = sorted({f"{key.rpartition('.')[0]}.name: {_group(settings, key).name}" for key in unused})
        print(f"{uses}: no effect with {', '.join(names)}: {', '.join(unused)}", file=sys.stderr)
    return settings


def read(path: Path) -> dict:
    """Read a params file, whatever its keys are.

    Raises:
        UserError: the file is missing, too large, half merged or not a YAML mapping.
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
    try:
        content = yaml.load(text, MAX_DEPTH, MAX_ALIASES)
    except yaml.Invalid as error:
        line = f" line {error.line}" if error.line else ""
        raise UserError(f"{path}{line}: not readable as YAML: {_brief(str(error))}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no `section: ...` lines; restore it with `git checkout {path}`")
    return content


def check(content: Mapping, path: Path = PATH) -> Params:
    """Check what a params file holds.

    Args:
        content: section -> keys, as YAML gives them.
        path: of the file, for the sentence.

    Raises:
        UserError: as ``load``.
    """
    if "inputs" not in content and any(_has(content, key) for key in RENAMED):
        raise UserError(f"{path} has the keys of an earlier version of Kiln: {UPDATE} to bring it up to date")
    inputs = checked_inputs(content, path)
    try:
        settings = schema.model_for(inputs).model_validate(content)
    except ValidationError as error:
        raise user_error(error, path, inputs) from None
    if missing := _missing(settings, ""):
        more = f"; and {len(missing) - _MOST_SHOWN} more" if len(missing) > _MOST_SHOWN else ""
        raise UserError(f"{path}: missing: {', '.join(missing[:_MOST_SHOWN])}{more}: {UPDATE}, which adds the defaults")
    return settings


def checked_inputs(content: Mapping, path: Path) -> dict[str, str]:
    """Give the parts that a params file names; the usual one where it names none.

    Raises:
        UserError: a name or a modality is not allowed.
    """
    try:
        return schema.check_inputs(content.get("inputs", schema.DEFAULT_INPUTS))
    except ValueError as error:
        raise UserError(f"{path}: inputs is {_shown(content['inputs'])}, but {error}") from None


def _has(content: Mapping, key: str) -> bool:
    section, name = key.split(".")
    return isinstance(inner := content.get(section), Mapping) and not isinstance(inner.get(name, {}), Mapping)


def _missing(section: Section, prefix: str) -> list[str]:
    found = []
    for name, field in type(section).model_fields.items():
        key = prefix + (field.alias or name)
        if name not in section.model_fields_set and not isinstance(section, Group):
            if not (field.alias and section.PARTS_OPTIONAL):
                found.append(key)
        elif isinstance(inner := getattr(section, name), Section):
            found += _missing(inner, f"{key}.")
    return found


def unused_keys(content: Mapping, settings: Params) -> list[str]:
    """List the keys of a params file that its chosen names give no effect, such as train.optimizer.momentum of adam."""
    found = []
    for section, inner in content.items():
        for group, keys in inner.items() if isinstance(inner, Mapping) else ():
            if isinstance(chosen := getattr(getattr(settings, section), group, None), Group):
                used = chosen.knobs_of(chosen.name)
                found += [f"{section}.{group}.{key}" for key in keys if key not in used]
    return found


def _group(settings: Params, key: str) -> Group:
    section, group, _ = key.split(".")
    return getattr(getattr(settings, section), group)


def merge_mark(text: bytes) -> int | None:
    """Find the first line that git wrote between the sides of a merge; None where there is none."""
    found = _MERGE.search(text)
    return text.count(b"\n", 0, found.start()) + 1 if found else None


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


def user_error(error: ValidationError, path: Path, inputs: Mapping[str, str]) -> UserError:
    """Turn pydantic's error into one sentence: the first keys, what is allowed, and the nearest key that exists."""
    errors, known = error.errors(include_url=False), schema.known_keys(inputs)
    shown = [f"{path}: {_sentence(one, known)}" for one in errors[:_MOST_SHOWN]]
    more = f"; and {len(errors) - _MOST_SHOWN} more" if len(errors) > _MOST_SHOWN else ""
    return UserError("; ".join(shown) + more)


def _key(error: Mapping, known: list[str]) -> str:
    # Behind the key a union adds the name of its branch, and a list the number of its entry.
    steps = []
    for step in error["loc"]:
        steps.append(str(step))
        key = ".".join(steps)
        if key in known and not any(other.startswith(f"{key}.") for other in known):
            break
    return _brief(".".join(steps))


def _sentence(error: Mapping, known: list[str]) -> str:
    key = _key(error, known)
    if error["type"] == "missing":
        return f"the section {key} is missing: {UPDATE}, which adds it with its defaults"
    if error["type"] == "extra_forbidden":
        if key in RENAMED:
            return f"{key} was renamed to {RENAMED[key]}: {UPDATE}"
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        return f"there is no key {key}" + (f": did you mean {near[0]}?" if near else "")
    if error["type"] == "invalid_key":
        return f"there is no key {_shown(error['input'])}"
    if error["type"] in ("model_type", "model_attributes_type"):
        name = f": set {key}.name" if f"{key}.name" in known else ""
        return f"{key} is {_shown(error['input'])}, but should hold `key: value` lines{name}"
    allowed = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if isinstance(error["input"], Mapping) and error["type"] == "value_error":
        return f"{key}.{allowed}"
    return (
        f"{key} {allowed}"
        if key in SECRETS or key.endswith(".tokenizer")
        else f"{key} is {_shown(error['input'])}, but {allowed}"
    )
