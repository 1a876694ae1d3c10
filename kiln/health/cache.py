"""What the doctor looks at in DVC's cache."""

import hashlib
import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from kiln.core import parallel, progress
from kiln.health.locks import LOCK
from kiln.health.project import FIX, Finding, Project, many, shown
from kiln.health.traces import SETTLED, age, delete, read_yaml, size

DIGEST = re.compile(r"[0-9a-f]{32}(\.dir)?")
TEMPORARY = re.compile(r"\.[\w-]{22}\.tmp$")  # dvc_objects.fs.utils.tmp_fname


def partial_copies(project: Project) -> Iterator[Finding]:
    """Copies into the cache that were cut off."""
    if project.busy:
        return
    copies = [path for path in project.cache.rglob("*.tmp") if TEMPORARY.search(path.name) and age(path) > SETTLED]
    if copies:
        total = sum(size(path) for path in copies)
        yield Finding(
            f"{shown(project.cache, project)} holds {len(copies)} cut-off copies, {total / 1e6:,.1f} MB",
            "no command of DVC uses or deletes them",
            f"{FIX}, or delete {many(shown(path, project) for path in copies)}",
            partial(delete, *copies),
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
        copies = [path]
        # Where DVC gave the bad copy out, it would take it for the good one.
        if output and digest_of(project.root / output) == digest:
            copies.append(project.root / output)
        yield Finding(
            f"{shown(path, project)} ({belongs}) is damaged",
            "DVC trusts a name in its cache without a look, and would give the wrong content out",
            f"{FIX} while DVC is not running, then {remedy}",
            None if project.busy else partial(delete, *copies, then=f"deleted; {remedy} brings it back"),
        )


def incomplete(project: Project) -> Iterator[Finding]:
    """Directories in the cache of which a part is missing."""
    for path, (digest, remedy) in outputs(project).items():
        names = listing(in_cache(project, digest)) if digest.endswith(".dir") else {}
        missing = [str(path / name) for name, inner in names.items() if not in_cache(project, inner).is_file()]
        # With nothing but the list, the output was never fetched, as in a clone that compares predictions alone.
        if missing and len(missing) < len(names):
            yield Finding(f"the cache lacks {many(missing)}", f"`dvc checkout` cannot restore {path}", remedy)
