"""Read a source of labelled images and pack it, byte for byte, into data/raw/."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from stages.lib import dataset, entry, files, params, progress, sources

OUTPUT = Path("data/raw")
BATCH_RECORDS = 1024
BATCH_BYTES = 16 * 2**20


def batches(records: Iterable[sources.Record]) -> Iterator[list[sources.Record]]:
    """Group records into batches of at most 1,024, and of about 16 MiB at most."""
    batch, size = [], 0
    for record in records:
        batch.append(record)
        size += len(record.content)
        if len(batch) == BATCH_RECORDS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def summarize(counts: Counter, skipped: sources.Skipped) -> dict:
    """Describe what was fetched.

    Args:
        counts: (split or None, label) -> images.
        skipped: what the source held besides.

    Returns:
        images, classes (name -> images), splits (name -> images), skipped
        (reason -> count and up to five names).
    """
    classes, splits = Counter(), Counter()
    for (split, label), count in sorted(counts.items(), key=str):
        classes[label] += count
        splits[split or "none"] += count
    reasons = {
        reason: {"files": count, "examples": skipped.examples[reason]}
        for reason, count in sorted(skipped.counts.items())
    }
    return {"images": sum(counts.values()), "classes": classes, "splits": splits, "skipped": reasons}


def main() -> None:
    """Fetch the source of params.yaml's fetch section."""
    settings = params.load().fetch
    skipped, counts = sources.Skipped(), Counter()
    records = sources.read(settings.source, Path(settings.path), skipped)

    def tables():
        for batch in progress.track(batches(records), "fetch", size=len):
            counts.update((record.split, record.label) for record in batch)
            yield None, dataset.raw_table(batch)

    with files.publish(OUTPUT) as folder:
        dataset.write(folder, tables(), "raw")
        summary = summarize(counts, skipped)
        files.write_json(folder / "summary.json", summary)
    print(
        f"fetch: {summary['images']:,} images of {len(summary['classes'])} classes"
        + "".join(f"; skipped {count} ({reason})" for reason, count in sorted(skipped.counts.items()))
    )


if __name__ == "__main__":
    entry.run(main, "fetch")
