"""The first lines of every stage and command, before seconds of imports: signals and the environment."""

import _signal  # built in: during the import of the public module, some milliseconds, Ctrl-C would end in a traceback
import os
import sys

_SIGNALS = {_signal.SIGINT: "SIGINT", _signal.SIGTERM: "SIGTERM", _signal.SIGHUP: "SIGHUP"}

_begun = None


def begin(name: str) -> None:
    """End the process with one sentence on a signal, and clean its environment.

    This handles signals until ``entry.run`` takes over, and after it. Ignored
    signals (nohup) stay ignored.

    Args:
        name: of the stage or command; the sentence starts with it.
    """
    global _begun
    _begun = name
    try:
        stderr = os.dup(2)  # a copy, since standard error is silenced while Keras is imported
    except OSError:  # closed: the next opened file would take its number
        stderr = os.open(os.devnull, os.O_WRONLY)

    def end(number: int, frame) -> None:
        # At once and without an exception, which C code that is being imported may swallow or misread as its own error.
        os.write(stderr, f"{name}: stopped by {_SIGNALS[number]}\n".encode())
        os._exit(128 + number)

    for number in _SIGNALS:
        if _signal.getsignal(number) != _signal.SIG_IGN:
            _signal.signal(number, end)

    from kiln.core import environment

    environment.settle()


def running() -> str:
    """Name the running stage or command; outside of these, the script."""
    return _begun or os.path.splitext(os.path.basename(sys.argv[0]))[0]  # noqa: PTH119, PTH122
