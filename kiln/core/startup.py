"""The first lines of every stage and command, before seconds of imports: signals and the environment."""

import _signal  # built in: the public module takes milliseconds to import, in which Ctrl-C would be a traceback
import os
import sys

_SIGNALS = {_signal.SIGINT: "SIGINT", _signal.SIGTERM: "SIGTERM", _signal.SIGHUP: "SIGHUP"}

_begun = None


def begin(name: str) -> None:
    """End the process with one sentence where a signal comes, and settle its environment.

    Signals are handled so until ``entry.run`` takes over, and after it. What is
    ignored (nohup) stays ignored.

    Args:
        name: of the stage or command, put before the sentence.
    """
    global _begun
    _begun = name
    try:
        stderr = os.dup(2)  # which is silenced while Keras is imported
    except OSError:  # closed: else the next file that is opened would take its place
        stderr = os.open(os.devnull, os.O_WRONLY)

    def end(number: int, frame) -> None:
        # At once and without an exception, which C code that is being imported may swallow or take for its own fault.
        os.write(stderr, f"{name}: stopped by {_SIGNALS[number]}\n".encode())
        os._exit(128 + number)

    for number in _SIGNALS:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, end)

    from kiln.core import environment

    environment.settle()


def running() -> str:
    """Name the stage or command that runs; elsewhere the script."""
    return _begun or os.path.splitext(os.path.basename(sys.argv[0]))[0]  # noqa: PTH119, PTH122
