"""Knobs of the modality text, section by section."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kiln.params import types
from kiln.params.types import Action, Fraction, Section, knob


def _columns(value: Any) -> Any:
    names = value if isinstance(value, list) else [value]
    several = isinstance(value, list) and not 2 <= len({*map(str, names)}) == len(names)
    if several or not all(isinstance(name, str) and name for name in names):
        raise ValueError("should be auto, the name of a column, or a list of different names")
    return value


class Fetch(Section):
    """Where a text stands in a table."""

    column: Annotated[str | list[str], BeforeValidator(_columns)] = knob(
        "auto", "of a table, or [one, two]: joined; auto: text, sentence, content, review, question or title"
    )


KNOBS: types.Knobs = {"fetch": Fetch}
