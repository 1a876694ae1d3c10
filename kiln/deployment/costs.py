"""Measure a trained model on this machine: start-up time, memory, latency, throughput.

There is one process per number of threads, since libraries fix their threads at
start. The processes compute in turn, one at a time, so that other load on the
machine affects all of them equally.
"""

import contextlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kiln.core import entry, parallel

BATCHES = (1, 32, 256)
STARTS = 3
SECONDS = 0.3  # per round with one batch size, at least one batch
# OpenMP (PyTorch), and TensorFlow's two thread pools. JAX ignores all of them.
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


@dataclass
class Costs:
    """The measurements with one number of threads.

    Attributes:
        starts: seconds from the start of Python to the first prediction, per start.
        batches: batch size -> seconds per batch, one value per round.
        peak: highest memory use in bytes.
    """

    starts: list[float] = field(default_factory=list)
    batches: dict[int, list[float]] = field(default_factory=dict)
    peak: int = 0


@contextlib.contextmanager
def _started(folder: Path, threads: int, starts: list[float]) -> Iterator[tuple[subprocess.Popen, dict]]:
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", __name__, os.fspath(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C ends only the parent, which closes this process's input and so ends it too
        env={**os.environ, **dict.fromkeys(THREADS, str(threads))},
    ) as process:
        about = _answer(process)
        starts.append(time.perf_counter() - begin)
        yield process, about


def _answer(process: subprocess.Popen) -> dict:
    if not (line := process.stdout.readline()):
        sys.exit(process.wait() or 1)  # it has printed why
    return json.loads(line)


def measure(folder: Path, rounds: int) -> tuple[dict, dict[int, Costs]]:
    """Measure a model with one thread and with all cores.

    Args:
        folder: of the model.
        rounds: number of measurements per batch size.

    Returns:
        The model's parameters, multiply_adds (per sample), bytes (on disk), and largest
        (samples per batch, at most); and number of threads -> costs.
    """
    measured = {threads: Costs() for threads in sorted({1, parallel.cores()})}
    for _ in range(STARTS - 1):
        for threads, costs in measured.items():
            with _started(folder, threads, costs.starts):
                pass
    with contextlib.ExitStack() as stack:
        processes = {}
        for threads, costs in measured.items():
            processes[threads], about = stack.enter_context(_started(folder, threads, costs.starts))
        sizes = sorted({min(size, about["largest"]) for size in BATCHES})
        for size in [size for _ in range(rounds) for size in sizes]:
            for threads, costs in measured.items():
                print(size, file=processes[threads].stdin, flush=True)
                answer = _answer(processes[threads])
                costs.batches.setdefault(size, []).append(answer["seconds"])
                costs.peak = answer["peak"]
    return {**about, "bytes": sum(path.stat().st_size for path in folder.iterdir())}, measured


def lay_out(about: dict, measured: dict[int, Costs]) -> str:
    """Format the result of ``measure`` as a table: medians, with the lowest and highest value in brackets."""

    def cell(values: list[float], digits: int) -> str:
        median, low, high = (f"{of(values):,.{digits}f}" for of in (statistics.median, min, max))
        return f"{median} ({low} to {high})"

    rows = [
        ("", *(f"{threads} thread{'s' * (threads > 1)}" for threads in measured)),
        ("start to first prediction, s", *(cell(costs.starts, 2) for costs in measured.values())),
        ("peak memory, MB", *(f"{costs.peak / 1e6:,.0f}" for costs in measured.values())),
    ]
    for size in measured[1].batches:
        times = [costs.batches[size] for costs in measured.values()]
        if size == 1:
            rows.append(("batch 1, ms per sample", *(cell([1000 * seconds for seconds in row], 2) for row in times)))
        else:
            label = f"batch {size}, samples per second"
            rows.append((label, *(cell([size / seconds for seconds in row], 0) for row in times)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    head = f"{about['parameters']:,} parameters, {about['multiply_adds']:,} multiply-adds per sample, "
    return "\n".join([f"{head}{about['bytes'] / 1e6:.2f} MB on disk", "", *lines])


def serve(folder: Path) -> None:
    """Load a model; for each batch size on standard input, print the median seconds per batch and the peak memory."""
    from kiln.networks import artifact, prediction
    from kiln.networks.costs import multiply_adds

    classifier = artifact.load(folder)
    generator = np.random.default_rng(0)

    def median(size: int, seconds: float) -> float:
        values = {name: part.storage.draw(generator, size) for name, part in classifier.parts.items()}
        classifier.model.predict_on_batch(
            classifier.encode(values)
        )  # not timed: the first batch of a new size is compiled
        times, end = [], time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            classifier.model.predict_on_batch(classifier.encode(values))
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    median(1, 0)
    about = {"parameters": classifier.model.count_params(), "multiply_adds": multiply_adds(classifier.model)}
    print(json.dumps({**about, "largest": prediction.batch_size(classifier.model)}), flush=True)
    for line in sys.stdin:
        seconds = median(int(line), SECONDS)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        print(json.dumps({"seconds": seconds, "peak": peak}), flush=True)


if __name__ == "__main__":
    entry.run(lambda: serve(Path(sys.argv[1])), "benchmark")
