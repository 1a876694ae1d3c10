"""Random numbers that depend on their purpose alone, never on order or workers.

A key is a uint64 made from (seed, purpose, item id, ...). Draws are a counter
hashed with the key: the finaliser of SplitMix64 (Steele, Lea and Flood,
"Fast splittable pseudorandom number generators", OOPSLA 2014).
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from pandas.util import hash_array

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _scramble(value: np.ndarray) -> np.ndarray:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def item_keys(ids: Sequence[str]) -> np.ndarray:
    """One uint64 per id, the same on every machine: [N]."""
    return hash_array(np.asarray(ids, dtype=object), categorize=False)


def key(*parts: int | str | np.ndarray) -> np.ndarray:
    """Combine seeds, names and arrays of keys into keys.

    Args:
        parts: non-negative integers, strings, or uint64 arrays of one shape.

    Returns:
        uint64, of the arrays' shape ([] where there are none).
    """
    combined = np.zeros((), np.uint64)
    for part in parts:
        if isinstance(part, str):
            part = int.from_bytes(hashlib.sha256(part.encode()).digest()[:8], "little")
        with np.errstate(over="ignore"):
            combined = _scramble((combined + _GOLDEN) ^ np.asarray(part, np.uint64))
    return combined


def uniform(keys: np.ndarray, draws: int) -> np.ndarray:
    """Draw uniform numbers for each key.

    Args:
        keys: uint64 [N].
        draws: how many numbers per key.

    Returns:
        float64 [N, draws] in [0, 1).
    """
    counter = np.arange(1, draws + 1, dtype=np.uint64) * _GOLDEN
    return (_scramble(keys[:, None] + counter) >> np.uint64(11)) * 2.0**-53


def generator(*parts: int | str) -> np.random.Generator:
    """Create a NumPy generator for one purpose, seeded by ``key(*parts)``."""
    return np.random.Generator(np.random.Philox(key=int(key(*parts))))
