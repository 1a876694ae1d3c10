"""What the doctor looks at, and what it says: a project and a finding."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil

from kiln.core import git
from kiln.core.errors import UserError

FIX = "run with --fix"


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        what: is found, with the file or name.
        why: it matters.
        remedy: what to do.
        fix: applies the remedy where that is safe; returns what was done and what remains.
        note: worth knowing, but nobody need do anything.
    """

    what: str
    why: str
    remedy: str
    fix: Callable[[], str] | None = None
    note: bool = False


def words_of(pid: int) -> list[str]:
    """The command line of a process; empty where it is gone, or not ours to know."""
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []


def is_dvc(words: list[str]) -> bool:
    """Whether a command line is one of DVC, called by name or by Python."""
    return any(Path(word).name == "dvc" for word in words[:3])


def stage_of(words: list[str]) -> str | None:
    """The stage or command of Kiln that a command line runs: ``python -m stages.train``, ``.venv/bin/kiln doctor``."""
    for before, word, after in zip(["", *words], words, [*words[1:], ""], strict=False):
        if stage := re.fullmatch(r"stages\.(\w+)", word):
            return stage[1]
        if (before, word) == ("-m", "kiln") or word.endswith("bin/kiln"):
            return after or None
    return None


@dataclass(frozen=True)
class Project:
    """The project that is looked at.

    Attributes:
        root: its folder, absolute.
        config: DVC's settings, all levels merged.
    """

    root: Path
    config: Mapping

    @property
    def tmp(self) -> Path:
        """DVC's folder for locks and running experiments."""
        return self.root / ".dvc/tmp"

    @property
    def cache(self) -> Path:
        """DVC's cache, which may lie elsewhere, shared with other projects."""
        return Path(self.config["cache"].get("dir") or self.root / ".dvc/cache")

    @cached_property
    def busy(self) -> bool:
        """Whether DVC or a stage is running here, or a DVC that may use the same cache."""
        return any(self._works_here(process) for process in psutil.process_iter())

    def _works_here(self, process: psutil.Process) -> bool:
        words = words_of(process.pid)
        if not is_dvc(words) and stage_of(words) in (None, "doctor"):
            return False
        try:
            folder = Path(process.cwd())
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:  # another user's, who may share the cache
            return not self.cache.resolve().is_relative_to(self.root)
        return folder.is_relative_to(self.root) or (is_dvc(words) and self._shares_cache_with(folder))

    def _shares_cache_with(self, folder: Path) -> bool:
        other = next((path for path in (folder, *folder.parents) if (path / ".dvc").is_dir()), None)
        try:
            return other is not None and open_project(other).cache.resolve() == self.cache.resolve()
        except (UserError, OSError):
            return True

    def git(self, *arguments: str) -> str | None:
        """Run git here and give its output; None where it fails."""
        done = self.run_git(*arguments)
        return done.stdout if done and done.returncode == 0 else None

    def run_git(self, *arguments: str) -> subprocess.CompletedProcess | None:
        """Run git here; None if git is not installed."""
        try:
            return git.start(*arguments, folder=self.root)
        except FileNotFoundError:
            return None


def open_project(root: Path) -> Project:
    """Read DVC's settings.

    Raises:
        UserError: this is Windows or not a DVC project, or its settings are not readable.
    """
    from dvc.config import Config, ConfigError

    if sys.platform == "win32":
        raise UserError("Kiln supports Linux and macOS: on Windows, work in WSL")
    if not (root / ".dvc").is_dir():
        raise UserError("not the root folder of a DVC project: run it where .dvc is")
    try:
        return Project(root, Config(os.fspath(root / ".dvc")))
    except ConfigError as error:
        said = str(error).splitlines()[0].removeprefix("config file error: ")
        raise UserError(f"{_settings_at_fault(root)} is not readable, so DVC stops: {said}") from None


def _settings_at_fault(root: Path) -> str:
    """Name the file of DVC's settings that is not readable by itself: the project's, the user's or the machine's."""
    from dvc.config import Config, ConfigError

    files = [root / ".dvc/config.local", root / ".dvc/config"]
    files += [Path(Config.get_dir(level)) / Config.CONFIG for level in ("global", "system")]
    for path in filter(Path.is_file, files):
        try:
            Config.validate(Config.load_file(os.fspath(path)))
        except ConfigError:
            return shown(path, Project(root, {}))
    return ".dvc/config or .dvc/config.local"


def shown(path: Path, project: Project) -> str:
    """Give a path as a person would write it."""
    return str(path.relative_to(project.root) if path.is_relative_to(project.root) else path)


def many(names: Iterable[str], most: int = 3) -> str:
    """Name a few, and count the rest."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
