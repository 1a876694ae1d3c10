import os
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from makers.projects import ROOT
from threadpoolctl import ThreadpoolController, threadpool_limits

from kiln.core import parallel


def test_ordered_map_keeps_the_order_and_runs_ahead_only_a_little():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = parallel.ordered_map(lambda number: number * 2, items(), workers=3)
    assert next(results) == 0
    assert len(taken) <= 6
    assert list(results) == list(range(2, 200, 2))


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "250000 100000"}, 3),
        ("0::/\n", {"cpu.max": "max 100000"}, 8),
        ("0::/\n", {"cpu.max": "1000 100000"}, 1),
        ("0::/\n", {"cpu.max": "9900000 100000"}, 8),
        ("0::/pod/one\n", {"cpu.max": "400000 100000", "pod/cpu.max": "200000 100000", "pod/one/cpu.max": "max 1"}, 2),
        ("0::/pod/one\n", {"cpu.max": "300000 100000"}, 3),  # seen from within, where that is no folder
        ("0::/\n", {"cpu.max": "a damaged file"}, 8),
        (
            "5:memory:/box\n4:cpu,cpuacct:/box\n",
            {"cpu/box/cpu.cfs_quota_us": "150000", "cpu/box/cpu.cfs_period_us": "50000"},
            3,
        ),
        ("4:cpu:/box\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("5:memory:/\n", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 8),
        (None, {}, 8),
    ],
)
def test_cores_are_those_that_the_container_allows(tmp_path, monkeypatch, own, files, expected):
    monkeypatch.setattr(parallel, "_allowed", lambda: 8)
    if own is not None:
        (tmp_path / "own").write_text(own)
    for name, content in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(content)
    assert parallel.cores(tmp_path / "groups", tmp_path / "own") == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_cores_are_those_that_taskset_leaves():
    one = min(os.sched_getaffinity(0))
    script = f"import os; os.sched_setaffinity(0, [{one}]); from kiln.core import parallel; print(parallel.cores())"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True).stdout == "1\n"


def test_nothing_counts_cores_by_itself():
    for path in [*(ROOT / "stages").rglob("*.py"), *(ROOT / "tests/bench").glob("*.py")]:
        counted = any(word in path.read_text() for word in ("cpu_count", "sched_getaffinity"))
        assert counted == (path.name == "parallel.py"), path


@pytest.fixture
def threads(monkeypatch):
    """Four threads a library, whatever the machine; gives a function that counts those of each."""
    before = cv2.getNumThreads()
    np.ones((2, 2)) @ np.ones((2, 2))
    for name in parallel._SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(parallel, "_allowed", lambda: 4)
    with threadpool_limits(4):
        cv2.setNumThreads(4)
        yield lambda: {one.num_threads for one in ThreadpoolController().lib_controllers} | {cv2.getNumThreads()}
    cv2.setNumThreads(before)


@pytest.mark.parametrize(("quota", "expected"), [(2, 2), (4, 4), (1, 1)])
def test_libraries_keep_to_the_quota_that_they_do_not_see(monkeypatch, threads, quota, expected):
    monkeypatch.setattr(parallel, "cores", lambda: quota)
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "7")
    parallel.restrain_libraries()
    assert threads() == {expected}
    assert os.environ.get("OMP_NUM_THREADS") == (None if quota == 4 else str(quota))
    assert os.environ["TF_NUM_INTEROP_THREADS"] == "7"


def test_what_is_lower_than_the_quota_stays(monkeypatch, threads):
    monkeypatch.setattr(parallel, "cores", lambda: 3)
    with threadpool_limits(2):
        cv2.setNumThreads(2)
        parallel.restrain_libraries()
        assert threads() == {2}


def test_threads_together_hold_no_more_than_the_budget():
    budget, most = parallel.Budget(100), []

    def work(size):
        with budget.hold(size):
            most.append(budget.held)
            time.sleep(0.002)

    sizes = [10, 60, 500, 30, 100, 1] * 10
    list(parallel.ordered_map(work, sizes, workers=8))
    assert len(most) == 60 and max(most) == 100
    assert budget.held == 0


def test_small_ones_go_together_and_a_failure_gives_back():
    budget, together = parallel.Budget(100), threading.Barrier(4)

    def work(_):
        with budget.hold(25):
            together.wait(timeout=20)  # as long as all four are in

    list(parallel.ordered_map(work, range(8), workers=4))
    with pytest.raises(KeyError), budget.hold(100):
        raise KeyError
    assert budget.held == 0
