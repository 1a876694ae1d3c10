"""The suite itself: tiers, budgets, and what tests may import."""

import re
import tomllib
from types import SimpleNamespace

import budget
import hypothesis
import pytest
import tiers
from hypothesis import strategies as st
from makers.effort import full
from makers.projects import ROOT

TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def test_tests_import_makers_and_never_each_other():
    for path in TESTS:
        assert not re.search(r"^\s*(?:from|import) (?:test_\w+|conftest)", path.read_text(), re.M), path


def test_every_budget_is_that_of_a_file():
    budgets = tomllib.loads(budget.BUDGETS.read_text())
    assert set(budgets) == {"test", "full"}
    for tier in budgets.values():
        assert {"default", budget.SHARED} <= set(tier)
        for name in set(tier) - {"default", budget.SHARED}:
            assert (ROOT / name).is_file(), name
        assert all(seconds > tier["default"] for name, seconds in tier.items() if name != "default")


def test_the_files_above_their_budget_are_named_worst_first():
    budgets = {"default": 10, "b": 1}
    assert budget.over_budget({"a": 9.0, "b": 2.0, "c": 50.0}, budgets) == {"c": (50.0, 10), "b": (2.0, 1)}


def test_of_both_tiers_a_file_has_both_budgets():
    tables = tomllib.loads(budget.BUDGETS.read_text())
    of_all = budget.read_budgets("all")
    assert of_all["default"] == tables["test"]["default"] + tables["full"]["default"]
    name = next(name for name in tables["full"] if name not in ("default", budget.SHARED))
    assert of_all[name] == tables["full"][name] + tables["test"].get(name, tables["test"]["default"])


def item(*, marked: bool = False, function=None) -> SimpleNamespace:
    return SimpleNamespace(get_closest_marker=lambda name: marked or None, obj=function, nodeid="tests/a.py::b[1]")


@hypothesis.given(st.none())
def some_property(_):
    """A property test, to look at."""


@pytest.mark.parametrize(
    ("about", "where"),
    [
        ({}, {"test", "all"}),
        ({"marked": True}, {"full", "all"}),
        ({"function": some_property}, {"test", "full", "all"}),
    ],
)
def test_what_a_tier_runs(about, where):
    assert {tier for tier in tiers.TIERS if tiers.is_wanted(item(**about), tier)} == where


def test_a_test_that_is_named_runs_whatever_its_tier():
    for named in ("tests/a.py::b[1]", "./tests/a.py::b[1]", "tests/a.py::b"):
        assert tiers.is_named(item(marked=True), (named,)), named
    assert not tiers.is_named(item(marked=True), ("tests/a.py::bb",))


def test_values_of_a_parametrised_test_are_left_to_the_full_tier():
    assert [param.values for param in full(1, (2, "b"))] == [(1,), (2, "b")]
    assert all(param.marks[0].name == "full" for param in full(1, 2))


def test_no_worker_waits_for_a_project_while_there_is_other_work():
    def one(*fixtures: str, group: str | None = None) -> SimpleNamespace:
        return SimpleNamespace(fixturenames=fixtures, get_closest_marker=lambda name: group)

    maker, needs, grouped, plain = one("small"), one("tmp_path", "small"), one(group="a"), one("tmp_path")
    together = one("trained", group="b")
    order = sorted([plain, needs, together, grouped, maker], key=lambda item: tiers.turn(item, [maker]))
    assert [id(item) for item in order] == [id(item) for item in (maker, grouped, plain, together, needs)]


@pytest.mark.xdist_group("together")
def test_workers_know_which_tests_stay_together(request):
    if not hasattr(request.config, "workerinput"):
        pytest.skip("needs workers: pytest --numprocesses 2 --dist loadgroup")
    assert request.node.nodeid.endswith("@together")
