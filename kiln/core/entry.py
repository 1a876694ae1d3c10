"""The entry point of every stage and command: errors become one sentence and an exit code."""

import errno
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from kiln.core import lifetime, parallel
from kiln.core.errors import UserError

_LESS_MEMORY = "use smaller samples or batches, or a larger machine"
_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space (`dvc gc -w` drops unused cache files)",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EACCES: "permission denied: make it readable and its folder writable for this user",
    errno.EPERM: "permission denied: make it readable and its folder writable for this user",
    errno.EROFS: "the file system is read-only: work in a writable folder",
    errno.EMFILE: "too many open files: raise the limit with `ulimit -n 4096`",
    errno.ENFILE: "too many open files on this machine: close other programs",
    errno.ENOENT: "no such file or folder: check the path",
    errno.ENOTDIR: "not a folder: check the path",
    errno.EISDIR: "a folder where a file is expected: move it away",
    errno.ELOOP: "symbolic links form a loop: check the path",
    errno.ENAMETOOLONG: "the name is too long for this file system: shorten it",
    errno.ENOMEM: f"out of memory: {_LESS_MEMORY}",
}
_FILES = 4096
# How TensorFlow and PyTorch report that they have no deterministic kernel.
_NONDETERMINISTIC = ("A deterministic GPU implementation of", "does not have a deterministic implementation")
# How libraries report that they could not allocate memory, or start a thread for lack of it.
_EXHAUSTED = ("RESOURCE_EXHAUSTED", "OOM when allocating", "out of memory", "start new thread", "launch worker thread")


def run(main: Callable[[], None], name: str, output: Path | None = None) -> None:
    """Call ``main``; where the user can fix an error, end the process with one sentence.

    Args:
        main: takes no arguments; returns when all its output is in place.
        name: of the stage or command; the sentence starts with it.
        output: a stage's output folder, which no other process may write at the same time.

    Raises:
        SystemExit: with the sentence (exit code 1) after a ``UserError``, a
            file system error or lack of memory; with 130 after Ctrl-C and 143
            after SIGTERM, which a stage also receives when its parent `dvc` ends.
            Where the system or a library kills a stage, a second process prints the sentence.
    """
    try:
        _open_many_files()
        with lifetime.obeying_signals(), _as_stage(name, output) if output else nullcontext():
            parallel.restrain_libraries()
            main()
    except UserError as error:
        sys.exit(f"{name}: {error}")
    except lifetime.Stopped as stop:
        lost = "; its output was not published" if output else ""
        print(f"{name}: stopped by {stop}{lost}", file=sys.stderr)
        sys.exit(stop.code)
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe. The interpreter would fail again when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except MemoryError:
        sys.exit(f"{name}: {_ADVICE[errno.ENOMEM]}")
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"{name}: {where}{_ADVICE[error.errno]}")
    except Exception as error:
        if any(words in str(error) for words in _NONDETERMINISTIC):
            sys.exit(
                f"{name}: the backend has no deterministic GPU kernel for a layer of this network: set "
                "TF_DETERMINISTIC_OPS=0 in the environment to allow others (two runs may then differ in their "
                "last bits), or choose another train.model.name"
            )
        if not any(words in str(error) for words in _EXHAUSTED):
            raise
        sys.exit(f"{name}: {_ADVICE[errno.ENOMEM]}")


def _open_many_files() -> None:
    # Up to the hard limit: the soft limit is 256 by default on macOS, and less for services and old shells.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard if hard != resource.RLIM_INFINITY else _FILES, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def need_files(count: int) -> None:
    """Check that ``count`` more files can be opened, before a library fails half-way because they cannot.

    Raises:
        OSError: too many files would be open; with the system's own message.
    """
    first = os.open(os.devnull, os.O_RDONLY)
    os.close(first)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < first + count:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@contextmanager
def _as_stage(name: str, output: Path) -> Iterator[None]:
    lifetime.end_with_parent()
    killed = f"{name}: killed before it finished, most often because memory ran out: {_LESS_MEMORY}"
    with lifetime.reporting_if_killed(killed), lifetime.only_writer(output):
        yield
