"""Keras, imported with its backend set up; import it from here and nowhere else.

The settings are read by Keras and TensorFlow once, when they are imported, so they
cannot wait for ``main``. The user chooses the backend; the rest is the same for all.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from kiln.core import startup
from kiln.core.errors import UserError
from kiln.networks import keras_backend

# oneDNN's kernels are off by default on some CPUs, where they train small
# convolutions up to 1.5 times faster; tests/bench/article.py shows what it brings.
# Without them the last bits differ.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# A GPU's fast kernels add in the order that threads end. JAX is asked for others
# here, PyTorch's products need this buffer for theirs; the rest is asked below.
_DETERMINISTIC, _XLA = "TF_DETERMINISTIC_OPS", "xla_gpu_deterministic_ops"
if os.environ.get(_DETERMINISTIC) != "0":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if _XLA not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --{_XLA}=true".strip()


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


@contextlib.contextmanager
def _set(**variables: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


try:
    _chosen = keras_backend.chosen()
    # Where no folder can be, Keras finds no file of its user's, and writes none.
    with _quiet(), _set(KERAS_BACKEND=_chosen, KERAS_HOME=os.devnull):
        import keras
except UserError as error:
    # Before any ``main``, so that ``entry.run`` cannot tell.
    sys.exit(f"{startup.running()}: {error}")
except ImportError as error:
    sys.exit(
        f"{startup.running()}: Keras cannot be imported with the backend {_chosen} "
        f"({str(error).partition(chr(10))[0]}): run `kiln doctor`"
    )

__all__ = ["cpu_multiplies", "devices", "emulated", "jit", "keras", "make_deterministic", "precision"]
# By the names that Linux gives them on x86 and on ARM.
_INSTRUCTIONS = {
    "mixed_bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "mixed_float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}


def devices() -> list[str]:
    """List what the backend computes on, such as ``cpu:0``; nothing with PyTorch, where Keras has no list."""
    # Not asked by kind, since JAX refuses a kind that the machine has not.
    return [] if keras.backend.backend() == "torch" else list(keras.distribution.list_devices())


def _has(kind: str) -> bool:
    return any(device.startswith(kind) for device in devices())


def make_deterministic() -> None:
    """Ask the backend for the same bits from every run on a GPU.

    On a CPU nothing need be asked. With TensorFlow Keras compiles no step by XLA
    then. ``TF_DETERMINISTIC_OPS=0`` in the environment asks for nothing, whatever
    the backend; JAX is asked when it is imported.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow" and _has("gpu") and _DETERMINISTIC not in os.environ:
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    elif backend == "torch" and os.environ.get(_DETERMINISTIC) != "0":
        import torch

        torch.use_deterministic_algorithms(True)


def precision(name: str) -> str:
    """Settle the precision of the computation.

    Args:
        name: of a Keras dtype policy; or ``mixed``: bfloat16 on a TPU and float16
            on a GPU, whose matrix units are made for them, bfloat16 on a CPU that
            multiplies it, else float32; or ``auto``: the same, but float32 on any CPU,
            where small networks gain nothing.
    """
    if name not in ("auto", "mixed"):
        return name
    if _has("tpu"):
        return "mixed_bfloat16"
    if _has("gpu"):
        return "mixed_float16"
    gains = name == "mixed" and keras.backend.backend() == "tensorflow" and cpu_multiplies("mixed_bfloat16")
    return "mixed_bfloat16" if gains else "float32"


def emulated(policy: str) -> bool:
    """Whether a policy's 16-bit floats are for a CPU that does not multiply them: many times slower than float32."""
    on_cpu = bool(devices()) and not _has("gpu") and not _has("tpu")
    return policy in _INSTRUCTIONS and on_cpu and not cpu_multiplies(policy)


def cpu_multiplies(policy: str, cpus: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU has instructions for a policy's 16-bit floats.

    Args:
        policy: mixed_bfloat16 or mixed_float16.
        cpus: Linux' list of what the processors can do; elsewhere nothing is known, which is no.
    """
    if not cpus.exists():
        return False
    lines = (line.partition(":") for line in cpus.read_text().splitlines())
    able = (set(value.split()) for key, _, value in lines if key.strip() in ("flags", "Features"))
    return any(_INSTRUCTIONS[policy] & abilities for abilities in able)


def jit() -> bool | str:
    """Whether to compile the training step by XLA: Keras' choice, but not for TensorFlow on a CPU.

    There it gains nothing, and costs seconds at the start.
    """
    on_cpu = keras.backend.backend() == "tensorflow" and not _has("gpu") and not _has("tpu")
    return False if on_cpu else "auto"


make_deterministic()
