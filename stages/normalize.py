"""Fit the normaliser on the training images and describe every split against it."""

from pathlib import Path

from kiln import params
from kiln.core import entry, files, progress
from kiln.modalities.image import normalizer
from kiln.store import dataset

SOURCE = Path("data/clean")
OUTPUT = Path("data/normalized")


def main() -> None:
    """Fit and describe; the pixels stay as they are, the model's first layer applies the map."""
    method = params.load().normalize.parts["image"].method
    files.verify(SOURCE)
    data = dataset.open_dataset(SOURCE, "pixels")
    counts = {}
    for split in dataset.SPLITS:
        batches = progress.track(
            data.batches(split), f"normalize {split}", data.rows(split), size=lambda batch: len(batch.ids)
        )
        counts[split] = sum(normalizer.histogram(batch.pixels) for batch in batches)
    splits = {split: normalizer.describe(counts[split], counts["train"]) for split in dataset.SPLITS}
    with files.publish(OUTPUT) as folder:
        files.write_json(folder / "normalizer.json", normalizer.fit(counts["train"], method))
        files.write_json(folder / "summary.json", {"method": method, "splits": splits})
    farthest = max(abs(shift) for split in splits.values() for shift in split["shift"])
    print(f"normalize: {method}, fitted on train; the other splits' means lie within {farthest:.3f} deviations of it")


if __name__ == "__main__":
    entry.run(main, "normalize", OUTPUT)
