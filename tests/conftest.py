"""Fixtures: scratch copies of the project with git and DVC. What tests share beyond that lies in makers/."""

import os

# Before numpy: the workers of pytest-xdist share the cores, and OpenBLAS' threads wait for each other by spinning,
# so that the clean stage takes twice as long where another process computes too.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest

pytest.register_assert_rewrite("makers")
pytest_plugins = ["tiers", "budget"]

from makers.projects import Project  # noqa: E402

# The make that runs the tests hands its options on, by which one that a test runs would tell its folders, too.
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
    os.environ.pop(name, None)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A project in which the default pipeline has been reproduced; tests must not change it."""
    project = Project(tmp_path_factory.mktemp("trained"))
    project.dvc("repro")
    return project
