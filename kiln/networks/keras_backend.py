"""Which backend Keras is to compute with: all that Kiln takes from its user's set-up, and found without an import."""

import importlib.util
import json
import os
from pathlib import Path

from kiln.core.errors import UserError

BACKENDS = ("tensorflow", "jax", "torch")  # each is also the name of its package
VARIABLE = "KERAS_BACKEND"


def file() -> Path:
    """Where Keras keeps its user's settings."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras.json"


def settings() -> dict:
    """Read that file; empty where there is none, or none that can be read, which Keras ignores too."""
    try:
        found = json.loads(file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def chosen() -> str:
    """Find the backend by Keras' own rules: the variable, else the file, else TensorFlow.

    Raises:
        UserError: there is no such backend, or its package is not installed.
    """
    if name := os.environ.get(VARIABLE):
        said, remedy = f"{VARIABLE} is {name!a}", f"unset {VARIABLE} to compute with TensorFlow"
    else:
        name = settings().get("backend", BACKENDS[0])
        said, remedy = f"{file()}: backend is {name!a}", "write tensorflow there, or delete the file"
    if name not in BACKENDS:
        raise UserError(f"{said}, but should be tensorflow, jax or torch: {remedy}")
    if importlib.util.find_spec(name):
        return name
    if name == BACKENDS[0]:
        raise UserError("the package tensorflow is not installed: run `make setup`")
    raise UserError(f"{said}, but the package {name} is not installed: {remedy}, or install {name}")
