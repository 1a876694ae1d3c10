"""Work on all cores with the results in order, whatever the workers' timing."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int | None = None
) -> Iterator[Result]:
    """Yield ``function(item)`` in the order of ``items``, computed by threads.

    Threads serve, since the work is done in libraries that release the
    interpreter's lock (Pillow, OpenCV, NumPy). At most two items a worker are
    under way, so a long or endless ``items`` needs no more memory.

    Args:
        workers: how many threads; by default one a core.
    """
    workers = workers or os.cpu_count() or 1
    pending = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) >= 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
