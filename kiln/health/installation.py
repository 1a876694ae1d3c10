"""What the doctor looks at in how Kiln is installed: programs, Python, packages, room on the disk, DVC's index."""

import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from kiln.health.project import FIX, Finding, Project, many, shown

LEAST_FREE = 10**9  # bytes


def programs(project: Project) -> Iterator[Finding]:
    """The programs that commands call by name."""
    if not shutil.which("git"):
        yield Finding(
            "git is not installed", "DVC and comparing need it", "install it with the system's package manager"
        )
    for name in ("dvc", "python"):
        found = shutil.which(name)
        if not found or (name == "python" and Path(found).parent != Path(sys.executable).parent):
            yield Finding(
                f"{name} on PATH is {found or 'missing'}, not that of this Python",
                "the stages would run with it, without Kiln's packages",
                "`source .venv/bin/activate`",
            )


def python_version(project: Project) -> Iterator[Finding]:
    """A Python that Kiln is not tested with."""
    wanted = tomllib.loads((project.root / "pyproject.toml").read_text())["project"]["requires-python"]
    version = ".".join(map(str, sys.version_info[:3]))
    if version not in SpecifierSet(wanted):
        why = "the pinned packages do not support it"
        yield Finding(f"this is Python {version}", why, f"`make setup PYTHON=...` with one that is {wanted}")


def pins(path: Path) -> dict[str, str]:
    """Read the pins of a compiled requirements file that hold on this machine: name -> version."""
    lines = re.findall(r"^([\w.-]+(?:\[.*?])?==[^\\\n]+)", path.read_text(), re.M)
    wanted = [Requirement(line) for line in lines]
    return {one.name: str(one.specifier)[2:] for one in wanted if one.marker is None or one.marker.evaluate()}


def installed(name: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def packages(project: Project) -> Iterator[Finding]:
    """Packages of another version than the pinned one."""
    file = "requirements.txt"
    wanted = pins(project.root / file)
    if not installed("tensorflow-cpu") and installed("tensorflow"):  # make setup GPU=1
        file = "requirements-gpu.txt"
        wanted = {name: version for name, version in wanted.items() if name != "tensorflow-cpu"}
        wanted |= pins(project.root / file)
    found = {name: installed(name) for name in wanted}
    wrong = [f"{name} {found[name] or 'missing'}, not {wanted[name]}" for name in wanted if found[name] != wanted[name]]
    if wrong:
        why = "other versions may fail, or give other results"
        yield Finding(f"packages differ from {file}: {many(wrong)}", why, f"`python -m pip install -r {file}`")


def is_private(folder: Path) -> bool:
    """Whether no other user can enter a folder; one that is missing DVC would open to all."""
    above = [path for path in (folder, *folder.parents) if path.exists()]
    return any(path.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH) == 0 for path in above)


def same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one place, whether or not it is there."""
    return one.resolve() == other.resolve()


def site_cache(project: Project) -> Iterator[Finding]:
    """DVC's index of files, which it makes writable for every user of the machine."""
    given = os.environ.get("DVC_SITE_CACHE_DIR")
    setting = given or project.config["core"].get("site_cache_dir")
    absolute = bool(setting) and Path(setting).is_absolute()
    own = project.tmp / "site"
    # As `make setup` sets it, but in another folder: this one was moved or copied since.
    elsewhere = absolute and not given and Path(setting).parts[-3:] == own.parts[-3:] and not same(Path(setting), own)
    absolute = absolute and not elsewhere
    folder = Path(setting) if absolute else own
    if absolute and is_private(folder):
        return
    name = "DVC_SITE_CACHE_DIR" if given else "core.site_cache_dir"
    fault = (
        "is not set"
        if not setting
        else f"{setting} lies in another project, or where this one was before"
        if elsewhere
        else f"{setting} is open to other users"
        if absolute
        else f"{setting} is relative"
    )

    def make_private() -> str:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if not absolute:
            # DVC itself cannot write a path with letters beyond ASCII, and empties the file.
            subprocess.run(["sh", ".ci/settle"], cwd=project.root, check=True, stdout=subprocess.DEVNULL)
        return f"{shown(folder, project)} is yours alone"

    yield Finding(
        f"{name} {fault}",
        "DVC keeps an index there that it trusts, in folders that every user of this machine can write",
        FIX if absolute or not given else f"set {name} to an absolute path, or unset it",
        make_private if absolute or not given else None,
    )


def disk(project: Project) -> Iterator[Finding]:
    """Too little room for a run."""
    cache = next(path for path in (project.cache, *project.cache.parents) if path.exists())
    seen = set()
    for path in (project.root, cache):
        device, free = path.stat().st_dev, shutil.disk_usage(path).free
        if free < LEAST_FREE and device not in seen:
            seen.add(device)
            remedy = "`dvc gc --workspace` frees what the present dvc.lock does not use"
            yield Finding(f"{path} has {free / 1e6:,.0f} MB left", "a run may end half-way", remedy)
