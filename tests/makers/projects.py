"""Scratch copies of the project with git and DVC."""

import contextlib
import importlib
import io
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from unittest import mock

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("fetch", "clean", "augment", "normalize", "train", "evaluate", "report")


def configure(folder: Path, **changes) -> None:
    """Edit values of a folder's params.yaml, or else of the default one: ``configure(folder, train__lr=0.1)``."""
    yaml, path = YAML(), folder / "params.yaml"
    content = yaml.load((path if path.exists() else ROOT / "params.yaml").read_text())
    for key, value in changes.items():
        *groups, name = key.split("__")
        place = content
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    with path.open("w") as file:
        yaml.dump(content, file)


class Project:
    """A scratch copy of the repository's files, committed to a git repository of its own."""

    def __init__(self, folder: Path):
        self._settle(folder)
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self.run("git", "init", "-q", "-b", "main")
        self.commit("start")

    @classmethod
    def at(cls, folder: Path) -> "Project":
        """Take a folder that is a project already."""
        project = cls.__new__(cls)
        project._settle(folder)
        return project

    def copy(self, folder: Path) -> "Project":
        """Copy it whole, with its git repository and DVC's cache."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return type(self).at(folder)

    def _settle(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.org",
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site"),
            "DVC_NO_ANALYTICS": "1",
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command in the project; output as text."""
        done = subprocess.run(
            [str(part) for part in command], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        return self.run("dvc", *arguments, check=check)

    def stage(self, name: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a stage without DVC."""
        return self.run(sys.executable, "-m", f"stages.{name}", *arguments, check=check)

    def call(self, name: str, *arguments: str) -> subprocess.CompletedProcess:
        """Run a stage or command in this process, as if it were started here: there is no interpreter to start.

        A ``UserError`` is raised as such: only the process makes a sentence of it.
        """
        if name in STAGES:
            main = importlib.import_module(f"stages.{name}").main
        else:
            main = partial(importlib.import_module(f"kiln.commands.{name}").command.main, standalone_mode=False)
        stdout, stderr, code = io.StringIO(), io.StringIO(), 0
        with (
            contextlib.chdir(self.folder),
            mock.patch.dict(os.environ, self.environment, clear=True),
            mock.patch.object(sys, "argv", [name, *map(str, arguments)]),
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
                print(end.code if isinstance(end.code, str) else "", file=stderr, end="")
        return subprocess.CompletedProcess(sys.argv, code, stdout.getvalue(), stderr.getvalue())

    def kiln(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command of Kiln by the code of the project."""
        return self.run(sys.executable, "-m", "kiln", *words, check=check)

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)

    def set(self, **changes) -> None:
        """Edit values of params.yaml: ``set(train__lr=0.1, train__optimizer__name="sgd")``."""
        configure(self.folder, **changes)
