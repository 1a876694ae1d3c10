"""Find and explain what DVC and killed runs leave behind: a command.

    kiln doctor [--fix] [--quick]

Prints a line a finding, and nothing where all is well. ``--fix`` repairs what
is safe: nothing that a living process may use, and nothing that is of use to
anybody. While DVC or a stage is at work here, what may be its own is left out.
Ends with exit code 1 where something is left for a person, or for ``--fix``.

To add a check, write a function that takes the ``Project`` and yields findings,
and name it in ``CHECKS``; those of the environment lie in ``lib/surroundings.py``.
"""

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kiln import params
from kiln.core import entry, parallel, progress
from kiln.core.errors import UserError
from kiln.health import surroundings
from kiln.health.project import Finding, Project, is_dvc, many, open_project, shown, stage_of, words_of

SETTLED = 600  # seconds without a change, after which no one writes a file any more
CHECKPOINT_DAYS = 14
LEAST_FREE = 10**9  # bytes
LOCK = Path("dvc.lock")
FIX = "run with --fix"
DIGEST = re.compile(r"[0-9a-f]{32}(\.dir)?")
TEMPORARY = re.compile(r"\.[\w-]{22}\.tmp$")  # dvc_objects.fs.utils.tmp_fname


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


def read_yaml(text: str) -> Mapping:
    """Parse YAML; empty where it is no mapping."""
    try:
        found = YAML(typ="safe").load(text)
    except YAMLError:
        return {}
    return found if isinstance(found, Mapping) else {}


def is_lock(text: str) -> bool:
    """Whether a text is a dvc.lock that DVC would take."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(read_yaml(text))
    except Invalid:
        return False
    return True


def lock_file(project: Project) -> Iterator[Finding]:
    """A dvc.lock that was cut off, or holds the marks of a merge."""
    path = project.root / LOCK
    text = path.read_text(errors="replace") if path.is_file() else None
    # DVC writes it in place: what is half there may be whole in a moment.
    if text is None or is_lock(text) or project.busy:
        return
    why = "every command of DVC ends with an error"
    if project.git("ls-files", "--unmerged", "--", str(LOCK)) or "<<<<<<<" in text:
        remedy = "`git checkout --theirs dvc.lock` (or --ours), then `dvc repro`"
        yield Finding(f"{LOCK} holds both sides of a merge", why, remedy)
        return
    committed = project.git("show", f"HEAD:./{LOCK}")
    what = f"{LOCK} is {'cut off or no DVC lock' if text.strip() else 'empty'}"
    if committed is None or not is_lock(committed):
        yield Finding(what, why, f"git has no good one: delete {LOCK} and run `dvc repro`")
        return

    def restore() -> str:
        if project.git("checkout", "HEAD", "--", str(LOCK)) is None:
            raise OSError(f"git could not restore {LOCK}")
        return "restored from git; `dvc repro` runs what has changed since"

    yield Finding(what, why, "`git checkout dvc.lock`, then `dvc repro`", restore)


def read_rwlock(path: Path) -> dict[str, list[tuple[str, dict]]] | None:
    """Read which process reads and writes which path; None where DVC could not.

    Returns:
        read and write -> (path, {pid, cmd}) of each entry.
    """
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        read = [(name, info) for name, infos in held.get("read", {}).items() for info in infos]
        write = list(held.get("write", {}).items())
        sound = all(type(info["pid"]) is int and isinstance(info["cmd"], str) for _, info in read + write)
    except (ValueError, AttributeError, TypeError, KeyError):
        return None
    return {"read": read, "write": write} if sound else None


def mend_rwlock(project: Project, path: Path) -> str:
    """Write the entries of living processes back, under the lock that guards the file."""
    from dvc.lock import LockError, make_lock

    hardlink = project.config["core"].get("hardlink_lock", False)
    try:
        with make_lock(f"{path}.lock", tmp_dir=str(path.parent), hardlink_lock=hardlink):
            held = read_rwlock(path)
            if held is None:
                return delete(path)
            readers = {}
            for name, info in held["read"]:
                if alive(info["pid"]):
                    readers.setdefault(name, []).append(info)
            writers = {name: info for name, info in held["write"] if alive(info["pid"])}
            path.write_text(json.dumps({"read": readers, "write": writers}), encoding="utf-8")
    except LockError:
        raise OSError(f"DVC is at work with {path.name}: try again") from None
    return "the entries of the dead are taken out"


def rwlocks(project: Project) -> Iterator[Finding]:
    """DVC's table of who reads and writes what: unreadable, or with entries of the dead."""
    for path in (project.tmp / "rwlock", project.tmp / "exps/rwlock"):
        if not path.is_file():
            continue
        name, fix = shown(path, project), partial(mend_rwlock, project, path)
        held = read_rwlock(path)
        if held is None:
            # A DVC at work may be writing it at this moment, and finds its own entry in it at its end.
            if not project.busy:
                yield Finding(f"{name} is not readable", "`dvc repro` fails on it", f"delete it, or {FIX}", fix)
            continue
        holders = {info["pid"]: info["cmd"] for entries in held.values() for _, info in entries}
        if dead := [f"{pid} ({command})" for pid, command in holders.items() if not alive(pid)]:
            why = "DVC waits for a process that is a zombie, or whose number another one has got"
            yield Finding(f"{name} names processes that are dead: {many(dead)}", why, FIX, fix)
        for pid in filter(alive, holders):
            words = " ".join(words_of(pid))
            if words and "dvc" not in words and holders[pid] not in words:
                yield Finding(
                    f"{name} names process {pid}, which lives but is no DVC ({words[:60]})",
                    "its number may have been given anew, and DVC waits for it",
                    f"if no DVC runs here, delete {name}",
                )


def locks(project: Project) -> Iterator[Finding]:
    """The lock of the whole project; an ordinary one ends with its process, the file alone means nothing."""
    import fcntl

    for path in (project.tmp / "lock", project.tmp / "rwlock.lock"):
        if not path.is_file():
            continue
        name = shown(path, project)
        if project.config["core"].get("hardlink_lock"):
            if not project.busy:
                yield Finding(
                    f"{name} is there, but no DVC runs here",
                    "with core.hardlink_lock DVC waits for it for a year",
                    f"if no other machine runs DVC on this folder, delete {name}",
                )
            continue
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = file.read().strip() or "unknown"
                why = "other commands of DVC wait for it; the system frees it when that process ends"
                yield Finding(f"{name} is held by process {holder}", why, "wait, or end that process", note=True)


def cache_rests(project: Project) -> Iterator[Finding]:
    """Copies into the cache that were cut off."""
    if project.busy:
        return
    rests = [path for path in project.cache.rglob("*.tmp") if TEMPORARY.search(path.name) and age(path) > SETTLED]
    if rests:
        yield Finding(
            f"{shown(project.cache, project)} holds {len(rests)} cut-off copies, {sum(map(size, rests)) / 1e6:,.1f} MB",
            "no command of DVC uses or deletes them",
            f"{FIX}, or delete {many(shown(path, project) for path in rests)}",
            partial(delete, *rests),
        )


def digest_of(path: Path) -> str | None:
    """Hex MD5 of a file's content, streamed, as DVC names it; None where there is no file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except (FileNotFoundError, IsADirectoryError):
        return None


def in_cache(project: Project, digest: str) -> Path:
    """Where the cache keeps a content."""
    return project.cache / "files/md5" / digest[:2] / digest[2:]


def listing(path: Path) -> dict[str, str]:
    """Read a directory of the cache: path in it -> digest; empty where it is missing or no such list."""
    try:
        return {one["relpath"]: one["md5"] for one in json.loads(path.read_bytes())}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def outputs(project: Project) -> dict[Path, tuple[str, str]]:
    """What the present commit keeps in the cache.

    Returns:
        path -> (digest, what makes it again), from dvc.lock and from what `dvc add` wrote.
    """
    found = {}
    pull = "`dvc pull`" if project.config["remote"] else None
    path = project.root / LOCK
    if path.is_file():
        for stage in (read_yaml(path.read_text(errors="replace")).get("stages") or {}).values():
            for out in stage.get("outs", []):
                found[Path(out["path"])] = out.get("md5", ""), f"{pull} or `dvc repro`" if pull else "`dvc repro`"
    for name in (project.git("ls-files", "-z", "--", "*.dvc") or "").split("\0"):
        if (path := project.root / name).is_file():
            for out in read_yaml(path.read_text(errors="replace")).get("outs") or []:
                data = Path(name).parent / out["path"]
                found[data] = out.get("md5", ""), pull or f"put {data} there again and run `dvc add {data}`"
    return found


def owners(project: Project) -> dict[str, tuple[Path, str]]:
    """Digest -> (the file that the present commit has with it, what makes it again)."""
    found = {}
    for path, (digest, remedy) in outputs(project).items():
        found[digest] = path, remedy
        for name, inner in listing(in_cache(project, digest)).items() if digest.endswith(".dir") else ():
            found[inner] = path / name, remedy
    return found


def corrupt(project: Project) -> Iterator[Finding]:
    """Files of the cache whose content is not what their name says."""
    folder = project.cache / "files/md5"
    paths = [path for path in sorted(folder.glob("??/*")) if DIGEST.fullmatch(path.parent.name + path.name)]
    sizes = {path: -(-size(path) // 1000) for path in paths}
    whose = owners(project)
    digests = parallel.ordered_map(digest_of, progress.track(paths, "cache", sum(sizes.values()), "kB", sizes.get))
    for path, digest in zip(paths, digests, strict=True):
        name = path.parent.name + path.name
        if digest is None or digest == name.removesuffix(".dir"):
            continue
        output, remedy = whose.get(name, (None, "`dvc pull` or `dvc repro` in the commit that has it"))
        belongs = f"of {output}" if output else "of no output of this commit"
        rests = [path]
        # Where DVC gave the bad copy out, it would take it for the good one.
        if output and digest_of(project.root / output) == digest:
            rests.append(project.root / output)
        yield Finding(
            f"{shown(path, project)} ({belongs}) is damaged",
            "DVC trusts a name in its cache without a look, and would give the wrong content out",
            f"{FIX} while no DVC is at work, then {remedy}",
            None if project.busy else partial(delete, *rests, then=f"deleted; {remedy} brings it back"),
        )


def incomplete(project: Project) -> Iterator[Finding]:
    """Directories in the cache of which a part is missing."""
    for path, (digest, remedy) in outputs(project).items():
        names = listing(in_cache(project, digest)) if digest.endswith(".dir") else {}
        missing = [str(path / name) for name, inner in names.items() if not in_cache(project, inner).is_file()]
        # With nothing but the list, the output was never fetched, as in a clone that compares predictions alone.
        if missing and len(missing) < len(names):
            yield Finding(f"the cache lacks {many(missing)}", f"`dvc checkout` cannot restore {path}", remedy)


def experiments(project: Project) -> Iterator[Finding]:
    """Folders in which an experiment ran that was killed."""
    if project.busy:
        return
    for path in sorted([*project.tmp.glob("exps/tmp*"), *project.tmp.glob("exps/standalone/tmp*")]):
        if path.is_dir() and age(path) > SETTLED:
            yield Finding(
                f"{shown(path, project)} is left of a killed experiment, {size(path) / 1e6:,.1f} MB",
                "DVC never deletes it and may show the experiment as running",
                "delete it, or run with --fix, and run the experiment again",
                partial(delete, path),
            )


def detached(project: Project) -> Iterator[Finding]:
    """A `dvc exp run` that was killed: git may be on no branch, and DVC takes its base for HEAD from then on."""
    refs = [f"refs/exps/exec/{name}" for name in ("EXEC_BASELINE", "EXEC_MERGE", "EXEC_BRANCH")]
    left = (project.git("for-each-ref", "--format=%(refname)", *refs) or "").split()
    if not left or project.busy:
        return
    on_branch = project.git("symbolic-ref", "--quiet", "HEAD") is not None
    here = (project.git("for-each-ref", "--points-at=HEAD", "--format=%(refname)", "refs/heads") or "").split()

    def clear() -> str:
        if not on_branch:
            # No file changes: the branch points at this very commit.
            project.git("symbolic-ref", "HEAD", here[0])
        for ref in left:
            # EXEC_BRANCH is another name of an experiment, which stays.
            project.git("update-ref", "--no-deref", "-d", ref)
        # DVC sets it within the second in which git has looked at it, and as long as it was: git would see no change.
        (project.root / "params.yaml").touch()
        return delete(project.tmp / "exps/run/workspace", then="`git diff params.yaml` shows what it had set")

    branch = here[0].removeprefix("refs/heads/") if here else "BRANCH"
    safe = on_branch or len(here) == 1
    yield Finding(
        "a `dvc exp run` was killed" + ("" if on_branch else ", and git is on no branch"),
        "DVC takes its base for HEAD" + ("" if on_branch else ", and your next commit would be on no branch"),
        FIX if safe else f"`git switch {branch}`, then {FIX}",
        clear if safe else None,
    )


def orphans(project: Project) -> Iterator[Finding]:
    """Stages that outlived the DVC that started them."""
    for process in psutil.process_iter():
        stage = stage_of(words_of(process.pid))
        with contextlib.suppress(psutil.Error):
            if (
                stage
                and Path(process.cwd()).is_relative_to(project.root)
                and "DVC_STAGE" in process.environ()
                and not any(is_dvc(words_of(parent.pid)) for parent in process.parents())
            ):
                yield Finding(
                    f"process {process.pid} ({stage}) outlived the DVC that started it",
                    "it will overwrite what the next `dvc repro` writes",
                    f"`kill {process.pid}`",
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
    wanted = {dep for dep in deps if "${" not in dep and not Path(dep).is_absolute()} | {"stages"}
    wanted |= {source} if inside else set()
    words = [f":(literal){name}" for name in sorted(wanted)]
    others = (project.git("ls-files", "-z", "--others", "--exclude-standard", "--", *words) or "").split("\0")
    if names := list(filter(None, others)):
        why = "a queued experiment has only what git knows, and would run without"
        yield Finding(
            f"git does not know {many(names)}", why, f"`git add {' '.join(names[:3])}`, or list it in .gitignore"
        )


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
        why = "the pinned packages are not made for it"
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


def halves(project: Project) -> Iterator[Finding]:
    """What a killed stage of Kiln had half written."""
    if project.busy:
        return
    patterns = ("data/.*.partial", "data/.downloads/*.partial", "metrics/.*.partial")
    for path in sorted(path for pattern in patterns for path in project.root.glob(pattern)):
        if age(path) > SETTLED:
            why = f"it takes {size(path) / 1e6:,.1f} MB, and only the same stage would clear it"
            remedy = f"delete it, or {FIX}"
            yield Finding(f"{shown(path, project)} is left of a killed stage", why, remedy, partial(delete, path))


def checkpoints(project: Project) -> Iterator[Finding]:
    """Trainings that were not finished."""
    for path in sorted((project.root / "data/.checkpoints").glob("*")):
        days = age(path) / 86400
        what = f"{shown(path, project)}: {size(path) / 1e6:,.1f} MB, {days:.0f} days old"
        if days <= CHECKPOINT_DAYS:
            why = "training goes on from it with the same params, data and code"
            yield Finding(what, why, "keep it, or delete it", note=True)
        elif not project.busy:
            why = "a training that was killed, and not taken up again"
            yield Finding(what, why, f"delete it, or {FIX}", partial(delete, path))


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


CHECKS = (
    *surroundings.CHECKS,
    programs,
    python_version,
    packages,
    disk,
    lock_file,
    rwlocks,
    locks,
    orphans,
    detached,
    experiments,
    halves,
    checkpoints,
    cache_rests,
    site_cache,
    unknown_to_git,
    incomplete,
)


def tell(finding: Finding, fix: bool) -> bool:
    """Print a finding, and repair it where asked and possible.

    Returns:
        Whether it is left for a person.
    """
    remedy, left = finding.remedy, not finding.note
    if fix and finding.fix:
        try:
            remedy, left = f"repaired: {finding.fix()}", False
        except (OSError, subprocess.CalledProcessError) as error:
            remedy = f"could not be repaired: {error}"
    print(f"{finding.what}: {finding.why}; {remedy}", flush=True)
    return left


def main() -> None:
    """Read the command line, run the checks, print, and repair where asked."""
    parser = argparse.ArgumentParser(prog="kiln doctor", description=__doc__.partition("\n")[0])
    parser.add_argument("--fix", action="store_true", help="repair what is safe")
    parser.add_argument("--quick", action="store_true", help="do not read the whole cache")
    options = parser.parse_args()
    project = open_project(Path.cwd())
    checks = CHECKS if options.quick else (*CHECKS, corrupt)
    left = [tell(finding, options.fix) for check in checks for finding in check(project)]
    if any(left):
        sys.exit(1)


if __name__ == "__main__":
    entry.run(main, "doctor")
