"""Read a source of labelled images and pack it, byte for byte, into data/raw/."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from stages.lib import dataset, entry, files, params, progress, records, sources
from stages.lib.errors import UserError

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
            "single images, choose another fetch.label_column or arrange the folders by class"
        )


def describe(summary: dict) -> str:
    """One line of what was done."""
    parts = [f"{summary['images']:,} images of {len(summary['classes'])} classes"]
    for kind in ("skipped", "notes"):
        told = [f"{found['files']:,} {reason}" for reason, found in summary[kind].items()]
        parts += [f"{kind}: {', '.join(told)}"] if told else []
    return "; ".join(parts)


def main() -> None:
    """Fetch the source of params.yaml's fetch section."""
    everything = params.load()
    surprises, counts = records.Surprises(), Counter()
    found = sources.read(everything.fetch, everything.seed, surprises)

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
