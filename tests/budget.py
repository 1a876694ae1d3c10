"""How much processor time each file of tests takes, compared with its budget: printed at the end, checked in CI.

Processor time (of the worker and of the processes that it waited for) hardly depends on what else runs, and is
divided by the machine's own speed, measured at the start of the run; so a budget holds on a fast machine, on a slow
one and on a busy one. What a session's shared fixtures cost stands on a line of its own, since any file may be the
first to ask for them.
"""

import hashlib
import os
import resource
import time
import tomllib
from collections import Counter
from pathlib import Path

import pytest

BUDGETS = Path(__file__).with_name("budgets.toml")
SHARED = "shared fixtures"
REFERENCE = 0.058  # seconds that ``calibrate`` takes on the machine on which the budgets were measured
FACTOR = 3  # a file fails in CI only far above its budget: machines differ in more than one number

OVER = pytest.StashKey[tuple[float, dict[str, tuple[float, float]]]]()

_shared = 0.0  # seconds of shared fixtures within the present phase of a test
_spent: Counter[str] = Counter()
_tests: Counter[str] = Counter()


def calibrate() -> float:
    """Time a fixed piece of work, half in the interpreter and half in C, at its best of five: seconds."""

    def once() -> float:
        start = time.process_time()
        table = {number: str(number) for number in range(150_000)}
        sum(len(text) for text in sorted(table.values()))
        hashlib.sha512(bytes(2**24)).digest()
        return time.process_time() - start

    return min(once() for _ in range(5))


def processor_time() -> float:
    """Seconds of this process and of its ended children."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef):
    """Count the set-up of shared fixtures apart; one that asks for another includes it."""
    global _shared
    if fixturedef.scope != "session":
        return (yield)
    start, before = processor_time(), _shared
    try:
        return (yield)
    finally:
        _shared = before + processor_time() - start


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    item.started = processor_time()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Write what a phase took on its report, which xdist brings to the main process."""
    global _shared
    report = yield
    now = processor_time()
    report.processor_time, report.shared_time = now - item.started - _shared, _shared
    item.started, _shared = now, 0.0
    return report


def pytest_runtest_logreport(report):
    if not hasattr(report, "processor_time"):
        return  # of a worker that crashed
    _spent[report.location[0]] += report.processor_time
    _tests[report.nodeid] += report.processor_time
    _spent[SHARED] += report.shared_time


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Compare; in CI, fail where a file is far above its budget."""
    config = session.config
    if hasattr(config, "workerinput") or not _spent:
        return
    speed = REFERENCE / calibrate()
    budgets = read_budgets(config.getoption("tier"))
    over = over_budget({name: seconds * speed for name, seconds in _spent.items()}, budgets)
    config.stash[OVER] = speed, over
    failed = any(spent > FACTOR * budget for spent, budget in over.values())
    if failed and os.environ.get("CI") == "true" and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if OVER not in config.stash:
        return
    speed, over = config.stash[OVER]
    terminalreporter.section("processor time")
    total = sum(_spent.values())
    terminalreporter.write_line(f"{total:,.0f} s in all; this machine has {speed:.2f} of the reference's speed")
    if (number := config.getoption("spent")) is not None:
        for name, seconds in _spent.most_common() + _tests.most_common(number):
            terminalreporter.write_line(f"{seconds * speed:8.1f} s  {name}")
    for name, (spent, budget) in over.items():
        verdict = f"FAILED (above {FACTOR} times)" if spent > FACTOR * budget else "over budget"
        terminalreporter.write_line(f"{spent:8.1f} s of {budget:g} s  {name}: {verdict}; see tests/budgets.toml")


def read_budgets(tier: str) -> dict[str, float]:
    """The budgets of a tier, file -> seconds; ``default`` is that of a file without its own."""
    budgets = tomllib.loads(BUDGETS.read_text())
    if tier != "all":
        return budgets[tier]
    files = {*budgets["test"], *budgets["full"]}
    return {name: sum(of(budgets[one], name) for one in ("test", "full")) for name in files}


def of(budgets: dict[str, float], name: str) -> float:
    """The budget of a file."""
    return budgets.get(name, budgets["default"])


def over_budget(spent: dict[str, float], budgets: dict[str, float]) -> dict[str, tuple[float, float]]:
    """The files that took more than their budget, worst first: file -> (seconds, budget)."""
    over = {name: (seconds, of(budgets, name)) for name, seconds in spent.items() if seconds > of(budgets, name)}
    return dict(sorted(over.items(), key=lambda entry: -entry[1][0] / entry[1][1]))
