"""`kiln` itself: help, completion, what is typed wrong, and the script that make installs."""

import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import click
import pytest
from makers.projects import ROOT, Project

from kiln import cli

NAMES = list(cli.commands.commands)
HEAVY = {"keras", "numpy", "optuna", "pandas", "pyarrow", "pydantic", "sklearn", "tensorflow"}


@pytest.fixture
def here():
    return Project.at(ROOT)


def loaded(name: str) -> click.Command:
    return cli.commands.get_command(click.Context(cli.commands), name)


def test_help_and_completion_import_nothing_heavy(here):
    calls = [["--help"], *([name, "--help"] for name in NAMES)]
    code = "import sys; from kiln.cli import commands\n"
    code += f"for words in {calls}: commands.main(words, prog_name='kiln', standalone_mode=False)\n"
    code += f"print({HEAVY}.intersection(sys.modules))"
    assert here.run(sys.executable, "-c", code).stdout.splitlines()[-1] == "set()"


def test_help_lists_every_command_and_how_to_start_and_complete_it(here):
    done = here.kiln("--help")
    listed = re.findall(r"^  (\w+)  +[A-Z]", done.stdout.partition("Commands:")[2], re.MULTILINE)
    assert listed == NAMES and {path.stem for path in (ROOT / "kiln/commands").glob("[a-z]*.py")} == set(NAMES)
    assert ".venv/bin/kiln" in done.stdout and "_KILN_COMPLETE=zsh_source kiln" in done.stdout
    empty = here.kiln(check=False)
    assert empty.returncode == 2 and "Commands:" in empty.stderr


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_an_example_that_is_a_command_line(name):
    command = loaded(name)
    examples = re.findall(r"^  kiln (.+)$", command.epilog, re.MULTILINE)
    assert examples
    for example in examples:
        first, *words = shlex.split(example.partition(" > ")[0], comments=True)
        assert first == name
        command.make_context(name, words)


def test_a_shell_completes_commands_and_options(here):
    for words, expected in (("kiln do", {"doctor"}), ("kiln doctor --", {"--fix", "--quick", "--help"})):
        here.environment |= {"_KILN_COMPLETE": "bash_complete", "COMP_WORDS": words}
        here.environment["COMP_CWORD"] = str(words.count(" "))
        found = here.kiln().stdout.splitlines()
        assert {line.partition(",")[2] for line in found} == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["doktor"], "kiln: no such command 'doktor'; did you mean 'doctor'? (`kiln --help` explains all)\n"),
        (["doctor", "--fxi"], "doctor: no such option '--fxi'; did you mean '--fix'? (`kiln doctor --help` explains"),
        (["predict"], "predict: missing argument 'PATH...' (`kiln predict --help` explains all)\n"),
        (["models", "--channels", "2"], "models: invalid value for '--channels': '2' is not one of '1', '3' (`kiln"),
        (["search", "a=1..2", "--trials", "x"], "search: invalid value for '--trials': 'x' is not a valid integer (`"),
        (["--nothing"], "kiln: no such option '--nothing' (`kiln --help` explains all)\n"),
    ],
)
def test_what_is_typed_wrong_is_one_sentence(here, words, said):
    done = here.kiln(*words, check=False)
    assert done.returncode == 2 and done.stderr.startswith(said) and done.stderr.count("\n") == 1 and not done.stdout


def test_a_reader_of_help_that_has_enough_is_no_error(here):
    assert here.run("bash", "-c", f"{sys.executable} -m kiln --help 2>&1 | head -n 1").stdout.startswith("Usage: kiln")


def test_make_installs_a_script_that_costs_no_start_and_runs_the_code_of_the_folder(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    packages = next((tmp_path / "venv/lib").glob("python3*")) / "site-packages"
    (packages / "pinned.pth").write_text(sysconfig.get_path("purelib"))
    line = re.search(r"-m pip (install .*--editable \.)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    for name in ("one", "two"):
        project = Project(tmp_path / name)
        path = project.folder / "kiln/cli.py"
        path.write_text(path.read_text().replace("Use, compare", f"{name}: use, compare"))
    first = Project.at(tmp_path / "one")
    first.run(tmp_path / "venv/bin/python", "-m", "pip", *line.split())
    (added,) = packages.glob("*kiln*.pth")
    assert added.read_text().split() == [str(first.folder)]  # no code, which each start of Python would run
    assert not first.run("git", "status", "--porcelain", "--ignored", "--", ":!kiln", ":!stages", ":!.venv").stdout
    for folder, runs in (("one", "one"), ("two", "two"), (".", "one")):
        help_of = Project.at(tmp_path / folder).run(tmp_path / "venv/bin/kiln", "--help").stdout
        assert f"{runs}: use, compare" in help_of


def test_python_m_runs_the_code_of_the_folder_whatever_is_installed(tmp_path):
    project = Project(tmp_path / "project")
    path = project.folder / "kiln/cli.py"
    path.write_text(path.read_text().replace("Use, compare", "ours: use, compare"))
    assert "ours: use" in project.kiln("--help").stdout
    assert not Path(project.folder / "kiln.egg-info").exists()
