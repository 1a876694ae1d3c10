"""Which tests run: the quick ones, what they leave, or all.

`make test` runs the quick tier, and so does `pytest` alone: all units, and one test of each kind that starts
processes. `make test-all` runs what carries `@pytest.mark.full`, and the property tests again, with five times the
examples. A test that is named (`pytest file.py::test`) runs whatever its tier.
"""

import os

import hypothesis
import pytest

EXAMPLES = 20  # of a property test of the quick tier, in a hundred
TIERS = ("test", "full", "all")
MADE_ONCE = {
    "small",
    "small_texts",
    "trained",
}  # fixtures that one worker makes (conftest.py), while those who need it wait


def pytest_addoption(parser):
    group = parser.getgroup("kiln")
    group.addoption(
        "--tier",
        choices=TIERS,
        default="test",
        help="which tests to run: the quick ones (default), those marked full, or all",
    )
    group.addoption("--spent", type=int, metavar="N", help="print each file's processor time, and the N longest tests")


def pytest_configure(config):
    config.addinivalue_line("markers", "full: left to `make test-all`: long, or one more of a kind that is proven")
    parent = hypothesis.settings.get_profile("ci" if os.environ.get("CI") else "default")
    for name in TIERS:
        number = EXAMPLES if name == "test" else 100
        hypothesis.settings.register_profile(name, parent, max_examples=number, deadline=None)
    hypothesis.settings.load_profile(config.getoption("tier"))


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config, items):
    """Choose by the tier; keep together what shares a module's fixture, so that it is made once."""
    named = tuple(argument for argument in config.args if "::" in argument)
    left = [item for item in items if not (is_wanted(item, config.getoption("tier")) or is_named(item, named))]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]
    if hasattr(config, "workerinput"):
        _arrange(items)


def _arrange(items) -> None:
    makers = {}
    for item in items:
        if _shares_a_fixture(item):
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
        for name in MADE_ONCE.intersection(item.fixturenames):
            makers.setdefault(name, item)
    items.sort(key=lambda item: turn(item, makers.values()))


def is_wanted(item, tier: str) -> bool:
    """Whether a tier runs a test."""
    full = item.get_closest_marker("full") is not None
    if tier == "test":
        return not full
    return tier == "all" or full or hypothesis.is_hypothesis_test(getattr(item, "obj", None))


def _shares_a_fixture(item) -> bool:
    fixtures = getattr(item, "_fixtureinfo", None)
    return fixtures is not None and any(
        definitions[-1].scope == "module" for definitions in fixtures.name2fixturedefs.values()
    )


def turn(item, makers) -> tuple:
    """When a test's turn is: what makes a project goes first and what needs it last, so that no worker waits for it.

    And groups before single tests, since one that starts late has its worker busy while the others are done.
    """
    return (
        item not in makers,
        bool(MADE_ONCE.intersection(item.fixturenames)),
        not item.get_closest_marker("xdist_group"),
    )


def is_named(item, named: tuple[str, ...]) -> bool:
    """Whether a test, its parametrised function or its class is named on the command line."""
    names = [name.removeprefix("./") for name in named]
    return any(item.nodeid == name or item.nodeid.startswith((f"{name}[", f"{name}::")) for name in names)
