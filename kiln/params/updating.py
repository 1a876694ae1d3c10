"""Bringing an older params.yaml up to date: keys renamed, new ones added, values and comments kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap

from kiln.core import yaml
from kiln.params import loading, recipes, schema
from kiln.params.renames import RENAMED
from kiln.params.types import Section


def update(path: Path) -> tuple[str, list[str]]:
    """Bring the text of a params file up to date.

    Args:
        path: of the file, of any earlier layout or the present one.

    Returns:
        The text, as it is where nothing has to change; and what changed, a line per key.

    Raises:
        UserError: the file cannot be read, or holds a key or value that is not allowed.
    """
    loading.read(path)
    text = path.read_text(encoding="utf-8-sig")
    content = yaml.load_commented(text)
    changes = [*_rename(content), *_add_inputs(content)]
    settings = _settings(content, path)
    changes += [*_remove_unused(content, settings), *_add_missing(content, settings, "")]
    loading.check(_plain(content), path)
    return (_dumped(content, text) if changes else text), changes


def _plain(content: CommentedMap) -> dict:
    return yaml.load(yaml.dump(content))


def _settings(content: CommentedMap, path: Path) -> schema.Params:
    whole = {name: {} for name in schema.SECTIONS} | _plain(content)
    inputs = loading.checked_inputs(whole, path)
    try:
        return schema.model_for(inputs).model_validate(whole)
    except ValidationError as error:
        raise loading.user_error(error, path, inputs) from None


def _rename(content: CommentedMap) -> list[str]:
    changes = []
    for old, new in RENAMED.items():
        section, name = old.split(".")
        inner = content.get(section)
        if not isinstance(inner, Mapping) or isinstance(inner.get(name, {}), Mapping):
            continue
        *groups, last = new.split(".")[1:]
        position = list(inner).index(name)
        value, comment = _take(inner, name)
        place = inner
        for group in groups:
            if not isinstance(place.get(group), Mapping):
                # Parts stand after the general keys, kinds where their name stood.
                _insert(place, len(place) if group in schema.DEFAULT_INPUTS else position, group, CommentedMap())
            place = place[group]
        _put(place, len(place) if groups else position, last, value, comment)
        changes.append(f"{old} is now {new}")
    return changes


def _add_inputs(content: CommentedMap) -> list[str]:
    if "inputs" in content:
        return []
    field = schema.Params.model_fields["inputs"]
    value = CommentedMap(schema.DEFAULT_INPUTS)
    value.fa.set_flow_style()
    _put(content, 1 if "seed" in content else 0, "inputs", value, recipes.describe(field))
    return [f"inputs is new: {schema.DEFAULT_INPUTS}"]


def _remove_unused(content: CommentedMap, settings: schema.Params) -> list[str]:
    changes = []
    for key in loading.unused_keys(content, settings):
        *groups, name = key.split(".")
        place = content
        for group in groups:
            place = place[group]
        value, _ = _take(place, name)
        changes.append(f"{key} has no effect here and is gone" + ("" if key in loading.SECRETS else f": {value!r}"))
    return changes


def _add_missing(content: CommentedMap, section: Section, prefix: str) -> list[str]:
    changes = []
    for position, (name, field) in enumerate(recipes.fields_of(section).items()):
        inner = recipes.value_of(section, name, field)
        if isinstance(inner, Section):
            if name not in content:
                _insert(content, min(position, len(content)), name, CommentedMap())
            changes += _add_missing(content[name], inner, f"{prefix}{name}.")
        elif name not in content:
            _put(content, min(position, len(content)), name, recipes.in_braces(field.default), recipes.describe(field))
            changes.append(f"{prefix}{name} is new: {field.default!r}")
    return changes


def _take(content: CommentedMap, name: str) -> tuple[Any, str]:
    comment = recipes.eol_comment(content, name)
    content.ca.items.pop(name, None)
    return content.pop(name), comment


def _put(content: CommentedMap, position: int, name: str, value: Any, comment: str) -> None:
    _insert(content, position, name, value)
    if comment and not content.fa.flow_style():
        content.yaml_add_eol_comment(comment, name, column=recipes.COMMENT_COLUMN)


def _insert(content: CommentedMap, position: int, name: str, value: Any) -> None:
    """Insert a key, without the blank line that the key before may have behind it."""
    before = list(content)[position - 1] if position else None
    token = (content.ca.items.get(before) or [None] * 3)[2]
    if token and token.value.endswith("\n\n"):
        token.value = token.value.rstrip("\n") + "\n"
    content.insert(position, name, value)


def _dumped(content: CommentedMap, before: str) -> str:
    lines = yaml.dump(content).splitlines()
    # Moved keys leave the blank lines between sections behind: put them back where there were any.
    if "\n\n" in before:
        spaced = []
        for line in lines:
            starts = line.partition(":")[0] in schema.SECTIONS
            if starts and spaced and spaced[-1] and not spaced[-1].startswith("#"):
                spaced.append("")
            spaced.append(line)
        lines = spaced
    return "\n".join(lines) + "\n"
