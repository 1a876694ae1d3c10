import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from makers.projects import ROOT

from kiln.networks import backend

OLD, NEW = "fpu sse avx2 fma", "fpu avx512f avx512_bf16"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Pretend to be a machine: its devices, and the flags of its processor."""
    own = backend.cpu_multiplies

    def pretend(devices, flags):
        cpus = tmp_path / "cpuinfo"
        cpus.write_text(f"processor\t: 0\nmodel name\t: avx512_bf16 by name alone\nflags\t\t: {flags}\n")
        monkeypatch.setattr(backend, "cpu_multiplies", lambda policy: own(policy, cpus))
        monkeypatch.setattr(backend, "devices", lambda: devices)

    return pretend


@pytest.mark.parametrize(
    ("devices", "flags", "auto", "mixed"),
    [
        (["cpu:0"], OLD, "float32", "float32"),
        (["cpu:0"], NEW, "float32", "mixed_bfloat16"),
        (["cpu:0", "gpu:0"], OLD, "mixed_float16", "mixed_float16"),
        (["cpu:0", "tpu:0"], OLD, "mixed_bfloat16", "mixed_bfloat16"),
        ([], OLD, "float32", "float32"),
    ],
)
def test_the_precision_is_one_that_the_machine_gains_by(machine, devices, flags, auto, mixed):
    machine(devices, flags)
    assert backend.precision("auto") == auto
    assert backend.precision("mixed") == mixed
    assert backend.precision("mixed_float16") == "mixed_float16"
    assert not backend.emulated(mixed)


@pytest.mark.parametrize(
    ("devices", "chosen", "asked"),
    [(["cpu:0", "gpu:0"], None, 1), (["cpu:0", "gpu:0"], "0", 0), (["cpu:0"], None, 0), (["cpu:0", "tpu:0"], None, 0)],
)
def test_a_gpu_is_asked_for_the_same_bits_unless_the_user_has_chosen(machine, monkeypatch, devices, chosen, asked):
    calls = []
    monkeypatch.setattr("tensorflow.config.experimental.enable_op_determinism", lambda: calls.append(1))
    monkeypatch.delenv("TF_DETERMINISTIC_OPS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("TF_DETERMINISTIC_OPS", chosen)
    machine(devices, OLD)
    backend.make_deterministic()
    assert len(calls) == asked


def test_whoever_takes_keras_from_here_has_asked(machine, monkeypatch):
    calls = []
    monkeypatch.setattr("tensorflow.config.experimental.enable_op_determinism", lambda: calls.append(1))
    monkeypatch.setattr("keras.distribution.list_devices", lambda: ["cpu:0", "gpu:0"])
    monkeypatch.delenv("TF_DETERMINISTIC_OPS", raising=False)
    spec = importlib.util.find_spec("kiln.networks.backend")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert calls == [1]


ENVIRONMENT = """
import os, sys
from unittest.mock import MagicMock
sys.modules["keras"] = MagicMock()  # its import takes seconds, and sets nothing
from kiln.networks import backend
print(os.environ.get("XLA_FLAGS"), os.environ.get("CUBLAS_WORKSPACE_CONFIG"))
"""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "--xla_gpu_deterministic_ops=true :4096:8"),
        ({"XLA_FLAGS": "--xla_cpu_x=1"}, "--xla_cpu_x=1 --xla_gpu_deterministic_ops=true :4096:8"),
        ({"XLA_FLAGS": "--xla_gpu_deterministic_ops=false"}, "--xla_gpu_deterministic_ops=false :4096:8"),
        ({"TF_DETERMINISTIC_OPS": "0"}, "None None"),
    ],
)
def test_what_jax_and_pytorch_read_when_they_start_is_set_before(given, found):
    kept = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "CUBLAS_WORKSPACE_CONFIG")}
    command = [sys.executable, "-c", ENVIRONMENT]
    done = subprocess.run(command, env={**kept, **given}, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == found


@pytest.mark.parametrize(("chosen", "asked"), [(None, [True]), ("0", [])])
def test_pytorch_is_asked_for_the_same_bits(monkeypatch, chosen, asked):
    calls = []
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(use_deterministic_algorithms=calls.append))
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    monkeypatch.delenv("TF_DETERMINISTIC_OPS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("TF_DETERMINISTIC_OPS", chosen)
    backend.make_deterministic()
    assert calls == asked


STEP_BY_STEP = """
import numpy as np
import tensorflow
from makers.networks import NONE, classifier, predict, smallest
from makers.settings import settings
from kiln.networks import prediction
from kiln.training import losses, optimizers
tensorflow.config.experimental.enable_op_determinism()
for name in ("fast_cnn", "vit", "applications/MobileNet"):
    made = classifier(name, (32, 32, 3), 4, NONE, dropout=0.3, **({} if "/" in name else smallest(name)))
    trainee = prediction.logits_of(made)
    trainee.compile(optimizers.build_optimizer(settings(optimizer="muon"), trainee), losses.cross_entropy)
    pixels = np.zeros((4, 32, 32, 3), np.uint8)
    trainee.train_on_batch({"image": pixels}, np.eye(4, dtype=np.float32), np.ones(4, np.float32))
    assert predict(made, pixels).shape == (4, 4)
"""


@pytest.mark.full
def test_networks_train_where_operations_must_be_deterministic():
    """On a CPU: what lacks a seed is refused here too; what lacks a kernel on a GPU cannot be seen."""
    paths = os.pathsep.join(str(ROOT / name) for name in ("", "tests"))
    command = [sys.executable, "-c", STEP_BY_STEP]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_emulation_is_noticed(machine):
    machine(["cpu:0"], OLD)
    assert backend.emulated("mixed_bfloat16") and backend.emulated("mixed_float16")
    assert not backend.emulated("float32")
    machine([], OLD)  # with PyTorch, of whose devices nothing is known
    assert not backend.emulated("mixed_float16")


def test_what_is_not_known_is_not_multiplied(tmp_path):
    assert not backend.cpu_multiplies("mixed_bfloat16", tmp_path / "none")
    (tmp_path / "arm").write_text("processor\t: 0\nFeatures\t: fp asimd asimdhp bf16\n")
    assert backend.cpu_multiplies("mixed_bfloat16", tmp_path / "arm")
    assert backend.cpu_multiplies("mixed_float16", tmp_path / "arm")
