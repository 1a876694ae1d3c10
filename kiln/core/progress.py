"""Progress for people: a bar on a terminal, elsewhere a line every ten seconds."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10


def track(
    items: Iterable[Item], what: str, total: int | None = None, unit: str = "samples", size=lambda item: 1
) -> Iterator[Item]:
    """Yield ``items`` unchanged and show the progress on standard error.

    Args:
        items: anything iterable, consumed lazily.
        what: the work, in a word or two.
        total: how many units in all, where known.
        unit: name of what is counted.
        size: item -> how many units it holds.
    """
    if sys.stderr.isatty():
        with tqdm(desc=what, total=total, unit=f" {unit}", leave=False, delay=1) as bar:
            for item in items:
                yield item
                bar.update(size(item))
        return
    done, last = 0, time.monotonic()
    for item in items:
        yield item
        done += size(item)
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            share = f" of {total:,} ({done / total:.0%})" if total else ""
            print(f"{what}: {done:,}{share} {unit}", file=sys.stderr, flush=True)
