"""Score the model on train, validation and test; on test with intervals, slices, corruptions and explanations."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kiln import params
from kiln.core import entry, figures, files, progress, randomness
from kiln.core.errors import UserError
from kiln.evaluation import calibration, curves, explanations, intervals, slices
from kiln.modalities.image import corruptions, pictures
from kiln.networks import artifact, models
from kiln.store import dataset

CLEAN, MODEL = Path("data/clean"), Path("data/model")
OUTPUT = Path("data/evaluation")
SEEN = ("train", "validation")
RIGHT = 4  # exhibits that are classified rightly
EXHIBITS = pa.schema(
    {
        "id": pa.string(),
        "label": pa.string(),
        "prediction": pa.string(),
        "probability": pa.float64(),
        "image": pa.binary(),
        "occlusion": pa.binary(),
        "grad_cam": pa.binary(),
        "neighbours": pa.list_(
            pa.struct({"id": pa.string(), "label": pa.string(), "cosine": pa.float64(), "image": pa.binary()})
        ),
    }
)


def predict(
    classifier: artifact.Classifier, data: dataset.Dataset, split: str, flip: bool = False
) -> dict[str, np.ndarray]:
    """Predict a whole split, streamed; with ``flip`` as the mean over each image and its mirror image.

    Returns:
        ids [N], labels int32 [N], units [N], probabilities float32 [N, classes].
    """
    ids, labels, units, probabilities = [], [], [], []
    batches = progress.track(
        data.batches(split), f"evaluate {split}", data.rows(split), size=lambda batch: len(batch.ids)
    )
    for batch in batches:
        ids.append(batch.ids)
        labels.append(batch.labels)
        units.append(batch.units)
        probabilities.append(models.probabilities(classifier.model, batch.pixels, flip=flip))
    return {
        "ids": np.concatenate(ids),
        "labels": np.concatenate(labels),
        "units": np.concatenate(units),
        "probabilities": np.concatenate(probabilities),
    }


def logits(classifier: artifact.Classifier, data: dataset.Dataset, split: str) -> np.ndarray:
    """Give a whole split's logits, which tell apart what is 0 as a float32 probability: float32 [N, classes]."""
    network = models.logits_of(classifier.model)
    return np.concatenate([models.probabilities(network, batch.pixels) for batch in data.batches(split)])


def numbered(units: np.ndarray) -> np.ndarray:
    """Number units by their names: int64 [N]."""
    return np.unique(units.astype(str), return_inverse=True)[1].ravel()


def score(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: list[str],
    resamples: int,
    seed: int,
    units: np.ndarray | None = None,
) -> tuple[dict, pd.DataFrame]:
    """Score test images, with intervals.

    Returns:
        The figures of ``intervals.scored``; and one row a class: class, support,
        precision, recall, f1, and the ends of their 95 % intervals (recall_low,
        recall_high, ...; empty where there is nothing to count).
    """
    generator = randomness.generator(seed, "evaluate", "bootstrap")
    found, of_class = intervals.scored(labels, probabilities, resamples, generator, units)
    support = np.bincount(labels, minlength=len(classes))
    columns = ["precision", "recall", "f1", "recall_low", "recall_high"]
    columns += ["precision_low", "precision_high", "f1_low", "f1_high"]
    table = pd.DataFrame({"class": classes, "support": support, **{name: of_class[name] for name in columns}})
    table.loc[support == 0, ["f1_low", "f1_high"]] = np.nan
    return found, table


def calibrated(validation: dict[str, np.ndarray], test: dict[str, np.ndarray]) -> dict[str, float]:
    """Fit a temperature on validation and score test's probabilities after it.

    Args:
        validation, test: of ``predict``, with the logits where some probability is 0.

    Returns:
        temperature, temperature_ci95 (low, high), log_loss, brier, ece.
    """
    seen = (validation["labels"], validation["probabilities"], validation.get("logits"), validation["units"])
    low, high = calibration.interval(*seen)
    temperature = calibration.fit(*seen)
    after = calibration.scaled(test["probabilities"], temperature, test.get("logits"))
    scored, _ = intervals.scored(test["labels"], after)
    result = {"temperature": temperature, "temperature_ci95": {"low": low, "high": high}}
    return {**result, **{name: scored[name] for name in ("log_loss", "brier", "ece")}}


def known_about(ids: np.ndarray, folder: Path) -> pd.DataFrame:
    """Gather what clean knows of test images, for slices.

    Args:
        ids: of the images [N].
        folder: clean's output.

    Returns:
        One row an image in their order: brightness, sharpness, short_side; and
        whether the label is doubted, and whether a near-duplicate was flagged or set aside.
    """
    measures = pq.read_table(folder / "measures.parquet").to_pandas().set_index("id")
    facts = measures.loc[ids, list(slices.MEASURES)].reset_index(drop=True)
    found = pd.concat([pq.read_table(folder / f"{name}.parquet").to_pandas() for name in ("flags", "set_aside")])
    doubted = found.loc[found["reason"] == "label_error", "id"]
    pairs = found[found["reason"] == "near_duplicate"]
    facts["label doubted"] = np.isin(ids, doubted)
    facts["has a near-duplicate"] = np.isin(ids, pd.concat([pairs["id"], pairs["other"]]).dropna())
    return facts


def robustness(
    classifier: artifact.Classifier, parts: Iterable[np.ndarray], labels: np.ndarray, units: np.ndarray, seed: int
) -> pd.DataFrame:
    """Score test images under each corruption at each strength.

    Args:
        classifier: the model.
        parts: the images in stretches, uint8 [n, H, W, C], of which one is held at a time.
        labels: int [N].
        units: int [N], the same for images that belong together.
        seed: of the corruptions.

    Returns:
        case (both), corruption, strength, amount, accuracy, low, high (95 % interval); the first row is of the images
        as they are (none). No rows where there are no images.
    """
    cases = [("none", "none", 0)]
    cases += [
        (name, strength, amount)
        for name, (_, amounts, _) in corruptions.CORRUPTIONS.items()
        for strength, amount in zip(corruptions.STRENGTHS, amounts, strict=True)
    ]
    # Each case draws on from part to part: every image is read once, and all are corrupted as if case by case.
    draws = [randomness.generator(seed, "evaluate", name, strength) for name, strength, _ in cases]
    predicted = [[] for _ in cases]
    for part in progress.track(parts, "evaluate corruptions", len(labels), size=len):
        for (name, strength, _), generator, said in zip(cases, draws, predicted, strict=True):
            changed = part if name == "none" else corruptions.corrupt(part, name, strength, generator)
            said.append(models.probabilities(classifier.model, changed).argmax(axis=1))
    table = []
    for (name, strength, amount), said in zip(cases if len(labels) else [], predicted, strict=False):
        right = np.concatenate(said) == labels
        table.append((f"{name}, {strength}", name, strength, amount, right.mean(), *intervals.share(right, units)))
    return pd.DataFrame(table, columns=["case", "corruption", "strength", "amount", "accuracy", "low", "high"])


def robustness_figures(table: pd.DataFrame, images_used: int) -> dict:
    """Nest accuracies under corruption: images, none, each corruption by strength, and their mean."""
    corrupted = table.iloc[1:]
    by_name = {
        name: dict(zip(rows["strength"], rows["accuracy"], strict=True))
        for name, rows in corrupted.groupby("corruption", sort=False)
    }
    return {
        "images": images_used,
        "none": table["accuracy"][0],
        "mean": float(corrupted["accuracy"].mean()),
        **by_name,
    }


def confusion_table(labels: np.ndarray, predictions: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """One row a pair that occurs: label, prediction, images, share of the label's images."""
    pairs, images_ = np.unique(labels.astype(np.int64) * len(classes) + predictions, return_counts=True)
    rows, columns = np.divmod(pairs, len(classes))
    names = np.array(classes, dtype=object)
    share = images_ / np.bincount(labels, minlength=len(classes))[rows]
    return pd.DataFrame({"label": names[rows], "prediction": names[columns], "images": images_, "share": share})


def surest_mistakes(labels: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Rows of the wrong predictions with the highest probability, surest first."""
    predictions, certainty = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    return wrong[np.argsort(-certainty[wrong], kind="stable")][:most]


def surest_right(labels: np.ndarray, probabilities: np.ndarray, most: int) -> np.ndarray:
    """Rows of the right predictions with the highest probability, one a class at most, surest first."""
    certainty = np.where(probabilities.argmax(axis=1) == labels, probabilities.max(axis=1), -1.0)
    order = np.argsort(-certainty, kind="stable")
    _, firsts = np.unique(labels[order], return_index=True)
    rows = order[np.sort(firsts)]
    return rows[certainty[rows] >= 0][:most]


def surest(labels: np.ndarray, probabilities: np.ndarray, mistakes: int) -> np.ndarray:
    """Rows to show: the surest mistakes, then for comparison a few of the surest right predictions."""
    right = surest_right(labels, probabilities, RIGHT if mistakes else 0)
    return np.append(surest_mistakes(labels, probabilities, mistakes), right)


def pixels_of(data: dataset.Dataset, split: str, rows: np.ndarray) -> np.ndarray:
    """Read some rows of a split, in the order of ``rows``: uint8 [M, H, W, C]."""
    found, start = np.empty((len(rows), *data.image_shape), np.uint8), 0
    for batch in data.batches(split):
        here = (rows >= start) & (rows < start + len(batch.ids))
        found[here] = batch.pixels[rows[here] - start]
        start += len(batch.ids)
    return found


def first_images(data: dataset.Dataset, split: str, count: int) -> Iterator[np.ndarray]:
    """Stream the first images of a split, in whose order the classes are mixed: uint8 [n, H, W, C], count in all."""
    for batch in data.batches(split):
        if not count:
            break
        yield batch.pixels[:count]
        count -= min(count, len(batch.pixels))


def exhibits(
    classifier: artifact.Classifier, data: dataset.Dataset, output: dict[str, np.ndarray], rows: np.ndarray
) -> pa.Table:
    """Show test images, where the model looks, and the training images that it takes for most alike.

    Args:
        classifier: the model.
        data: clean's.
        output: of ``predict`` on test.
        rows: of the images.

    Returns:
        id, label, prediction, probability, image (PNG), occlusion (PNG), grad_cam (PNG, or null),
        neighbours (a list of id, label, cosine, image).
    """
    names, probabilities = np.array(data.classes, dtype=object), output["probabilities"][rows]
    pixels, predicted = pixels_of(data, "test", rows), probabilities.argmax(axis=1)
    cams = alike = None
    if len(rows):
        cams = explanations.grad_cam(classifier.model, pixels, predicted)
        alike = explanations.neighbours(classifier.model, pixels, data.batches("train"))
    parts = []
    for place, (image, index) in enumerate(zip(pixels, predicted, strict=True)):
        parts.append(
            {
                "id": str(output["ids"][rows[place]]),
                "label": names[output["labels"][rows[place]]],
                "prediction": names[index],
                "probability": float(probabilities[place, index]),
                "image": pictures.encode_png(image),
                "occlusion": explanations.picture(image, explanations.occlusion(classifier.model, image, index)),
                "grad_cam": None if cams is None else explanations.picture(image, cams[place]),
                "neighbours": [
                    {
                        "id": str(name),
                        "label": names[label],
                        "cosine": float(cosine),
                        "image": pictures.encode_png(near),
                    }
                    for name, label, cosine, near in zip(
                        alike.ids[place], alike.labels[place], alike.cosines[place], alike.pixels[place], strict=True
                    )
                ],
            }
        )
    return pa.Table.from_pylist(parts, EXHIBITS)


def predictions_table(outputs: dict[str, dict], classes: list[str]) -> pa.Table:
    """List every image: id, split, unit, label, prediction, probability, probabilities (in the classes' order)."""
    names = np.array(classes, dtype=object)
    parts = []
    for split, output in outputs.items():
        probabilities = output["probabilities"]
        parts.append(
            pa.table(
                {
                    "id": pa.array(output["ids"], pa.string()),
                    "split": pa.array([split] * len(probabilities), pa.string()),
                    "unit": pa.array(output["units"], pa.string()),
                    "label": pa.array(names[output["labels"]], pa.string()),
                    "prediction": pa.array(names[probabilities.argmax(axis=1)], pa.string()),
                    "probability": pa.array(probabilities.max(axis=1)),
                    "probabilities": pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), len(classes)),
                }
            )
        )
    return pa.concat_tables(parts)


def summarize(outputs: dict[str, dict], test: dict, flipped: dict | None) -> dict:
    """Gather the figures of all splits: train, validation, test, test_flipped, test_calibrated, gap.

    Args:
        outputs: split -> what ``predict`` gives.
        test, flipped: the figures of test with intervals, plain and with mirror images.
    """
    splits = {split: intervals.scored(outputs[split]["labels"], outputs[split]["probabilities"])[0] for split in SEEN}
    return {
        **splits,
        "test": test,
        **({"test_flipped": flipped} if flipped else {}),
        "test_calibrated": calibrated(outputs["validation"], outputs["test"]),
        # What the model loses on images that it never saw.
        "gap": {name: splits["train"][name] - test[name] for name in ("accuracy", "f1", "log_loss")},
    }


def save_test(folder: Path, data: dataset.Dataset, table: pd.DataFrame, output: dict[str, np.ndarray]) -> None:
    """Write what there is to see of test: classes, confusion, curves, slices."""
    labels, predictions = output["labels"], output["probabilities"].argmax(axis=1)
    files.write_csv(folder / "per_class.csv", table)
    files.write_csv(folder / "confusion.csv", confusion_table(labels, predictions, data.classes))
    for name in ("reliability", "roc", "precision_recall"):
        points = getattr(curves, name)(labels, output["probabilities"])
        files.write_csv(folder / f"{name}.csv", points)
    known = slices.table(known_about(output["ids"], CLEAN), predictions == labels, numbered(output["units"]))
    files.write_csv(folder / "slices.csv", known)


def describe(summary: dict) -> str:
    """One line of what was found."""
    test, interval = summary["test"], summary["test"]["accuracy_ci95"]
    parts = [
        f"test accuracy {figures.percent(test['accuracy'], 2)} on {figures.plural(test['images'], 'image')}, "
        f"95 % interval {figures.span(interval['low'], interval['high'], 2)}"
    ]
    if test["units"] < test["images"]:
        parts[0] += f" by {figures.grouped(test['units'], test['images'])}"
    if "test_flipped" in summary:
        parts.append(f"{figures.percent(summary['test_flipped']['accuracy'], 2)} with mirror images")
    if "robustness" in summary:
        parts.append(f"{figures.percent(summary['robustness']['mean'], 2)} when corrupted")
    return "; ".join(parts)


def main() -> None:
    """Evaluate data/model/ on data/clean/."""
    everything = params.load()
    settings, seed = everything.evaluate, everything.seed
    files.verify(CLEAN)
    files.verify(MODEL)
    data, classifier = dataset.open_dataset(CLEAN, "pixels"), artifact.load(MODEL)
    if (classifier.classes, classifier.conversion.to_json()) != (data.classes, data.manifest["conversion"]):
        raise UserError(f"{MODEL} was trained on other classes or pixels than {CLEAN} has: run `dvc repro`")
    outputs = {split: predict(classifier, data, split) for split in dataset.SPLITS}
    if not outputs["validation"]["probabilities"].all():
        for split in ("validation", "test"):
            outputs[split]["logits"] = logits(classifier, data, split)
    test, flipped = outputs["test"], None
    labels, probabilities, units = test["labels"], test["probabilities"], numbered(test["units"])
    plain, table = score(labels, probabilities, data.classes, settings.resamples, seed, units)
    if settings.parts["image"].flip:
        both = predict(classifier, data, "test", flip=True)["probabilities"]
        flipped, _ = score(labels, both, data.classes, settings.resamples, seed, units)
    summary = summarize(outputs, plain, flipped)
    rows = surest(labels, probabilities, settings.mistakes)
    with files.publish(OUTPUT) as folder:
        used = min(settings.robustness_samples, len(labels))
        corrupted = robustness(classifier, first_images(data, "test", used), labels[:used], units[:used], seed)
        files.write_csv(folder / "robustness.csv", corrupted)
        if used:
            summary["robustness"] = robustness_figures(corrupted, used)
        pq.write_table(predictions_table(outputs, data.classes), folder / "predictions.parquet")
        pq.write_table(exhibits(classifier, data, test, rows), folder / "exhibits.parquet")
        save_test(folder, data, table, test)
        files.write_json(folder / "summary.json", files.rounded(summary))
    print(f"evaluate: {describe(summary)}")


if __name__ == "__main__":
    entry.run(main, "evaluate", OUTPUT)
