"""Folders that could be read in several ways, or that are no classes, are refused, with what to do."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from kiln.core.errors import UserError
from kiln.sources.names import SPLIT_NAMES, folded, is_plain, split_words, tidy, words
from kiln.sources.tree import Steps, Top, is_filler, or_give, path_of, paths_of, role, short, some, what_lies_where

ARRANGE = "arrange the files as <class>/... or as <split>/<class>/..., with nothing beside"
NO_CLASSES = "make one folder for each class, or list paths and labels in a table (fetch.source.name: manifest)"
# Of sets for detection and segmentation, which have no classes of whole images.
_PICTURES = frozenset(["image", "images", "img", "imgs", "jpeg", "original", "originals", "photos", "pictures", "rgb"])
_MARKINGS = frozenset(["annotation", "annotations", "boxes", "contours", "depth", "gt", "label", "labels", "mask"])
_MARKINGS |= {"masks", "overlay", "overlays", "segmentation", "segmentations", "trimap", "trimaps", "truth"}
_FURTHER = frozenset(["class", "ground", "instance", "object", "png", "raw"])


class NoClasses(UserError):
    """Images lie in folders that are no classes."""


def no_classes(source: Path, paths: list[Steps]) -> NoClasses:
    """Build the error for folders that hold samples, but no classes."""
    where = ", ".join(path_of(path[:-1], path[-1]) for path in paths[:5])
    return NoClasses(
        f"{source} holds files directly in {where}, with no class folders there, so no file in a class folder "
        f"to learn from: {NO_CLASSES}"
    )


def _markings(names: Iterable[str]) -> list[str]:
    """Find the folders of masks and the like beside those of the images themselves, if there are no others."""
    told = {name: set(words(name)) - SPLIT_NAMES.keys() - _FURTHER for name in names}
    marked = sorted(name for name, own in told.items() if own & _MARKINGS)
    pictures = any(own and own <= _PICTURES for own in told.values())
    return marked if pictures and all(own <= _PICTURES | _MARKINGS for own in told.values()) else []


def refuse_parts(prefix: Steps, tops: Mapping[str, Top], source: Path) -> None:
    """Refuse folders of images and of masks for them, which are no classes, at either level.

    Raises:
        UserError: there are such.
    """
    if marked := _markings(tops):
        first = sorted(set(tops) - set(marked))[0]
        raise NoClasses(
            f"{source}: its folders {paths_of(prefix, tops)} look like images and their masks or annotations, as "
            f"sets for detection and segmentation have them, not like classes: {NO_CLASSES}; if {short(first)} is a "
            "class, rename it"
        )
    if len(tops) == 1 and is_filler(only := next(iter(tops))) and not tops[only].folders:
        raise no_classes(source, [(*prefix, only)])
    for name, top in sorted(tops.items()):
        if marked := _markings(top.folders):
            raise UserError(
                f"{source}: {what_lies_where(prefix, {name: top})}, which look like images and their masks or "
                f"annotations, and these would be taken for images of a class: take the folders {some(marked)} out"
            )


def refuse_nested(path: Steps, classes: Mapping[str, Top], source: Path) -> None:
    """Refuse splits within a split.

    Raises:
        UserError: a split's folders are splits themselves.
    """
    telling = sorted(name for name in classes if role(name) and is_plain(name))
    if any(classes[name].folders for name in telling) or len(telling) == len(classes) > 1:
        raise UserError(
            f"{source}: {paths_of(path, telling)} have the names of splits, but lie within the split "
            f"{path_of(path[:-1], path[-1])}: put them beside it, or set fetch.path to where they lie alone; if "
            f"{short(telling[0])} is a class, rename it"
        )


def refuse_inner(prefix: Steps, tops: Mapping[str, Top], source: Path) -> None:
    """Refuse a folder that holds splits and others, or splits and samples.

    Raises:
        UserError: the splits would be lost.
    """
    for name, top in sorted(tops.items()):
        told = [split_words(sub) for sub in top.folders if is_plain(sub)]
        if len({next(iter(split)) for split in told if len(split) == 1}) > 1:
            raise UserError(
                f"{source}: {what_lies_where(prefix, tops, [name])}, so splits lie within {path_of(prefix, name)}, "
                f"but not within each folder, or not alone: {ARRANGE}{or_give(source, prefix, [name])}"
            )


def refuse_mixed(prefix: Steps, tops: Mapping[str, Top], telling: list[str], source: Path) -> None:
    """Refuse folders of which some have the names of splits and others not, unless all of them look like classes.

    Raises:
        UserError: a split may be among them.
    """
    splits = [name for name in telling if is_plain(name) and len(tops) > len(telling)]
    nested = [name for name in telling if not tops[name].files and len(tops[name].folders) > (name not in splits)]
    # A class of trains is as likely as one of tests is not: those are images without labels.
    tests = [name for name in splits if role(name) != {"train"} and name.lower() != "valid"]
    # One such as test_strip beside strip may be a class, several are the split of each class.
    plain = {_without_split(name) for name in tops if name not in telling}
    twins = [name for name in telling if _without_split(name) in plain - {""}]
    tests += twins if len(twins) > 1 else []
    if nested or tests:
        others = sorted(set(tops) - set(nested or tests))
        deeper = [name for name in (*others, *nested) if tops[name].folders]
        raise UserError(
            f"{source}: its folders {some(nested or tests)} and {some(others)} mix splits and classes "
            f"({what_lies_where(prefix, tops, nested or tests)}): {ARRANGE}{or_give(source, prefix, deeper)}; if "
            f"{short((nested or tests)[0])} is a class, rename it"
        )


def _without_split(name: str) -> str:
    return "".join(part for part in re.split(r"[\W_]+", folded(name)) if part not in SPLIT_NAMES)


def refuse_alike(prefix: Steps, tops: Mapping[str, Top], source: Path) -> None:
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
                        f"{source}: its folders {some(tops)} hold the same folders ({some(shared[other])}), as "
                        "splits do, but their names do not say which: if they are splits, call them train, validation "
                        "and test; if they are classes, put the files directly into them, or use a table "
                        "(fetch.source.name: manifest)"
                        f"{or_give(source, prefix, [other, name])}"
                    )


def refuse_uneven(prefix: Steps, tops: Mapping[str, Top], source: Path) -> None:
    """Refuse a folder of folders beside one of samples.

    Raises:
        UserError: there are both, so that the classes may lie on either level.
    """
    nested = sorted(name for name, top in tops.items() if len(top.folders) > 1 and not top.files)
    flat = sorted(name for name, top in tops.items() if not top.folders)
    if nested and flat:
        raise UserError(
            f"{source}: {what_lies_where(prefix, tops, [nested[0], flat[0]])}, so the classes may lie on either level: "
            f"if they lie in {path_of(prefix, nested[0])},{or_give(source, prefix, nested[:1], '')}; if "
            f"{short(nested[0])} is a class, put its files directly into it"
        )
