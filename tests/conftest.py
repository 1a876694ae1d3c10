"""Fixtures: scratch copies of the project with git and DVC. What tests share beyond that lies in makers/."""

import os
import shutil
from collections.abc import Callable

# Before numpy: the workers of pytest-xdist share the cores, and OpenBLAS' threads wait for each other by spinning,
# so that the clean stage takes twice as long where another process computes too.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from filelock import FileLock

pytest.register_assert_rewrite("makers")
pytest_plugins = ["tiers", "budget"]

from makers.projects import Project  # noqa: E402
from makers.texts import write_reviews  # noqa: E402

# The make that runs the tests hands its options on, by which one that a test runs would tell its folders, too.
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """The project as it is; tests copy it."""
    return Project(tmp_path_factory.mktemp("template") / "project")


@pytest.fixture
def project(template, tmp_path):
    return template.copy(tmp_path / "project")


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """The pipeline reproduced and committed with little of everything: for all that asserts no accuracy.

    Made once for all workers, and not to be changed: what writes or calls DVC takes ``small.copy(tmp_path / "x")``.
    """

    def reproduce(project: Project) -> None:
        project.set(fetch__limit=20, train__model__width=0.25, train__epochs=1)
        project.set(evaluate__resamples=100, evaluate__mistakes=2, evaluate__robustness_samples=20)
        project.set(compare={"floors": {"test.accuracy": 0.01}, "drops": {"test.accuracy": 0.02, "test.f1": 0.02}})
        project.dvc("repro")
        project.commit("small")

    return make_once(tmp_path_factory, "small", reproduce)


@pytest.fixture(scope="session")
def small_texts(tmp_path_factory):
    """The same of texts, with a small BERT; not to be changed either."""

    def reproduce(project: Project) -> None:
        write_reviews(project.folder / "data/source/reviews.csv")
        project.kiln("recipe", "text", "--force")
        project.set(fetch__path="data/source", normalize__text__vocabulary=512, normalize__text__max_tokens=32)
        project.set(train__model={"name": "bert", "width": 0.25, "depth": 1}, train__optimizer={"name": "adam"})
        project.set(train__lr=0.003, train__batch_size=16, train__epochs=1)
        project.set(evaluate__resamples=100, evaluate__mistakes=4, evaluate__robustness_samples=20)
        project.dvc("repro")
        project.commit("small")

    return make_once(tmp_path_factory, "small_texts", reproduce)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The default pipeline, reproduced; made once for all workers, and not to be changed."""
    return make_once(tmp_path_factory, "trained", lambda project: project.dvc("repro"))


def make_once(tmp_path_factory, name: str, make: Callable[[Project], object]) -> Project:
    """Make a project once per run: by the worker that comes first, while the others wait."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(base / f"{name}.lock"):
        if not (base / name).is_dir():
            shutil.rmtree(base / f"{name}.partial", ignore_errors=True)
            make(Project(base / f"{name}.partial"))
            (base / f"{name}.partial").rename(base / name)
    return Project.at(base / name)
