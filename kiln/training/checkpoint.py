"""Checkpoints: what a training that was cut off goes on from, to the same end bit for bit.

They lie outside every output, since DVC deletes those before it runs a stage,
in a folder that is named by all that the result depends on. Another learning
rate, data set, code or number of threads has another folder.
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
    """Hash all that a training's result depends on, but for the make of the processor, which rounds the last bits.

    Args:
        settings: the train section.
        precision: what it computes in, where the settings leave that to the device.
        inputs: files that name or hold what is trained on, such as manifests.

    Returns:
        32 hex digits.
    """
    code = sorted(path for pattern in CODE for path in Path().glob(pattern))
    about = {
        "settings": settings.model_dump(mode="json"),
        "files": {path.as_posix(): files.sha256(path) for path in [*inputs, *code]},
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "backend": keras.backend.backend(),
        "precision": precision,
        "devices": backend.devices(),
        "machine": platform.machine(),
        "threads": [parallel.cores(), *(os.environ.get(name) for name in (*_THREADS, *_KERNELS))],
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:32]


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None


class Keeper:
    """Writes checkpoints now and then, and finds the last whole one.

    A checkpoint is written when ``PARTS_OF_TIME`` times the seconds that the one
    before took have passed: it costs two hundredths of the time, however large
    the network. The last two are kept, each named by its own digest.

    Args:
        folder: of this training alone, as ``identity`` names it.
        say: tells the user a sentence.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]):
        self.folder, self.say = folder, say
        self.cost, self.last, self.complained = 0.0, time.monotonic(), False

    def latest(self) -> tuple[dict, dict[str, np.ndarray]] | None:
        """Read the last checkpoint that is whole: its state and arrays by name; None where there is none."""
        for path in self._found():
            try:
                if files.sha256(path)[:16] != path.stem.split("-")[1]:
                    raise ValueError
                with np.load(path, allow_pickle=False) as content:
                    arrays = {name: content[name] for name in content.files}
                return json.loads(arrays.pop(_STATE).tobytes()), arrays
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                self.say(f"the checkpoint {path} is damaged: going on from the one before it, or else from the start")
        return None

    def offer(self, capture: Callable[[], tuple[Mapping, Mapping[str, np.ndarray]]]) -> None:
        """Write a checkpoint if one is due."""
        if time.monotonic() - self.last >= max(SECONDS_BETWEEN, PARTS_OF_TIME * self.cost):
            self.save(*capture())

    def save(self, state: Mapping, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a checkpoint; a full disk costs the checkpoint, not the training.

        Args:
            state: strict JSON.
            arrays: by name, of any dtype but object.
        """
        start = time.monotonic()
        found = self._found()
        number = int(found[0].stem.split("-")[0]) + 1 if found else 0
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
                    f"no checkpoint can be written to {self.folder} ({error.strerror}): a kill would cost the training"
                )
        for path in self._found()[KEPT:]:
            path.unlink(missing_ok=True)
        self.last = time.monotonic()
        self.cost = self.last - start

    def clear(self) -> None:
        """Delete the checkpoints of a training that has ended well."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _found(self) -> list[Path]:
        return sorted(self.folder.glob("??????-*.npz"), reverse=True)
