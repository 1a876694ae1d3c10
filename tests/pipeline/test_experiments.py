"""Experiments in daily use: a queue with a grid, compared, kept as a branch."""

import json
import time

import pytest
from makers.images import write_photos
from makers.projects import Project
from ruamel.yaml import YAML

pytestmark = pytest.mark.full  # a queue of five experiments

MINE = '''"""A network of one's own."""
from kiln.networks.parts import head, layers, model

@model(choose="a test", normalization="none", activation="relu")
def mine(inputs, classes, how):
    """One dense layer."""
    return head(layers.Flatten(name="flatten")(inputs), classes)
'''


def add_a_network(project: Project) -> None:
    (project.folder / "kiln/networks/mine.py").write_text(MINE)
    models = project.folder / "kiln/networks/registry.py"
    text = models.read_text()
    for before in ("import applications, ", "FAMILIES = ("):
        assert before in text
        text = text.replace(before, f"{before}mine, ")
    models.write_text(text)


def queue(project: Project, name: str, *changes: str) -> None:
    words = [word for change in changes for word in ("-S", change)]
    project.dvc("exp", "run", "--queue", "-n", name, *words)


def wait_for_the_queue(project: Project) -> dict[str, str]:
    """The states of the queue's experiments by their names, once none is left to run."""
    project.dvc("queue", "start", "-j", "1")
    for _ in range(300):
        lines = project.dvc("queue", "status").stdout.splitlines()
        states = {line.split()[1]: line.split()[-1] for line in lines[1:] if line and "Worker" not in line}
        if not {"Queued", "Running"} & set(states.values()):
            return states
        time.sleep(1)
    raise AssertionError(lines)


@pytest.fixture(scope="module")
def queued(small, tmp_path_factory):
    """A project whose queue has run: a grid, and a new network and new photos before and after `git add`."""
    project = small.copy(tmp_path_factory.mktemp("queued") / "project")
    folder = project.folder
    queue(project, "grid", "train.lr=0.001,0.01", "train.epochs=1")
    add_a_network(project)
    write_photos(folder / "photos", per_class=8)
    network = ("train.model.name=mine", "train.epochs=1")
    photos = ("fetch.source.name=images", "fetch.path=photos", "fetch.limit=0", "train.batch_size=8")
    queue(project, "network-unknown", *network)
    queue(project, "photos-unknown", *photos)
    project.run("git", "add", "kiln", "photos")
    queue(project, "known", *network, *photos)
    project.run("git", "reset", "-q", "--hard")
    project.states = wait_for_the_queue(project)
    return project


def test_a_grid_runs_from_the_queue(queued):
    assert {name: state for name, state in queued.states.items() if name.startswith("grid")} == {
        "grid-1": "Success",
        "grid-2": "Success",
    }
    assert not queued.run("git", "status", "--porcelain").stdout  # in folders of their own


def test_a_queued_experiment_sees_what_git_knows_and_no_more(queued):
    assert queued.states["network-unknown"] == queued.states["photos-unknown"] == "Failed"
    assert "cannot import name 'mine'" in queued.dvc("queue", "logs", "network-unknown").stdout
    assert "failed to reproduce 'fetch'" in queued.dvc("queue", "logs", "photos-unknown").stdout
    assert queued.states["known"] == "Success"


def test_experiments_in_a_table_for_a_pull_request(queued):
    wanted = "Experiment|metrics.json:test.accuracy$|test.accuracy$|train.lr$"
    table = queued.dvc("exp", "show", "--md", "--drop", ".*", "--keep", wanted).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
    assert rows[0] == ["Experiment", "test.accuracy", "train.lr"]
    rates = {name.split("[")[-1].rstrip("]"): float(rate) for name, _, rate in rows[2:] if rate}
    assert (rates["main"], rates["grid-1"], rates["grid-2"]) == (0.002, 0.001, 0.01)


def test_two_experiments_compared(queued):
    table = queued.dvc("exp", "diff", "grid-1", "grid-2", "--md").stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
    assert ["params.yaml", "train.lr", "0.001", "0.01"] in [row[:4] for row in rows]
    assert "test.accuracy" in [row[1] for row in rows]


def test_an_experiment_is_kept(queued):
    queued.dvc("exp", "apply", "grid-2")
    content = YAML(typ="safe").load((queued.folder / "params.yaml").read_text())
    assert (content["train"]["lr"], content["train"]["epochs"]) == (0.01, 1)
    assert json.loads((queued.folder / "metrics/metrics.json").read_text())["model"]["epochs"] == 1
    assert "up to date" in queued.dvc("status").stdout  # its data and report too
    queued.run("git", "checkout", "-q", ".")
    queued.dvc("checkout")


def test_an_experiment_becomes_a_branch(queued, tmp_path):
    queued.dvc("exp", "branch", "grid-2", "better-lr")
    queued.run("git", "clone", "-q", "-b", "better-lr", queued.folder, tmp_path / "clone")
    clone = Project.at(tmp_path / "clone")
    assert "| train.lr | 0.002 | 0.01 |" in " ".join(clone.dvc("params", "diff", "origin/main", "--md").stdout.split())
    assert "train.lr" in clone.kiln("compare", "origin/main", check=False).stdout
