"""What every source gives: records of samples, and what it skipped."""

import heapq
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from kiln.core import randomness
from kiln.core.errors import UserError

# Files that stand for others, by what ``formats.sniff`` calls them, and how to get these.
POINTERS = {
    "Git LFS pointer": "run `git lfs pull` where they come from (`git lfs install` once before)",
    "git-annex pointer": "run `git annex get .` where they come from",
    "DVC pointer": "run `dvc pull` where they come from",
}
_MOST_REASONS = 100


class Content(NamedTuple):
    """What a source holds for one part of a sample: a file's bytes, unchanged, and its name, if it has one."""

    bytes: bytes
    path: str | None = None


class Record(NamedTuple):
    """One sample as the source gives it.

    Attributes:
        id: unique: the path below the wrapping folder, or the row number.
        label: the class's name.
        split: train, validation, test, or None where the source names none.
        group: what must never straddle splits (a patient, a video), or None.
        contents: part, as named in ``inputs`` -> its content.
    """

    id: str
    label: str
    split: str | None
    group: str | None
    contents: Mapping[str, Content]


class Place(NamedTuple):
    """Where a sample belongs, without its content: id, label, split, group as in ``Record``."""

    id: str
    label: str
    split: str | None
    group: str | None = None


@dataclass
class Tally:
    """What a source holds besides: per reason, a count and a few names per reason."""

    counts: Counter = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Count one; of more than a hundred reasons, which strangers may make up, the others are one."""
        if reason not in self.counts and len(self.counts) >= _MOST_REASONS:
            reason = "other"
        self.counts[reason] += 1
        if len(names := self.examples.setdefault(reason, [])) < 5:
            names.append(name)

    def merge(self, other: "Tally") -> None:
        """Count what another has counted."""
        for reason, names in other.examples.items():
            self.counts[reason] += other.counts[reason]
            self.examples[reason] = [*self.examples.get(reason, []), *names][:5]

    def to_json(self) -> dict:
        """Reason -> count of files and up to five names."""
        return {
            reason: {"files": count, "examples": self.examples[reason]} for reason, count in sorted(self.counts.items())
        }


@dataclass
class Surprises:
    """What was skipped, and what was taken but is worth knowing."""

    skipped: Tally = field(default_factory=Tally)
    notes: Tally = field(default_factory=Tally)


class Source(NamedTuple):
    """A source that can be read twice.

    Attributes:
        places: gives every sample's place, in order, without reading contents.
        records: gives the records of the ids that are wanted (None: of all), in
            the same order.
    """

    places: Callable[[], Iterable[Place]]
    records: Callable[[Collection[str] | None], Iterator[Record]]


class Groups:
    """Sees to it that no group lies in two splits; keeps the split of each."""

    def __init__(self):
        self._splits: dict[str, str] = {}

    def add(self, place: Place, where: str) -> None:
        """Note where a sample belongs; what names no split counts as train, as clean takes it.

        Raises:
            UserError: its group lies in another split, too; the sentence begins with ``where``.
        """
        own = place.split or "train"
        if place.group and self._splits.setdefault(place.group, own) != own:
            raise UserError(
                f"{where}: the group {place.group} is in two splits, {self._splits[place.group]} and {own}: "
                "put it into one"
            )


def choose(places: Iterable[Place], limit: int, seed: int) -> set[str]:
    """Draw samples for a quick try.

    Those of a lower limit are among those of a higher one, and samples that come
    to the source later displace few.

    Args:
        places: of all samples.
        limit: samples per class and split, at least 1.
        seed: of the draw.

    Returns:
        Their ids.
    """
    best: dict[tuple, list] = {}
    places = iter(places)
    while part := list(islice(places, 4096)):
        ranks = randomness.key(seed, "fetch", randomness.item_keys([place.id for place in part]))
        for place, rank in zip(part, ranks.tolist(), strict=True):
            heap = best.setdefault((place.split, place.label), [])
            entry = (-rank, place.id)
            if len(heap) < limit:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)
    return {identity for heap in best.values() for _, identity in heap}
