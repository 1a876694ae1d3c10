"""Knobs of the modality text, section by section."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from kiln.params import types
from kiln.params.types import Action, Fraction, Section, knob

Strength = Annotated[float, Field(ge=0, le=0.5)]


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


class Augment(Section):
    """How far a view may differ from its text; 0 is off. Where a word decides the label, leave words in place."""

    crop: Fraction = knob(0, "fraction: up to so many words are cut off at the ends")
    drop_words: Strength = knob(0, "probability of each word to be left out; in scripts without spaces, of a character")
    swap_words: Strength = knob(0, "probability of each word to change places with the next")
    drop_chars: Strength = knob(0, "probability of each letter to be left out")
    swap_chars: Strength = knob(0, "probability of each letter to change places with the next")
    typos: Strength = knob(0, "probability of each letter to become one beside it on the keyboard")


KNOBS: types.Knobs = {"fetch": Fetch, "augment": Augment}
