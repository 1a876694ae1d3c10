"""How many cases each fuzz test tries: a few hundred, or with KILN_FAULTS=all 10,000."""

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
