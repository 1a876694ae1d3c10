"""The recipes of docs/recovery.md, line by line, with the real git and dvc."""

import json
import re
import shutil

import pytest
from makers.projects import ROOT, Project
from ruamel.yaml import YAML

SCRATCH = "\n# an hour of work\n"


def recipe(heading: str) -> list[list[str]]:
    """The command lines of each block of a section, without their remarks."""
    section = (ROOT / "docs/recovery.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.S)
    return [[re.split(r"\s+# ", line)[0] for line in block.splitlines()] for block in blocks]


@pytest.fixture
def project(small, tmp_path):
    return small.copy(tmp_path / "project")


@pytest.mark.full
def test_a_merge_conflict_in_the_results_is_resolved_by_reproducing(project):
    project.run("git", "switch", "-q", "-c", "theirs")
    project.set(evaluate__image__flip=True)
    project.dvc("repro", "-q")
    project.commit("theirs")
    project.run("git", "switch", "-q", "main")
    project.dvc("checkout", "-q")
    project.set(report__title="Ours")
    project.dvc("repro", "-q")
    project.commit("ours")
    (merge, *rest) = recipe("A merge conflict in dvc.lock or metrics/")[0]
    merged = project.run("sh", "-c", merge, check=False)
    assert "CONFLICT" in merged.stdout and "<<<<<<<" in (project.folder / "dvc.lock").read_text()
    said = [project.run("sh", "-c", line).stdout for line in rest]
    assert "Stage 'evaluate' is cached" in "".join(said)  # theirs computed it
    assert not project.run("git", "status", "--porcelain").stdout
    assert "up to date" in project.dvc("status").stdout
    content = YAML(typ="safe").load((project.folder / "params.yaml").read_text())
    assert (content["report"]["title"], content["evaluate"]["image"]["flip"]) == ("Ours", True)
    assert "test_flipped" in json.loads((project.folder / "metrics/metrics.json").read_text())


def test_an_experiment_changes_one_line_and_gives_the_bytes_of_an_edit_by_hand(project):
    given = (project.folder / "params.yaml").read_text()
    project.dvc("exp", "run", "-q", "-n", "one", "-S", "report.title=One")
    project.run("git", "checkout", "-q", ".")
    project.dvc("checkout", "-q")
    project.dvc("exp", "apply", "-q", "one")
    assert project.run("git", "diff", "--numstat", "params.yaml").stdout.split()[:2] == ["1", "1"]
    by_hand = given.replace("title: Kiln report ", "title: One         ")
    assert (project.folder / "params.yaml").read_text() == by_hand
    report = (project.folder / "metrics/report.html").read_bytes()
    project.stage("report")
    assert (project.folder / "metrics/report.html").read_bytes() == report


@pytest.mark.full
def test_edits_that_apply_undid_come_back(project):
    code, params_ = project.folder / "kiln/networks/registry.py", project.folder / "params.yaml"
    project.dvc("exp", "run", "-q", "-n", "one", "-S", "report.title=One")
    project.run("git", "checkout", "-q", ".")
    edited = code.read_text() + SCRATCH
    (look, back), restore, (find,) = recipe("Edits that `dvc exp apply` undid")

    code.write_text(edited)
    project.dvc("exp", "apply", "-q", "one")
    assert code.read_text() != edited  # why the recipe is needed
    assert "kiln/networks/registry.py" in project.run("sh", "-c", look).stdout
    project.run("sh", "-c", back)
    assert code.read_text() == edited and "title: One " in params_.read_text()

    # Where both concern one file, as params.yaml, and where there are new files too.
    project.run("git", "checkout", "-q", ".")
    code.write_text(edited)
    project.set(seed=7)
    (project.folder / "stages/new.py").write_text("new")
    before = params_.read_text()
    project.dvc("exp", "apply", "-q", "one")
    refused = project.run("sh", "-c", back, check=False)
    assert refused.returncode and "would be overwritten" in refused.stderr
    for line in restore:
        project.run("sh", "-c", line)
    assert (code.read_text(), params_.read_text()) == (edited, before)
    assert (project.folder / "stages/new.py").read_text() == "new"
    changed = project.run("git", "status", "--porcelain").stdout.split("\n")
    assert changed == [" M kiln/networks/registry.py", " M params.yaml", "?? stages/new.py", ""]

    # Twice in a row, so that the reference names other edits.
    project.dvc("exp", "apply", "-q", "one")
    project.dvc("exp", "apply", "-q", "one")
    lost = [line.split()[0] for line in project.run("sh", "-c", find).stdout.splitlines() if "dvc-exp-apply" in line]
    assert any(SCRATCH in project.run("git", "show", f"{one}:kiln/networks/registry.py").stdout for one in lost)


@pytest.mark.full
def test_a_model_of_another_version(project, tmp_path):
    project.dvc("remote", "add", "-q", "-d", "store", str(tmp_path / "store"))
    project.commit("remote")
    project.dvc("push", "-q")
    origin = tmp_path / "origin.git"
    project.run("git", "clone", "-q", "--bare", project.folder, origin)
    project.run("git", "remote", "add", "origin", origin)
    (get,), (tag, push, newest, this) = recipe("A model or data of another project or version")
    there = Project.at(tmp_path / "elsewhere")

    def taken(line: str) -> bool:
        shutil.rmtree(there.folder / "model", ignore_errors=True)
        there.run("sh", "-c", line.replace("https://example.org/kiln.git", origin.as_uri()), check=False)
        kept = project.folder / "data/model/model.json"
        return (there.folder / "model").is_dir() and kept.read_bytes() == (
            there.folder / "model/model.json"
        ).read_bytes()

    assert taken(get)
    project.run("git", "tag", "classifier@v0.9.0")  # as people do first
    project.run("git", "push", "-q", "origin", "classifier@v0.9.0")
    assert not taken(newest)
    project.run("sh", "-c", tag)
    project.run("sh", "-c", push)
    assert taken(newest) and taken(this)
