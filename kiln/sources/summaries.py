"""What was fetched, for summary.json and for the line that the stage prints."""

from collections import Counter
from collections.abc import Iterable

from kiln.core.errors import UserError
from kiln.sources.records import Record, Surprises
from kiln.store import dataset


class Summary:
    """Counts what passes.

    Args:
        surprises: what the source held besides.
    """

    def __init__(self, surprises: Surprises):
        self._surprises = surprises
        self._counts: Counter[tuple[str | None, str]] = Counter()

    def add(self, records: Iterable[Record]) -> None:
        """Count records.

        Raises:
            UserError: there are more classes than Kiln can handle; said as soon as they are there.
        """
        self._counts.update((record.split, record.label) for record in records)
        most = dataset.MAX_CLASSES
        if len(self._counts) > most and len({label for _, label in self._counts}) > most:
            raise UserError(
                f"the source gives more than {most:,} classes, the most that Kiln supports: if the labels are names "
                "of single samples, choose another fetch.source.label_column or arrange the folders by class"
            )

    def check(self) -> None:
        """Refuse a source of fewer than two classes."""
        classes = {label for _, label in self._counts}
        if len(classes) < 2:
            raise UserError(f"the source gives {len(classes)} class, but a classifier needs two: add samples")

    def to_json(self) -> dict:
        """Give samples, classes and splits (name -> samples), skipped and notes (reason -> count and some names)."""
        classes, splits = Counter(), Counter()
        for (split, label), count in sorted(self._counts.items(), key=str):
            classes[label] += count
            splits[split or "none"] += count
        about = {"skipped": self._surprises.skipped.to_json(), "notes": self._surprises.notes.to_json()}
        return {"samples": self._counts.total(), "classes": classes, "splits": splits, **about}


def describe(summary: dict, noun: str) -> str:
    """Describe a summary in one line, with the first ten classes, so that a misread folder is seen.

    Args:
        summary: as ``Summary.to_json`` gives it.
        noun: what a sample is called.
    """
    classes = summary["classes"]
    first = ", ".join(f"{name[:40]} ({classes[name]:,})" for name in sorted(classes)[:10])
    more = f" and {len(classes) - 10:,} more" if len(classes) > 10 else ""
    parts = [f"{summary['samples']:,} {noun}s of {len(classes)} classes: {first}{more}"]
    if list(summary["splits"]) != ["none"]:
        parts.append("splits: " + ", ".join(f"{name} {count:,}" for name, count in sorted(summary["splits"].items())))
    if skipped := summary["skipped"]:
        parts.append("skipped: " + ", ".join(f"{some['files']:,} {reason}" for reason, some in skipped.items()))
    notes = [f"{some['files']:,} {reason} ({_shorten(some['examples'])})" for reason, some in summary["notes"].items()]
    if further := summary.get("unlabelled"):
        parts.append(f"{further['samples']:,} more without labels")
    return "; ".join([*parts, *([f"notes: {', '.join(notes)}"] if notes else [])])


def _shorten(names: list[str]) -> str:
    return ", ".join(name[-40:] for name in names[:2]) + ", ..." * (len(names) > 2)
