"""Images in folders: ``<class>/...`` or ``<split>/<class>/...``."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from stages.lib import images
from stages.lib.containers import Container
from stages.lib.errors import UserError
from stages.lib.records import SPLIT_NAMES, Place, Record, Source, Surprises, Tally, folded
from stages.lib.shelf import Shelf

_SYSTEM = frozenset(["__macosx", "thumbs.db", "desktop.ini"])


def open_source(container: Container, surprises: Surprises, path: Path) -> Source:
    """Read the images of a container by the folders that they lie in.

    Args:
        container: a folder or archive.
        surprises: filled with what was passed over or is worth knowing.
        path: of the container, for errors.

    Raises:
        UserError: as ``layout`` and ``note`` do.
    """
    places = layout(container.names, surprises.skipped, path)
    note(places, container.empty, surprises.notes, path)

    def records(wanted):
        def chosen(name: str) -> bool:
            place = places.get(name)
            return place is not None and (wanted is None or place[0] in wanted)

        for name, content in container.contents(chosen):
            yield Record(*places.get(name), content, name.rsplit("/", 1)[-1])

    return Source(lambda: (Place(*place) for _, place in places.items()), records)


def note(places: Shelf, empty: Iterable[str], notes: Tally, path: Path) -> None:
    """Count what is taken but looks odd.

    Raises:
        UserError: two classes' names differ only by case or Unicode form.
    """
    classes = Counter(label for _, (_, label, *_) in places.items())
    known: dict[str, str] = {}
    for name in classes:
        other = known.setdefault(folded(name), name)
        if other != name:
            raise UserError(
                f"{path} has the classes {other!a} and {name!a}, which differ only by case or Unicode form: "
                "give one class one name"
            )
    for name, count in sorted(classes.items()):
        if count == 1:
            notes.add("class with one image", name)
    for name in empty:
        notes.add("empty folder", name)
    seen = Shelf()
    for name, (identity, _, split, _) in places.items():
        if name.startswith("/") or ".." in name.split("/"):
            notes.add("name that leads outside, read without its / or ..", name)
        if identity.count("/") > 1 + (split is not None):
            notes.add("in a deeper folder, taken for its class", identity)
        if not seen.add(folded(identity)):
            notes.add("name that differs from another only by case or Unicode form", identity)


def layout(names: Iterable[str], skipped: Tally, source: Path) -> Shelf:
    """Read split and class from paths: ``<class>/...`` or ``<split>/<class>/...``.

    One folder around everything is taken off. Deeper folders belong to their
    class. Hidden files and those without the extension of an image are skipped.

    Args:
        names: paths with ``/``.
        skipped: filled with what was passed over.
        source: where the names come from, for the error.

    Returns:
        name -> the fields of its place, in the order of ``names``.

    Raises:
        UserError: there are no class folders with images, or they are mixed with split folders.
    """
    # The folders at the top and those of them that hold folders; the same below a wrapping folder.
    tops, nested, inner_tops, inner_nested = set(), set(), set(), set()
    for name in names:
        steps = _steps(name)
        if _is_hidden(steps):
            skipped.add("hidden", name)
        elif not _is_image(name):
            skipped.add("not an image by its extension", name)
        else:
            tops.add(steps[0])
            nested |= {steps[0]} if len(steps) > 2 else set()
            inner_tops |= {steps[1]} if len(steps) > 2 else set()
            inner_nested |= {steps[1]} if len(steps) > 3 else set()
    wrapped = len(tops) == 1 and bool(nested) and not _splits(tops)
    if wrapped:
        tops, nested = inner_tops, inner_nested
    in_splits = bool(nested) and _splits(tops)
    if not in_splits and (_splits(tops) or {"train", "test"} <= {SPLIT_NAMES.get(top.lower()) for top in nested}):
        raise UserError(
            f"{source}: its folders {', '.join(sorted(tops)[:5])} mix splits and classes: "
            "arrange the images as <class>/... or as <split>/<class>/..., with nothing beside"
        )
    places, ids, labels = Shelf(), Shelf(), set()
    for name in names:
        steps = _steps(name)
        if not _is_image(name) or _is_hidden(steps):
            continue
        steps = steps[wrapped:]
        if len(steps) < 2 + in_splits:
            skipped.add("outside of a class folder", name)
        elif not ids.add("/".join(steps)):
            skipped.add("second file of one name", name)
        else:
            split = SPLIT_NAMES[steps[0].lower()] if in_splits else None
            labels.add(steps[in_splits])
            places.add(name, Place("/".join(steps), steps[in_splits], split))
    if len(labels) < 2:
        found = f"only the class {labels.pop()}" if labels else "no image in a class folder"
        raise UserError(
            f"{source} holds {found}: arrange images as <class>/<image> or <split>/<class>/<image>, "
            f"two classes or more, with the extensions {' '.join(sorted(images.EXTENSIONS))}"
        )
    return places


def _steps(name: str) -> tuple[str, ...]:
    return tuple(step for step in PurePosixPath(name).parts if step not in ("/", ".", ".."))


def _is_hidden(steps: tuple[str, ...]) -> bool:
    return any(step.startswith(".") or step.casefold() in _SYSTEM for step in steps)


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in images.EXTENSIONS


def _splits(tops: set[str]) -> bool:
    return bool(tops) and all(top.lower() in SPLIT_NAMES for top in tops)
