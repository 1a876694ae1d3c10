"""Fit the normaliser on the training samples and describe every split against it."""

from pathlib import Path

from kiln import params
from kiln.core import entry, files, progress
from kiln.store import dataset

SOURCE = Path("data/clean")
OUTPUT = Path("data/normalized")


def count(data: dataset.Dataset, split: str) -> dict:
    """Sum the statistics of a split over its batches: part -> statistics."""
    totals = {}
    batches = data.batches(split)
    for batch in progress.track(batches, f"normalize {split}", data.rows(split), size=len):
        for name, part in data.parts.items():
            statistics = part.modality.count(batch.parts[name])
            totals[name] = totals[name] + statistics if name in totals else statistics
    return totals


def main() -> None:
    """Fit and describe; the values stay unchanged: the model's first layer applies the map."""
    settings = params.load(uses="normalize").normalize
    files.verify(SOURCE)
    data = dataset.open_dataset(SOURCE, "clean")
    counts = {split: count(data, split) for split in dataset.SPLITS}
    fitted, described = {}, {}
    for name, part in data.parts.items():
        train = counts["train"][name]
        fitted[name] = part.modality.fit(train, settings.parts[name])
        splits = {split: part.modality.describe(counts[split][name], train) for split in dataset.SPLITS}
        described[name] = {"method": fitted[name]["method"], "splits": splits}
    with files.publish(OUTPUT) as folder:
        files.write_json(folder / "normalizer.json", fitted)
        files.write_json(folder / "summary.json", {"parts": described})
    for name, about in described.items():
        farthest = max(abs(shift) for split in about["splits"].values() for shift in split["shift"])
        print(
            f"normalize: {name} by {about['method']}, fitted on train; the other splits' means lie within "
            f"{farthest:.3f} deviations of it"
        )


if __name__ == "__main__":
    entry.run(main, "normalize", OUTPUT)
