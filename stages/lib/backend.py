"""Keras, imported with its backend set up; import it from here and nowhere else.

The settings are read by TensorFlow once, when it is imported, so they cannot
wait for ``main``. What the user has set in the environment stands.
"""

import contextlib
import os
from collections.abc import Iterator

# oneDNN's kernels are off by default on some CPUs, where they train small
# convolutions up to 1.5 times faster; tests/bench/article.py shows what it brings.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # TensorFlow writes to the file descriptor before it obeys its log level.
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


with _quiet():
    import keras

__all__ = ["keras"]
