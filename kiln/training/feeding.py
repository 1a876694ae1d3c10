"""Batches of samples from Parquet shards: from memory if the splits fit, otherwise streamed.

The choice depends only on params and data, never on the machine, so that the
same params give the same batches everywhere.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from kiln.core import parallel, randomness
from kiln.core.errors import UserError
from kiln.modalities.base import lengths
from kiln.networks.registry import Encoders, encode
from kiln.store import dataset

SORTED = 50  # batches whose samples are sorted by length at a time: enough that they need little padding


@dataclass(frozen=True)
class Batch:
    """Samples: keys (hashes of the ids) uint64 [N], labels int32 [N], and part -> values [N, ...]."""

    keys: np.ndarray
    labels: np.ndarray
    parts: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows) -> "Batch":
        values = {name: array[rows] for name, array in self.parts.items()}
        return Batch(self.keys[rows], self.labels[rows], values)


def join(batches: Sequence[Batch]) -> Batch:
    """Concatenate batches."""
    keys, labels = (np.concatenate([getattr(batch, name) for batch in batches]) for name in ("keys", "labels"))
    parts = {name: np.concatenate([batch.parts[name] for batch in batches]) for name in batches[0].parts}
    return Batch(keys, labels, parts)


def equal_sizes(rows: int, most: int) -> list[int]:
    """Divide an epoch into the fewest batches of at most ``most`` samples, with sizes that differ by at most one.

    A short last batch would count as a full step for the optimiser and would distort
    the moving statistics of batch normalisation just before validation.

    Args:
        rows: samples, 1 or more.
        most: samples per batch, 1 or more.

    Returns:
        The sizes, largest first.
    """
    number = math.ceil(rows / most)
    size, larger = divmod(rows, number)
    return [size + 1] * larger + [size] * (number - larger)


class Feed:
    """The samples of one or several splits, in batches.

    Args:
        splits: (dataset of kind ``clean``, split), all of the same parts and classes.
        memory: GiB that the values may take. Larger sets are streamed: row groups
            in random order, a window of them at a time, shuffled within the window.
            Two windows are read ahead, so each takes at most a third of this.
        encoders: from ``registry.make_encoders``.

    Raises:
        UserError: the splits differ in classes or parts.
    """

    def __init__(
        self, splits: Sequence[tuple[dataset.Dataset, str]], memory: float, encoders: Encoders = MappingProxyType({})
    ):
        first = splits[0][0]
        self.encoders = encoders
        self.parts, self.classes = first.parts, len(first.classes)
        self.groups = [group for data, split in splits for group in data.row_groups(split)]
        for data, _ in splits[1:]:
            if (data.classes, data.parts) != (first.classes, first.parts):
                raise UserError(f"{data.folder} and {first.folder} differ in classes or conversion: run `dvc repro`")
        self.rows = sum(group.rows for group in self.groups)
        size = dataset.bytes_per_sample(self.parts)
        fits = self.rows * size <= memory * 2**30
        self.whole = self._read(self.groups, np.arange(self.rows)) if fits else None
        self.window = max(1, int(memory * 2**30 / 3 / size))

    def encode(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Turn raw values into what the networks take: part -> array [N, ...]."""
        return encode(self.encoders, values)

    def lengths(self, values: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Return the lengths of samples, [N]; None where they do not differ."""
        return lengths(self.parts, values)

    @property
    def lengths_differ(self) -> bool:
        """Whether samples may differ in length, so that batches are padded."""
        return any(part.modality.lengths_differ for part in self.parts.values())

    def counts(self) -> np.ndarray:
        """Count the samples per class: int64 [classes]."""
        if self.whole is not None:
            return np.bincount(self.whole.labels, minlength=self.classes)
        return sum(
            np.bincount(group.table(["label"])["label"].to_numpy(), minlength=self.classes) for group in self.groups
        )

    def first(self, rows: int) -> dict[str, np.ndarray]:
        """Return the values of the first samples: part -> [rows, ...], fewer if a window or the set holds fewer."""
        if self.whole is not None:
            return self.whole[:rows].parts
        return next(self.in_order(min(rows, self.window))).parts

    def in_order(self, size: int) -> Iterator[Batch]:
        """Yield all samples in shard order."""
        if self.whole is not None:
            return (self.whole[start : start + size] for start in range(0, self.rows, size))
        each = ((group, np.arange(group.rows)) for group in self.groups)
        windows = parallel.ordered_map(lambda job: self._read([job[0]], job[1]), each, workers=1)
        return _rebatched(windows, (min(size, self.rows - start) for start in range(0, self.rows, size)))

    def encoded(self, size: int = 512) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        """Yield all samples in shard order as the networks take them: part -> array [N, ...], and labels int32 [N]."""
        return ((self.encode(batch.parts), batch.labels) for batch in self.in_order(size))

    def shuffled(self, seed: int, epoch: int, most: int) -> Iterator[Batch]:
        """Yield an epoch's batches, of ``equal_sizes``; the order depends only on (seed, epoch) and the data.

        Where samples differ in length, those of similar length come together: each run of ``SORTED`` batches is
        sorted by length, cut into its batches, and these are shuffled.
        """
        sizes = equal_sizes(self.rows, most)
        if not self.lengths_differ:
            yield from self._shuffled(seed, epoch, sizes)
            return
        generator = randomness.generator(seed, "lengths", epoch)
        together = max(1, min(SORTED, self.window // most))
        runs = [sizes[start : start + together] for start in range(0, len(sizes), together)]
        for run, own in zip(self._shuffled(seed, epoch, [sum(own) for own in runs]), runs, strict=True):
            order = np.argsort(self.lengths(run.parts), kind="stable")
            batches = np.split(order, np.cumsum(own)[:-1])
            yield from (run[batches[place]] for place in generator.permutation(len(batches)))

    def _shuffled(self, seed: int, epoch: int, sizes: Sequence[int]) -> Iterator[Batch]:
        if self.whole is not None:
            order = randomness.generator(seed, "order", epoch).permutation(self.rows)
            return (self.whole[rows] for rows in np.split(order, np.cumsum(sizes)[:-1]))
        windows = parallel.ordered_map(lambda job: self._read(*job), self._windows(seed, epoch), workers=1)
        return _rebatched(windows, sizes)

    def _windows(self, seed: int, epoch: int) -> Iterator[tuple[list, np.ndarray]]:
        generator = randomness.generator(seed, "order", epoch)
        chosen, rows = [], 0
        for place in generator.permutation(len(self.groups)):
            group = self.groups[place]
            if chosen and rows + group.rows > self.window:
                yield chosen, generator.permutation(rows)
                chosen, rows = [], 0
            chosen.append(group)
            rows += group.rows
        yield chosen, generator.permutation(rows)

    def _read(self, groups: Sequence[dataset.RowGroup], places: np.ndarray) -> Batch:
        """Read row groups into one batch, each row to its index in ``places``."""
        rows = len(places)
        values = {name: part.storage.empty(rows) for name, part in self.parts.items()}
        batch = Batch(np.empty(rows, np.uint64), np.empty(rows, np.int32), values)
        start = 0
        for group in groups:
            samples = group.samples()
            here = places[start : start + group.rows]
            batch.keys[here], batch.labels[here] = randomness.item_keys(samples.ids), samples.labels
            for name, array in samples.parts.items():
                batch.parts[name][here] = array
            start += group.rows
        return batch


def _rebatched(windows: Iterable[Batch], sizes: Iterable[int]) -> Iterator[Batch]:
    """Divide windows into batches of the given sizes, across window borders; the sizes sum to all samples."""
    sizes, rest = iter(sizes), []
    missing = next(sizes, 0)
    for window in windows:
        start = 0
        while missing and start + missing <= len(window):
            batch = window[start : start + missing]
            yield join([*rest, batch]) if rest else batch
            start, missing, rest = start + missing, next(sizes, 0), []
        if start < len(window):
            rest.append(join([window[start:]]))  # a copy, so that the window can be freed
            missing -= len(window) - start
