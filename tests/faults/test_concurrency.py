"""Several at once: one result, no mixture."""

import shutil

import pytest
from makers.effort import ALL
from makers.processes import alive, broken_cache_files, contents, stages_in, start, wait_for
from makers.projects import Project


@pytest.fixture
def reproduced(small, tmp_path):
    """A copy of the reproduced project, cache and all."""
    return small.copy(tmp_path / "copy")


def output(project) -> str:
    return (project.folder / "output.log").read_text()


@pytest.mark.skipif(not ALL, reason="takes a minute: `make faults` runs it")
def test_two_repros_at_once_give_one_result(reproduced):
    folder = reproduced.folder
    expected, lock = contents(folder / "data"), (folder / "dvc.lock").read_bytes()
    both = [start(reproduced, "dvc", "repro", "--force", "--downstream", "train") for _ in range(2)]
    codes = [process.wait() for process in both]
    assert 0 in codes, output(reproduced)
    if any(codes):  # refused by DVC, and said so
        assert "lock" in output(reproduced)
    assert "Traceback" not in output(reproduced)
    reproduced.dvc("repro")
    assert without_locks(contents(folder / "data")) == without_locks(expected)
    assert (folder / "dvc.lock").read_bytes() == lock
    assert broken_cache_files(reproduced) == []


def without_locks(found: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in found.items() if not name.endswith(".lock")}


@pytest.mark.skipif(not ALL, reason="takes a minute: `make faults` runs it")
def test_a_repro_beside_an_experiment_in_a_folder_of_its_own(reproduced):
    folder = reproduced.folder
    expected, lock = contents(folder / "data/model"), (folder / "dvc.lock").read_bytes()
    trial = ["dvc", "exp", "run", "--temp", "--name", "beside", "-S", "train.epochs=2", "-S", "train.lr=0.01"]
    experiment = start(reproduced, *trial)
    wait_for(lambda: "Running stage 'train'" in output(reproduced))
    done = reproduced.dvc("repro", "--force", "--single-item", "train", check=False)
    assert experiment.wait() == 0, output(reproduced)
    assert done.returncode == 0, done.stderr
    assert contents(folder / "data/model") == expected
    assert (folder / "dvc.lock").read_bytes() == lock
    assert "beside" in reproduced.dvc("exp", "show", "--csv").stdout
    assert broken_cache_files(reproduced) == []


@pytest.mark.skipif(not ALL, reason="takes a minute: `make faults` runs it")
def test_two_clones_on_one_cache(reproduced, tmp_path):
    lock = (reproduced.folder / "dvc.lock").read_bytes()
    shutil.rmtree(reproduced.folder / ".dvc/cache/runs")
    clones = []
    for name in ("one", "two"):
        reproduced.run("git", "clone", "-q", reproduced.folder, tmp_path / name)
        clone = Project.at(tmp_path / name)
        clone.dvc("cache", "dir", "--local", str(reproduced.folder / ".dvc/cache"))
        clones.append(clone)
    processes = [start(clone, "dvc", "repro", "--force") for clone in clones]
    for process, clone in zip(processes, clones, strict=True):
        assert process.wait() == 0, output(clone)
        assert (clone.folder / "dvc.lock").read_bytes() == lock
    assert contents(clones[0].folder / "data/model") == contents(clones[1].folder / "data/model")
    assert broken_cache_files(reproduced) == []
    assert not [process for clone in clones for process in stages_in(clone.folder) if alive(process)]
