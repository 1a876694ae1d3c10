import pytest

from stages.lib import backend

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
