"""What a process takes from its user's environment: Keras' backend, and nothing else that shapes a result.

``settle`` runs before any library is imported. What says how much of the
machine to use (threads, memory, devices) stays, and so does TF_DETERMINISTIC_OPS.
"""

# No other imports, which PYTHONPATH might answer.
import os
import sys

# What libraries read by themselves: their users' files and defaults, and how they compute.
_PREFIXES = (
    "ARROW_",
    "ATEN_",
    "DNNL_",
    "IPYTHON",
    "JAX_",
    "JUPYTER",
    "KERAS_",
    "MATPLOTLIB",
    "MLIR_",
    "MPLBACKEND",
    "NPY_",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_",
    "OPENBLAS_CORETYPE",
    "OPENCV_",
    "PANDAS_",
    "SCIPY_",
    "SKLEARN_",
    "TF2_BEHAVIOR",
    "TF_",
    "TORCH_ALLOW_TF32",
    "TORCH_BLAS_",
)
# Of these the choice of the backend, and what says where and on how much to compute, or how much to log.
_KEPT = (
    "JAX_COMPILATION_CACHE_",
    "JAX_CUDA_",
    "JAX_LOG",
    "JAX_PLATFORM",
    "JAX_ROCM_",
    "KERAS_BACKEND",
    "KERAS_HOME",
    "TF_CLI_",  # of Terraform, like TF_VAR_
    "TF_CPP_",
    "TF_CPU_",
    "TF_CUDA_",
    "TF_DETERMINISTIC_OPS",
    "TF_FORCE_",
    "TF_GPU_",
    "TF_NUM_",
    "TF_PER_DEVICE_MEMORY_",
    "TF_VAR_",
)
# What the interpreter itself has read by the time that anything can be put right.
_PYTHON = (
    "PYTHONDEVMODE",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONINTMAXSTRDIGITS",
    "PYTHONIOENCODING",
    "PYTHONOPTIMIZE",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONWARNINGS",
)
# What Kiln sets itself, which its children find set. Of matplotlib's files the one of the working folder comes
# first: ``page`` draws by the defaults whatever it says. TF2_BEHAVIOR TensorFlow sets itself; for the last see
# ``backend``.
_OWN = {"MATPLOTLIBRC": os.devnull, "TF2_BEHAVIOR": "1", "TF_ENABLE_ONEDNN_OPTS": "1"}
_LEFT_OUT = "KILN_LEFT_OUT_"


def foreign(names: list[str], venv: bool) -> set[str]:
    """Choose the variables that a run must not depend on.

    Args:
        names: of those that are set.
        venv: whether Python is that of a virtual environment; elsewhere PYTHONPATH may be where the packages lie.
    """
    libraries = {name for name in names if name.startswith(_PREFIXES) and not name.startswith(_KEPT)}
    return libraries | (set(names) & set(_PYTHON)) - (set() if venv else {"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE"})


def left_out() -> dict[str, str]:
    """Give the variables that ``settle`` took away, here or in a process around this one, with their values."""
    return {name.removeprefix(_LEFT_OUT): value for name, value in os.environ.items() if name.startswith(_LEFT_OUT)}


def settle() -> None:
    """Put the environment of this process and its children right; start Python anew where it has read what is wrong.

    Under another encoding than UTF-8, which the locale may say, files and their names would be read as other text.
    A standard stream that is closed becomes an empty one: else a file of ours would take its number.
    """
    import _locale
    import site

    venv = sys.prefix != sys.base_prefix
    wrong = foreign(list(os.environ), venv) - set(_OWN)
    for name in wrong:
        os.environ[_LEFT_OUT + name] = os.environ.pop(name)
    os.environ.update(_OWN)
    stale = not wrong.isdisjoint(_PYTHON)
    if not sys.flags.utf8_mode and _locale.getencoding().lower().replace("-", "") != "utf8":
        os.environ["PYTHONUTF8"], stale = "1", True
    if venv and site.ENABLE_USER_SITE:  # by a setting of the virtual environment
        os.environ["PYTHONNOUSERSITE"], stale = "1", True
    if stale:
        # As this very process, so that DVC and signals find it.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
