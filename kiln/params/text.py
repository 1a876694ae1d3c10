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


class Normalize(Section):
    """The tokenizer and the n-grams, fitted on train."""

    lowercase: bool = knob(True, "case makes no difference to the tokens")
    vocabulary: int = knob(8192, "tokens of byte-level BPE at most", ge=512, le=262_144)
    max_tokens: int = knob(128, "of a text; longer ones lose their middle", ge=8, le=4096)
    min_texts: int = knob(2, "training texts that have an n-gram; rarer ones are left out", ge=1)
    max_ngrams: int = knob(200_000, "n-grams at most, the most frequent", ge=100, le=1_000_000)


KNOBS: types.Knobs = {"fetch": Fetch, "normalize": Normalize}
