"""The way into every stage and command: errors become one sentence and an exit code."""

import errno
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from kiln.core import lifetime, parallel
from kiln.core.errors import UserError

_LESS_MEMORY = "use smaller images or batches, or a larger machine"
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
    errno.EISDIR: "a folder where a file should be: move it away",
    errno.ELOOP: "links that lead round in a circle: check the path",
    errno.ENAMETOOLONG: "too long a name for this file system: shorten it",
    errno.ENOMEM: f"out of memory: {_LESS_MEMORY}",
}
_FILES = 4096
# What TensorFlow and PyTorch say where they have none.
_UNDETERMINED = ("A deterministic GPU implementation of", "does not have a deterministic implementation")
# How libraries say that they got no memory, or no thread for want of it.
_EXHAUSTED = ("RESOURCE_EXHAUSTED", "OOM when allocating", "out of memory", "start new thread", "launch worker thread")


def run(main: Callable[[], None], name: str, output: Path | None = None) -> None:
    """Call ``main``; end the process with one sentence where the user can help.

    Args:
        main: takes no arguments; returns when all its output is in place.
        name: the stage or command, put before the sentence.
        output: of a stage, which no other process may write meanwhile.

    Raises:
        SystemExit: with the sentence (exit code 1) after a ``UserError``, a
            file system error or lack of memory; with 130 after Ctrl-C and 143
            after SIGTERM, which the end of a parent `dvc` brings too. Where the
            system or a library ends a stage by force, the sentence comes without it.
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
        # Who read it, such as `head`, has enough. The interpreter would complain again when it flushes.
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
        if any(words in str(error) for words in _UNDETERMINED):
            sys.exit(
                f"{name}: the backend has no deterministic GPU kernel for a layer of this network: set "
                "TF_DETERMINISTIC_OPS=0 in the environment to go without, where two runs may differ in their last "
                "bits, or choose another train.model.name"
            )
        if not any(words in str(error) for words in _EXHAUSTED):
            raise
        sys.exit(f"{name}: {_ADVICE[errno.ENOMEM]}")


def _open_many_files() -> None:
    # As far as the user may by `ulimit -n`: by default macOS allows 256, services and old shells fewer.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard if hard != resource.RLIM_INFINITY else _FILES, _FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def need_files(count: int) -> None:
    """Check that so many more files can be opened, where a library would break in the middle for want of them.

    Raises:
        OSError: too many would be open, as the system says it.
    """
    first = os.open(os.devnull, os.O_RDONLY)
    os.close(first)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < first + count:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@contextmanager
def _as_stage(name: str, output: Path) -> Iterator[None]:
    lifetime.end_with_parent()
    killed = f"{name}: killed before its work was done, most often because memory ran out: {_LESS_MEMORY}"
    with lifetime.telling_if_killed(killed), lifetime.only_writer(output):
        yield
