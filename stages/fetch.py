"""Read a source of labelled samples and pack it, byte for byte, into data/raw/."""

import itertools
from collections.abc import Mapping
from pathlib import Path

from kiln import params
from kiln.core import entry, files, progress
from kiln.modalities.registry import name_samples
from kiln.sources import reading, summaries, unlabelled
from kiln.sources.records import Surprises
from kiln.store import dataset

OUTPUT = Path("data/raw")


def pack_unlabelled(folder: Path, path: str, inputs: Mapping[str, str]) -> dict:
    """Pack further samples without labels into a dataset of their own, if there are any.

    Returns:
        unlabelled: how many samples, and what was skipped; nothing where there are none.
    """
    parts, surprises, count = list(inputs), Surprises(), 0
    batches = reading.batch(unlabelled.read(Path(path), inputs, surprises))
    first = next(batches, None)
    if first is None:
        return {}

    def tables():
        nonlocal count
        for batch in progress.track(itertools.chain([first], batches), "fetch unlabelled", size=len):
            count += len(batch)
            yield None, dataset.raw_table(batch, parts)

    dataset.write(folder, tables(), "raw", parts=parts)
    return {"unlabelled": {"samples": count, "skipped": surprises.skipped.to_json()}}


def main() -> None:
    """Fetch the source that params.yaml's fetch section describes."""
    everything = params.load(uses="fetch")
    parts, surprises = list(everything.inputs), Surprises()
    summary = summaries.Summary(surprises)
    records = reading.read(everything.fetch, everything.inputs, everything.seed, surprises)

    def tables():
        for batch in progress.track(reading.batch(records), "fetch", size=len):
            summary.add(batch)
            yield None, dataset.raw_table(batch, parts)

    with files.publish(OUTPUT) as folder:
        dataset.write(folder, tables(), "raw", parts=parts)
        summary.check()
        further = pack_unlabelled(folder / "unlabelled", everything.fetch.unlabelled, everything.inputs)
        files.write_json(folder / "summary.json", summary.to_json() | further)
    print(f"fetch: {summaries.describe(summary.to_json() | further, name_samples(everything.inputs))}")


if __name__ == "__main__":
    entry.run(main, "fetch", OUTPUT)
