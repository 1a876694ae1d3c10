"""Fixtures: made-up images, and a scratch copy of the project with git and DVC."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

# Before numpy: the workers of pytest-xdist share the cores, and OpenBLAS' threads wait for each other by spinning,
# so that the clean stage takes twice as long where another process computes too.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from kiln.modalities.image import pictures
from kiln.store import dataset

# The make that runs the tests hands its options on, by which one that a test runs would tell its folders, too.
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
    os.environ.pop(name, None)

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("fetch", "clean", "augment", "normalize", "train", "evaluate", "report")


def noise(seed: int, height: int = 8, width: int = 8, channels: int = 1) -> np.ndarray:
    """Seeded pixels: uint8 [height, width, channels]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def png(seed: int, **shape) -> bytes:
    return pictures.encode_png(noise(seed, **shape))


def configure(folder: Path, **changes) -> None:
    """Edit values of a folder's params.yaml, or else of the default one: ``configure(folder, train__lr=0.1)``."""
    yaml, path = YAML(), folder / "params.yaml"
    content = yaml.load((path if path.exists() else ROOT / "params.yaml").read_text())
    for key, value in changes.items():
        *groups, name = key.split("__")
        place = content
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    with path.open("w") as file:
        yaml.dump(content, file)


class Project:
    """A scratch copy of the repository's files, committed to a git repository of its own."""

    def __init__(self, folder: Path):
        self._settle(folder)
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        self.run("git", "init", "-q", "-b", "main")
        self.commit("start")

    @classmethod
    def at(cls, folder: Path) -> "Project":
        """Take a folder that is a project already."""
        project = cls.__new__(cls)
        project._settle(folder)
        return project

    def _settle(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.org",
            "DVC_SITE_CACHE_DIR": str(folder / ".dvc/tmp/site"),
            "DVC_NO_ANALYTICS": "1",
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command in the project; output as text."""
        done = subprocess.run(
            [str(part) for part in command], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def dvc(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        return self.run("dvc", *arguments, check=check)

    def stage(self, name: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a stage or command without DVC."""
        return self.run(sys.executable, "-m", f"stages.{name}", *arguments, check=check)

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", message)

    def set(self, **changes) -> None:
        """Edit values of params.yaml: ``set(train__lr=0.1, train__optimizer__name="sgd")``."""
        configure(self.folder, **changes)


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A project in which the default pipeline has been reproduced; tests must not change it."""
    project = Project(tmp_path_factory.mktemp("trained"))
    project.dvc("repro")
    return project


def change(section, **changes):
    """Copy a section of params with other values, of keys of its own, of its group ``source`` or its part ``image``."""
    update = {}
    for key, value in changes.items():
        for name in ("source", "part_image"):
            inner = update.get(name) or getattr(section, name, None)
            if key in getattr(type(inner), "model_fields", {}):
                update[name] = inner.model_copy(update={key: value})
                break
        else:
            assert key in type(section).model_fields, key
            update[key] = value
    return section.model_copy(update=update)


def write_photos(folder: Path, per_class: int = 12) -> None:
    """Write three classes of telling colours in mixed sizes, as PNG and JPEG."""
    for number, (name, color) in enumerate(
        {"blue": (20, 40, 200), "green": (30, 180, 40), "red": (210, 30, 30)}.items()
    ):
        (folder / name).mkdir(parents=True)
        for index in range(per_class):
            generator = np.random.default_rng(1000 * number + index)
            height, width = generator.integers(40, 90, 2)
            pixels = np.clip(generator.normal(color, 40, (height, width, 3)), 0, 255).astype(np.uint8)
            suffix = "png" if index % 2 else "jpg"
            Image.fromarray(pixels).save(folder / name / f"{index:02d}.{suffix}")


def whole(data: dataset.Dataset, *splits: str) -> dataset.Images:
    """Read whole splits of kind ``pixels``, one after the other."""
    parts = [batch for split in splits for batch in data.batches(split)]
    return dataset.Images(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("ids", "labels", "units", "pixels"))
    )
