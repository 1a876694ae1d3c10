"""The backend of Keras, the only setting that Kiln takes from the user's set-up; read without importing Keras."""

import importlib.util
import json
import os
from pathlib import Path

from kiln.core.errors import UserError

BACKENDS = ("tensorflow", "jax", "torch")  # each is also the name of its package
VARIABLE = "KERAS_BACKEND"


def file() -> Path:
    """Return the path of Keras' user settings."""
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "keras.json"


def settings() -> dict:
    """Read Keras' user settings; empty if the file is missing or unreadable, which Keras ignores too."""
    try:
        content = json.loads(file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def chosen() -> str:
    """Find the backend by Keras' rules: the variable, else the file, else TensorFlow.

    Raises:
        UserError: the backend is unknown, or its package is not installed.
    """
    if name := os.environ.get(VARIABLE):
        setting, remedy = f"{VARIABLE} is {name!a}", f"unset {VARIABLE} to compute with TensorFlow"
    else:
        name = settings().get("backend", BACKENDS[0])
        setting, remedy = f"{file()}: backend is {name!a}", "write tensorflow there, or delete the file"
    if name not in BACKENDS:
        raise UserError(f"{setting}, but should be tensorflow, jax or torch: {remedy}")
    if importlib.util.find_spec(name):
        return name
    if name == BACKENDS[0]:
        raise UserError("the package tensorflow is not installed: run `make setup`")
    raise UserError(f"{setting}, but the package {name} is not installed: {remedy}, or install {name}")
