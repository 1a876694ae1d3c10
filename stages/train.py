"""Fit the model of params.yaml's train section on the training images."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib import (
    artifact,
    backend,
    dataset,
    download,
    entry,
    files,
    mixing,
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
from stages.lib.feeding import Batch, Feed
from stages.lib.images import Conversion

CLEAN, AUGMENTED, NORMALIZED = Path("data/clean"), Path("data/augmented"), Path("data/normalized")
OUTPUT = Path("data/model")
ADAPT_IMAGES = 5000
WEIGHTS_DEADLINE = 3600


def batches(
    feed: Feed, plan: policy.Policy, settings: params.Train, epoch: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield an epoch's (pixels, targets, weights), each batch made while the one before it trains.

    Order, views and mixtures depend on (train.seed, epoch, item) alone.

    Yields:
        uint8 [N, H, W, C], float32 [N, classes], float32 [N].
    """
    weigh = settings.class_weight == "balanced"
    class_weights = mixing.balanced(feed.counts()) if weigh else np.ones(feed.classes, np.float32)

    def make(batch: Batch):
        pixels, targets = batch.pixels, mixing.targets(batch.labels, feed.classes)
        if plan.online:
            pixels = policy.apply(plan, pixels, randomness.key(settings.seed, "views", batch.keys), epoch)
        if settings.mixup or settings.cutmix:
            keys = randomness.key(settings.seed, "mix", epoch, batch.keys)
            pixels, targets = mixing.mixed(pixels, targets, settings.mixup, settings.cutmix, keys)
        return pixels, mixing.smoothed(targets, settings.label_smoothing), targets @ class_weights

    return parallel.ordered_map(make, feed.shuffled(settings.seed, epoch, settings.batch_size), workers=1)


class Run:
    """A training under way: all that its next step depends on.

    Args:
        classifier: from ``models.build``; trained in place.
        train: the training images.
        plan: the augmentation policy, applied to each batch where it is online.
        settings: the train section.

    Attributes:
        epoch: how many epochs are done.
        rows: the history's rows.
        best, kept, best_weights: the monitored figure, epoch and weights of the best epoch so far.
    """

    def __init__(self, classifier: keras.Model, train: Feed, plan: policy.Policy, settings: params.Train):
        self.classifier, self.train, self.plan, self.settings = classifier, train, plan, settings
        self.trainee = models.logits_of(classifier)
        self.steps = math.ceil(train.rows / settings.batch_size)
        self.rate = optimization.LearningRate(settings, self.steps)
        self.average = optimization.Average(classifier, settings.ema, settings.ema_every, settings.ema_restart)
        self.epoch, self.rows = 0, []
        self.best, self.kept, self.best_weights = math.inf, 0, None

    def train_epoch(self) -> None:
        """Train for an epoch and add its row: epoch (from 1), lr (of the last step), loss, accuracy.

        Loss and accuracy are means over the epoch's images while the weights move.

        Raises:
            UserError: the loss is not finite.
        """
        settings, factor = self.settings, 1.0
        if self.epoch in (0, settings.frozen_epochs):
            models.freeze(self.classifier, self.epoch < settings.frozen_epochs)
            self.optimizer = optimization.optimizer(settings, self.trainee)
            accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
            self.trainee.compile(
                self.optimizer, optimization.LOSSES[settings.loss], metrics=[accuracy], jit_compile=backend.jit()
            )
        if settings.frozen_epochs and self.epoch >= settings.frozen_epochs:
            factor = settings.thaw_factor
        models.reseed(self.classifier, int(randomness.key(settings.seed, "dropout", self.epoch) % np.uint64(2**31)))
        sums = np.zeros(2)
        label = f"epoch {self.epoch + 1}/{settings.epochs}"
        fed = batches(self.train, self.plan, settings, self.epoch)
        for step, (pixels, targets, weights) in enumerate(progress.track(fed, label, self.steps, "batches")):
            lr = factor * self.rate.at(self.epoch * self.steps + step)
            self.optimizer.learning_rate = lr
            figures = self.trainee.train_on_batch(pixels, targets, weights)
            sums += np.multiply(figures, len(targets))
            if not math.isfinite(figures[0]):
                raise UserError(
                    f"the loss is {figures[0]} in epoch {self.epoch + 1}, batch {step + 1}: "
                    f"lower train.lr (now {settings.lr}) or set train.clip to global_norm"
                )
            self.average.step_ended()
        loss, accuracy = sums / self.train.rows
        self.epoch += 1
        self.rows.append({"epoch": self.epoch, "lr": lr, "loss": loss, "accuracy": accuracy})

    def judge(self, figures: dict[str, float]) -> None:
        """Take note of the epoch's figures on validation, as ``scores.overall`` names them and loss."""
        settings = self.settings
        self.rows[-1].update({f"validation_{name}": value for name, value in figures.items()})
        self.rate.epoch_ended(figures["loss"])
        # Less is better, of the loss; more, of the others.
        figure = figures[settings.monitor] * (1 if settings.monitor == "loss" else -1)
        if figure < self.best or not self.kept:
            self.best, self.kept = figure, self.epoch
            if settings.keep == "best":
                self.best_weights = self.classifier.get_weights()

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or too many without a better figure."""
        stalled = self.settings.patience and self.epoch - self.kept >= self.settings.patience
        return self.epoch >= self.settings.epochs or bool(stalled)

    def averaged(self) -> AbstractContextManager:
        """Give the classifier the averaged weights, where weights are averaged, within a ``with`` block."""
        return self.average.applied()


def validate(classifier: keras.Model, feed: Feed, loss: str) -> dict[str, float]:
    """Score a split: loss, accuracy, precision, recall and f1 (the last three are means over the classes)."""
    losses, counts = [], np.zeros((feed.classes, feed.classes), np.int64)
    for batch in feed.in_order(models.BATCH):
        predicted = models.probabilities(classifier, batch.pixels)
        losses.append(scores.LOSSES[loss](predicted, batch.labels))
        counts += scores.confusion(batch.labels, predicted.argmax(axis=1), feed.classes)
    figures = {"loss": np.concatenate(losses).mean(), **scores.overall(counts)}
    return {name: float(value) for name, value in figures.items()}


def fit(
    classifier: keras.Model,
    train: Feed,
    validation: Feed,
    plan: policy.Policy,
    settings: params.Train,
    tell: Callable[[dict], None] = lambda row: None,
) -> tuple[pd.DataFrame, int]:
    """Train a classifier in place.

    Args:
        classifier: from ``models.build``.
        train, validation: the splits; nothing is fitted on validation, it
            steers the plateau schedule, early stopping and the choice of weights.
        plan: the augmentation policy.
        settings: the train section.
        tell: called with each epoch's row.

    Returns:
        The history, one row an epoch: those of ``Run.train_epoch``, and
        validation_loss, _accuracy, _precision, _recall and _f1 (after the
        epoch, by the averaged weights where they are averaged); and the epoch
        whose weights the classifier has at the end.

    Raises:
        UserError: the loss is not finite.
    """
    run = Run(classifier, train, plan, settings)
    while not run.ended:
        run.train_epoch()
        with run.averaged():
            run.judge(validate(classifier, validation, settings.loss))
            last = classifier.get_weights() if run.ended else None
        tell(run.rows[-1])
    classifier.set_weights(last if settings.keep == "last" else run.best_weights)
    return pd.DataFrame(run.rows), run.epoch if settings.keep == "last" else run.kept


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


def pretrained_weights(settings: params.Train) -> Path | None:
    """Find the file of trained weights: a path, or a URL that is downloaded once; checked by its sha256.

    Raises:
        UserError: there is no such file, or it is another one.
    """
    if not settings.weights:
        return None
    if "://" in settings.weights:
        return download.fetch(settings.weights, settings.weights_sha256, WEIGHTS_DEADLINE)
    path = Path(settings.weights)
    if not path.is_file():
        raise UserError(f"train.weights: {path} does not exist: check the path")
    found = files.sha256(path)
    if found != settings.weights_sha256:
        raise UserError(
            f"train.weights: {path} has the sha256 {found}, not train.weights_sha256: "
            "get the right file, or pin this one"
        )
    return path


def summarize(
    folder: Path, classifier: keras.Model, settings: params.Train, images: int, history: pd.DataFrame, kept: int
) -> dict:
    """Say what was trained on how many images, for how long, and what the model costs.

    Returns:
        model, parameters, multiply_adds (of one image), megabytes (10^6 bytes, of
        the files in ``folder``: weights and description), images, epochs,
        epoch_kept, seed.
    """
    files_of_the_model = (folder / artifact.WEIGHTS, folder / artifact.DESCRIPTION)
    return {
        "model": settings.model,
        "parameters": int(classifier.count_params()),
        "multiply_adds": models.multiply_adds(classifier),
        "megabytes": round(sum(path.stat().st_size for path in files_of_the_model) / 1e6, 3),
        "images": images,
        "epochs": len(history),
        "epoch_kept": kept,
        "seed": settings.seed,
    }


def main() -> None:
    """Train on data/clean/ and its views into data/model/."""
    settings = params.load().train
    models.check(settings.model)
    clean, views = dataset.open_dataset(CLEAN, "pixels"), dataset.open_dataset(AUGMENTED, "pixels")
    plan, normalizer = policy.load(AUGMENTED), files.read_json(NORMALIZED / "normalizer.json")
    how, weights = models.architecture(settings, clean.image_shape, normalizer), pretrained_weights(settings)
    train = Feed([(clean, "train"), (views, "train")], settings.memory)
    validation = Feed([(clean, "validation")], settings.memory)
    keras.utils.set_random_seed(settings.seed)
    precision = backend.precision(settings.precision)
    classifier = models.build(how, clean.image_shape, len(clean.classes), normalizer, precision)
    models.prepare(classifier, train.first(ADAPT_IMAGES), weights)
    print(f"train: {how.model} of {classifier.count_params():,} parameters on {train.rows:,} images, {precision}")
    history, kept = fit(classifier, train, validation, plan, settings, teller(settings.epochs))
    with files.publish(OUTPUT) as folder:
        conversion = Conversion(**clean.manifest["conversion"])
        artifact.save(folder, artifact.Classifier(classifier, clean.classes, conversion), how, normalizer)
        files.write_csv(folder / "history.csv", history)
        files.write_json(folder / "summary.json", summarize(folder, classifier, settings, train.rows, history, kept))
    print(f"train: epoch {kept} kept, validation accuracy {history['validation_accuracy'][kept - 1]:.2%}")


if __name__ == "__main__":
    entry.run(main, "train")
