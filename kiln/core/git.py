"""Run git, and report its own message where it fails."""

import os
import subprocess
from pathlib import Path

from kiln.core.errors import UserError

_NO_REPOSITORY = "not a git repository"
_REMEDY = "run it in your clone, or `git init` and commit; `make repro` works without git"


def run(*arguments: str) -> str:
    """Run git in the working folder and give its output.

    Raises:
        UserError: git is not installed, or fails: with its own message, and what to do where it does not say so.
    """
    try:
        done = start(*arguments)
    except FileNotFoundError:
        raise UserError("git is not installed: install it with the system's package manager") from None
    if done.returncode:
        # Where another user owns the clone, git itself says so and names the command that helps.
        lines = filter(None, map(str.strip, done.stderr.splitlines()))
        said = "; ".join(lines).replace(":; ", ": ").removeprefix("fatal: ") or f"`git {arguments[0]}` failed silently"
        raise UserError(f"git: {said}" + (f": {_REMEDY}" if said.startswith(_NO_REPOSITORY) else ""))
    return done.stdout


def ask(*arguments: str) -> str | None:
    """Ask git about something that may not exist, such as a branch: its output, stripped, or None if it fails."""
    try:
        return run(*arguments).strip()
    except UserError:
        return None


def start(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess:
    """Run git in a folder, by default the working folder, without checking the exit code; its output is text.

    Raises:
        FileNotFoundError: git is not installed.
    """
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},  # its messages are parsed here
    )
