"""What several checks ask of files and processes."""

import contextlib
import functools
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from kiln.core import yaml

SETTLED = 600  # seconds without a change, after which nothing is writing a file any more


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie, which still answers to signals, does not."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except (psutil.NoSuchProcess, ValueError):  # the latter for a number below 0
        return False
    except psutil.AccessDenied:
        return True


def content(path: Path) -> Iterator[os.stat_result]:
    """Yield the states of a file, or of a folder and all in it, links not followed."""
    found = [path, *path.rglob("*")] if path.is_dir() and not path.is_symlink() else [path]
    for one in found:
        with contextlib.suppress(FileNotFoundError):
            yield one.lstat()


def age(path: Path) -> float:
    """Seconds since anything in it changed."""
    return time.time() - max((state.st_mtime for state in content(path)), default=0)


def size(path: Path) -> int:
    """Bytes of all files in it."""
    return sum(state.st_size for state in content(path) if stat.S_ISREG(state.st_mode))


def delete(*paths: Path, then: str = "deleted") -> str:
    """Delete files and folders."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return then


@functools.lru_cache(maxsize=8)  # several checks read dvc.lock, and YAML is slow
def read_yaml(text: str) -> Mapping:
    """Parse YAML, as a mapping that is not to be changed; empty if it is none."""
    try:
        content = yaml.load(text)
    except yaml.Invalid:
        return {}
    return content if isinstance(content, Mapping) else {}
