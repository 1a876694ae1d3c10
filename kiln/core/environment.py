"""What a process takes from its user's environment: Keras' backend, and nothing else that affects results.

``settle`` runs before any library is imported. Variables that limit what a process
uses of the machine (threads, memory, devices) stay, and so does TF_DETERMINISTIC_OPS.
"""

# No other imports: PYTHONPATH might replace them.
import os
import sys

# What libraries read on their own: users' files and defaults, and how to compute.
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
# Exceptions: the choice of the backend, where and with how many resources to compute, how much to log.
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
# What the interpreter itself has already read when this module runs.
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
# What Kiln sets, also for its children. A matplotlibrc in the working folder would still come first: ``charts``
# draws by the defaults whatever it says. TensorFlow sets TF2_BEHAVIOR on its own; for the last see ``backend``.
_OWN = {"MATPLOTLIBRC": os.devnull, "TF2_BEHAVIOR": "1", "TF_ENABLE_ONEDNN_OPTS": "1"}
_LEFT_OUT = "KILN_LEFT_OUT_"


def foreign(names: list[str], venv: bool) -> set[str]:
    """Select the variables that a run must not depend on.

    Args:
        names: of the variables that are set.
        venv: whether Python runs in a virtual environment; elsewhere the packages may lie in PYTHONPATH.
    """
    libraries = {name for name in names if name.startswith(_PREFIXES) and not name.startswith(_KEPT)}
    return libraries | (set(names) & set(_PYTHON)) - (set() if venv else {"PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE"})


def left_out() -> dict[str, str]:
    """Return the variables that ``settle`` removed, in this process or in a parent, with their values."""
    return {name.removeprefix(_LEFT_OUT): value for name, value in os.environ.items() if name.startswith(_LEFT_OUT)}


def settle() -> None:
    """Clean the environment of this process and its children; restart Python where it has read a wrong value.

    The encoding becomes UTF-8 whatever the locale: files and their names would be read as other text otherwise.
    A closed standard stream is opened on the null device: otherwise a file of ours would get its number.
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
        # In the same process, so that DVC and signals still reach it.
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
