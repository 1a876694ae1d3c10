"""Knobs of the command compare."""

from typing import Annotated

from pydantic import Field

from kiln.params.types import Section, knob


class Compare(Section):
    """What a pull request may not do to the metrics; keys are those of metrics.json, such as test.accuracy."""

    floors: dict[str, float] = knob({}, "the worst value allowed, such as {test.accuracy: 0.8}")
    drops: dict[str, Annotated[float, Field(ge=0)]] = knob(
        {"test.accuracy": 0.02, "test.f1": 0.02}, "how much worse than in the base is allowed"
    )
