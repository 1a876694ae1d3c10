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

__all__ = ["devices", "jit", "keras", "precision"]


def devices() -> list[str]:
    """List what the backend computes on, such as ``cpu:0``; nothing with PyTorch, where Keras has no list."""
    # Not asked by kind, since JAX refuses a kind that the machine has not.
    return [] if keras.backend.backend() == "torch" else list(keras.distribution.list_devices())


def _has(kind: str) -> bool:
    return any(device.startswith(kind) for device in devices())


def precision(name: str) -> str:
    """Settle the precision of the computation.

    Args:
        name: of a Keras dtype policy, or ``auto``: bfloat16 on a TPU and float16
            on a GPU, whose matrix units are made for them; float32 on a CPU,
            where a half is no gain or a loss, and with PyTorch.
    """
    if name != "auto":
        return name
    return "mixed_bfloat16" if _has("tpu") else "mixed_float16" if _has("gpu") else "float32"


def jit() -> bool | str:
    """Whether to compile the training step by XLA: Keras' choice, but not for TensorFlow on a CPU.

    There it gains nothing, and costs seconds at the start.
    """
    on_cpu = keras.backend.backend() == "tensorflow" and not _has("gpu") and not _has("tpu")
    return False if on_cpu else "auto"
