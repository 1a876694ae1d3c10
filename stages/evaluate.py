"""Score the model on train, validation and test, with intervals on test."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib import artifact, dataset, entry, files, images, models, params, progress, randomness, scores

CLEAN, MODEL = Path("data/clean"), Path("data/model")
OUTPUT = Path("data/evaluation")


def predict(
    classifier: artifact.Classifier, data: dataset.Dataset, split: str, flip: bool = False
) -> dict[str, np.ndarray]:
    """Predict a whole split, streamed; with ``flip`` as the mean over each image and its mirror image.

    Returns:
        ids [N], labels int32 [N], probabilities float32 [N, classes].
    """
    ids, labels, probabilities = [], [], []
    batches = progress.track(
        data.batches(split), f"evaluate {split}", data.rows(split), size=lambda batch: len(batch.ids)
    )
    for batch in batches:
        ids.append(batch.ids)
        labels.append(batch.labels)
        probabilities.append(models.probabilities(classifier.model, batch.pixels, flip=flip))
    return {
        "ids": np.concatenate(ids),
        "labels": np.concatenate(labels),
        "probabilities": np.concatenate(probabilities),
    }


def score(labels: np.ndarray, probabilities: np.ndarray) -> tuple[dict, np.ndarray]:
    """Score a split.

    Returns:
        images, accuracy, macro precision, recall and f1, log_loss; and the
        confusion counts [classes, classes].
    """
    counts = scores.confusion(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    figures = {name: float(value) for name, value in scores.overall(counts).items()}
    figures["log_loss"] = float(scores.cross_entropy(probabilities, labels).mean())
    return {"images": len(labels), **figures}, counts


def with_intervals(figures: dict, labels: np.ndarray, probabilities: np.ndarray, resamples: int, seed: int) -> dict:
    """Put a 95 % interval beside every figure of a split: Wilson's for accuracy, bootstrap for the rest."""
    predictions = probabilities.argmax(axis=1)
    losses = scores.cross_entropy(probabilities, labels)
    generator = randomness.generator(seed, "evaluate", "bootstrap")
    intervals = scores.bootstrap(labels, predictions, losses, probabilities.shape[1], resamples, generator)
    intervals["accuracy"] = scores.wilson(int((predictions == labels).sum()), len(labels))
    result = {}
    for name, value in figures.items():
        result[name] = value
        if name in intervals:
            low, high = intervals[name]
            result[f"{name}_ci95"] = {"low": low, "high": high}
    return result


def class_table(counts: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """One row a class: class, support, precision, recall, f1, recall's 95 % interval (empty without images)."""
    table = pd.DataFrame({"class": classes, **scores.per_class(counts)})
    hits = np.diagonal(counts)
    intervals = [
        scores.wilson(int(hit), int(n)) if n else (np.nan, np.nan)
        for hit, n in zip(hits, table["support"], strict=True)
    ]
    return table.assign(recall_low=[low for low, _ in intervals], recall_high=[high for _, high in intervals])


def confusion_table(counts: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """One row a pair that occurs: label, prediction, images, share of the label's images."""
    rows, columns = np.nonzero(counts)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = np.array(classes, dtype=object)
    return pd.DataFrame(
        {
            "label": names[rows],
            "prediction": names[columns],
            "images": counts[rows, columns],
            "share": share[rows, columns],
        }
    )


def surest_mistakes(labels: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Rows of the wrong predictions with the highest probability, surest first."""
    predictions, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    return wrong[np.argsort(-certainty[wrong], kind="stable")][:most]


def pictures(data: dataset.Dataset, split: str, rows: np.ndarray) -> list[bytes]:
    """Encode some rows of a split as PNG, in the order of ``rows``."""
    found, start = {}, 0
    for batch in data.batches(split):
        for row in rows[(rows >= start) & (rows < start + len(batch.ids))]:
            found[row] = images.encode_png(batch.pixels[row - start])
        start += len(batch.ids)
    return [found[row] for row in rows]


def predictions_table(outputs: dict[str, dict], classes: list[str]) -> pa.Table:
    """List every image: id, split, label, prediction, probability, probabilities (in the classes' order)."""
    names = np.array(classes, dtype=object)
    parts = []
    for split, output in outputs.items():
        probabilities = output["probabilities"]
        parts.append(
            pa.table(
                {
                    "id": pa.array(output["ids"], pa.string()),
                    "split": pa.array([split] * len(probabilities), pa.string()),
                    "label": pa.array(names[output["labels"]], pa.string()),
                    "prediction": pa.array(names[probabilities.argmax(axis=1)], pa.string()),
                    "probability": pa.array(probabilities.max(axis=1)),
                    "probabilities": pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), len(classes)),
                }
            )
        )
    return pa.concat_tables(parts)


def main() -> None:
    """Evaluate data/model/ on data/clean/."""
    everything = params.load()
    settings = everything.evaluate
    data, classifier = dataset.open_dataset(CLEAN, "pixels"), artifact.load(MODEL)
    outputs = {split: predict(classifier, data, split) for split in dataset.SPLITS}
    scored = {split: score(out["labels"], out["probabilities"]) for split, out in outputs.items()}
    summary, counts = {split: figures for split, (figures, _) in scored.items()}, scored["test"][1]
    labels, probabilities = outputs["test"]["labels"], outputs["test"]["probabilities"]
    summary["test"] = with_intervals(summary["test"], labels, probabilities, settings.resamples, everything.seed)
    if settings.flip:
        flipped = predict(classifier, data, "test", flip=True)["probabilities"]
        figures, _ = score(labels, flipped)
        summary["test_flipped"] = with_intervals(figures, labels, flipped, settings.resamples, everything.seed)
    predictions = predictions_table(outputs, data.classes)
    rows = surest_mistakes(labels, probabilities, settings.mistakes)
    first = data.rows("train") + data.rows("validation")
    mistakes = predictions.select(["id", "label", "prediction", "probability"]).take(rows + first)
    mistakes = mistakes.append_column("image", pa.array(pictures(data, "test", rows), pa.binary()))
    with files.publish(OUTPUT) as folder:
        pq.write_table(predictions, folder / "predictions.parquet")
        pq.write_table(mistakes, folder / "mistakes.parquet")
        files.write_csv(folder / "per_class.csv", class_table(counts, data.classes))
        files.write_csv(folder / "confusion.csv", confusion_table(counts, data.classes))
        files.write_json(folder / "summary.json", files.rounded(summary))
    test, interval = summary["test"], summary["test"]["accuracy_ci95"]
    print(
        f"evaluate: test accuracy {test['accuracy']:.2%} on {test['images']:,} images, "
        f"95 % interval {interval['low']:.2%} to {interval['high']:.2%}"
        + (f"; {summary['test_flipped']['accuracy']:.2%} with mirror images" if settings.flip else "")
    )


if __name__ == "__main__":
    entry.run(main, "evaluate")
