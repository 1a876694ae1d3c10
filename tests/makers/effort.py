"""How much the tests of faults try: a little, or all that `make faults` asks for by KILN_FAULTS=all."""

import os

import hypothesis

ALL = os.environ.get("KILN_FAULTS") == "all"
CASES = 10_000 if ALL else 300

# The few are always the same, so that a change that is not at fault never fails; the many are new each time.
fuzz = hypothesis.settings(
    max_examples=CASES,
    derandomize=not ALL,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
