"""Whole params files, written from the schema and a recipe: an overlay that holds only what differs, and why."""

import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from kiln.core import yaml
from kiln.core.errors import UserError
from kiln.params import schema
from kiln.params.types import Group, Parted, Section

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
COMMENT_COLUMN = 28
MOST_ON_ONE_LINE = 5
_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "min_length": "", "max_length": ""}


@dataclass(frozen=True)
class Recipe:
    """An overlay on the schema's defaults.

    Attributes:
        purpose: what it is for, in a line.
        header: comment lines for the head of the file.
        values: key -> value, for those that differ.
        reasons: key -> why.
    """

    purpose: str
    header: list[str]
    values: dict[str, Any]
    reasons: dict[str, str]


def names() -> list[str]:
    """List the recipes, the default first."""
    return sorted((path.stem for path in FOLDER.glob("*.yaml")), key=lambda name: (name != "default", name))


def read(name: str) -> Recipe:
    """Read a recipe's overlay.

    Raises:
        UserError: there is no such recipe.
    """
    path = FOLDER / f"{name}.yaml"
    if name not in names():
        raise UserError(f"there is no recipe {name!r}: choose one of {', '.join(names())}")
    text = path.read_text()
    purpose, *header = (line for line in text.split("\n\n")[0].splitlines() if line.startswith("#"))
    content = yaml.load_commented(text)
    inputs = content.get("inputs", schema.DEFAULT_INPUTS)
    values, reasons = {}, {}
    for key, value, comment in _leaves(content, schema.knobs(inputs), ""):
        values[key] = value
        reasons[key] = comment
    return Recipe(purpose.removeprefix("# "), header, values, reasons)


def _leaves(content: CommentedMap, known: Mapping[str, FieldInfo], prefix: str):
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, CommentedMap) and key not in known:
            yield from _leaves(value, known, f"{key}.")
        else:
            yield key, value, eol_comment(content, name)


def eol_comment(content: CommentedMap, name: str) -> str:
    """Give the comment at the end of a key's line, without its mark."""
    tokens = [token for token in content.ca.items.get(name, ()) if token and not isinstance(token, list)]
    value = content[name]
    if not tokens and getattr(value, "comment", None):  # of a block scalar
        tokens = [value.comment]
    first = tokens[0].value.split("\n")[0] if tokens else ""
    return first.lstrip().removeprefix("#").strip()


def write(recipe: Recipe) -> str:
    """Write a whole params file: every key that counts, with its range and meaning, and why it differs.

    DVC's own writer leaves the text as it is, but for a value that it sets.
    """
    lines = _lines(settings_of(recipe.values), recipe, "")
    return "\n".join([*recipe.header, *lines]) + "\n"


def settings(name: str) -> schema.Params:
    """Give the settings of a recipe, as those of a file.

    Raises:
        UserError: there is no such recipe.
    """
    return settings_of(read(name).values)


def settings_of(values: Mapping[str, Any]) -> schema.Params:
    """Give the settings of a whole params file that has these values, and else the defaults.

    Args:
        values: key -> value.

    Raises:
        pydantic.ValidationError: a key is unknown, or a value not allowed.
    """
    content = {name: {} for name in schema.SECTIONS} | _nested(values)
    return schema.model_for(values.get("inputs", schema.DEFAULT_INPUTS)).model_validate(content)


def _nested(values: Mapping[str, Any]) -> dict:
    content: dict = {}
    for key, value in values.items():
        *groups, name = key.split(".")
        place = content
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    return content


def _lines(section: Section, recipe: Recipe, prefix: str) -> list[str]:
    lines = []
    for name, field in fields_of(section).items():
        key = f"{prefix}{name}"
        inner = value_of(section, name, field)
        if not isinstance(inner, Section):
            reason = recipe.reasons.get(key)
            comment = "; ".join(filter(None, [describe(field), reason and f"changed: {reason}"]))
            lines += _line(key, recipe.values.get(key, field.default), comment)
        elif whole := _on_one_line(inner, recipe, key):
            lines.append(whole)
        else:
            comment = type(inner).__doc__.splitlines()[0].rstrip(".")
            lines.append(_commented(f"{_indent(key)}{name}:", comment))
            lines += _lines(inner, recipe, f"{key}.")
    return lines


def fields_of(section: Section) -> dict[str, FieldInfo]:
    """Give the keys of a section that have an effect, in their order, with their fields."""
    fields = {field.alias or name: field for name, field in type(section).model_fields.items()}
    if isinstance(section, Group):
        used = section.knobs_of(section.name)
        return {name: field for name, field in fields.items() if name in used}
    if isinstance(section, Parted) and not section.parts_count:
        return {name: field for name, field in fields.items() if not field.alias}
    return fields


def value_of(section: Section, name: str, field: FieldInfo) -> Any:
    """Give a key's value, or the section or group that it holds."""
    return getattr(section, f"part_{name}" if field.alias else name)


def _on_one_line(section: Section, recipe: Recipe, key: str) -> str | None:
    """Write a small group in braces, unless its values have reasons or DVC's writer would break the line."""
    values, comments = {}, []
    for name, field in _leaves_of(section, ""):
        inner = f"{key}.{name}"
        if recipe.reasons.get(inner):
            return None
        values[name] = recipe.values.get(inner, field.default)
        comments.append((name, describe(field)))
    if len(values) > (MOST_ON_ONE_LINE if "." in key else 1):
        return None
    text = dump({key.rpartition(".")[2]: _nested(values)}, depth=key.count("."))
    if "\n" in text:
        return None
    shown = [f"{name}: {comment}" for name, comment in comments] if len(comments) > 1 else [comments[0][1]]
    return _commented(text, "; ".join(shown))


def _leaves_of(section: Section, prefix: str):
    for name, field in fields_of(section).items():
        inner = value_of(section, name, field)
        if isinstance(inner, Section):
            yield from _leaves_of(inner, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def _line(key: str, value: Any, comment: str) -> list[str]:
    indent, name = _indent(key), key.rpartition(".")[2]
    text = dump({name: value}, depth=key.count("."))
    if "\n" not in text:
        return [_commented(text, comment)]
    return [f"{indent}{name}: |- # {comment}", f"{indent}  {value}"]


def _indent(key: str) -> str:
    return "  " * key.count(".")


def _commented(text: str, comment: str) -> str:
    return f"{text.ljust(COMMENT_COLUMN - 1)} # {comment}" if comment else text


def dump(value: Mapping, depth: int) -> str:
    """Write one key as DVC's writer would at that depth, what is below it in braces."""
    content = CommentedMap(value)
    for name, inner in value.items():
        content[name] = in_braces(inner)
    for _ in range(depth):
        content = CommentedMap({"x": content})
    return yaml.dump(content).split("x:\n")[-1].rstrip("\n")


def in_braces(value: Any) -> Any:
    """Give a value as ruamel writes it on one line."""
    if isinstance(value, Mapping):
        braces = CommentedMap({name: in_braces(inner) for name, inner in value.items()})
    elif isinstance(value, list):
        braces = CommentedSeq(map(in_braces, value))
    else:
        return value
    braces.fa.set_flow_style()
    return braces


def describe(field: FieldInfo) -> str:
    """Say what a key may be, and what it means."""
    return ": ".join(filter(None, [_allowed(field.annotation, field.metadata), field.description]))


def _allowed(kind: Any, metadata: list) -> str:
    if get_origin(kind) is Annotated:
        return _allowed(get_args(kind)[0], [*metadata, *get_args(kind)[1:]])
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    if get_origin(kind) in (Union, types.UnionType):
        return " | ".join(filter(None, (_allowed(one, []) for one in get_args(kind))))
    if kind is bool:
        return "true | false"
    return _limits([limit for limit in metadata for limit in getattr(limit, "metadata", [limit])])


def _limits(limits: list) -> str:
    """Say in words between which ends a number lies, or a text's length."""
    ends = {name: getattr(limit, name) for limit in limits for name in _SIGNS if hasattr(limit, name)}
    if ends.keys() == {"ge", "le"}:
        return f"{ends['ge']:,} to {ends['le']:,}"
    if ends.keys() == {"min_length", "max_length"}:
        return f"{ends['min_length']} to {ends['max_length']:,} characters"
    return ", ".join(f"{_SIGNS[name]} {end:,}" for name, end in ends.items() if name in ("gt", "ge", "lt", "le"))
