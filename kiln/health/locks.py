"""What the doctor looks at in dvc.lock and in DVC's locks."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kiln.health.project import FIX, Finding, Project, many, shown, words_of
from kiln.health.traces import alive, delete, read_yaml

LOCK = Path("dvc.lock")


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
    what = f"{LOCK} is {'cut off, or not a dvc.lock' if text.strip() else 'empty'}"
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


def fix_rwlock(project: Project, path: Path) -> str:
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
        raise OSError(f"DVC is using {path.name}: try again") from None
    return "the entries of dead processes are removed"


def rwlocks(project: Project) -> Iterator[Finding]:
    """DVC's table of who reads and writes what: unreadable, or with entries of the dead."""
    for path in (project.tmp / "rwlock", project.tmp / "exps/rwlock"):
        if not path.is_file():
            continue
        name, fix = shown(path, project), partial(fix_rwlock, project, path)
        held = read_rwlock(path)
        if held is None:
            # A running DVC may be writing it at this moment, and finds its own entry in it at its end.
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
                    f"{name} names process {pid}, which is alive but not DVC ({words[:60]})",
                    "its number may have been reused, and DVC waits for it",
                    f"if DVC is not running here, delete {name}",
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
                    f"{name} exists, but DVC is not running here",
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
