"""Files in folders: ``<class>/...`` or ``<split>/<class>/...``, as ``layouts`` reads them."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from kiln.core.errors import UserError
from kiln.modalities.base import FileKinds
from kiln.sources import layouts
from kiln.sources.ambiguities import NoClasses
from kiln.sources.classnames import FolderClasses
from kiln.sources.listing import Container
from kiln.sources.names import folded, is_certainly_unlabelled, is_hidden
from kiln.sources.records import Content, Place, Record, Source, Surprises, Tally
from kiln.sources.selection import DOCUMENTS, MOST, Losses, Selector, advise, describe_skipped, has_remedy, steps_of
from kiln.sources.shelf import Shelf

# Tables that a manifest may be, and what such a table is not called.
_LISTS, _NO_LIST = (".csv", ".tsv", ".jsonl"), "submission"
_BARE = ", which has no class folders"
_UNLABELLED = "without a label: to learn from such texts, set fetch.unlabelled"


def open_source(container: Container, part: str, modality: FileKinds, surprises: Surprises, path: Path) -> Source:
    """Read the samples of a container by the folders that they lie in.

    Args:
        container: a folder or archive.
        part: the name of the one part of each sample.
        modality: of it.
        surprises: filled with what was passed over or is worth knowing.
        path: of the container, for errors.

    Raises:
        UserError: as ``layout`` does.
    """
    places = layout(container, modality, surprises, path)
    note(places, container.empty, surprises.notes)

    def records(wanted):
        def chosen(name: str) -> bool:
            place = places.get(name)
            return place is not None and (wanted is None or place[0] in wanted)

        for name, content in container.contents(chosen):
            yield Record(*places.get(name), {part: Content(content, name.rsplit("/", 1)[-1])})

    return Source(lambda: (Place(*place) for _, place in places.items()), records)


def note(places: Shelf, empty: Iterable[str], notes: Tally) -> None:
    """Count what is taken but looks odd."""
    for name in empty:
        if not is_hidden(steps_of(name)):
            notes.add("empty folder", name)
    classes, seen = Counter(), Shelf()
    for name, (identity, label, *_) in places.items():
        classes[label] += 1
        if name.startswith("/") or ".." in name.split("/"):
            notes.add("name that leads outside, read without its / or ..", name)
        if not seen.add(folded(identity)):
            notes.add("name that differs from another only by case or Unicode form", identity)
    for name, count in sorted(classes.items()):
        if count == 1:
            notes.add("class with one sample", name)


def layout(container: Container, modality: FileKinds, surprises: Surprises, source: Path) -> Shelf:
    """Find the samples of a container, and read split and class from their paths.

    Files with an extension of the modality are taken, those with one of another
    kind are not, and all others are looked into. Hidden files are skipped.
    Deeper folders belong to their class.

    Args:
        container: with names with ``/``.
        modality: of the samples.
        surprises: filled with what was passed over or is worth knowing.
        source: where the names come from, for errors.

    Returns:
        name -> the fields of its place, in the order of the names.

    Raises:
        UserError: the folders can be read in several ways, two classes' names look
            the same, a class has no sample, or there are fewer than two classes.
    """
    selector = Selector(container, modality)
    folders = Shelf()
    for name in container.names:
        steps = steps_of(name)
        if selector.judge(name).may_be_sample and len(steps) > 1:
            folders.add("/".join(steps[:-1]))
    try:
        found = layouts.read(folders, source)
    except UserError as error:
        table = _table(container, modality) if isinstance(error, NoClasses) else ""
        raise UserError(f"{error}{table}{''.join(f'; {links}' for links in _links(container))}") from None
    _refuse_links(container, found, source)
    places, ids, classes, losses = Shelf(), Shelf(), FolderClasses(source), Losses(source, modality)
    beside: set[tuple[str | None, str]] = set()
    for name in container.names:
        steps, verdict = steps_of(name), selector.judge(name)
        spot = found.spot(steps)
        if verdict.reason:
            surprises.skipped.add(verdict.reason, name)
            if spot and verdict.matters:
                losses.add(spot, verdict.reason, name)
            elif spot and verdict.reason != "hidden" and len(beside) < MOST:
                beside.add(spot[:2])
        elif spot is None:
            surprises.skipped.add(_outside(found, steps), name)
        elif modality.separator is not None and is_certainly_unlabelled(spot.label):
            surprises.skipped.add(f"in {spot.label[:60]}, so {_UNLABELLED}", name)
        elif not ids.add(identity := "/".join(steps[len(found.prefix) :])):
            surprises.skipped.add("second file of one name", name)
        else:
            places.add(name, Place(identity, classes.add(spot), spot.split))
            if len(steps) > spot.depth + 1:
                surprises.notes.add("in a deeper folder, taken for its class", identity)
    for name, reason in container.passed.items(in_order=True):
        if not name.endswith("/") and selector.judge(name).matters and (spot := found.spot(steps_of(name))):
            losses.add(spot, reason, name)
    labels = sorted(set(classes.labels.values()))
    if labels:
        losses.check(classes.spots)
    if len(labels) < 2:
        raise _nothing(source, labels, surprises.skipped, modality, _table(container, modality))
    for spot in sorted(beside - classes.spots, key=str):
        surprises.notes.add("folder without a sample, which is not a class", "/".join(filter(None, spot)))
    for reason, name in (*found.notes, *classes.notes()):
        surprises.notes.add(reason, name)
    return places


def _links(container: Container) -> list[str]:
    """Say which folders are symbolic links, if any are."""
    names = [name.rstrip("/") for name in container.passed if name.endswith("/") and not is_hidden(steps_of(name))]
    return [_about_links(sorted(names))] if names else []


def _about_links(names: list[str]) -> str:
    some = ", ".join(name[-60:] for name in names[:5]) + ", ..." * (len(names) > 5)
    return (
        f"{some} {'is a symbolic link to a folder' if len(names) == 1 else 'are symbolic links to folders'}, "
        "which are not followed: put the folders themselves there, as `cp -rL` copies them, or set fetch.path to "
        "where they lie"
    )


def _refuse_links(container: Container, found: layouts.Layout, source: Path) -> None:
    """Refuse links where class folders lie.

    Raises:
        UserError: a class, or a split, would be lost.
    """
    names = (name.rstrip("/") for name in container.passed if name.endswith("/"))
    links = [name for name in names if not is_hidden(steps_of(name)) and found.is_class_folder(steps_of(name))]
    if links:
        raise UserError(f"{source}: {_about_links(sorted(links))}")


def _table(container: Container, modality: FileKinds) -> str:
    """Say which tables may list the samples, or hold them, if there are any."""
    names = (name for name in container.names if name.lower().endswith(_LISTS) and not is_hidden(steps_of(name)))
    tables = dict.fromkeys(name.rsplit("/", 1)[-1][-60:] for name in names if _NO_LIST not in name.lower())
    if not tables:
        return ""
    named = " or ".join([*tables][:2])
    if modality.separator is not None:
        return f"; if {named} holds the {modality.noun}s, set fetch.source.name to table"
    return f"; if {named} lists them, set fetch.source.name to manifest and fetch.source.manifest to its name"


def _nothing(source: Path, labels: list[str], skipped: Tally, modality: FileKinds, table: str) -> UserError:
    found = f"only the class {labels[0][:80]}" if labels else "no file in a class folder"
    why = f" (skipped: {describe_skipped(skipped)})" if skipped.counts else ""
    ends = ("(text)", _BARE)
    beside = ("hidden", "outside of a class folder", "second file of one name", *DOCUMENTS)
    unread = [
        reason
        for reason in skipped.counts
        if has_remedy(reason, modality) or not (reason.startswith(beside) or reason.endswith(ends))
    ]
    remedy = f"{advise(unread, modality)}; else " if unread else ""
    return UserError(
        f"{source} holds {found}{why}: {remedy}arrange files as <class>/<file> or <split>/<class>/<file>, two "
        f"classes or more{table}"
    )


def _outside(found: layouts.Layout, steps: tuple[str, ...]) -> str:
    first = steps[len(found.prefix)] if len(steps) > len(found.prefix) else ""
    return f"in {first[:60]}{_BARE}" if first in found.unlabelled else "outside of a class folder"
