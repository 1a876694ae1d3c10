"""Read a source of labelled samples and pack it, byte for byte, into data/raw/."""

from pathlib import Path

from kiln import params
from kiln.core import entry, files, progress
from kiln.modalities.registry import name_samples
from kiln.sources import reading, summaries
from kiln.sources.records import Surprises
from kiln.store import dataset

OUTPUT = Path("data/raw")


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
        files.write_json(folder / "summary.json", summary.to_json())
    print(f"fetch: {summaries.describe(summary.to_json(), name_samples(everything.inputs))}")


if __name__ == "__main__":
    entry.run(main, "fetch", OUTPUT)
