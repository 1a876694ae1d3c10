"""How long a process lives and when it may be stopped: signals, its parent's death, one writer at a time."""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kiln.core.errors import UserError

SECONDS_TO_STOP = 8.0
SECONDS_FOR_THE_LOCK = 15.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1
_held, _waiting, _witness = 0, None, None
# Runs beside the process and reads from its pipe: if that ends without a byte, the process was killed.
_WITNESS = "import sys; sys.stdin.buffer.read(1) or sys.stderr.write(sys.argv[1])"


class Stopped(BaseException):
    """A signal asked the process to stop; not an ``Exception``, so that nothing swallows it.

    Attributes:
        code: the exit code by which shells know the signal.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextmanager
def obeying_signals() -> Iterator[None]:
    """Raise ``Stopped`` on SIGINT, SIGTERM and SIGHUP within the block; ignored signals (nohup) stay ignored.

    Whatever the process is doing, it ends within ``SECONDS_TO_STOP``.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame) -> None:
    global _waiting
    # Forced exit, where a C library takes too long or the exception got lost.
    timer = threading.Timer(SECONDS_TO_STOP, _end_by_force, [128 + number])
    timer.daemon = True
    timer.start()
    if _held:
        _waiting = number
    else:
        raise Stopped(number)


def _end_by_force(code: int) -> None:
    _dismiss_witness()
    os._exit(code)


@contextmanager
def reporting_if_killed(sentence: str) -> Iterator[None]:
    """Have another process print a sentence to standard error if this one is killed or aborts within the block.

    The system kills it when memory runs out, and C++ libraries abort when they
    cannot allocate: Python cannot report either.
    """
    global _witness
    _witness = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WITNESS, f"{sentence}\n"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # so that a signal to the whole group does not reach it
    )
    with _witness:
        try:
            yield
        finally:
            _dismiss_witness()


def _dismiss_witness() -> None:
    if _witness:
        # It may have ended already, and its pipe is closed after the block.
        with suppress(OSError, ValueError):
            os.write(_witness.stdin.fileno(), b".")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay ``Stopped`` until the end of the block, so that its changes are complete."""
    global _held, _waiting
    _held += 1
    try:
        yield
    finally:
        _held -= 1
    if _waiting is not None and not _held:
        number, _waiting = _waiting, None
        raise Stopped(number)


def end_with_parent() -> None:
    """Get SIGTERM when the parent ends, if it is DVC; otherwise a killed `dvc` would leave a stage that still writes.

    Linux can send it; elsewhere a thread polls the parent's id once a second.
    A parent that ended before this call is recognised by DVC's own list of writers.
    """
    if "DVC_STAGE" not in os.environ:
        return
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    else:
        threading.Thread(target=_watch, args=[parent], daemon=True).start()
    writers = _writers()
    if os.getppid() != parent or (writers and parent not in writers):
        os.kill(os.getpid(), signal.SIGTERM)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _writers() -> set[int]:
    """Process ids of each `dvc` that writes outputs, or did so when it was killed."""
    try:
        locks = json.loads(Path(".dvc/tmp/rwlock").read_bytes())  # stages run in the root folder
        return {holder["pid"] for holder in locks["write"].values()}
    except (OSError, KeyError, ValueError, TypeError, AttributeError):
        return set()  # another DVC than we know: unknown


@contextmanager
def only_writer(output: Path) -> Iterator[None]:
    """Be the only process that writes an output, by a lock that the system releases when its holder dies.

    Raises:
        UserError: another process keeps the lock for ``SECONDS_FOR_THE_LOCK``.
    """
    path = output.with_name(f".{output.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        end = time.monotonic() + SECONDS_FOR_THE_LOCK
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    file.seek(0)
                    raise UserError(
                        f"process {file.read().strip() or 'unknown'} is writing {output}: wait until it ends, or end it"
                    ) from None
                time.sleep(0.1)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
