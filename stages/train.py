"""Fit the model of params.yaml's train section on the training images."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib import (
    artifact,
    dataset,
    entry,
    files,
    models,
    optimization,
    parallel,
    params,
    policy,
    progress,
    randomness,
    scores,
)
from stages.lib.backend import keras
from stages.lib.errors import UserError
from stages.lib.images import Conversion

CLEAN, AUGMENTED, NORMALIZED = Path("data/clean"), Path("data/augmented"), Path("data/normalized")
OUTPUT = Path("data/model")


def batches(
    data: dataset.Images, plan: policy.Policy, seed: int, epoch: int, size: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield an epoch's (pixels, labels), each batch made while the one before it trains.

    Order and views depend on (seed, epoch, item) alone.
    """
    order = randomness.generator(seed, "order", epoch).permutation(len(data.ids))
    keys = randomness.key(seed, "views", epoch, randomness.item_keys(data.ids)) if plan.online else None

    def make(rows):
        pixels = data.pixels[rows]
        return policy.apply(plan, pixels, keys[rows]) if plan.online else pixels, data.labels[rows]

    return parallel.ordered_map(make, np.split(order, range(size, len(order), size)), workers=1)


def fit(
    classifier: keras.Model,
    train: dataset.Images,
    validation: dataset.Images,
    plan: policy.Policy,
    settings: params.Train,
    tell: Callable[[dict], None] = lambda row: None,
) -> pd.DataFrame:
    """Train a classifier in place.

    Args:
        classifier: from ``models.build``.
        train, validation: the splits; nothing is fitted on validation, it
            steers the plateau schedule and early stopping.
        plan: the policy, applied to each batch where it is online.
        settings: the train section.
        tell: called with each epoch's row.

    Returns:
        The history, one row an epoch: epoch (from 1), lr (of the last step),
        loss and accuracy (means over the epoch's images, while weights move),
        validation_loss and validation_accuracy (after it). With patience, the
        classifier has the weights of the epoch with the least validation_loss.

    Raises:
        UserError: the loss is not finite.
    """
    trainee = models.logits_of(classifier)
    optimizer = optimization.optimizer(settings)
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    trainee.compile(optimizer, optimization.LOSSES[settings.loss], metrics=[accuracy])
    steps = math.ceil(len(train.ids) / settings.batch_size)
    rate = optimization.LearningRate(settings, steps * settings.epochs)
    rows, best, best_weights = [], math.inf, None
    for epoch in range(settings.epochs):
        sums = np.zeros(2)
        fed = batches(train, plan, settings.seed, epoch, settings.batch_size)
        label = f"epoch {epoch + 1}/{settings.epochs}"
        for step, (pixels, labels) in enumerate(progress.track(fed, label, steps, "batches")):
            lr = rate.at(epoch * steps + step)
            optimizer.learning_rate = lr
            batch_figures = trainee.train_on_batch(pixels, labels)
            sums += np.multiply(batch_figures, len(labels))
            if not math.isfinite(batch_figures[0]):
                raise UserError(
                    f"the loss is {batch_figures[0]} in epoch {epoch + 1}, batch {step + 1}: "
                    f"lower train.lr (now {settings.lr}) or set train.clip to global_norm"
                )
        predicted = models.probabilities(classifier, validation.pixels)
        loss = float(scores.LOSSES[settings.loss](predicted, validation.labels).mean())
        rows.append(
            {
                "epoch": epoch + 1,
                "lr": lr,
                "loss": sums[0] / len(train.ids),
                "accuracy": sums[1] / len(train.ids),
                "validation_loss": loss,
                "validation_accuracy": float((predicted.argmax(axis=1) == validation.labels).mean()),
            }
        )
        tell(rows[-1])
        rate.epoch_ended(loss)
        if settings.patience and loss < best:
            best, best_epoch, best_weights = loss, epoch, classifier.get_weights()
        if settings.patience and epoch - best_epoch >= settings.patience:
            break
    if best_weights is not None:
        classifier.set_weights(best_weights)
    return pd.DataFrame(rows)


def teller(epochs: int) -> Callable[[dict], None]:
    """Make a function that prints an epoch's row and the time left."""
    start = time.monotonic()

    def tell(row: dict) -> None:
        spent = time.monotonic() - start
        left = spent / row["epoch"] * (epochs - row["epoch"])
        print(
            f"epoch {row['epoch']:>3}/{epochs}: loss {row['loss']:.4f}, accuracy {row['accuracy']:.2%}; "
            f"validation loss {row['validation_loss']:.4f}, accuracy {row['validation_accuracy']:.2%}; "
            f"{spent:.0f} s, {left:.0f} s left at most",
            flush=True,
        )

    return tell


def summarize(classifier: keras.Model, history: pd.DataFrame, settings: params.Train, images: int) -> dict:
    """Name the model, its size, what it was fed and the epoch whose weights it has."""
    kept = int(history["validation_loss"].idxmin()) if settings.patience else len(history) - 1
    return {
        "model": classifier.name,
        "parameters": int(classifier.count_params()),
        "images": images,
        "epochs": len(history),
        "epoch_kept": int(history["epoch"][kept]),
        "seed": settings.seed,
    }


def main() -> None:
    """Train on data/clean/ and its views into data/model/."""
    settings = params.load().train
    models.check(settings.model)
    clean, views = dataset.open_dataset(CLEAN, "pixels"), dataset.open_dataset(AUGMENTED, "pixels")
    plan, normalizer = policy.load(AUGMENTED), files.read_json(NORMALIZED / "normalizer.json")
    keras.utils.set_random_seed(settings.seed)
    classifier = models.build(settings.model, clean.image_shape, len(clean.classes), normalizer)
    train = dataset.load((clean, "train"), (views, "train"))
    validation = dataset.load((clean, "validation"))
    print(f"train: {classifier.name} of {classifier.count_params():,} parameters on {len(train.ids):,} images")
    history = fit(classifier, train, validation, plan, settings, teller(settings.epochs))
    summary = summarize(classifier, history, settings, len(train.ids))
    with files.publish(OUTPUT) as folder:
        conversion = Conversion(**clean.manifest["conversion"])
        artifact.save(folder, artifact.Classifier(classifier, clean.classes, conversion), normalizer)
        files.write_csv(folder / "history.csv", history)
        files.write_json(folder / "summary.json", summary)
    kept = history.iloc[summary["epoch_kept"] - 1]
    print(f"train: epoch {summary['epoch_kept']} kept, validation accuracy {kept['validation_accuracy']:.2%}")


if __name__ == "__main__":
    entry.run(main, "train")
