"""The unit of the benches' peak memory."""

import resource
import sys


def megabytes(maxrss: float) -> float:
    """Give in MB (10^6 bytes) what ``resource`` counts in bytes on macOS and in KiB elsewhere."""
    return maxrss / 1e6 if sys.platform == "darwin" else maxrss * 1024 / 1e6


def peak() -> float:
    """Give this process' peak resident memory in MB."""
    return megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
