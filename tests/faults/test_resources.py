"""No disk, no rights, no memory, no file handles: one sentence, and what was there is still there."""

import re
import shutil
import subprocess
import sys

import pytest
from makers.effort import ALL, full
from makers.processes import contents
from makers.projects import STAGES, Project

FOLDERS = dict(zip(STAGES, ("raw", "clean", "augmented", "normalized", "model", "evaluation"), strict=False))
OWN_MOUNTS = ("unshare", "--mount", "--map-root-user")


def can_mount() -> bool:
    try:
        return (
            subprocess.run([*OWN_MOUNTS, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
        )
    except FileNotFoundError:
        return False


needs_mounts = pytest.mark.skipif(not can_mount(), reason="a small file system of one's own cannot be mounted here")

# data/, metrics/ and the folder for temporary files lie on a file system with little
# room; after the stage it gets more, so that what is left in it can be told.
SCRIPT = """
set -e
mkdir room && mount -t tmpfs -o size=512m none room
cp -a data metrics room && mkdir room/tmp
mount --bind room/data data && mount --bind room/metrics metrics
export TMPDIR="$PWD/room/tmp"
used=$(df -k --output=used room | tail -1)
mount -o remount,size=$((used + FREE_KB))k room
THEN
set +e
PYTHON -m stages.STAGE
code=$?
mount -o remount,bind,rw data && mount -o remount,bind,rw metrics && mount -o remount,size=512m room
cp -a OUTPUT left
find data metrics -name '.*.partial' > half-made
exit $code
"""


@pytest.fixture
def copy(small, tmp_path):
    """A copy of the reproduced project without DVC's cache."""
    return Project.at(shutil.copytree(small.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("cache")))


def run_with_little_room(project, stage: str, free_kb: int, then: str = ":") -> subprocess.CompletedProcess:
    """Run a stage; ``left`` is then a copy of its output folder, ``half-made`` lists what it did not finish."""
    script, output = SCRIPT, "metrics" if stage == "report" else f"data/{FOLDERS[stage]}"
    values = {"FREE_KB": free_kb, "THEN": then, "PYTHON": sys.executable, "STAGE": stage, "OUTPUT": output}
    for name, value in values.items():
        script = script.replace(name, str(value))
    before = contents(project.folder / output)
    done = project.run(*OWN_MOUNTS, "sh", "-c", script, check=False)
    assert contents(project.folder / "left") == before
    assert (project.folder / "half-made").read_text() == ""
    return done


def told(done: subprocess.CompletedProcess, stage: str) -> str:
    """The one sentence of a stage that failed."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"{stage}: ")
    return last


def outputs(project) -> dict[str, str]:
    return {name: digest for name, digest in contents(project.folder / "data").items() if not name.endswith(".lock")}


@needs_mounts
@pytest.mark.parametrize("stage", STAGES if ALL else ["clean", *full("train")])
def test_a_full_disk_is_one_sentence_and_the_old_output_stays(copy, stage):
    sentence = told(run_with_little_room(copy, stage, free_kb=4), stage)
    assert re.search("the disk is full: free some space|but its disk has only .* MB left: free some space", sentence)


@needs_mounts
@pytest.mark.parametrize("stage", ["clean", "train", "report"] if ALL else full("report"))
def test_a_read_only_folder_is_one_sentence(copy, stage):
    where = "metrics" if stage == "report" else "data"
    done = run_with_little_room(copy, stage, 99999, then=f"mount -o remount,bind,ro {where}")
    assert "the file system is read-only: work in a writable folder" in told(done, stage)


@pytest.mark.parametrize("stage", ["fetch", "clean", "train", "evaluate"] if ALL else ["clean"])
def test_out_of_file_handles_is_one_sentence(copy, stage):
    before = outputs(copy)
    script = f"""
import os, resource
from stages import {stage} as module
from kiln.core import entry
def main():
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, max(held) + 1))
    module.main()
entry.run(main, "{stage}", module.OUTPUT)
"""
    done = copy.run(sys.executable, "-c", script, check=False)
    assert "too many open files: raise the limit with `ulimit -n 4096`" in told(done, stage)
    assert outputs(copy) == before


@pytest.mark.parametrize("stage", ["clean", "augment", "normalize"] if ALL else ["normalize"])
def test_out_of_memory_is_one_sentence(copy, stage):
    script = f"""
import resource
from pathlib import Path
from stages import {stage} as module
from kiln.core import entry
from kiln.modalities import registry
registry.get("image")  # loads libraries, which do not say why they cannot be mapped
def main():
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**18, used + 2**18))
    module.main()
entry.run(main, "{stage}", module.OUTPUT)
"""
    done = copy.run(sys.executable, "-c", script, check=False)
    assert "out of memory: use smaller samples or batches, or a larger machine" in told(done, stage)


@pytest.mark.full
@pytest.mark.parametrize("megabytes", [1, 10, 100] if ALL else [100])
def test_out_of_memory_within_tensorflow_ends_in_a_sentence(copy, megabytes):
    # Not before it has all its threads: it may wait for ever for one that the limit keeps it from starting.
    script = f"""
import resource
from pathlib import Path
import numpy as np
from kiln.networks.backend import keras
from stages import train
from kiln.core import entry
from kiln.training import loop
step = loop.Run._train_step
def starved(run, values, *targets_and_weights):
    batch = [values, *targets_and_weights]
    if run.step == 2:
        batch = keras.tree.map_structure(lambda array: np.repeat(array, 1000, axis=0), batch)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + {megabytes}_000_000,) * 2)
    step(run, *batch)
loop.Run._train_step = starved
entry.run(train.main, "train", train.OUTPUT)
"""
    before = contents(copy.folder / "data/model")
    done = copy.run(sys.executable, "-c", script, check=False)
    assert done.returncode != 0
    # TensorFlow may raise an error, or end the process and leave the last word to its witness.
    last = done.stderr.splitlines()[-1]
    assert last.startswith("train: ") and last.endswith("use smaller samples or batches, or a larger machine")
    assert contents(copy.folder / "data/model") == before
