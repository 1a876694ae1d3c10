"""What folders mean: which wrap the others, which are splits, which are classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kiln.core.errors import UserError
from kiln.sources.ambiguities import (
    ARRANGE,
    no_classes,
    refuse_alike,
    refuse_inner,
    refuse_mixed,
    refuse_nested,
    refuse_parts,
    refuse_uneven,
)
from kiln.sources.names import SPLIT_NAMES, folded, is_plain, split_words
from kiln.sources.shelf import Shelf
from kiln.sources.tree import (
    Steps,
    Top,
    are_kinds,
    below,
    is_bare,
    is_dated,
    path_of,
    role,
    some,
    unwrap,
    what_lies_where,
)


class Spot(NamedTuple):
    """What the folders say of a sample: split (or None), the class folder's name, and how many folders lead to it."""

    split: str | None
    label: str
    depth: int


@dataclass(frozen=True)
class Layout:
    """How the folders of a source are read.

    Attributes:
        prefix: steps of the folders that wrap everything.
        roots: first step below the prefix -> (steps of the folder that holds the classes, split); "" for any other.
        swapped: name of a folder within a class -> split, where the layout is ``<class>/<split>/...``.
        unlabelled: first steps below the prefix whose samples have no class.
        notes: (reason, name) of what is worth knowing.
    """

    prefix: Steps = ()
    roots: Mapping[str, tuple[Steps, str | None]] = field(default_factory=dict)
    swapped: Mapping[str, str] = field(default_factory=dict)
    unlabelled: frozenset[str] = frozenset()
    notes: tuple[tuple[str, str], ...] = ()

    def spot(self, steps: Steps) -> Spot | None:
        """Read the folders above a file, None where it lies in no class folder."""
        first = steps[len(self.prefix)] if len(steps) > len(self.prefix) else ""
        root = self.roots.get(first) or self.roots.get("")
        if root is None:
            return None
        path, split = root
        if steps[: len(path)] != path or len(steps) < len(path) + 2:
            return None
        if self.swapped:
            split = self.swapped.get(steps[len(path) + 1])
            return Spot(split, steps[len(path)], len(path) + 2) if split and len(steps) > len(path) + 2 else None
        return Spot(split, steps[len(path)], len(path) + 1)

    def is_class_folder(self, steps: Steps) -> bool:
        """Tell whether a folder lies where classes, or splits, lie."""
        if steps[: len(self.prefix)] != self.prefix or len(steps) <= len(self.prefix):
            return False
        outer = "" not in self.roots or bool(self.swapped)
        spot = self.spot((*steps, ""))
        return (outer and len(steps) == len(self.prefix) + 1) or (spot is not None and len(steps) <= spot.depth)


def read(folders: Shelf, source: Path) -> Layout:
    """Find the classes, and the splits if there are any.

    Sole folders around everything are taken off, whatever files lie beside them.
    Folders are splits where all of them are called so; what could be read in two
    ways is refused.

    Args:
        folders: paths of those that hold samples directly, with ``/``.
        source: where they lie, for errors.

    Raises:
        UserError: there are several readings, or no class.
    """
    prefix, tops = unwrap(folders, ())
    telling = sorted(name for name in tops if role(name))
    if telling and len(telling) == len(tops) and not are_kinds(tops):
        return _splits(folders, prefix, tops, source)
    refuse_parts(prefix, tops, source)
    tops = {name: Top(files=True) if is_dated(top) else top for name, top in tops.items()}
    refuse_mixed(prefix, tops, telling, source)
    subs = set().union(*(top.folders for top in tops.values()))
    nested = bool(tops) and all(top.folders and not top.files for top in tops.values())
    if nested and all(len(split_words(sub)) == 1 and is_plain(sub) for sub in subs):
        return _within_classes(prefix, tops, subs, source)
    refuse_inner(prefix, tops, source)
    if nested:
        refuse_alike(prefix, tops, source)
    refuse_uneven(prefix, tops, source)
    return Layout(prefix, {"": (prefix, None)})


def _inside(folders: Shelf, prefix: Steps, tops: Mapping[str, Top]) -> dict[str, tuple[Steps, dict[str, Top]]]:
    """Find the classes of each split: below what wraps them, but not below a class of another split."""
    inside = {name: unwrap(folders, (*prefix, name), inside=True) for name in sorted(tops)}
    for name, (path, _) in list(inside.items()):
        others = {folded(label) for other, (_, classes) in inside.items() if other != name for label in classes}
        for depth in range(len(prefix) + 1, len(path)):
            if folded(path[depth]) in others:
                inside[name] = path[:depth], below(folders, path[:depth])
                break
    return inside


def _splits(folders: Shelf, prefix: Steps, tops: Mapping[str, Top], source: Path) -> Layout:
    inside = _inside(folders, prefix, tops)
    named = {name: role(name) for name in inside}
    labelled = {name: found for name, found in inside.items() if not is_bare(name, found[1])}
    for path, classes in labelled.values():
        refuse_parts(path, classes, source)
        refuse_nested(path, classes, source)
    for name in labelled:
        if len(named[name]) > 1 or named[name] == {"pred"}:
            what = " and ".join(sorted(named[name])) if len(named[name]) > 1 else "none of train, validation and test"
            raise UserError(
                f"{source}: {path_of(prefix, name)} holds folders as splits do ({some(labelled[name][1])}), but its "
                f"name says {what}: rename it to train, validation or test, or take it out"
            )
    others = any("test" in named[name] and not _is_eval(name) for name in labelled)
    splits = {name: "validation" if others and _is_eval(name) else next(iter(named[name])) for name in labelled}
    learned = {folded(label) for name, split in splits.items() if split == "train" for label in labelled[name][1]}
    for name, split in list(splits.items()):
        (_, classes) = labelled[name]
        # One folder of a name that no class has: samples to be classified, as some loaders want them.
        if learned and split != "train" and len(classes) == 1 and learned.isdisjoint(map(folded, classes)):
            del splits[name]
    bare = sorted(set(tops) - set(splits))
    if not splits or any("train" in named[name] for name in bare):
        raise no_classes(
            source, [(*inside[name][0], *(inside[name][1] if name not in labelled else ())) for name in bare]
        )
    notes = [
        ("folder read as a split", f"{path_of(prefix, name)}: {split}")
        for name, split in splits.items()
        if SPLIT_NAMES.get(name.lower()) != split
    ]
    roots = {name: (labelled[name][0], split) for name, split in splits.items()}
    return Layout(prefix, roots, unlabelled=frozenset(bare), notes=tuple(notes))


def _is_eval(name: str) -> bool:
    return "eval" in name.lower()


def _within_classes(prefix: Steps, tops: Mapping[str, Top], subs: set[str], source: Path) -> Layout:
    if any(top.deep for top in tops.values()):
        raise UserError(
            f"{source}: {what_lies_where(prefix, tops)}, so the splits lie within other folders, which may be classes "
            f"or parts of the set: {ARRANGE}"
        )
    swapped = {sub: next(iter(split_words(sub))) for sub in sorted(subs)}
    return Layout(prefix, {"": (prefix, None)}, swapped)
