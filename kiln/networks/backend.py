"""Keras, imported with its backend configured; always import it from here.

Keras and TensorFlow read these settings once, on import, so they cannot wait for
``main``. The user chooses the backend; everything else is the same for all.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from kiln.core import startup
from kiln.core.errors import UserError
from kiln.networks import keras_backend

# oneDNN's kernels are off by default on some CPUs, although they train small
# convolutions up to 1.5 times faster there (tests/bench/article.py). Without them
# the last bits differ.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The fast kernels of a GPU add in the order in which threads finish. These variables
# select deterministic ones for JAX and for PyTorch's matrix products;
# ``make_deterministic`` does the rest.
_DETERMINISTIC, _XLA = "TF_DETERMINISTIC_OPS", "xla_gpu_deterministic_ops"
if os.environ.get(_DETERMINISTIC) != "0":
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if _XLA not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --{_XLA}=true".strip()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # TensorFlow writes to the file descriptor before it applies its log level.
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
    # A path that cannot be a folder: Keras neither reads nor writes a settings file of the user.
    with _quiet(), _set(KERAS_BACKEND=_chosen, KERAS_HOME=os.devnull):
        import keras
except UserError as error:
    # This is before any ``main``, so ``entry.run`` cannot report it.
    sys.exit(f"{startup.running()}: {error}")
except ImportError as error:
    sys.exit(
        f"{startup.running()}: Keras cannot be imported with the backend {_chosen} "
        f"({str(error).partition(chr(10))[0]}): run `kiln doctor`"
    )

__all__ = ["cpu_multiplies", "devices", "emulated", "jit", "keras", "make_deterministic", "precision"]
# CPU features by their names in Linux on x86 and ARM.
_INSTRUCTIONS = {
    "mixed_bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "mixed_float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}


def devices() -> list[str]:
    """List the devices of the backend, such as ``cpu:0``; empty with PyTorch, for which Keras has no list."""
    # Not by kind, since JAX raises for a kind that the machine lacks.
    return [] if keras.backend.backend() == "torch" else list(keras.distribution.list_devices())


def _has(kind: str) -> bool:
    return any(device.startswith(kind) for device in devices())


def make_deterministic() -> None:
    """Make results on a GPU reproducible bit for bit; on a CPU they already are.

    With TensorFlow, Keras then does not compile steps with XLA. JAX is configured on
    import. ``TF_DETERMINISTIC_OPS=0`` in the environment turns this off for every
    backend.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow" and _has("gpu") and _DETERMINISTIC not in os.environ:
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()
    elif backend == "torch" and os.environ.get(_DETERMINISTIC) != "0":
        import torch

        torch.use_deterministic_algorithms(True)


def precision(name: str) -> str:
    """Resolve the precision of the computation to a Keras dtype policy.

    Args:
        name: of a Keras dtype policy; or ``mixed``: bfloat16 on a TPU and float16
            on a GPU, whose matrix units support them, bfloat16 on a CPU with
            instructions for it, else float32; or ``auto``: the same, but float32 on
            any CPU, where small networks do not benefit.
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
    """Whether the CPU emulates a policy's 16-bit floats, many times slower than float32."""
    on_cpu = bool(devices()) and not _has("gpu") and not _has("tpu")
    return policy in _INSTRUCTIONS and on_cpu and not cpu_multiplies(policy)


def cpu_multiplies(policy: str, cpus: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU has instructions for a policy's 16-bit floats.

    Args:
        policy: mixed_bfloat16 or mixed_float16.
        cpus: Linux's list of the processors' features; without it (other systems) the result is False.
    """
    if not cpus.exists():
        return False
    lines = (line.partition(":") for line in cpus.read_text().splitlines())
    features = (set(value.split()) for key, _, value in lines if key.strip() in ("flags", "Features"))
    return any(_INSTRUCTIONS[policy] & names for names in features)


def jit() -> bool | str:
    """Whether to compile the training step with XLA: Keras' choice, except never for TensorFlow on a CPU.

    There XLA brings nothing and costs seconds at the start.
    """
    on_cpu = keras.backend.backend() == "tensorflow" and not _has("gpu") and not _has("tpu")
    return False if on_cpu else "auto"


make_deterministic()
