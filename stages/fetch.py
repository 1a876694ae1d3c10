"""Read a source of labelled images and pack it, byte for byte, into data/raw/."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from kiln import params
from kiln.core import entry, files, formats, progress
from kiln.core.errors import UserError
from kiln.sources import records, sources
from kiln.store import dataset

OUTPUT = Path("data/raw")
BATCH_RECORDS = 1024
BATCH_BYTES = 16 * 2**20


def batches(found: Iterable[records.Record]) -> Iterator[list[records.Record]]:
    """Group records into batches of at most 1,024, and of about 16 MiB at most."""
    batch, size = [], 0
    for record in found:
        batch.append(record)
        size += len(record.content)
        if len(batch) == BATCH_RECORDS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def summarize(counts: Counter, surprises: records.Surprises) -> dict:
    """Describe what was fetched.

    Args:
        counts: (split or None, label) -> images.
        surprises: what the source held besides.

    Returns:
        images, classes (name -> images), splits (name -> images), skipped and
        notes (reason -> count and up to five names).
    """
    classes, splits = Counter(), Counter()
    for (split, label), count in sorted(counts.items(), key=str):
        classes[label] += count
        splits[split or "none"] += count
    about = {"skipped": surprises.skipped.to_json(), "notes": surprises.notes.to_json()}
    return {"images": sum(counts.values()), "classes": classes, "splits": splits, **about}


def check(counts: Counter) -> None:
    """Refuse more classes than Kiln can handle, as soon as they are there.

    Args:
        counts: as for ``summarize``.

    Raises:
        UserError: there are too many.
    """
    most = dataset.MAX_CLASSES
    if len(counts) > most and len({label for _, label in counts}) > most:
        raise UserError(
            f"the source gives more than {most:,} classes, which is all that Kiln handles: if the labels are names of "
            "single images, choose another fetch.source.label_column or arrange the folders by class"
        )


def refuse_pointers(found: Iterable[records.Record]) -> Iterator[records.Record]:
    """Pass records on, as long as their images are there themselves.

    Raises:
        UserError: one is a pointer, as a clone without Git LFS holds in place of each file.
    """
    for record in found:
        # All pointers are short, and few images are.
        if len(record.content) < 1024 and (kind := formats.sniff(record.content[: formats.HEAD])) in records.POINTERS:
            raise UserError(
                f"{record.id} is no image, but a {kind}, which stands for one that is not here, and others may be the "
                f"same: {records.POINTERS[kind]}"
            )
        yield record


def describe(summary: dict) -> str:
    """One line of what was done: with the first ten classes, so that a wrong reading of folders is seen."""
    classes = summary["classes"]
    first = ", ".join(f"{name[:40]} {classes[name]:,}" for name in sorted(classes)[:10])
    more = f" and {len(classes) - 10:,} more" if len(classes) > 10 else ""
    parts = [f"{summary['images']:,} images of {len(classes)} classes: {first}{more}"]
    if list(summary["splits"]) != ["none"]:
        parts.append("splits: " + ", ".join(f"{name} {count:,}" for name, count in sorted(summary["splits"].items())))
    if skipped := summary["skipped"]:
        parts.append("skipped: " + ", ".join(f"{found['files']:,} {reason}" for reason, found in skipped.items()))
    notes = [f"{found['files']:,} {reason} ({_some(found['examples'])})" for reason, found in summary["notes"].items()]
    return "; ".join([*parts, *([f"notes: {', '.join(notes)}"] if notes else [])])


def _some(names: list[str]) -> str:
    return ", ".join(name[-40:] for name in names[:2]) + ", ..." * (len(names) > 2)


def main() -> None:
    """Fetch the source of params.yaml's fetch section."""
    everything = params.load(uses="fetch")
    surprises, counts = records.Surprises(), Counter()
    found = refuse_pointers(sources.read(everything.fetch, everything.seed, surprises))

    def tables():
        for batch in progress.track(batches(found), "fetch", size=len):
            counts.update((record.split, record.label) for record in batch)
            check(counts)
            yield None, dataset.raw_table(batch)

    with files.publish(OUTPUT) as folder:
        dataset.write(folder, tables(), "raw")
        summary = summarize(counts, surprises)
        if len(summary["classes"]) < 2:
            raise UserError(f"the source gives {len(summary['classes'])} class, but a classifier needs two: add images")
        files.write_json(folder / "summary.json", summary)
    print(f"fetch: {describe(summary)}")


if __name__ == "__main__":
    entry.run(main, "fetch", OUTPUT)
