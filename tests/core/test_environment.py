"""Nothing of the user's home and environment changes a result, but for the choice of Keras' backend."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from makers.effort import full
from makers.projects import Project

from kiln.core import environment, files
from kiln.core.errors import UserError
from kiln.networks import keras_backend

STAGES = ("train", "evaluate", "report")
# Each is read by a library or the interpreter, and changes a result or ends a stage.
HOSTILE = {
    "JUPYTER_PREFER_ENV_PATH": "0",
    "KERAS_MAX_EPOCHS": "none",
    "KERAS_NNX_ENABLED": "1",
    "LC_ALL": "C",
    "MPLBACKEND": "nonsense",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Nehalem",
    "MPLCONFIGDIR": "/proc/nowhere",
    "PANDAS_FUTURE_INFER_STRING": "1",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONDEVMODE": "1",
    "PYTHONIOENCODING": "ascii",
    "PYTHONOPTIMIZE": "2",
    "PYTHONUTF8": "0",
    "PYTHONWARNINGS": "error",
    "SHELL": "/nowhere",
    "SOURCE_DATE_EPOCH": "0",
    "TF2_BEHAVIOR": "0",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_FUNCTION_JIT_COMPILE_DEFAULT": "1",
    "TF_XLA_FLAGS": "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit",
    "TZ": "Asia/Kathmandu",
}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def hostile(tmp_path):
    """The environment of a user whose home is set up for other programs."""
    home = tmp_path / "home"
    keras = {"floatx": "float16", "epsilon": 0.01, "image_data_format": "channels_first", "nnx_enabled": True}
    write(home / ".keras/keras.json", json.dumps({"backend": "tensorflow", **keras}))
    style = "axes.facecolor: red\nlines.linewidth: 6\nfont.family: monospace\ntext.usetex: True\nbackend: nonsense\n"
    write(home / ".config/matplotlib/matplotlibrc", style)
    end = "raise SystemExit('of the home')\n"
    startup = write(home / ".ipython/profile_default/startup/00.py", end)
    write(home / ".ipython/profile_default/ipython_config.py", end)
    write(home / ".jupyter/jupyter_config.py", end)
    jupyter = home / ".local/share/jupyter"
    kernel = {"argv": ["false", "{connection_file}"], "display_name": "x", "language": "python"}
    write(jupyter / "kernels/python3/kernel.json", json.dumps(kernel))
    write(jupyter / "nbconvert/templates/basic/index.html.j2", "of the home")
    for name in ("json", "numpy", "yaml", "cv2", "sitecustomize"):
        write(home / f"modules/{name}.py", "" if name == "sitecustomize" else end)
    mask = os.umask(0)
    os.umask(mask)
    yield {
        **HOSTILE,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "IPYTHONDIR": str(home / ".ipython"),
        "JUPYTER_PATH": str(jupyter),
        "PYTHONPATH": str(home / "modules"),
        "PYTHONSTARTUP": str(startup),
    }
    os.umask(mask)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A project whose data is ready for training, with little of everything."""
    project = Project(tmp_path_factory.mktemp("prepared"))
    project.set(train__epochs=1, evaluate__resamples=100, evaluate__robustness_samples=20, evaluate__mistakes=2)
    project.set(report__title="Ziffern — größer", fetch__limit=30)
    for stage in ("fetch", "clean", "augment", "normalize"):
        project.stage(stage)
    return project


def outputs(project: Project) -> dict[str, str]:
    folders = (project.folder / name for name in ("data/model", "data/evaluation", "metrics"))
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(project.folder).as_posix(): files.sha256(path) for path in paths}


@pytest.mark.full
def test_a_hostile_home_changes_no_byte(prepared, hostile, tmp_path):
    own = {name: value for name, value in os.environ.items() if name in environment.foreign(list(os.environ), True)}
    made = {}
    for name in ("clean", "hostile"):
        shutil.copytree(prepared.folder, tmp_path / name, symlinks=True)
        project = Project.at(tmp_path / name)
        for variable in own:
            del project.environment[variable]
        if name == "hostile":
            # The file of the working folder is the first that matplotlib would take.
            write(project.folder / "matplotlibrc", "axes.facecolor: red\n")
            project.environment.update(hostile)
            os.umask(0o077)
        for stage in STAGES:
            said = project.stage(stage).stderr
        assert not said  # of the report, whose libraries log
        made[name] = outputs(project)
    assert len(made["clean"]) > 20 and made["hostile"] == made["clean"]


def test_the_names_that_are_left_out():
    names = ["KERAS_BACKEND", "KERAS_MAX_EPOCHS", "MPLBACKEND", "MPLCONFIGDIR", "TF_VAR_region", "TF_XLA_FLAGS"]
    names += ["OMP_NUM_THREADS", "TF_NUM_INTEROP_THREADS", "CUDA_VISIBLE_DEVICES", "TF_DETERMINISTIC_OPS", "HOME"]
    names += ["PYTHONPATH", "PYTHONUNBUFFERED", "PYTHON_VERSION", "PYTHONWARNINGS", "TF_CPP_MIN_LOG_LEVEL"]
    names += ["TF2_BEHAVIOR", "TF_SET_ONEDNN_FPMATH_MODE", "JAX_THREEFRY_PARTITIONABLE", "JAX_PLATFORMS"]
    wrong = {"KERAS_MAX_EPOCHS", "MPLBACKEND", "TF_XLA_FLAGS", "PYTHONWARNINGS"}
    wrong |= {"TF2_BEHAVIOR", "TF_SET_ONEDNN_FPMATH_MODE", "JAX_THREEFRY_PARTITIONABLE"}
    assert environment.foreign(names, venv=False) == wrong
    assert environment.foreign(names, venv=True) == wrong | {"PYTHONPATH"}


MODULES = ("__init__", "core/__init__", "core/environment", "core/startup")
PROBE = """
import os, sys
print(os.getpid(), sys.flags.utf8_mode, sys.stdout.encoding, sys.warnoptions, sys.argv[1:], "MPLBACKEND" in os.environ)
print([name for name in sys.path if "nowhere" in name])
"""


@pytest.fixture
def probe(tmp_path):
    """A module of a package ``stages`` as it is here, which tells in what surroundings it runs."""
    root = Path(environment.__file__).parents[2]
    for name in ("stages/__init__.py", *(f"kiln/{name}.py" for name in MODULES)):
        write(tmp_path / name, (root / name).read_text())
    write(tmp_path / "stages/probe.py", PROBE)
    project = Project.at(tmp_path)
    for name in environment.foreign(list(os.environ), True):
        del project.environment[name]

    def told(**variables) -> list[str]:
        project.environment.update(variables)
        return project.run(sys.executable, "-m", "stages.probe", "é\nx", "-W").stdout.splitlines()

    return told


def test_python_starts_anew_as_the_same_process_only_where_it_must(probe):
    once = probe(LC_ALL="C.UTF-8", MPLBACKEND="x")
    assert once[0].endswith("0 utf-8 [] ['é\\nx', '-W'] False")
    again = probe(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0", PYTHONWARNINGS="error", PYTHONPATH="/nowhere")
    assert again[0].endswith("1 utf-8 [] ['é\\nx', '-W'] False") and again[1] == "[]"


def test_the_backend_is_that_of_the_variable_then_of_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(keras_backend.importlib.util, "find_spec", lambda name: name != "torch" or None)
    file = tmp_path / "keras.json"
    for text, expected in [
        ("", "tensorflow"),
        ("{", "tensorflow"),
        ("[1]", "tensorflow"),
        ('{"backend": "jax"}', "jax"),
    ]:
        file.write_text(text)
        assert keras_backend.chosen() == expected
    monkeypatch.setenv("KERAS_BACKEND", "")  # as Keras takes it
    assert keras_backend.chosen() == "jax"
    for name, says in {
        "torch": "KERAS_BACKEND is 'torch', but the package torch is not installed: unset KERAS_BACKEND",
        "theano": "KERAS_BACKEND is 'theano', but should be tensorflow, jax or torch: unset KERAS_BACKEND",
        "TensorFlow": "KERAS_BACKEND is 'TensorFlow', but should be tensorflow",
        "tensorflow ": "KERAS_BACKEND is 'tensorflow ', but should be tensorflow",
        "numpy": "KERAS_BACKEND is 'numpy', but should be",
    }.items():
        monkeypatch.setenv("KERAS_BACKEND", name)
        with pytest.raises(UserError, match=says):
            keras_backend.chosen()
    monkeypatch.delenv("KERAS_BACKEND")
    for name in ('"torch"', '"theano"', "7", "null", "[]"):
        file.write_text(f'{{"backend": {name}}}')
        with pytest.raises(UserError, match=f"{file}: backend is .*: write tensorflow there, or delete the file"):
            keras_backend.chosen()
    monkeypatch.setattr(keras_backend.importlib.util, "find_spec", lambda name: None)
    file.unlink()
    with pytest.raises(UserError, match="the package tensorflow is not installed: run `make setup`"):
        keras_backend.chosen()


@pytest.mark.parametrize("command", ["train", *full("evaluate", "predict", "models")])
def test_a_backend_that_is_none_is_one_sentence(project, command):
    project.environment["KERAS_BACKEND"] = "theano"
    run = project.stage if command in STAGES else project.kiln
    done = run(command, *["x.png"] * (command == "predict"), check=False)
    assert done.returncode == 1 and done.stderr.startswith(f"{command}: KERAS_BACKEND is 'theano', but should be")
    assert len(done.stderr.splitlines()) == 1 and not done.stdout


def test_a_backend_whose_package_is_broken_is_one_sentence(project):
    write(project.folder / "jax.py", "raise ImportError('libjax.so: cannot open\\nmore')\n")
    project.environment["KERAS_BACKEND"] = "jax"
    done = project.stage("train", check=False)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "Keras cannot be imported with the backend jax (libjax.so: cannot open)" in done.stderr


@pytest.mark.parametrize("limit", [40, *full(64)])
def test_report_with_few_file_handles_is_one_sentence_and_a_soft_limit_is_raised(small, limit):
    command = f"ulimit -n {limit}; exec {sys.executable} -m stages.report"
    done = small.run("bash", "-c", command, check=False)
    assert done.returncode == 1
    assert done.stderr == "report: too many open files: raise the limit with `ulimit -n 4096`\n"
    code = "import resource; from kiln.core import entry; entry.run(lambda: entry.need_files(70), 'x')"
    assert small.run("bash", "-c", f'ulimit -S -n {limit}; {sys.executable} -c "{code}"').stderr == ""
