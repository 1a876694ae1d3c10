"""Whatever is killed, whenever: the next run ends as one that was never disturbed."""

import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from makers.effort import ALL, full
from makers.processes import alive, broken_cache_files, contents, kill, stages_in, start, wait_for
from makers.projects import STAGES

from kiln.training import checkpoint

OUTPUTS = dict(zip(STAGES, ("raw", "clean", "augmented", "normalized", "model", "evaluation"), strict=False))


# Fixture of a reproduced project -> epochs of a training that takes seconds.
KINDS = {"small": 300, "small_texts": 100}


@pytest.fixture(params=["small", *full("small_texts")])
def reproduced(request, tmp_path):
    """A copy of the reproduced project, of images or of texts, cache and all."""
    return request.getfixturevalue(request.param).copy(tmp_path / "copy")


@pytest.fixture(scope="module", params=KINDS)
def long_once(request, tmp_path_factory):
    project = request.getfixturevalue(request.param).copy(tmp_path_factory.mktemp("long") / "project")
    project.set(train__epochs=KINDS[request.param])
    project.dvc("repro", "train")
    return project


@pytest.fixture
def long(long_once, tmp_path):
    """A copy of a project whose training takes seconds, reproduced as far as that."""
    return long_once.copy(tmp_path / "copy")


def output(project) -> str:
    return (project.folder / "output.log").read_text()


@pytest.mark.full
def test_training_that_is_killed_at_random_moments_ends_as_if_it_had_not_been(long):
    folder, draw = long.folder, np.random.default_rng(7)
    expected = contents(folder / "data/model")
    kills, resumed = 0, 0
    rounds = 30 if ALL else 3
    while kills < rounds:
        shutil.rmtree(folder / "data/model", ignore_errors=True)  # as DVC does before it runs a stage
        process = start(long, sys.executable, "-m", "stages.train")
        # Half of them while it trains for certain, half of them at any moment, its start included.
        if kills % 2 == 0:
            seen = output(long).count("epoch ")
            wait_for(lambda: output(long).count("epoch ") > seen or process.poll() is not None)  # noqa: B023
        ended = kill(process, draw.uniform(0, 4))
        process.wait()
        if ended is None:
            kills += 1
            assert not (folder / "data/model/model.json").exists() or contents(folder / "data/model") == expected
        else:
            assert ended == 0, output(long)
            assert contents(folder / "data/model") == expected
    long.stage("train")
    assert contents(folder / "data/model") == expected
    resumed = output(long).count("resuming an interrupted training after epoch")
    assert resumed >= rounds // 3
    assert not list((folder / checkpoint.FOLDER).glob("*"))


def stop(project, number: signal.Signals) -> str:
    """Ask a training to stop once it has begun; returns after which step it says that it did."""
    shutil.rmtree(project.folder / "data/model")
    process = start(project, sys.executable, "-m", "stages.train")
    wait_for(lambda: "epoch " in output(project))
    process.send_signal(number)
    assert process.wait(timeout=10) == 128 + number
    said = output(project).splitlines()
    assert said[-1] == f"train: stopped by {number.name}; its output was not published"
    assert said[-2].startswith("train: checkpoint saved after epoch")
    assert "Traceback" not in output(project)
    assert not (project.folder / "data/model").exists()
    return re.search(r"after epoch \d+, step \d+", said[-2])[0]


def test_a_training_that_is_asked_to_stop_says_one_line_and_publishes_nothing(reproduced):
    reproduced.set(train__epochs=60)
    stop(reproduced, signal.SIGTERM)


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT] if ALL else [signal.SIGINT])
def test_a_training_that_is_asked_to_stop_keeps_its_last_step(long, number):
    expected = contents(long.folder / "data/model")
    kept = stop(long, number)
    assert f"train: resuming an interrupted training {kept}\n" in long.stage("train").stderr
    assert contents(long.folder / "data/model") == expected


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "train"] if ALL else ["clean"])
def test_a_stage_that_is_killed_leaves_its_old_output_or_the_new_one(reproduced, stage):
    folder, draw = reproduced.folder, np.random.default_rng(len(stage))
    place = folder / "metrics" if stage == "report" else folder / "data" / OUTPUTS[stage]
    expected = contents(place)
    for _ in range(10 if ALL else 1):
        process = start(reproduced, sys.executable, "-m", f"stages.{stage}")
        kill(process, draw.uniform(0.2, 6 if stage in ("evaluate", "report", "clean") else 1.5))
        process.wait()
        assert contents(place) == expected  # the new one is the same, bit for bit
    reproduced.stage(stage)
    assert contents(place) == expected
    assert not [path for path in folder.glob("*/.*.partial") if path.parent.name == "data"]
    wait_for(lambda: not stages_in(folder), 20)  # the report's kernel ends by itself


@pytest.mark.full
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM] if ALL else [signal.SIGKILL])
def test_a_stage_ends_with_the_dvc_that_started_it(long, number):
    folder = long.folder
    expected = contents(folder / "data/model")
    lock = (folder / "dvc.lock").read_bytes()
    process = start(long, "dvc", "repro", "--force", "--single-item", "train")
    wait_for(lambda: "epoch " in output(long))
    (stage,) = stages_in(folder)
    process.send_signal(number)
    process.wait()
    wait_for(lambda: not alive(stage), 10)
    assert "train: stopped by SIGTERM" in output(long)  # and did not just come to its end
    done = long.dvc("repro", "train")
    assert done.returncode == 0
    assert contents(folder / "data/model") == expected
    assert (folder / "dvc.lock").read_bytes() == lock
    assert broken_cache_files(long) == []


@pytest.mark.skipif(not ALL, reason="takes minutes: `make faults` runs it")
def test_dvc_that_is_killed_at_random_moments_loses_nothing(reproduced):
    folder, draw = reproduced.folder, np.random.default_rng(11)
    lock, expected = (folder / "dvc.lock").read_bytes(), contents(folder / "data/model")
    shutil.rmtree(folder / ".dvc/cache/runs")
    started = time.monotonic()
    reproduced.dvc("repro", "--force")
    whole = time.monotonic() - started
    for _ in range(10):
        process = start(reproduced, "dvc", "repro", "--force")
        kill(process, draw.uniform(0.5, whole))
        process.wait()
        wait_for(lambda: not stages_in(folder), 20)
        assert broken_cache_files(reproduced) == []
        # DVC writes its lock in place, and a kill may cut it off.
        reproduced.kiln("doctor", "--quick", "--fix", check=False)
    reproduced.dvc("repro")
    assert (folder / "dvc.lock").read_bytes() == lock
    assert contents(folder / "data/model") == expected
    assert "up to date" in reproduced.dvc("status").stdout


def test_the_parent_that_died_before_the_stage_could_ask_is_noticed(reproduced):
    """DVC's list of writers names the process that was its parent; the new one is not in it."""
    (folder := reproduced.folder / ".dvc/tmp").mkdir(exist_ok=True)
    (folder / "rwlock").write_text('{"write": {"data/raw": {"pid": 1234567, "cmd": "dvc repro"}}, "read": {}}')
    environment = {**reproduced.environment, "DVC_STAGE": "fetch"}
    command = [sys.executable, "-m", "stages.fetch"]
    ended = subprocess.run(command, cwd=reproduced.folder, env=environment, capture_output=True, text=True)
    assert ended.returncode == 143
    assert ended.stderr == "fetch: stopped by SIGTERM; its output was not published\n"
    reproduced.stage("fetch")  # by hand, it has no such parent


@pytest.mark.full
def test_a_search_that_is_asked_to_stop_leaves_git_on_its_branch(small, tmp_path):
    project = small.copy(tmp_path / "copy")
    project.set(train__epochs=5000)
    project.commit("a long training")
    process = start(project, sys.executable, "-m", "kiln", "search", "train.lr=0.001..0.01", "--trials", "1")
    wait_for(lambda: any("stages.train" in part for one in stages_in(project.folder) for part in one.cmdline()))
    time.sleep(5)  # so that it trains
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert not stages_in(project.folder)
    assert project.run("git", "branch", "--show-current").stdout.strip() == "main"
    assert project.run("git", "status", "--porcelain", "--untracked-files=no").stdout == ""
    # What DVC would take for HEAD from then on.
    left = [f"refs/exps/exec/{name}" for name in ("EXEC_BASELINE", "EXEC_MERGE", "EXEC_BRANCH")]
    assert project.run("git", "for-each-ref", *left).stdout == ""


@pytest.mark.full
def test_a_killed_benchmark_takes_its_stage_with_it(project):
    bench = start(project, sys.executable, "tests/bench/recipe.py")
    wait_for(lambda: list(project.folder.glob("tests/bench/scratch/*/data/.clean.lock")))  # clean runs, for seconds
    (scratch,) = project.folder.glob("tests/bench/scratch/*")
    assert stages_in(scratch)
    kill(bench, 0)
    bench.wait()
    wait_for(lambda: not stages_in(scratch))
    assert "clean: stopped by SIGTERM" in output(project)
