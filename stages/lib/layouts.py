"""What folders mean: which wrap the others, which are splits, which are classes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from stages.lib.errors import UserError
from stages.lib.records import SPLIT_NAMES, folded, is_plain, is_unlabelled, split_words, tidy
from stages.lib.shelf import Shelf

Steps = tuple[str, ...]
# Sub-folders that are kept in mind of each folder: enough to compare.
_MOST = 100
_ARRANGE = "arrange the images as <class>/... or as <split>/<class>/..., with nothing beside"
_NO_CLASSES = "make one folder for each class, or list paths and labels in a table (fetch.source: manifest)"


@dataclass
class Top:
    """A folder as seen from the one that holds it.

    Attributes:
        files: there are images directly in it.
        folders: names of its folders that hold images, at whatever depth.
        deep: these hold folders, too.
    """

    files: bool = False
    folders: set[str] = field(default_factory=set)
    deep: bool = False


class Spot(NamedTuple):
    """What the folders say of an image: split (or None), the class folder's name, and how many folders lead to it."""

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
        unlabelled: first steps below the prefix whose images have no class.
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
        folders: paths of those that hold images directly, with ``/``.
        source: where they lie, for errors.

    Raises:
        UserError: there are several readings, or no class.
    """
    prefix, tops = _unwrapped(folders, ())
    telling = sorted(name for name in tops if _role(name))
    if telling and len(telling) == len(tops) and not _are_kinds(tops):
        return _splits(folders, prefix, tops, source)
    _refuse_mixed(prefix, tops, telling, source)
    subs = set().union(*(top.folders for top in tops.values()))
    if tops and all(top.folders and not top.files for top in tops.values()):
        if all(len(split_words(sub)) == 1 and is_plain(sub) for sub in subs):
            return _within_classes(prefix, tops, subs, source)
        _refuse_alike(prefix, tops, source)
    _refuse_uneven(prefix, tops, source)
    return Layout(prefix, {"": (prefix, None)})


def _below(folders: Shelf, path: Steps) -> dict[str, Top]:
    tops: dict[str, Top] = {}
    start = "".join(f"{step}/" for step in path)
    for folder in folders:
        if folder.startswith(start):
            first, *others = folder[len(start) :].split("/")
            top = tops.setdefault(first, Top())
            top.files |= not others
            top.deep |= len(others) > 1
            if others and len(top.folders) < _MOST:
                top.folders.add(others[0])
    return tops


def _unwrapped(folders: Shelf, path: Steps, inside: bool = False) -> tuple[Steps, dict[str, Top]]:
    """Go down as long as there is one folder alone, unless it is a split itself; within a split, whatever it is."""
    tops = _below(folders, path)
    while len(tops) == 1:
        ((name, top),) = tops.items()
        speaks = _role(name) and is_plain(name) and not all(_role(sub) for sub in top.folders)
        if not top.folders or (speaks and not inside):
            break
        path = (*path, name)
        tops = _below(folders, path)
    return path, tops


def _role(name: str) -> set[str]:
    """Give the splits that a name tells; ``pred`` and the like tell one of their own."""
    words = split_words(tidy(name))
    return words or ({"pred"} if is_unlabelled(tidy(name)) else set())


def _are_kinds(tops: Mapping[str, Top]) -> bool:
    """Tell whether folders are kinds of one thing that is called like a split, such as freight and express trains."""
    roles = [_role(name) for name in tops]
    plain = any(is_plain(name) for name in tops) or any(top.folders for top in tops.values())
    return len(tops) > 1 and not plain and all(role == roles[0] for role in roles)


def _splits(folders: Shelf, prefix: Steps, tops: Mapping[str, Top], source: Path) -> Layout:
    inside = {name: _unwrapped(folders, (*prefix, name), inside=True) for name in sorted(tops)}
    named = {name: _role(name) for name in inside}
    labelled = {
        name: (path, classes)
        for name, (path, classes) in inside.items()
        if classes and not (len(classes) == 1 and (next(iter(classes)) == name or _role(next(iter(classes)))))
    }
    for name in labelled:
        if len(named[name]) > 1 or named[name] == {"pred"}:
            what = " and ".join(sorted(named[name])) if len(named[name]) > 1 else "none of train, validation and test"
            raise UserError(
                f"{source}: {_path(prefix, name)} holds folders as splits do ({_some(labelled[name][1])}), but its "
                f"name tells {what}: rename it to train, validation or test, or take it out"
            )
    others = any("test" in named[name] and not _is_eval(name) for name in labelled)
    splits = {name: "validation" if others and _is_eval(name) else next(iter(named[name])) for name in labelled}
    learned = {folded(label) for name, split in splits.items() if split == "train" for label in labelled[name][1]}
    for name, split in list(splits.items()):
        (_, classes) = labelled[name]
        # One folder of a name that no class has: images to be classified, as some loaders want them.
        if learned and split != "train" and len(classes) == 1 and learned.isdisjoint(map(folded, classes)):
            del splits[name]
    bare = sorted(set(tops) - set(splits))
    if not splits or any("train" in named[name] for name in bare):
        where = ", ".join(_path(prefix, name) for name in bare[:5])
        raise UserError(
            f"{source} holds images directly in {where}, with no class folders there, so no image in a class folder "
            f"to learn from: {_NO_CLASSES}"
        )
    notes = [
        ("folder read as a split", f"{_path(prefix, name)}: {split}")
        for name, split in splits.items()
        if SPLIT_NAMES.get(name.lower()) != split
    ]
    roots = {name: (labelled[name][0], split) for name, split in splits.items()}
    return Layout(prefix, roots, unlabelled=frozenset(bare), notes=tuple(notes))


def _is_eval(name: str) -> bool:
    return "eval" in name.lower()


def _within_classes(prefix: Steps, tops: Mapping[str, Top], subs: set[str], source: Path) -> Layout:
    if any(top.deep for top in tops.values()) or {name.lower() for name in tops} <= _PARTS:
        raise UserError(
            f"{source}: {_lies(prefix, tops)}, so the splits lie within other folders, which may be classes or parts "
            f"of the set: {_ARRANGE}"
        )
    swapped = {sub: next(iter(split_words(sub))) for sub in sorted(subs)}
    return Layout(prefix, {"": (prefix, None)}, swapped)


# Of sets for detection and segmentation, which have no classes of whole images.
_PARTS = frozenset(["annotations", "images", "imgs", "labels", "masks"])


def _refuse_mixed(prefix: Steps, tops: Mapping[str, Top], telling: list[str], source: Path) -> None:
    """Refuse folders of which some are called like splits and others not, unless all of them look like classes.

    Raises:
        UserError: a split may be among them.
    """
    splits = [name for name in telling if is_plain(name) and len(tops) > len(telling)]
    nested = [name for name in telling if not tops[name].files and len(tops[name].folders) > (name not in splits)]
    # A class of trains is as likely as one of tests is not: those are images without labels.
    tests = [name for name in splits if _role(name) != {"train"} and name.lower() != "valid"]
    if nested or tests:
        others = sorted(set(tops) - set(nested or tests))
        deeper = [name for name in (*others, *nested) if tops[name].folders]
        raise UserError(
            f"{source}: its folders {_some(nested or tests)} and {_some(others)} mix splits and classes "
            f"({_lies(prefix, tops, nested or tests)}): {_ARRANGE}{_or_give(source, prefix, deeper)}; if "
            f"{_short((nested or tests)[0])} is a class, rename it"
        )


def _refuse_alike(prefix: Steps, tops: Mapping[str, Top], source: Path) -> None:
    """Refuse folders that hold the same folders, since either may be the classes.

    Raises:
        UserError: two of them share two names.
    """
    known: dict[str, str] = {}
    shared: dict[str, set[str]] = {}
    for name, top in sorted(tops.items()):
        for sub in sorted(top.folders):
            if (other := known.setdefault(tidy(sub).casefold(), name)) != name:
                shared.setdefault(other, set()).add(sub)
                if len(shared[other]) > 1:
                    raise UserError(
                        f"{source}: its folders {_some(tops)} hold the same folders ({_some(shared[other])}), as "
                        "splits do, but their names tell none: if they are splits, call them train, validation and "
                        "test; if they are classes, put the images directly into them, or use a table (fetch.source: "
                        "manifest)"
                        f"{_or_give(source, prefix, [other, name])}"
                    )


def _refuse_uneven(prefix: Steps, tops: Mapping[str, Top], source: Path) -> None:
    """Refuse a folder of folders beside one of images.

    Raises:
        UserError: there are both, so that the classes may lie on either level.
    """
    nested = sorted(name for name, top in tops.items() if len(top.folders) > 1 and not top.files)
    flat = sorted(name for name, top in tops.items() if not top.folders)
    if nested and flat:
        raise UserError(
            f"{source}: {_lies(prefix, tops, [nested[0], flat[0]])}, so the classes may lie on either level: "
            f"if they lie in {_path(prefix, nested[0])},{_or_give(source, prefix, nested[:1], '')}; if "
            f"{_short(nested[0])} is a class, put its images directly into it"
        )


def _lies(prefix: Steps, tops: Mapping[str, Top], first: Iterable[str] = ()) -> str:
    """Say what lies where, of five folders at most."""
    named = [*dict.fromkeys([*first, *sorted(tops)])][:5]
    return ", ".join(
        f"{_path(prefix, name)} holds "
        + " and ".join(
            ["images"] * tops[name].files
            + [f"the folder{'s' * (len(tops[name].folders) > 1)} {_some(tops[name].folders)}"]
            * bool(tops[name].folders)
        )
        for name in named
    )


def _or_give(source: Path, prefix: Steps, names: list[str], start: str = ", or") -> str:
    if not names:
        return ""
    if not source.is_dir():
        return f"{start} unpack it and set fetch.path to its folder {_path(prefix, names[0])}"
    return f"{start} set fetch.path to " + " or ".join(f"{source}/{_path(prefix, name)}" for name in names[:2])


def _path(prefix: Steps, name: str) -> str:
    return "/".join(map(_short, (*prefix[-3:], name)))


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}..."


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(map(_short, names[:3])) + (", ..." if len(names) > 3 else "")
