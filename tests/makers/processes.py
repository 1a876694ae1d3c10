"""What the tests of faults share: how many rounds, processes that are killed, caches that are rehashed."""

import hashlib
import json
import signal
import subprocess
import time
from pathlib import Path

import psutil


def start(project, *command: str) -> subprocess.Popen:
    """Start a command in a project, in a session of its own, output to a file."""
    with (project.folder / "output.log").open("ab") as log:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=project.folder,
            env={**project.environment, "PYTHONUNBUFFERED": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
            # What runs in the background ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def alive(process: psutil.Process) -> bool:
    """Whether a process runs; a zombie, which answers `kill -0`, does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stages_in(folder: Path) -> list[psutil.Process]:
    """The stages that run in a project."""
    found = []
    for process in psutil.process_iter():
        try:
            inside = process.cwd() == str(folder) and any("stages." in part for part in process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if inside and alive(process) and "dvc" not in " ".join(process.cmdline()[:2]):
            found.append(process)
    return found


def wait_for(condition, seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def kill(process: subprocess.Popen, after: float, number: int = signal.SIGKILL) -> int | None:
    """Send a signal after so many seconds; return the exit code if the process ended before."""
    try:
        return process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        return None


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def broken_cache_files(project) -> list[str]:
    """The files of DVC's cache whose content is not their name, or whose listing names what is not there."""
    cache, wrong = project.folder / ".dvc/cache/files/md5", []
    for path in cache.glob("??/*"):
        name = path.parent.name + path.name
        if len(name.removesuffix(".dir")) != 32:
            continue  # a temporary file of a DVC that was killed
        if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != name.removesuffix(".dir"):
            wrong.append(name)
        elif name.endswith(".dir"):
            wrong += [
                e["md5"] for e in json.loads(path.read_bytes()) if not (cache / e["md5"][:2] / e["md5"][2:]).exists()
            ]
    return wrong
