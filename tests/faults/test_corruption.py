"""A bit that flips on disk or in DVC's cache, and folders that are not whole, are found by the next stage."""

import os
import shutil

import pytest
from makers.effort import ALL, full
from makers.processes import contents
from makers.projects import Project

READERS = [
    ("raw", "00000.parquet", "clean"),
    *full(
        ("clean", "train/00000.parquet", "augment"),
        ("normalized", "normalizer.json", "train"),
        ("model", "model.json", "evaluate"),
        ("model", "history.csv", "report"),
    ),
]
MORE = [
    ("raw", "manifest.json", "clean"),
    ("clean", "test/00000.parquet", "normalize"),
    ("clean", "validation/00000.parquet", "train"),
    ("clean", "test/00000.parquet", "evaluate"),
    ("clean", "measures.parquet", "evaluate"),
    ("augmented", "train/00000.parquet", "train"),
    ("augmented", "policy.json", "train"),
    ("model", "model.weights.h5", "evaluate"),
    ("evaluation", "exhibits.parquet", "report"),
    ("clean", "samples/image.png", "report"),
]


@pytest.fixture(scope="module")
def copy(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corruption") / "copy"
    return small.copy(folder)


def flip_a_bit(path) -> None:
    """Change one bit and keep size and time, as a failing disk does; JSON stays JSON."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    digits = [place for place, byte in enumerate(content) if chr(byte).isdigit()]
    content[digits[-1] if path.suffix == ".json" else len(content) * 6 // 10] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(("folder", "name", "stage"), READERS + MORE * ALL)
def test_a_flipped_bit_is_found_by_the_next_stage(copy, folder, name, stage):
    path = copy.folder / "data" / folder / name
    whole = path.read_bytes()
    flip_a_bit(path)
    refused = copy.stage(stage, check=False)
    flip_a_bit(path)
    assert path.read_bytes() == whole
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"data/{folder}" in refused.stderr and "`dvc " in refused.stderr


PARTS = ["train", *["digests.json", "manifest.json", "summary.json", "test/00000.parquet"] * ALL]


@pytest.mark.parametrize("name", PARTS)
def test_a_folder_that_is_not_whole_is_refused_with_the_command_that_rebuilds_it(copy, name):
    path = copy.folder / "data/clean" / name
    aside = copy.folder / "aside"
    path.rename(aside)
    refused = [copy.stage(stage, check=False) for stage in ("normalize", "report")]
    aside.rename(path)
    concerned = refused if name in ("digests.json", "manifest.json", "summary.json") else refused[:1]
    for done in concerned:
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "is missing" in done.stderr and "`dvc repro" in done.stderr


@pytest.mark.skipif(not ALL, reason="takes a minute: `make faults` runs it")
def test_a_partial_folder_that_was_committed_is_refused(copy, tmp_path):
    project = Project.at(shutil.copytree(copy.folder, tmp_path / "copy", symlinks=True))
    (project.folder / "data/clean/validation/00000.parquet").unlink()
    project.dvc("commit", "--force", "clean")
    refused = project.dvc("repro", check=False)
    assert refused.returncode != 0
    assert "data/clean/validation/00000.parquet is missing" in refused.stderr + refused.stdout
    expected = contents(copy.folder / "data/evaluation")
    project.dvc("repro", "--force")  # since DVC now takes what was committed for the stage's output
    assert contents(project.folder / "data/evaluation") == expected
