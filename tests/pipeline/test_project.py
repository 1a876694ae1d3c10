"""dvc.yaml tells the truth about the code, and names agree everywhere."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.config import Config
from makers.effort import full
from makers.projects import ROOT, STAGES, Project
from ruamel.yaml import YAML

from kiln import params
from kiln.core.errors import UserError
from kiln.experiments import search

DVC = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())


def test_one_name_a_stage_everywhere():
    sections = set(params.Params.model_fields) - {"seed", "inputs", "compare"}  # the last of a command
    assert tuple(DVC["stages"]) == STAGES
    assert sections == set(STAGES)
    for stage in STAGES:
        assert (ROOT / f"stages/{stage}.py").is_file()
        assert (ROOT / f"tests/stages/test_{stage}.py").is_file()
        assert DVC["stages"][stage]["desc"]


@pytest.mark.parametrize("stage", STAGES)
def test_params_are_those_that_the_stage_reads(stage):
    listed = set()
    for entry in DVC["stages"][stage]["params"]:
        listed |= {"everything"} if isinstance(entry, dict) else {entry}
    text = (ROOT / f"stages/{stage}.py").read_text()
    read = set(re.findall(r"params\.load\([^)]*\)\.(\w+)", text)) | set(re.findall(r"everything\.(\w+)", text))
    assert listed == ({"everything"} if stage == "report" else read & set(params.Params.model_fields))


def test_commands_start_with_exec_and_hold_no_string_parameter():
    for stage, entry in DVC["stages"].items():
        assert entry["cmd"] == f"exec python -m stages.{stage}"


def test_the_paths_of_the_data_are_dependencies():
    assert {"${fetch.path}", "${fetch.unlabelled}"} <= set(DVC["stages"]["fetch"]["deps"])


def test_only_report_has_outputs_outside_of_the_cache():
    for stage, entry in DVC["stages"].items():
        told = [about for out in entry["outs"] if isinstance(out, dict) for about in out.values()]
        uncached = [about for about in told if about.get("cache") is False]
        assert bool(uncached) == (stage == "report")


def test_main_is_short():
    for path in (ROOT / "stages").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name == "main":
                assert node.end_lineno - node.lineno < 32, path


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-gpu.txt"])
def test_requirements_are_pinned_by_hash_and_name_no_index(name):
    text = (ROOT / name).read_text()
    assert not re.search(r"https?:|--index|--find-links|--extra-index", text)
    for block in re.split(r"\n(?=[a-z0-9])", text.split("\n", 2)[2]):
        assert re.match(r"[a-z0-9.-]+==\S+", block) and "--hash=sha256:" in block, block[:60]


@pytest.mark.parametrize("stamp", [None, ".ready", ".ready-gpu"])
def test_make_keeps_to_what_was_set_up(tmp_path, stamp):
    for name in ("Makefile", "requirements.txt", "requirements-gpu.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    if stamp:
        (tmp_path / ".venv" / stamp).touch()
    planned = subprocess.run(["make", "-n", "setup"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    # Else plain `make repro` would put the build for CPUs over the one for GPUs.
    assert ("pip install" in planned) == (stamp is None)
    assert "requirements-gpu.txt" not in planned


def venv(folder: Path) -> None:
    """Lay down what matters of a .venv that make has made: a Python, a program that names it, the stamp."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(sys.executable)
    (folder / "bin/dvc").write_text(f"#!{folder}/bin/python3.11\n")
    (folder / ".ready").touch()


def laid(folder: Path) -> Path:
    """Lay down the files that make needs, without git."""
    (folder / ".dvc").mkdir(parents=True)
    for name in ("Makefile", "requirements.txt", "requirements-gpu.txt"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    return folder


def make(folder: Path, *words: str) -> str:
    return subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_make_makes_a_venv_of_another_folder_anew(tmp_path):
    project = laid(tmp_path / "old name")
    venv(project / ".venv")
    assert "venv" not in make(project, "-n", "setup")
    # What pip writes where a path is long or has blanks.
    (project / ".venv/bin/dvc").write_text(f'#!/bin/sh\n\'\'\'exec\' "{project}/.venv/bin/python" "$0" "$@"\n')
    assert "venv" not in make(project, "-n", "setup")
    shutil.copytree(project, tmp_path / "copied", symlinks=True)
    project.rename(tmp_path / "new")
    for folder in (tmp_path / "copied", tmp_path / "new"):
        planned = make(folder, "-n", "repro")
        assert "was made for another folder" in planned and "rm -rf .venv" in planned and "pip install" in planned
    (tmp_path / "new/.venv/bin/dvc").write_text(f"#!{tmp_path / 'new'}/.venv/bin/python\n")
    assert "venv" not in make(tmp_path / "new", "-n", "setup")
    (tmp_path / "new/.venv/bin/python").unlink()
    (tmp_path / "new/.venv/bin/python").symlink_to("/nowhere/python")  # the system's Python went
    assert "rm -rf .venv" in make(tmp_path / "new", "-n", "setup")
    # One .venv for several clones, by a link.
    linked = laid(tmp_path / "linked")
    venv(tmp_path / "shared")
    (linked / ".venv").symlink_to(tmp_path / "shared")
    assert "venv" not in make(linked, "-n", "setup")


def test_make_says_which_python_it_wants(tmp_path):
    done = subprocess.run(
        ["make", "setup", "PYTHON=python0"], cwd=laid(tmp_path / "p"), capture_output=True, text=True, check=False
    )
    assert done.returncode and "but python0 is not there: try make PYTHON=" in done.stdout


def test_make_takes_nothing_from_the_environment_that_hides_modules_or_packages(tmp_path):
    project = laid(tmp_path / "p")
    venv(project / ".venv")
    (project / ".git").mkdir()
    program = project / ".venv/bin/dvc"
    program.write_text(f"#!{project}/.venv/bin/python\n")
    tell = '\ntell:\n\t@echo "$$CDPATH$$PIP_TARGET$$PIP_USER$$PYTHONHOME$$PYTHONPATH$$PYTHONSAFEPATH $$SHELL"\n'
    with (project / "Makefile").open("a") as file:
        file.write(tell)
    names = ("CDPATH", "PIP_TARGET", "PIP_USER", "PYTHONHOME", "PYTHONPATH", "PYTHONSAFEPATH", "SHELL")
    done = subprocess.run(
        ["make", "tell"], cwd=project, env={**os.environ, **dict.fromkeys(names, "/x")}, capture_output=True, text=True
    )
    assert done.stdout == "0 /bin/sh\n"


def test_make_says_where_packages_were_put_elsewhere(tmp_path):
    project = laid(tmp_path / "p")
    venv(project / ".venv")
    (project / ".venv/.ready").unlink()
    (project / ".venv/bin/dvc").unlink()
    (project / ".venv/bin/python").unlink()
    (project / ".venv/bin/python").symlink_to("/bin/true")  # pip ends well
    done = subprocess.run(["make", "setup", f"PYTHON={sys.executable}"], cwd=project, capture_output=True, text=True)
    assert done.returncode and "make: pip has put the packages elsewhere than into .venv: " in done.stdout
    assert not (project / ".venv/.ready").exists()


HOOK = "#!/bin/sh\necho of the home >&2\nexit 1\n"
GIT = """[core]
    autocrlf = true
    excludesFile = {home}/ignored
    hooksPath = {home}
[color]
    ui = always
[diff]
    external = false
    noprefix = true
[status]
    branch = true
    short = true
[user]
    name = t
    email = t@example.org
"""


def test_git_set_up_for_other_projects_changes_no_byte_and_hides_nothing(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    (home / "config").write_text(GIT.format(home=home))
    (home / "ignored").write_text("*.lock\n*.yaml\nlib/\ndata/\nmetrics/\nstages\n")
    (home / "post-checkout").write_text(HOOK)
    (home / "post-checkout").chmod(0o755)
    project = Project(tmp_path / "project")
    project.environment["GIT_CONFIG_GLOBAL"] = str(home / "config")
    clone = Project.at(tmp_path / "clone")
    clone.environment["GIT_CONFIG_GLOBAL"] = str(home / "config")
    clone.run("git", "clone", "-q", project.folder, ".", check=False)  # whose hook fails
    names = clone.run("git", "ls-files", "-z").stdout.split("\0")[:-1]
    assert len(names) > 100
    for name in names:
        assert (clone.folder / name).read_bytes() == (project.folder / name).read_bytes(), name
    for name in ("dvc.lock", "dvc.yaml", "params.yaml", "kiln/new/new.py", "data/corrections.csv", "metrics/x.json"):
        assert clone.run("git", "check-ignore", "--no-index", "-q", name, check=False).returncode == 1, name
    assert clone.run("git", "check-ignore", "-q", "kiln/core/__pycache__/x.pyc", check=False).returncode == 0
    assert clone.run("git", "check-ignore", "-q", "data/source/cat/1.png", check=False).returncode == 0
    (clone.folder / "params.yaml").write_text("")
    monkeypatch.chdir(clone.folder)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "config"))
    monkeypatch.setattr(search, "dvc", lambda *_: None)
    with pytest.raises(UserError, match="has uncommitted changes"):
        search.clean_tree()
    search.restore()
    assert (clone.folder / "params.yaml").read_bytes() == (project.folder / "params.yaml").read_bytes()


NAMES = ["o'neil, & sons #1", *full("plain", 'a "b"', "josé")]


@pytest.mark.parametrize("name", NAMES)
def test_the_index_of_dvc_moves_with_the_project(tmp_path, name):
    project = laid(tmp_path / "old")
    (project / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (project / ".git").mkdir()
    assert "ASCII" not in make(project, "settle")
    with (project / ".dvc/config.local").open("a") as file:
        file.write("    remote = store\n['remote \"store\"']\n    url = /mnt/store\n")
    project = project.rename(tmp_path / name)
    said = make(project, "settle")
    assert f"that of {tmp_path}/old/.dvc/tmp/site, where this project no longer lies" in said
    assert ("letters beyond ASCII" in said) == (not name.isascii())
    read = Config(str(project / ".dvc"))
    assert read["core"]["site_cache_dir"] == str(project / ".dvc/tmp/site")
    assert (read["core"]["remote"], read["remote"]["store"]["url"]) == ("store", "/mnt/store")
    assert (project / ".dvc/tmp/site").stat().st_mode & 0o077 == 0
    before = (project / ".dvc/config.local").read_bytes()
    assert make(project, "settle") == "" and (project / ".dvc/config.local").read_bytes() == before
    assert not list((project / ".dvc/tmp").glob("config*"))


def test_an_index_that_somebody_chose_stays(tmp_path):
    project = laid(tmp_path / "p")
    (project / ".git").mkdir()
    (project / ".dvc/config.local").write_text("[core]\n    site_cache_dir = /fast/disk/index\n")
    assert make(project, "settle") == ""
    assert Config(str(project / ".dvc"))["core"]["site_cache_dir"] == "/fast/disk/index"


def test_a_project_without_git_is_run_without(tmp_path):
    project = laid(tmp_path / "p")
    (project / "dvc.yaml").write_text("stages:\n  one:\n    cmd: echo x > out\n    outs: [out]\n")
    program = [sys.executable, "-m", "dvc"]
    environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path), "DVC_NO_ANALYTICS": "1"}

    def dvc(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([*program, *words], cwd=project, env=environment, capture_output=True, text=True)

    assert "is not a git repository" in dvc("repro").stderr  # why it is needed
    assert "no git repository here, so DVC is told to go without" in make(project, "settle")
    assert make(project, "settle") == ""
    assert dvc("repro").returncode == 0 and (project / "out").is_file()
    subprocess.run(["git", "init", "-q", "."], cwd=project, check=True)
    assert "a git repository is here now" in make(project, "settle") and make(project, "settle") == ""
    assert not Config(str(project / ".dvc"))["core"]["no_scm"] and dvc("repro").returncode == 0
