"""Work on all cores, with results in order whatever the workers' timing; count cores; share a memory budget."""

import math
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# For libraries that are loaded later: OpenMP, OpenBLAS and MKL read the first, TensorFlow the others at first use.
_SETTINGS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def cores(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """Count the cores that this process may use: a container or ``taskset`` may allow fewer than the machine has.

    A container's limit (``docker run --cpus``) is a time quota of this process'
    control group or of an enclosing one; a fraction of a core counts as one core.

    Args:
        groups: where Linux lists control groups, of version 1 or 2.
        own: the file that lists those of this process.
    """
    return max(1, min(_allowed(), *(math.ceil(quota) for quota in _quotas(groups, own))))


def _allowed() -> int:
    # What libraries count on their own.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(groups: Path, own: Path) -> Iterator[float]:
    """Yield the limits, in cores; the first is so large that it limits nothing."""
    yield 2**31
    if not own.exists():
        return
    for line in own.read_text().splitlines():
        _, kinds, name = line.split(":", 2)  # in version 2 there are no kinds
        if not kinds or "cpu" in kinds.split(","):
            top = groups / "cpu" if kinds else groups
            # Within a container its group is the top one, whatever its name outside.
            for folder in {top, *(top / part for part in [Path(name.strip("/")), *Path(name.strip("/")).parents])}:
                with suppress(OSError, ValueError, ZeroDivisionError):  # no limit: no such file, "max" or -1
                    yield _quota(folder)


def _quota(folder: Path) -> float:
    if (both := folder / "cpu.max").exists():
        most, period = both.read_text().split()
    else:
        most, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
    if int(most) <= 0:
        raise ValueError
    return int(most) / int(period)


def restrain_libraries() -> None:
    """Limit libraries to ``cores`` threads where a container's quota is below the number of cores that they see.

    Otherwise each starts one thread per core of the machine, and these wait for
    each other most of the time. Lower limits that the user has set stay.
    """
    most = cores()
    if most >= _allowed():
        return
    from threadpoolctl import ThreadpoolController

    for name in _SETTINGS:
        os.environ.setdefault(name, str(most))
    for library in ThreadpoolController().lib_controllers:
        if library.num_threads > most:
            library.set_num_threads(most)
    if "cv2" in sys.modules and sys.modules["cv2"].getNumThreads() > most:
        sys.modules["cv2"].setNumThreads(most)


class Budget:
    """Bytes that all threads together may hold: a thread that would exceed it waits until others release theirs.

    Args:
        most: how many bytes; a larger item runs alone.
    """

    def __init__(self, most: int):
        self.most, self.held, self.turn = most, 0, threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold ``size`` bytes within the block."""
        size = min(size, self.most)
        with self.turn:
            self.turn.wait_for(lambda: self.held + size <= self.most)
            self.held += size
        try:
            yield
        finally:
            with self.turn:
                self.held -= size
                self.turn.notify_all()


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` in the order of ``items``, computed by threads.

    Threads are enough, since the work is done in libraries that release the
    interpreter's lock (Pillow, OpenCV, NumPy). At most two items per worker are
    in flight, so a long or endless ``items`` needs no more memory.

    Args:
        workers: how many threads; by default one per core.
    """
    workers = workers or cores()
    pending = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
