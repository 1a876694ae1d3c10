"""Results of the long benchmarks: one line a measurement in a CSV under results/, so that what was measured is skipped.

A script that was stopped goes on where it was. The tables of docs/benchmarks.md are made from
these files by tables.py.
"""

import platform
import sys
import time
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kiln.core import parallel

RESULTS = Path(__file__).parent / "results"
VECTORS = ("amx_bf16", "avx512_bf16", "avx512f", "avx2", "asimd")  # decides about the speed more than the name does


def find(table: str, **key) -> dict | None:
    """Give the newest line of a table whose columns have these values, if there is one."""
    path = RESULTS / f"{table}.csv"
    if not path.exists():
        return None
    lines = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name, value in key.items():
        lines = lines[lines[name] == str(value)]
    return None if lines.empty else lines.iloc[-1].to_dict()


def add(table: str, command: str, **line) -> None:
    """Append a line to a table, with the day, the machine and the command."""
    path = RESULTS / f"{table}.csv"
    path.parent.mkdir(exist_ok=True)
    line = {**line, "date": time.strftime("%Y-%m-%d"), "machine": machine(), "command": command}
    pd.DataFrame([line]).to_csv(path, mode="a", header=not path.exists(), index=False, lineterminator="\n")


def machine() -> str:
    """Name the processor, what it computes vectors with (the first of ``VECTORS`` that it has) and count the cores."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    vectors = [name for name in VECTORS if name in told.get("flags", told.get("Features", "")).split()]
    return ", ".join([f"{parallel.cores()} cores of {told.get('model name', platform.processor())}", *vectors[:1]])
