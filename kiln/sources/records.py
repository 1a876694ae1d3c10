"""What every source gives: records of images, and what it passed over."""

import heapq
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from kiln.core import randomness
from kiln.core.errors import UserError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
    "holdout": "test",
}
# Words for images whose labels nobody has given.
UNLABELLED = frozenset(
    ["inference", "pred", "preds", "predict", "prediction", "predictions", "unlabeled", "unlabelled"]
)
_FILLERS = frozenset(
    ["data", "files", "folder", "image", "images", "img", "imgs", "photos", "pictures", "set", "split"]
)
_FILLER_END = re.compile("(?<=.)(datasets?|data|sets?|images?|imgs?|folder)$")
# Files that stand for others, by what ``formats.sniff`` calls them, and how to get these.
POINTERS = {
    "Git LFS pointer": "run `git lfs pull` where they come from (`git lfs install` once before)",
    "git-annex pointer": "run `git annex get .` where they come from",
    "DVC pointer": "run `dvc pull` where they come from",
}
# What systems lay beside files: folders of macOS, Windows, Synology, QNAP, Linux and Python.
_SYSTEM = frozenset(["#recycle", "$recycle.bin", "@eadir", "@recycle", "__macosx", "__pycache__", "desktop.ini"])
_SYSTEM |= {"ehthumbs.db", "lost+found", "system volume information", "thumbs.db"}
_MOST_REASONS = 100
# Why a label differs from what the source holds; one text for folders and tables.
TIDIED = "class read without blanks at its ends or invisible characters, in one Unicode form"
# Compatible with a plain letter, yet not to be taken for it: a square is no 2.
_TELLING = ("<super>", "<sub>", "<fraction>", "<circle>", "<square>")
# Within scripts beyond ASCII, and in emoji, joiners change what is seen.
_JOINERS = re.compile(r"(?<![^\0-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?![^\0-\x7f])")


class Record(NamedTuple):
    """One image as the source gives it.

    Attributes:
        id: unique: the path below the wrapping folder, or the row number.
        label: the class's name.
        split: train, validation, test, or None where the source names none.
        group: what must never straddle splits (a patient, a video), or None.
        content: the image file's bytes, unchanged.
        path: the file's name, or None.
    """

    id: str
    label: str
    split: str | None
    group: str | None
    content: bytes
    path: str | None


class Place(NamedTuple):
    """Where an image belongs, without its content: id, label, split, group as in ``Record``."""

    id: str
    label: str
    split: str | None
    group: str | None = None


@dataclass
class Tally:
    """Things of one kind that a source held: a count and a few names a reason."""

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
    """What was skipped, and what was taken but should be known."""

    skipped: Tally = field(default_factory=Tally)
    notes: Tally = field(default_factory=Tally)


class Source(NamedTuple):
    """A source that can be read twice.

    Attributes:
        places: gives every image's place, in order, without reading pictures.
        records: gives the records of the ids that are wanted (None: of all), in
            the same order.
    """

    places: Callable[[], Iterable[Place]]
    records: Callable[[Collection[str] | None], Iterator[Record]]


def tidy(name: str) -> str:
    """Give a label, or the name of a folder, as it is read: NFC, no zero-width characters, no blanks at the ends."""
    seen = "".join(letter for letter in name if unicodedata.category(letter) != "Cf" or letter in "\u200c\u200d")
    return unicodedata.normalize("NFC", _JOINERS.sub("", seen)).strip()


def folded(name: str) -> str:
    """Give the form in which names are equal that look alike, or that some file systems do not tell apart.

    It has no case, no invisible characters, one kind of blank, and one Unicode
    form for composed and full-width letters, ligatures and the like.
    """
    shown = "".join(
        letter if unicodedata.decomposition(letter).startswith(_TELLING) else unicodedata.normalize("NFKC", letter)
        for letter in name
        if unicodedata.category(letter) != "Cf" and not "\ufe00" <= letter <= "\ufe0f"
    )
    return unicodedata.normalize("NFC", " ".join(shown.split())).casefold()


def visible(name: str) -> str:
    """Quote a name, with a code for each letter that cannot be seen or may be taken for another."""
    return f"'{''.join(map(_visible, name))}'"


def _visible(letter: str) -> str:
    hidden = unicodedata.combining(letter) or "\ufe00" <= letter <= "\ufe0f"
    hidden = hidden or unicodedata.normalize("NFKC", letter) != letter
    return (ascii if hidden else repr)(letter)[1:-1]


def is_hidden(steps: Iterable[str]) -> bool:
    """Tell whether a file is hidden or the system's own, by the steps of its path."""
    return any(step.startswith(".") or step.casefold() in _SYSTEM for step in steps)


class Groups:
    """Sees to it that no group lies in two splits; keeps the split of each."""

    def __init__(self):
        self._splits: dict[str, str] = {}

    def add(self, place: Place, where: str) -> None:
        """Note where an image belongs; what names no split counts as train, as clean takes it.

        Raises:
            UserError: its group lies in another split, too; the sentence begins with ``where``.
        """
        own = place.split or "train"
        if place.group and self._splits.setdefault(place.group, own) != own:
            raise UserError(
                f"{where}: the group {place.group} is in two splits, {self._splits[place.group]} and {own}: "
                "put it into one"
            )


def split_words(name: str) -> set[str]:
    """Find the splits that a name tells by its words.

    Words end at whatever is no letter, and where camelCase begins one: ``mnist_test-00000``,
    ``mnistTest2``, ``Hold-out`` and ``testset`` tell test, ``latest`` tells none.
    """
    return {SPLIT_NAMES[word] for word in words(name) if word in SPLIT_NAMES}


def is_plain(name: str) -> bool:
    """Tell whether a name has no words but those of splits and such as ``set`` and ``data``."""
    return all(word in SPLIT_NAMES or word in UNLABELLED or word in _FILLERS for word in words(name))


def is_unlabelled(name: str) -> bool:
    """Tell whether a name has a word for images without labels, such as ``pred``."""
    return not UNLABELLED.isdisjoint(words(name))


def words(name: str) -> list[str]:
    """Split a name as ``split_words`` does, without what such as ``set`` and ``data`` add to a word."""
    letters = " ".join(re.findall(r"[^\W\d_]+", name))
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", letters).lower()
    return [_FILLER_END.sub("", word) or word for word in parts.replace("hold out", "holdout").split()]


def choose(places: Iterable[Place], limit: int, seed: int) -> set[str]:
    """Draw images for a quick try.

    Those of a lower limit are among those of a higher one, and images that come
    to the source later displace few.

    Args:
        places: of all images.
        limit: images a class and split, at least 1.
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
