"""Layout of values that are strings, in memory, in Parquet and on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

# What a string takes in memory besides its characters: its header, and the pointer to it.
_OVERHEAD = 64
_COLUMN = "text"


@dataclass(frozen=True)
class TextStorage:
    """Values that are strings: an object array [N].

    Attributes:
        bytes: mean length in UTF-8.
    """

    bytes: int

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of a string of mean length."""
        return self.bytes + _OVERHEAD

    @property
    def column(self) -> pa.DataType:
        """The Parquet column's type: of 64-bit offsets, so that long texts fit."""
        return pa.large_string()

    def empty(self, count: int) -> np.ndarray:
        """Allocate: [count]."""
        return np.full(count, "", object)

    def stack(self, values: Sequence[str | None]) -> np.ndarray:
        """Put strings into one array; None becomes an empty one."""
        stacked = self.empty(len(values))
        stacked[:] = ["" if value is None else value for value in values]
        return stacked

    def pack(self, values: np.ndarray) -> pa.Array:
        """Convert to a column."""
        return pa.array(values, self.column)

    def unpack(self, column: pa.ChunkedArray) -> np.ndarray:
        """Convert from a column."""
        return column.to_numpy(zero_copy_only=False)

    def spool(self, values: np.ndarray, file) -> None:
        """Append to a file, as one stream of Arrow."""
        batch = pa.record_batch({_COLUMN: self.pack(values)})
        with pa.ipc.new_stream(file, batch.schema) as writer:
            writer.write_batch(batch)

    def open_spool(self, path: Path, count: int) -> "SpooledTexts":
        """Map a file of ``count`` strings into memory, read only."""
        chunks = []
        with pa.memory_map(str(path)) as file:
            while file.tell() < file.size():
                chunks += pa.ipc.open_stream(file).read_all()[_COLUMN].chunks
        texts = SpooledTexts(pa.chunked_array(chunks, self.column))
        if len(texts) != count:
            raise ValueError(f"{path.name} holds {len(texts)} texts, not {count}")
        return texts

    def draw(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Draw strings of mean length, of words of five random letters."""
        letters = generator.integers(ord("a"), ord("z") + 1, (count, self.bytes), np.uint8)
        letters[:, 5::6] = ord(" ")
        return self.stack([row.tobytes().decode() for row in letters])


class SpooledTexts:
    """Strings on disk that are read as an object array [N] is; only those asked for are in memory."""

    dtype = np.dtype(object)

    def __init__(self, column: pa.ChunkedArray):
        self._column = column

    @property
    def shape(self) -> tuple[int]:
        """(N,)."""
        return (len(self),)

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, rows):
        """Read one string by its number, or an object array of them by a slice or array of numbers or booleans."""
        if isinstance(rows, int | np.integer):
            return self._column[int(rows)].as_py()
        if isinstance(rows, slice) and rows.step in (None, 1):
            return self._column[rows].to_numpy(zero_copy_only=False)
        return self._column.take(pa.array(np.arange(len(self))[rows])).to_numpy(zero_copy_only=False)
