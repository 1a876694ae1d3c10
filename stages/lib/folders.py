"""Images in folders: ``<class>/...`` or ``<split>/<class>/...``."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from stages.lib import images
from stages.lib.containers import Container
from stages.lib.errors import UserError
from stages.lib.records import SPLIT_NAMES, Place, Record, Source, Surprises, Tally

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
        names = places if wanted is None else {name: place for name, place in places.items() if place.id in wanted}
        for name, content in container.contents(names):
            yield Record(*places[name], content, name.rsplit("/", 1)[-1])

    return Source(places.values, records)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def note(places: dict[str, Place], empty: Iterable[str], notes: Tally, path: Path) -> None:
    """Count what is taken but looks odd.

    Raises:
        UserError: two classes' names differ only by case or Unicode form.
    """
    classes = Counter(place.label for place in places.values())
    known: dict[str, str] = {}
    for name in classes:
        other = known.setdefault(_folded(name), name)
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
    seen: set[str] = set()
    for place in places.values():
        steps = place.id.split("/")
        if len(steps) > 2 + (place.split is not None):
            notes.add("in a deeper folder, taken for its class", place.id)
        folded = _folded(place.id)
        if folded in seen:
            notes.add("name that differs from another only by case or Unicode form", place.id)
        seen.add(folded)


def layout(names: Iterable[str], skipped: Tally, source: Path) -> dict[str, Place]:
    """Read split and class from paths: ``<class>/...`` or ``<split>/<class>/...``.

    One folder around everything is taken off. Deeper folders belong to their
    class. Hidden files and those without the extension of an image are skipped.

    Args:
        names: paths with ``/``.
        skipped: filled with what was passed over.
        source: where the names come from, for the error.

    Returns:
        name -> its place, in the order of ``names``.

    Raises:
        UserError: there are no class folders with images, or they are mixed with split folders.
    """
    parts = {}
    for name in names:
        path = PurePosixPath(name)
        steps = tuple(step for step in path.parts if step not in ("/", ".", ".."))
        if not name.isprintable():
            skipped.add("unprintable name", ascii(name))
        elif any(step.startswith(".") or step.casefold() in _SYSTEM for step in steps):
            skipped.add("hidden", name)
        elif path.suffix.lower() not in images.EXTENSIONS:
            skipped.add("not an image by its extension", name)
        else:
            parts[name] = steps
    tops = {steps[0] for steps in parts.values()}
    nested = {steps[0] for steps in parts.values() if len(steps) > 2}
    if len(tops) == 1 and nested and not _splits(tops):
        parts = {name: steps[1:] for name, steps in parts.items()}
        tops = {steps[0] for steps in parts.values() if len(steps) > 1}
        nested = {steps[0] for steps in parts.values() if len(steps) > 2}
    in_splits = bool(nested) and _splits(tops)
    if not in_splits and (_splits(tops) or {"train", "test"} <= {SPLIT_NAMES.get(top.lower()) for top in nested}):
        raise UserError(
            f"{source}: its folders {', '.join(sorted(tops)[:5])} mix splits and classes: "
            "arrange the images as <class>/... or as <split>/<class>/..., with nothing beside"
        )
    places, ids = {}, set()
    for name, steps in parts.items():
        if len(steps) < 2 + in_splits:
            skipped.add("outside of a class folder", name)
        elif (identity := "/".join(steps)) in ids:
            skipped.add("second file of one name", name)
        else:
            ids.add(identity)
            split = SPLIT_NAMES[steps[0].lower()] if in_splits else None
            places[name] = Place(identity, steps[1 if in_splits else 0], split)
    labels = {place.label for place in places.values()}
    if len(labels) < 2:
        found = f"only the class {labels.pop()}" if labels else "no image in a class folder"
        raise UserError(
            f"{source} holds {found}: arrange images as <class>/<image> or <split>/<class>/<image>, "
            f"two classes or more, with the extensions {' '.join(sorted(images.EXTENSIONS))}"
        )
    return places


def _splits(tops: set[str]) -> bool:
    return bool(tops) and all(top.lower() in SPLIT_NAMES for top in tops)
