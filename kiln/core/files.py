"""Files that are never half-written; the same content always gives the same bytes."""

import ctypes
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from kiln.core import lifetime
from kiln.core.errors import UserError

DIGESTS = "digests.json"
_HERE, _RENAME_EXCHANGE = -100, 2  # Linux: paths relative to the working folder


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """Create an empty folder, and delete it at the end, whatever happens."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def publish(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write into; at the end replace ``folder`` by it, with its digests.

    Where the block raises, ``folder`` stays as it was.

    Args:
        folder: the output folder, replaced as a whole.

    Yields:
        An empty folder beside it.
    """
    with scratch(folder.with_name(f".{folder.name}.partial")) as partial:
        yield partial
        seal(partial)
        with lifetime.uninterrupted():
            if folder.exists() and _exchanged(partial, folder):
                return
            # Two renames, since a deletion could fail half-way.
            with scratch(folder.with_name(f".{folder.name}.old.partial")) as old:
                if folder.exists():
                    folder.rename(old)
                partial.rename(folder)


def _exchanged(one: Path, other: Path) -> bool:
    """Swap two paths atomically, so that a kill leaves one or the other; Linux only."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "renameat2"):
        return False
    return libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _RENAME_EXCHANGE) == 0


def need_room(folder: Path, size: int) -> None:
    """Check that the disk can hold what is about to be written.

    Args:
        folder: an existing folder, where it will be written.
        size: bytes.

    Raises:
        UserError: there is too little; with what is needed and what is left.
    """
    free = shutil.disk_usage(folder).free
    if free < size:
        raise UserError(
            f"{folder} needs {size / 1e6:,.1f} MB, but its disk has only {free / 1e6:,.1f} MB left: free some space "
            "(`dvc gc -w` drops unused cache files)"
        )


def seal(folder: Path) -> None:
    """Write digests.json: the SHA-256 of every file of a folder except shards, whose digests the manifest holds."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    shards = {folder / shard["file"] for shard in _manifest(folder).get("shards", [])}
    write_json(folder / DIGESTS, {p.relative_to(folder).as_posix(): sha256(p) for p in paths if p not in shards})


def _manifest(folder: Path) -> dict:
    path = folder / "manifest.json"
    return read_json(path) if path.is_file() else {}


def verify(folder: Path, *names: str) -> None:
    """Check that files are as a stage wrote them; shards are checked when they are read.

    Args:
        folder: as published by ``publish``.
        names: of the files to check; by default all.

    Raises:
        UserError: a file is missing or was changed.
    """
    digests = read_json(folder / DIGESTS)
    for name in names or digests:
        path = folder / name
        if not path.is_file():
            raise spoilt(path, folder, "is missing")
        if sha256(path) != digests.get(name):
            raise spoilt(path, folder, "was changed after it was written")


def spoilt(path: Path, folder: Path, how: str) -> UserError:
    """Build the error for a file of the pipeline that is not as a stage wrote it, and say how to restore it."""
    return UserError(
        f"{path} {how}: delete {folder} and run `dvc checkout`; if that does not help, run `kiln doctor` "
        "and `dvc repro --force`"
    )


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.rename(path)


def write_json(path: Path, content: Mapping) -> None:
    """Write strict JSON (no NaN), UTF-8, with the keys in the order given."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> dict:
    """Read a JSON object that another stage wrote.

    Raises:
        UserError: the file is missing or is not a JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run `dvc repro` to make it") from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise damaged(path)
    return content


def damaged(path: Path) -> UserError:
    """Build the error for a file of the pipeline that cannot be read."""
    return spoilt(path, path.parent, "is damaged")


def forget(array: np.ndarray) -> None:
    """Release the memory of a memory map; it is read from disk again when needed."""
    if isinstance(array, np.memmap):
        array._mmap.madvise(mmap.MADV_DONTNEED)


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's content, streamed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame as CSV, floats with six significant digits.

    Raises:
        ValueError: a number is infinite. NaN becomes an empty field.
    """
    if np.isinf(frame.select_dtypes("number").to_numpy(float)).any():
        raise ValueError(f"{path.name}: a number is infinite")
    write_bytes(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n").encode())


def rounded(content):
    """Round every float of a JSON structure to six significant digits, so that diffs stay readable."""
    if isinstance(content, dict):
        return {name: rounded(value) for name, value in content.items()}
    if isinstance(content, list):
        return [rounded(value) for value in content]
    return float(f"{content:.6g}") if isinstance(content, float) else content
