"""How much the tests try: by their tier, and all that `make faults` asks for by KILN_FAULTS=all."""

import os

import hypothesis
import pytest

ALL = os.environ.get("KILN_FAULTS") == "all"


def full(*values) -> list:
    """Leave values of a parametrised test to the full tier: ``[1, 2, *full(3, 4)]``; tuples are several arguments."""
    marks = pytest.mark.full
    return [pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=marks) for value in values]


def examples(number: int) -> int:
    """So many examples of a property test; a fifth of them in the quick tier."""
    return max(1, number * hypothesis.settings().max_examples // 100)


# The few are always the same, so that a change that is not at fault never fails; the many are new each time.
fuzz = hypothesis.settings(
    max_examples=10_000 if ALL else examples(300),
    derandomize=not ALL,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
