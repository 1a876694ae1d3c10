"""Folders as a tree: what lies below which, what their names say, and how sentences name them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kiln.sources.names import is_plain, is_unlabelled, split_words, tidy, words
from kiln.sources.shelf import Shelf

Steps = tuple[str, ...]
# Sub-folders that are kept in mind of each folder: enough to compare.
_MOST = 100
# Folders of days, months and years, and those that cameras make.
_DATE = r"(19|20)\d\d([-_. ]?(0[1-9]|1[0-2])([-_. ]?[0-3]\d([-_. T]\S*)?)?)?|[0-3]?\d[-_.][0-3]?\d[-_.](19|20)\d\d"
_DATED = re.compile(rf"{_DATE}|\d{{6}}__|dcim|\d{{3}}[a-z_][a-z0-9_]{{4}}", re.IGNORECASE)


@dataclass
class Top:
    """A folder as seen from the one that holds it.

    Attributes:
        files: there are samples directly in it.
        folders: names of its folders that hold samples, at whatever depth.
        deep: these hold folders, too.
    """

    files: bool = False
    folders: set[str] = field(default_factory=set)
    deep: bool = False


def below(folders: Shelf, path: Steps) -> dict[str, Top]:
    """Find the folders directly in one that hold samples, at whatever depth."""
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


def unwrap(folders: Shelf, path: Steps, inside: bool = False) -> tuple[Steps, dict[str, Top]]:
    """Go down as long as there is one folder alone, unless it is a split itself; within a split, whatever it is."""
    tops = below(folders, path)
    while len(tops) == 1:
        ((name, top),) = tops.items()
        speaks = role(name) and is_plain(name) and not all(role(sub) for sub in top.folders)
        if not top.folders or (speaks and not inside):
            break
        path = (*path, name)
        tops = below(folders, path)
    return path, tops


def role(name: str) -> set[str]:
    """Give the splits that a name means; ``pred`` and the like mean a split of unlabelled samples."""
    words = split_words(tidy(name))
    return words or ({"pred"} if is_unlabelled(tidy(name)) else set())


def are_kinds(tops: Mapping[str, Top]) -> bool:
    """Tell whether folders are kinds of one thing that is called like a split, such as freight and express trains."""
    roles = [role(name) for name in tops]
    plain = any(is_plain(name) for name in tops) or any(top.folders for top in tops.values())
    return len(tops) > 1 and not plain and all(role == roles[0] for role in roles)


def is_dated(top: Top) -> bool:
    """Tell whether the folders within a class are days or cameras' folders, which are no classes."""
    return bool(top.folders) and all(_DATED.fullmatch(tidy(name)) for name in top.folders)


def is_bare(name: str, classes: Mapping[str, Top]) -> bool:
    """Tell whether a split has no classes: one folder at most, which is called like the split, or ``images``."""
    if len(classes) != 1:
        return not classes
    (only,) = classes
    return only == name or bool(role(only)) or is_filler(only)


def is_filler(name: str) -> bool:
    """Tell whether a name has words, but none that says more than ``images`` or a split."""
    return is_plain(name) and bool(words(name))


def what_lies_where(prefix: Steps, tops: Mapping[str, Top], first: Iterable[str] = ()) -> str:
    """Say what lies where, of five folders at most."""
    named = [*dict.fromkeys([*first, *sorted(tops)])][:5]
    return ", ".join(
        f"{path_of(prefix, name)} holds "
        + " and ".join(
            ["files"] * tops[name].files
            + [f"the folder{'s' * (len(tops[name].folders) > 1)} {some(tops[name].folders)}"] * bool(tops[name].folders)
        )
        for name in named
    )


def or_give(source: Path, prefix: Steps, names: list[str], start: str = ", or") -> str:
    """Say which inner folder to give instead, "" where there is none."""
    if not names:
        return ""
    if not source.is_dir():
        return f"{start} unpack it and set fetch.path to its folder {path_of(prefix, names[0])}"
    return f"{start} set fetch.path to " + " or ".join(f"{source}/{path_of(prefix, name)}" for name in names[:2])


def paths_of(prefix: Steps, names: Iterable[str]) -> str:
    """Give up to three folders for a sentence, each as ``path_of`` does."""
    names = sorted(names)
    return ", ".join(path_of(prefix, name) for name in names[:3]) + (", ..." if len(names) > 3 else "")


def path_of(prefix: Steps, name: str) -> str:
    """Give a folder for a sentence, with the last three around it."""
    return "/".join(map(short, (*prefix[-3:], name)))


def short(name: str) -> str:
    """Give a name for a sentence: at most 60 letters of it."""
    return name if len(name) <= 60 else f"{name[:60]}..."


def some(names: Iterable[str]) -> str:
    """Give up to three names for a sentence."""
    names = sorted(names)
    return ", ".join(map(short, names[:3])) + (", ..." if len(names) > 3 else "")
