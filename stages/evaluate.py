"""Score the model on train, validation and test; on test with intervals, slices, corruptions and explanations."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kiln import params
from kiln.core import entry, files, randomness
from kiln.core.errors import UserError
from kiln.evaluation import baseline, curves, exhibits, predictions, robustness, scope, scoring, slices
from kiln.networks import artifact
from kiln.store import dataset

CLEAN, MODEL = Path("data/clean"), Path("data/model")
OUTPUT = Path("data/evaluation")


def load_inputs() -> tuple[dataset.Dataset, artifact.Classifier]:
    """Open data/clean/, and the model in data/model/ that was trained on it.

    Raises:
        UserError: a file is missing or damaged, or the model was trained on other classes or parts.
    """
    files.verify(CLEAN)
    files.verify(MODEL)
    data, classifier = dataset.open_dataset(CLEAN, "clean"), artifact.load(MODEL)
    if (classifier.classes, classifier.parts) != (data.classes, data.parts):
        raise UserError(f"{MODEL} was trained on other classes or parts than {CLEAN} has: run `dvc repro`")
    return data, classifier


def load_facts(ids: np.ndarray, data: dataset.Dataset) -> pd.DataFrame:
    """Gather what clean has recorded of test images, and how they differ from train, one row per image."""
    names = ("measures", "flags", "set_aside")
    measures, *findings = (pq.read_table(CLEAN / f"{name}.parquet").to_pandas() for name in names)
    facts = slices.gather_facts(ids, measures, pd.concat(findings), slices.list_reasons(data.parts))
    batches = (batch.parts for batch in data.batches("test"))
    return facts.join(slices.measure_fitted(batches, data.parts, artifact.read_normalizers(MODEL)))


def find_outside(name: str, data: dataset.Dataset) -> int | None:
    """Find the class that is out of scope; None if ``name`` is empty. Raises UserError if it cannot be scored."""
    if not name:
        return None
    labels = [group.table(["label"])["label"].to_numpy() for group in data.row_groups("test")]
    return scope.find_class(name, data.classes, np.concatenate(labels))


def score_flipped(
    classifier: artifact.Classifier, data: dataset.Dataset, settings: params.Evaluate, seed: int, units: np.ndarray
) -> dict | None:
    """Score the mean over the test-time views of each test sample; None where no part has any, or none are wanted."""
    if not any(part.modality.wants_test_views(settings.parts.get(name)) for name, part in data.parts.items()):
        return None
    test = predictions.predict_split(classifier, data, "test", average_views=True)
    scored = scoring.score(test["labels"], test["probabilities"], data.classes, settings.resamples, seed, units)
    return scored[0]


def tabulate_test(test: dict[str, np.ndarray], data: dataset.Dataset, units: np.ndarray) -> dict[str, pd.DataFrame]:
    """Tabulate test: confusion, curves and slices; file name -> table."""
    labels, probabilities = test["labels"], test["probabilities"]
    predicted = probabilities.argmax(axis=1)
    return {
        "confusion": scoring.confusion_table(labels, predicted, data.classes),
        "reliability": curves.reliability(labels, probabilities),
        "roc": curves.roc(labels, probabilities),
        "precision_recall": curves.precision_recall(labels, probabilities),
        "slices": slices.table(
            load_facts(test["ids"], data), slices.list_measures(data.parts), predicted == labels, units
        ),
    }


def save(tables: dict[str, pd.DataFrame], predicted: pa.Table, shown: pa.Table, summary: dict) -> None:
    """Write data/evaluation/."""
    with files.publish(OUTPUT) as folder:
        for name, table in tables.items():
            files.write_csv(folder / f"{name}.csv", table)
        pq.write_table(predicted, folder / "predictions.parquet")
        pq.write_table(shown, folder / "exhibits.parquet")
        files.write_json(folder / "summary.json", files.rounded(summary))


def main() -> None:
    """Evaluate data/model/ on data/clean/."""
    everything = params.load(uses="evaluate")
    settings, seed = everything.evaluate, everything.seed
    data, classifier = load_inputs()
    outside = find_outside(settings.out_of_scope, data)

    outputs = predictions.predict_splits(classifier, data)
    test = outputs["test"]
    labels, units = test["labels"], predictions.number_units(test["units"])
    scored, per_class = scoring.score(labels, test["probabilities"], data.classes, settings.resamples, seed, units)
    flipped = score_flipped(classifier, data, settings, seed, units)
    summary = scoring.summarize(outputs, scored, flipped)
    summary |= baseline.compare(data, test, units, settings.resamples, seed)
    if outside is not None:
        draws = settings.resamples, randomness.generator(seed, "evaluate", "out of scope")
        summary["out_of_scope"] = scope.score(labels, test["probabilities"], outside, *draws, units)
    used = min(settings.robustness_samples, len(labels))
    first = robustness.read_first(data, "test", used)
    corrupted = robustness.score_corrupted(classifier, first, labels[:used], units[:used], seed)
    if used:
        summary["robustness"] = robustness.summarize(corrupted, used)
    rows = exhibits.choose_rows(labels, test["probabilities"], settings.mistakes)
    shown = exhibits.make_exhibits(classifier, data, test, rows)

    tables = {"per_class": per_class, "robustness": corrupted, **tabulate_test(test, data, units)}
    save(tables, predictions.predictions_table(outputs, data.classes), shown, summary)
    print(f"evaluate: {scoring.describe(summary, predictions.name_samples(data.parts))}")


if __name__ == "__main__":
    entry.run(main, "evaluate", OUTPUT)
