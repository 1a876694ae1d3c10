"""What the doctor looks at around the project: the user's environment, git, where the folder lies."""

import importlib.metadata
import os
import re
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from kiln import params
from kiln.core import environment
from kiln.core.errors import UserError
from kiln.health.project import Finding, Project, many
from kiln.health.traces import read_yaml
from kiln.networks import keras_backend

LEAST_FILES = 256
_KERAS_DEFAULTS = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last", "nnx_enabled": False}
_IGNORED = "Kiln leaves that out, so that no result depends on it"


def backend(project: Project) -> Iterator[Finding]:
    """A backend of Keras that there is not, and settings of its user's file."""
    try:
        keras_backend.chosen()
    except UserError as error:
        yield Finding("Keras cannot start", str(error), "train, evaluate and predict stop until then")
    settings = keras_backend.settings()
    others = [f"{key} {settings[key]!a}" for key, usual in _KERAS_DEFAULTS.items() if settings.get(key, usual) != usual]
    if others:
        what = f"{keras_backend.file()} sets {', '.join(others)}"
        yield Finding(what, "Kiln takes nothing from it but the backend", "nothing to do", note=True)


def ignored(project: Project) -> Iterator[Finding]:
    """What is set for other programs, and has no effect here."""
    if names := sorted(set(environment.left_out()) - {"PYTHONPATH", "PYTHONWARNINGS"}):
        yield Finding(f"the environment sets {many(names, 9)}", _IGNORED, "nothing to do", note=True)
    home = Path("~").expanduser()
    folders = (
        project.root,
        Path(os.environ.get("MPLCONFIGDIR") or home / ".matplotlib"),
        Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "matplotlib",
    )
    for path in dict.fromkeys(folder / "matplotlibrc" for folder in folders):
        if path.is_file():
            yield Finding(f"{path} is there", _IGNORED, "nothing to do", note=True)


def python_path(project: Project) -> Iterator[Finding]:
    """Modules that PYTHONPATH puts before the pinned ones; Kiln's commands leave it out, dvc does not."""
    folders = environment.left_out().get("PYTHONPATH") or os.environ.get("PYTHONPATH") or ""
    names = {
        path.name.partition(".")[0]
        for folder in filter(None, folders.split(os.pathsep))
        for path in (Path(folder).iterdir() if Path(folder).is_dir() else ())
        if path.is_dir() or path.suffix in (".py", ".so")
    }
    if not names:
        return  # and spare reading what is installed
    known = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions(), "usercustomize", "sitecustomize"}
    if hidden := sorted(names & known - {"stages", "tests"}):
        yield Finding(
            f"PYTHONPATH holds other modules called {many(hidden)}",
            f"dvc imports them in place of the pinned ones ({folders})",
            "`unset PYTHONPATH` before dvc",
        )


def python_warnings(project: Project) -> Iterator[Finding]:
    """Warnings that PYTHONWARNINGS makes errors; Kiln's commands leave it out, dvc does not."""
    setting = environment.left_out().get("PYTHONWARNINGS") or os.environ.get("PYTHONWARNINGS") or ""
    if "error" in setting:
        yield Finding(
            f"PYTHONWARNINGS is {setting}",
            "dvc ends with `unexpected error` where one of its libraries warns",
            "`unset PYTHONWARNINGS` before dvc",
        )


def shell(project: Project) -> Iterator[Finding]:
    """A shell that starts no stage: DVC runs each by $SHELL."""
    name = os.environ.get("SHELL")
    if name and (not shutil.which(name) or Path(name).name in ("nologin", "false")):
        yield Finding(f"SHELL is {name}, which starts nothing", "dvc runs stages by it", "`export SHELL=/bin/sh`")


def remote(project: Project) -> Iterator[Finding]:
    """A default remote that is set, perhaps for all of a user's projects, but is not there."""
    name = project.config["core"].get("remote")
    if name and name not in project.config["remote"]:
        yield Finding(
            f"core.remote is {name}, but DVC knows no remote of that name",
            "`dvc exp run`, `dvc push` and `dvc pull` end with an error",
            "`dvc remote list` names those that there are, `dvc config --show-origin core.remote` where it is set",
        )


def git_here(project: Project) -> Iterator[Finding]:
    """A repository that git refuses, a folder that is not one, or a shallow clone."""
    done = project.run_git("rev-parse", "--is-shallow-repository")
    if done is None:
        return  # no git: reported elsewhere
    stops = "compare, search and experiments stop"
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["git gives no reason"]
        advice = next((line.strip() for line in said if line.strip().startswith("git config")), None)
        if advice:
            yield Finding(said[0].removeprefix("fatal: "), f"git refuses to work here, so {stops}", f"`{advice}`")
        elif not project.config["core"].get("no_scm"):
            yield Finding(
                said[0].removeprefix("fatal: "),
                f"{stops}, and so does `dvc repro`",
                "clone the project again, or `git init`, `git add --all` and `git commit`; to go without git: "
                "`dvc config --local core.no_scm true`",
            )
    elif done.stdout.strip() == "true":
        why = "a commit or branch that compare is asked for may be missing"
        yield Finding("this is a shallow clone", why, "`git fetch --unshallow`", note=True)


def merges(project: Project) -> Iterator[Finding]:
    """Files with both sides of a merge, but for dvc.lock and params.yaml, which have checks of their own."""
    listed = set((project.git("diff", "--name-only", "--diff-filter=U", "--relative", "-z") or "").split("\0"))
    for name in ("dvc.yaml", "data/corrections.csv", "metrics/metrics.json"):
        if (path := project.root / name).is_file() and params.merge_mark(path.read_bytes()):
            listed.add(name)
    if names := sorted(listed - {"", "dvc.lock", "params.yaml"}):
        yield Finding(
            f"both sides of a merge are left in {many(names)}",
            "neither DVC nor a stage can read it" if names[0] != "metrics/metrics.json" else "dvc and compare stop",
            "keep one side (`git checkout --ours NAME` or --theirs, or an editor), then `git add` and `git commit`",
        )


def moved(project: Project) -> Iterator[Finding]:
    """A virtual environment whose programs start the Python of another folder."""
    folder = project.root / ".venv/bin"
    try:
        with (folder / "dvc").open("rb") as file:
            start = os.fsdecode(file.read(1024))
    except OSError:
        return
    # A path that is long or holds blanks stands in the second line, between quotes.
    found = re.match(r"#!(?:/bin/sh\n'''exec' \"?)?(/[^\n\"]*?/python[\d.]*)(?=[\s\"])", start)
    if found and Path(found[1]).parent.resolve() != folder.resolve():
        there = Path(found[1]).exists()
        yield Finding(
            f"the programs in .venv start {found[1]}",
            "this project was " + ("copied from there" if there else "moved or renamed, and that Python is gone"),
            "`make clean`, then `make setup`",
        )


def letters(project: Project) -> Iterator[Finding]:
    """Letters beyond ASCII in the project's path."""
    if not str(project.root).isascii():
        yield Finding(
            f"the project's path {project.root} holds letters beyond ASCII",
            "`dvc queue`, `dvc exp run --queue` and `--temp` fail in DVC, and `dvc config --local` empties its file",
            "move the project to a path of plain letters, then `make clean` and `make setup`",
        )


def unknown_to_git(project: Project) -> Iterator[Finding]:
    """What a queued experiment would not see."""
    path = project.root / "dvc.yaml"
    stages = (read_yaml(path.read_text(errors="replace")) if path.is_file() else {}).get("stages") or {}
    deps = {dep for about in stages.values() for dep in about.get("deps", []) if isinstance(dep, str)}
    try:
        source = params.load(project.root / params.PATH).fetch.path
    except UserError as error:
        yield Finding("params.yaml is not as it should be", str(error), "every stage stops until then")
        source = "data/source"
    inside = (project.root / source).resolve().is_relative_to(project.root.resolve())
    if not inside and not Path(source).is_absolute():
        why = "a queued experiment runs in another folder, from where it leads nowhere"
        yield Finding(f"fetch.path {source} leads out of the project", why, "give it as an absolute path")
    wanted = {dep for dep in deps if "${" not in dep and not Path(dep).is_absolute()} | {"kiln", "stages"}
    wanted |= {source} if inside else set()
    words = [f":(literal){name}" for name in sorted(wanted)]
    others = (project.git("ls-files", "-z", "--others", "--exclude-standard", "--", *words) or "").split("\0")
    if names := list(filter(None, others)):
        why = "a queued experiment has only what git knows, and would run without"
        yield Finding(
            f"git does not know {many(names)}", why, f"`git add {' '.join(names[:3])}`, or list it in .gitignore"
        )


def few_files(project: Project) -> Iterator[Finding]:
    """A low limit of open files, after ``entry`` has raised what it may."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < LEAST_FILES:
        yield Finding(f"only {soft} files may be open at once", "report and dvc need more", "`ulimit -n 4096`")


CHECKS = (backend, ignored, python_path, python_warnings, shell, remote, git_here, merges, moved, letters, few_files)
