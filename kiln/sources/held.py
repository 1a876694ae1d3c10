"""Tables that hold the samples themselves: all places are checked first, then the rows are given one by one."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from kiln import params
from kiln.core.errors import UserError
from kiln.sources.classnames import TableClasses, tidied
from kiln.sources.columns import label_columns, none_labelled
from kiln.sources.names import split_of
from kiln.sources.records import Content, Groups, Place, Record, Source, Surprises
from kiln.sources.rows import listed, shown

# Place (the label as it stands there, "" for none), and the content of each part, whose bytes are None where it lacks.
Row = tuple[Place, Mapping[str, Content]]


def open_rows(
    rows: Callable[[bool], Iterator[Row]], settings: params.Fetch, surprises: Surprises, path: Path, none: str
) -> Source:
    """Make a source of rows that hold samples.

    Args:
        rows: gives all rows, with contents or without, in the same order each time.
        settings: the fetch section.
        surprises: filled with what was passed over.
        path: of the source, for errors.
        none: what to say of it where there is no row.

    Raises:
        UserError: there is no row or no label, two classes look the same, or a group lies in two splits.
    """
    groups, classes, number = Groups(), TableClasses(surprises.notes, path), 0
    found: set[str] = set()
    for place, _ in rows(False):
        number += 1
        if label := classes.read(place.label):
            found.add(label)
            groups.add(place, f"{path}: row {place.id}")
    if not number:
        raise UserError(f"{path}{none}")
    if not found:
        raise none_labelled(number, label_columns(settings), path)

    def places() -> Iterator[Place]:
        for place, _ in rows(False):
            if label := tidied(place.label):
                yield place._replace(label=label)

    def records(wanted):
        missing = _Missing(path)
        for place, contents in rows(True):
            if wanted is not None and place.id not in wanted:
                continue
            label = tidied(place.label)
            if not label:
                surprises.skipped.add("row without a label", place.id)
            elif reason := missing.look(place.id, label, contents):
                surprises.skipped.add(reason, place.id)
            else:
                # Paths are dropped, since no file lies there.
                held = {part: Content(content.bytes) for part, content in contents.items()}
                yield Record(place.id, label, place.split, place.group, held)
        # Of a few that were drawn, those without a content say nothing of the others.
        missing.check(complete=wanted is None)

    return Source(places, records)


def split_of_table(name: str, telling: str | None, has_column: bool, where: str) -> str | None:
    """Read the split of a table from its name; None where it has a column of splits.

    Args:
        name: of the table.
        telling: a table of the source whose name gives a split, if there is one; "": names are not asked.
        has_column: the table has a column of splits.
        where: for errors.

    Raises:
        UserError: the name gives none, or several, while there is one that does.
    """
    if has_column or telling == "":
        return None
    split = split_of(name, where)
    if telling and not split:
        raise UserError(
            f"{where}: its name names no split, while that of {telling} does: put train, validation or test into "
            "each name or none, or give the tables a split column"
        )
    return split


class _Missing:
    """Rows that lack the content of a part, by what they lack, and the classes that they are of."""

    def __init__(self, path: Path):
        self._path = path
        self._reasons: Counter = Counter()
        self._examples: dict[str, str] = {}
        self._held: set[str] = set()

    def look(self, identity: str, label: str, contents: Mapping[str, Content]) -> str | None:
        """Note a row: return why it cannot be used, or None."""
        for part, content in contents.items():
            if content.bytes is None:
                path = content.path
                reason = f"row without its {part}" if path is None else f"row with only the path of its {part}"
                self._reasons[reason] += 1
                self._examples.setdefault(label, identity if path is None else str(path))
                return reason
        self._held.add(label)
        return None

    def check(self, complete: bool) -> None:
        """Refuse to lose a class.

        Args:
            complete: all rows were read, not some that were drawn.

        Raises:
            UserError: all rows of a class lack a content.
        """
        lost = sorted(self._examples.keys() - self._held)
        if not lost or not (complete or not self._held):
            return
        reasons = " and ".join(f"{count:,} of the kind '{reason}'" for reason, count in sorted(self._reasons.items()))
        if all(reason.startswith("row with only") for reason in self._reasons):
            reasons = f"{self._reasons.total():,} rows hold only a path, not the content"
        raise UserError(
            f"{self._path}: {reasons} (such as {shown(self._examples[lost[0]])}), and nothing is left of "
            f"{listed(lost)}: write the Parquet with the files' bytes in it, or, where the files are at hand, set "
            "fetch.source.name to manifest with a table of their paths"
        )
