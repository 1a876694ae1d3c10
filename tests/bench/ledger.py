"""Results of the long benchmarks: one line a measurement in a CSV under results/, so that what was measured is skipped.

A script that was stopped goes on where it was. README's tables are made from
these files by tables.py.
"""

import os
import platform
import time
from pathlib import Path

import pandas as pd

RESULTS = Path(__file__).parent / "results"


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
    """Name the processor and count the cores."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor()}"
