"""Layout of values that are arrays of one shape, in memory, in Parquet and on disk."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa


@dataclass(frozen=True)
class ArrayStorage:
    """Values that are arrays of one shape, stored as fixed-size binary in C order."""

    shape: tuple[int, ...]
    dtype: type

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of one value."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def column(self) -> pa.DataType:
        """The Parquet column's type."""
        return pa.binary(self.bytes_per_sample)

    def empty(self, count: int) -> np.ndarray:
        """Allocate: [count, *shape]."""
        return np.empty((count, *self.shape), self.dtype)

    def stack(self, values: Sequence[np.ndarray | None]) -> np.ndarray:
        """Put values into one array; None becomes zeros."""
        stacked = np.zeros((len(values), *self.shape), self.dtype)
        for row, value in enumerate(values):
            if value is not None:
                stacked[row] = value
        return stacked

    def pack(self, values: np.ndarray) -> pa.Array:
        """Convert to a column, without a copy if the values are in C order."""
        buffer = pa.py_buffer(np.ascontiguousarray(values, self.dtype))
        return pa.Array.from_buffers(self.column, len(values), [None, buffer])

    def unpack(self, column: pa.ChunkedArray) -> np.ndarray:
        """Convert from a column, without a copy if it is one chunk."""
        array = column.combine_chunks()
        width = self.bytes_per_sample
        flat = np.frombuffer(array.buffers()[1], np.uint8, len(array) * width, array.offset * width)
        return flat.view(self.dtype).reshape(len(array), *self.shape)

    def spool(self, values: np.ndarray, file) -> None:
        """Append to a file; not by ``tofile``, whose errors do not name their cause."""
        file.write(np.ascontiguousarray(values))

    def open_spool(self, path: Path, count: int) -> np.ndarray:
        """Map a file of ``count`` values into memory, read only."""
        return np.memmap(path, self.dtype, "r", shape=(count, *self.shape))

    def draw(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Draw integers over the whole range of the dtype: [count, *shape]."""
        ends = np.iinfo(self.dtype)
        return generator.integers(ends.min, ends.max, (count, *self.shape), self.dtype, endpoint=True)
