"""What folders mean: which wrap the others, which are splits, which are classes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from kiln.core.errors import UserError
from kiln.sources.records import SPLIT_NAMES, folded, is_plain, is_unlabelled, split_words, tidy, words
from kiln.sources.shelf import Shelf

Steps = tuple[str, ...]
# Sub-folders that are kept in mind of each folder: enough to compare.
_MOST = 100
_ARRANGE = "arrange the images as <class>/... or as <split>/<class>/..., with nothing beside"
_NO_CLASSES = "make one folder for each class, or list paths and labels in a table (fetch.source.name: manifest)"
# Folders of days, months and years, and those that cameras make.
_DATE = r"(19|20)\d\d([-_. ]?(0[1-9]|1[0-2])([-_. ]?[0-3]\d([-_. T]\S*)?)?)?|[0-3]?\d[-_.][0-3]?\d[-_.](19|20)\d\d"
_DATED = re.compile(rf"{_DATE}|\d{{6}}__|dcim|\d{{3}}[a-z_][a-z0-9_]{{4}}", re.IGNORECASE)
# Of sets for detection and segmentation, which have no classes of whole images.
_PICTURES = frozenset(["image", "images", "img", "imgs", "jpeg", "original", "originals", "photos", "pictures", "rgb"])
_MARKINGS = frozenset(["annotation", "annotations", "boxes", "contours", "depth", "gt", "label", "labels", "mask"])
_MARKINGS |= {"masks", "overlay", "overlays", "segmentation", "segmentations", "trimap", "trimaps", "truth"}
_FURTHER = frozenset(["class", "ground", "instance", "object", "png", "raw"])


class NoClasses(UserError):
    """Images lie in folders that are no classes."""


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
    _refuse_parts(prefix, tops, source)
    tops = {name: Top(files=True) if _is_dated(top) else top for name, top in tops.items()}
    _refuse_mixed(prefix, tops, telling, source)
    subs = set().union(*(top.folders for top in tops.values()))
    nested = bool(tops) and all(top.folders and not top.files for top in tops.values())
    if nested and all(len(split_words(sub)) == 1 and is_plain(sub) for sub in subs):
        return _within_classes(prefix, tops, subs, source)
    _refuse_inner(prefix, tops, source)
    if nested:
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


def _is_dated(top: Top) -> bool:
    """Tell whether the folders within a class are days or cameras' folders, which are no classes."""
    return bool(top.folders) and all(_DATED.fullmatch(tidy(name)) for name in top.folders)


def _inside(folders: Shelf, prefix: Steps, tops: Mapping[str, Top]) -> dict[str, tuple[Steps, dict[str, Top]]]:
    """Find the classes of each split: below what wraps them, but not below a class of another split."""
    inside = {name: _unwrapped(folders, (*prefix, name), inside=True) for name in sorted(tops)}
    for name, (path, _) in list(inside.items()):
        others = {folded(label) for other, (_, classes) in inside.items() if other != name for label in classes}
        for depth in range(len(prefix) + 1, len(path)):
            if folded(path[depth]) in others:
                inside[name] = path[:depth], _below(folders, path[:depth])
                break
    return inside


def _is_bare(name: str, classes: Mapping[str, Top]) -> bool:
    """Tell whether a split has no classes: one folder at most, which is called like the split, or ``images``."""
    if len(classes) != 1:
        return not classes
    (only,) = classes
    return only == name or bool(_role(only)) or _is_filler(only)


def _is_filler(name: str) -> bool:
    return is_plain(name) and bool(words(name))


def _splits(folders: Shelf, prefix: Steps, tops: Mapping[str, Top], source: Path) -> Layout:
    inside = _inside(folders, prefix, tops)
    named = {name: _role(name) for name in inside}
    labelled = {name: found for name, found in inside.items() if not _is_bare(name, found[1])}
    for path, classes in labelled.values():
        _refuse_parts(path, classes, source)
        _refuse_nested(path, classes, source)
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
        raise _no_classes(
            source, [(*inside[name][0], *(inside[name][1] if name not in labelled else ())) for name in bare]
        )
    notes = [
        ("folder read as a split", f"{_path(prefix, name)}: {split}")
        for name, split in splits.items()
        if SPLIT_NAMES.get(name.lower()) != split
    ]
    roots = {name: (labelled[name][0], split) for name, split in splits.items()}
    return Layout(prefix, roots, unlabelled=frozenset(bare), notes=tuple(notes))


def _no_classes(source: Path, paths: list[Steps]) -> NoClasses:
    where = ", ".join(_path(path[:-1], path[-1]) for path in paths[:5])
    return NoClasses(
        f"{source} holds images directly in {where}, with no class folders there, so no image in a class folder "
        f"to learn from: {_NO_CLASSES}"
    )


def _is_eval(name: str) -> bool:
    return "eval" in name.lower()


def _within_classes(prefix: Steps, tops: Mapping[str, Top], subs: set[str], source: Path) -> Layout:
    if any(top.deep for top in tops.values()):
        raise UserError(
            f"{source}: {_lies(prefix, tops)}, so the splits lie within other folders, which may be classes or parts "
            f"of the set: {_ARRANGE}"
        )
    swapped = {sub: next(iter(split_words(sub))) for sub in sorted(subs)}
    return Layout(prefix, {"": (prefix, None)}, swapped)


def _markings(names: Iterable[str]) -> list[str]:
    """Find the folders of masks and the like beside those of the images themselves, if there are no others."""
    told = {name: set(words(name)) - SPLIT_NAMES.keys() - _FURTHER for name in names}
    marked = sorted(name for name, own in told.items() if own & _MARKINGS)
    pictures = any(own and own <= _PICTURES for own in told.values())
    return marked if pictures and all(own <= _PICTURES | _MARKINGS for own in told.values()) else []


def _refuse_parts(prefix: Steps, tops: Mapping[str, Top], source: Path) -> None:
    """Refuse folders of images and of masks for them, which are no classes, at either level.

    Raises:
        UserError: there are such.
    """
    if marked := _markings(tops):
        first = sorted(set(tops) - set(marked))[0]
        raise NoClasses(
            f"{source}: its folders {_paths(prefix, tops)} look like images and their masks or annotations, as "
            f"sets for detection and segmentation have them, not like classes: {_NO_CLASSES}; if {_short(first)} is a "
            "class, rename it"
        )
    if len(tops) == 1 and _is_filler(only := next(iter(tops))) and not tops[only].folders:
        raise _no_classes(source, [(*prefix, only)])
    for name, top in sorted(tops.items()):
        if marked := _markings(top.folders):
            raise UserError(
                f"{source}: {_lies(prefix, {name: top})}, which look like images and their masks or annotations, "
                f"and these would be taken for images of a class: take the folders {_some(marked)} out"
            )


def _refuse_nested(path: Steps, classes: Mapping[str, Top], source: Path) -> None:
    """Refuse splits within a split.

    Raises:
        UserError: a split's folders are splits themselves.
    """
    telling = sorted(name for name in classes if _role(name) and is_plain(name))
    if any(classes[name].folders for name in telling) or len(telling) == len(classes) > 1:
        raise UserError(
            f"{source}: {_paths(path, telling)} are called like splits, but lie within the split "
            f"{_path(path[:-1], path[-1])}: put them beside it, or set fetch.path to where they lie alone; if "
            f"{_short(telling[0])} is a class, rename it"
        )


def _refuse_inner(prefix: Steps, tops: Mapping[str, Top], source: Path) -> None:
    """Refuse a folder that holds splits and others, or splits and images.

    Raises:
        UserError: the splits would be lost.
    """
    for name, top in sorted(tops.items()):
        told = [split_words(sub) for sub in top.folders if is_plain(sub)]
        if len({next(iter(split)) for split in told if len(split) == 1}) > 1:
            raise UserError(
                f"{source}: {_lies(prefix, tops, [name])}, so splits lie within {_path(prefix, name)}, but not within "
                f"each folder, or not alone: {_ARRANGE}{_or_give(source, prefix, [name])}"
            )


def _refuse_mixed(prefix: Steps, tops: Mapping[str, Top], telling: list[str], source: Path) -> None:
    """Refuse folders of which some are called like splits and others not, unless all of them look like classes.

    Raises:
        UserError: a split may be among them.
    """
    splits = [name for name in telling if is_plain(name) and len(tops) > len(telling)]
    nested = [name for name in telling if not tops[name].files and len(tops[name].folders) > (name not in splits)]
    # A class of trains is as likely as one of tests is not: those are images without labels.
    tests = [name for name in splits if _role(name) != {"train"} and name.lower() != "valid"]
    # One such as test_strip beside strip may be a class, several are the split of each class.
    plain = {_without_split(name) for name in tops if name not in telling}
    twins = [name for name in telling if _without_split(name) in plain - {""}]
    tests += twins if len(twins) > 1 else []
    if nested or tests:
        others = sorted(set(tops) - set(nested or tests))
        deeper = [name for name in (*others, *nested) if tops[name].folders]
        raise UserError(
            f"{source}: its folders {_some(nested or tests)} and {_some(others)} mix splits and classes "
            f"({_lies(prefix, tops, nested or tests)}): {_ARRANGE}{_or_give(source, prefix, deeper)}; if "
            f"{_short((nested or tests)[0])} is a class, rename it"
        )


def _without_split(name: str) -> str:
    return "".join(part for part in re.split(r"[\W_]+", folded(name)) if part not in SPLIT_NAMES)


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


def _paths(prefix: Steps, names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(_path(prefix, name) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def _path(prefix: Steps, name: str) -> str:
    return "/".join(map(_short, (*prefix[-3:], name)))


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}..."


def _some(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(map(_short, names[:3])) + (", ..." if len(names) > 3 else "")
