"""Checkpoints, from which an interrupted training resumes with a bit-identical result.

They are stored outside every output, since DVC deletes outputs before it runs a
stage, in a folder named by a hash of all that the result depends on: another
learning rate, data set, code or number of threads has another folder.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from kiln.core import files, parallel
from kiln.networks import backend
from kiln.networks.backend import keras
from kiln.params import Train

FOLDER = Path("data/.checkpoints")
ROOMS = ("core", "modalities", "store", "networks", "training")
CODE = ("stages/train.py", *(f"kiln/{room}/**/*.py" for room in ROOMS))
KEPT = 2
PARTS_OF_TIME = 50
SECONDS_BETWEEN = 1.0
_STATE = "state"
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
_KERNELS = ("TF_ENABLE_ONEDNN_OPTS", "TF_DETERMINISTIC_OPS", "XLA_FLAGS")
_LIBRARIES = ("keras", "numpy", "opencv-python-headless", "tensorflow-cpu", "tensorflow", "jax", "jaxlib", "torch")


def identity(settings: Train, inputs: Iterable[Path], precision: str) -> str:
    """Hash all that the result of training depends on, except the CPU model, which may change the last bits.

    Args:
        settings: the train section.
        inputs: files that name or hold the training data, such as manifests.
        precision: the dtype policy in use, since the settings may leave it to the device.

    Returns:
        32 hex digits.
    """
    code = sorted(path for pattern in CODE for path in Path().glob(pattern))
    content = {
        "settings": settings.model_dump(mode="json"),
        "files": {path.as_posix(): files.sha256(path) for path in [*inputs, *code]},
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "backend": keras.backend.backend(),
        "precision": precision,
        "devices": backend.devices(),
        "machine": platform.machine(),
        "threads": [parallel.cores(), *(os.environ.get(name) for name in (*_THREADS, *_KERNELS))],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


class Keeper:
    """Writes checkpoints periodically and finds the last intact one.

    A checkpoint is written once ``PARTS_OF_TIME`` times the duration of the
    previous write has passed, so that writing costs about 2 % of the time whatever
    the size of the network. The last two are kept; their names hold their digests.

    Args:
        folder: of this training only, named by ``identity``.
        say: prints a message for the user.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]):
        self.folder, self.say = folder, say
        self.cost, self.last, self.complained = 0.0, time.monotonic(), False

    def latest(self) -> tuple[dict, dict[str, np.ndarray]] | None:
        """Read the last intact checkpoint: its state, and arrays by name; None if there is none."""
        for path in self._list():
            try:
                if files.sha256(path)[:16] != path.stem.split("-")[1]:
                    raise ValueError
                with np.load(path, allow_pickle=False) as content:
                    arrays = {name: content[name] for name in content.files}
                return json.loads(arrays.pop(_STATE).tobytes()), arrays
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                self.say(f"the checkpoint {path} is damaged: resuming from the previous one, or from the start")
        return None

    def offer(self, capture: Callable[[], tuple[Mapping, Mapping[str, np.ndarray]]]) -> None:
        """Write a checkpoint if one is due."""
        if time.monotonic() - self.last >= max(SECONDS_BETWEEN, PARTS_OF_TIME * self.cost):
            self.save(*capture())

    def save(self, state: Mapping, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a checkpoint; if that fails, as on a full disk, training continues without it.

        Args:
            state: strict JSON.
            arrays: by name, of any dtype except object.
        """
        start = time.monotonic()
        existing = self._list()
        number = int(existing[0].stem.split("-")[0]) + 1 if existing else 0
        partial = self.folder / "partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(state, allow_nan=False).encode()
            with partial.open("wb") as file:
                np.savez(file, **arrays, **{_STATE: np.frombuffer(text, np.uint8)})
                file.flush()
                os.fsync(file.fileno())
            partial.rename(self.folder / f"{number:06d}-{files.sha256(partial)[:16]}.npz")
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            if not self.complained:
                self.complained = True
                self.say(
                    f"cannot write checkpoints to {self.folder} ({error.strerror}): "
                    "training continues, but cannot resume if it is interrupted"
                )
        for path in self._list()[KEPT:]:
            path.unlink(missing_ok=True)
        self.last = time.monotonic()
        self.cost = self.last - start

    def clear(self) -> None:
        """Delete the checkpoints of a completed training."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _list(self) -> list[Path]:
        """List the checkpoints, the newest first."""
        return sorted(self.folder.glob("??????-*.npz"), reverse=True)
