"""The training loop: epochs of steps, validation after each epoch, and the choice of the weights to keep."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

import numpy as np
import pandas as pd

from kiln import params
from kiln.core import lifetime, progress, scores
from kiln.modalities import views
from kiln.networks import adjusting, backend, prediction
from kiln.networks.backend import keras
from kiln.training import averaging, batches, checkpoint, losses, optimizers, schedules
from kiln.training.checks import check_finite
from kiln.training.feeding import SORTED, Feed, equal_sizes


class Run:
    """The state of a training: all that its next step depends on.

    Args:
        classifier: from ``registry.build``; trained in place.
        train: the training samples.
        plan: the augmentation, applied to each batch if it is online.
        settings: the train section.

    Attributes:
        sizes: samples per batch of an epoch.
        epoch, step: completed epochs, and completed steps of the next epoch.
        rows: of the history.
        best, kept, best_weights: monitored metric, epoch and weights of the best epoch so far.
    """

    def __init__(self, classifier: keras.Model, train: Feed, plan: views.Plan, settings: params.Train):
        self.classifier, self.train, self.plan, self.settings = classifier, train, plan, settings
        self.trainee = prediction.logits_of(classifier)
        self.sizes = equal_sizes(train.rows, settings.batch_size)
        self.steps = len(self.sizes)
        self.rate = schedules.LearningRate(settings, self.steps)
        self.average = averaging.Average(classifier, settings.ema.decay, settings.ema.every, settings.ema.restart)
        self.epoch, self.step, self.sums, self.rows = 0, 0, [0.0, 0.0], []
        self.best, self.kept, self.best_weights = None, 0, []
        self.frozen = None

    def train_epoch(self, after_step: Callable[[], None] = lambda: None) -> None:
        """Train to the end of the epoch.

        Args:
            after_step: called after each step.

        Raises:
            UserError: the loss is not finite.
        """
        settings = self.settings
        if self.step == 0:
            with lifetime.uninterrupted():
                if self.epoch in (0, settings.model.frozen_epochs):
                    self._compile(frozen=self.epoch < settings.model.frozen_epochs)
                    if self._lengths_differ:
                        self._trace([keras.ops.convert_to_numpy(variable) for variable in self._variables()])
                adjusting.reseed(self.classifier, settings.seed, "dropout", self.epoch)
        label = f"epoch {self.epoch + 1}/{settings.epochs}"
        prepared = batches.epoch_batches(self.train, self.plan, settings, self.epoch, self.step)
        for values, targets, weights in progress.track(prepared, label, self.steps - self.step, "batches"):
            with lifetime.uninterrupted():
                self._train_step(values, targets, weights)
            after_step()

    def _compile(self, frozen: bool) -> None:
        self.frozen = frozen
        adjusting.freeze(self.classifier, frozen, pretrained=bool(self.settings.model.weights))
        self.trainee.compile(
            optimizers.build_optimizer(self.settings, self.trainee),
            losses.LOSSES[self.settings.loss],
            metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
            jit_compile=backend.jit(),
        )
        # Not left to the first step, so that a checkpoint written before it is complete.
        self.trainee.optimizer.build(self.trainee.trainable_variables)

    def _train_step(self, values: dict[str, np.ndarray], targets: np.ndarray, weights: np.ndarray) -> None:
        self.trainee.optimizer.learning_rate = self._lr(self.step)
        loss, accuracy = (float(value) for value in self.trainee.train_on_batch(values, targets, weights))
        self.step += 1
        where = f"in epoch {self.epoch + 1}, batch {self.step} of {self.steps}"
        check_finite(loss, f"the loss is {loss} {where}", self.settings.lr)
        self.sums = [self.sums[0] + loss * len(targets), self.sums[1] + accuracy * len(targets)]
        self.average.step_ended()

    def _lr(self, step: int) -> float:
        thawed = self.settings.model.frozen_epochs and self.epoch >= self.settings.model.frozen_epochs
        return (self.settings.model.thaw_factor if thawed else 1.0) * self.rate.at(self.epoch * self.steps + step)

    def end_epoch(self, metrics: dict[str, float]) -> None:
        """Add the epoch's row to the history, and update the schedule and the best epoch.

        The row holds epoch (from 1), lr (of the last step), loss and accuracy
        (means over the epoch's samples, each from the weights of its step) and the
        validation metrics.

        Args:
            metrics: of validation: loss and those of ``scores.overall``.

        Raises:
            UserError: the validation loss is not finite.
        """
        settings = self.settings
        check_finite(
            metrics["loss"], f"the validation loss is {metrics['loss']} after epoch {self.epoch + 1}", settings.lr
        )
        loss, accuracy = (float(total / self.train.rows) for total in self.sums)
        row = {"epoch": self.epoch + 1, "lr": self._lr(self.steps - 1), "loss": loss, "accuracy": accuracy}
        self.rows.append({**row, **{f"validation_{name}": value for name, value in metrics.items()}})
        self.rate.epoch_ended(metrics["loss"])
        self.epoch, self.step, self.sums = self.epoch + 1, 0, [0.0, 0.0]
        # Lower is better for the loss, higher for the others.
        monitored = metrics[settings.monitor] * (1 if settings.monitor == "loss" else -1)
        if not self.kept or monitored < self.best:
            self.best, self.kept = monitored, self.epoch
            if settings.keep == "best":
                self.best_weights = self.classifier.get_weights()

    @property
    def ended(self) -> bool:
        """Whether all epochs are done, or ``patience`` epochs without improvement."""
        stalled = self.settings.patience and self.epoch - self.kept >= self.settings.patience
        return self.epoch >= self.settings.epochs or bool(stalled)

    @property
    def epoch_kept(self) -> int:
        """The epoch, from 1, whose weights are kept."""
        return self.epoch if self.settings.keep == "last" else self.kept

    def settle(self) -> None:
        """Load the kept weights into the classifier; with precise_norm, recompute its batch-norm statistics.

        The result is the same after an earlier, interrupted call.
        """
        settings = self.settings
        if settings.keep == "best":
            self.classifier.set_weights(self.best_weights)
        else:
            self.average.adopt()
        if settings.precise_norm:
            # Shuffled, since the shards may be sorted by class; in the order of the epoch after the last.
            shuffled = self.train.shuffled(settings.seed, settings.epochs, settings.batch_size)
            parts = (self.train.encode(batch.parts) for batch in shuffled)
            adjusting.renormalize(self.classifier, progress.track(parts, "statistics", self.steps, "batches"))

    def amend(self, metrics: dict[str, float]) -> None:
        """Replace the validation metrics in the kept epoch's row by those with the recomputed statistics.

        Raises:
            UserError: the validation loss is not finite.
        """
        check_finite(metrics["loss"], f"the validation loss is {metrics['loss']} with precise_norm", self.settings.lr)
        row = self.rows[self.epoch_kept - 1]
        row.update({f"validation_{name}": value for name, value in metrics.items()})

    def averaged(self) -> AbstractContextManager:
        """Swap in the averaged weights, if averaging is on, within a ``with`` block."""
        return self.average.applied()

    def capture(self) -> tuple[dict, dict[str, np.ndarray]]:
        """Return all that the next step depends on: strict JSON, and arrays by name."""
        state = {name: getattr(self, name) for name in self._STATE}
        state.update(rate=self.rate.state, average_steps=self.average.steps)
        return state, {name: np.asarray(array) for name, array in self._arrays().items()}

    def restore(self, state: dict, arrays: dict[str, np.ndarray]) -> None:
        """Restore the captured state of a run with the same settings and data."""
        for name in self._STATE:
            setattr(self, name, state[name])
        self.rate.state, self.average.steps = state["rate"], state["average_steps"]
        self._compile(self.frozen)
        groups = {}
        for name, array in arrays.items():  # numbered, and written in order
            groups.setdefault(name.split("/")[0], []).append(array)
        self._trace(groups["variable"])
        self.average.means = [keras.ops.convert_to_tensor(array) for array in groups.get("mean", [])]
        self.best_weights = groups.get("best", [])

    def _trace(self, variables: Iterable[np.ndarray]) -> None:
        """Train on blank samples, then set all variables: a run traces the same graphs wherever it begins.

        TensorFlow traces one graph for the shape of the first batch and a more general one for other shapes, and
        their last bits may differ; the first batch after resuming may be one of the epoch's smaller ones. Where
        samples differ in length, so do the shapes of batches: then only the general graph is to be used.
        """
        for rows, extra in self._blank_shapes():
            blank = {name: part.storage.stack([None] * rows) for name, part in self.train.parts.items()}
            blank = {name: _lengthen(array, extra) for name, array in self.train.encode(blank).items()}
            targets = np.ones((rows, self.train.classes), np.float32)
            self.trainee.train_on_batch(blank, targets, np.ones(rows, np.float32))
        for variable, value in zip(self._variables(), variables, strict=True):
            variable.assign(value)

    def _blank_shapes(self) -> list[tuple[int, int]]:
        return [(self.sizes[0] + 1, 1), (self.sizes[0] + 2, 2)] if self._lengths_differ else [(self.sizes[0], 0)]

    @property
    def _lengths_differ(self) -> bool:
        return any(None in tensor.shape[1:] for tensor in self.classifier.inputs)

    _STATE = ("epoch", "step", "sums", "rows", "best", "kept", "frozen")

    def _variables(self) -> list:
        return [*self.classifier.variables, *self.trainee.optimizer.variables]

    def _arrays(self) -> dict:
        groups = {
            "variable": [keras.ops.convert_to_numpy(variable) for variable in self._variables()],
            "mean": [keras.ops.convert_to_numpy(mean) for mean in self.average.means],
            "best": self.best_weights,
        }
        return {f"{group}/{number}": array for group, some in groups.items() for number, array in enumerate(some)}


def _lengthen(array: np.ndarray, extra: int) -> np.ndarray:
    return np.pad(array, [(0, 0), (0, extra)]) if extra else array


def validate(classifier: keras.Model, feed: Feed, loss: str) -> dict[str, float]:
    """Score a split: loss, accuracy, and precision, recall and f1 (means over classes)."""
    losses, counts = [], np.zeros((3, feed.classes), np.int64)
    size = prediction.batch_size(classifier) * (SORTED if feed.lengths_differ else 1)
    for batch in feed.in_order(size):
        predicted = prediction.outputs(classifier, batch.parts, feed.encode, feed.lengths(batch.parts))
        losses.append(scores.LOSSES[loss](predicted, batch.labels))
        counts += scores.counts(batch.labels, predicted.argmax(axis=1), feed.classes)
    metrics = {"loss": np.concatenate(losses).mean(), **scores.overall(counts)}
    return {name: float(value) for name, value in metrics.items()}


def fit(
    classifier: keras.Model,
    train: Feed,
    validation: Feed,
    plan: views.Plan,
    settings: params.Train,
    on_epoch: Callable[[dict], None] = lambda row: None,
    keeper: checkpoint.Keeper | None = None,
) -> tuple[pd.DataFrame, int]:
    """Train a classifier in place.

    Args:
        classifier: from ``registry.build``.
        train, validation: the splits. Nothing is fitted on validation; it
            controls the plateau schedule, early stopping and the choice of weights.
        plan: the augmentation.
        settings: the train section.
        on_epoch: called with the row of each epoch.
        keeper: of checkpoints; training resumes from the last one.

    Returns:
        The history, one row per epoch as ``Run.end_epoch`` describes, with
        validation_loss, _accuracy, _precision, _recall and _f1 (after the epoch;
        with the averaged weights if averaging is on; for the kept epoch with the
        recomputed statistics if precise_norm is on); and the epoch whose weights
        were kept.

    Raises:
        UserError: the loss is not finite.
        lifetime.Stopped: by a signal; the last step is saved as a checkpoint.
    """
    run = Run(classifier, train, plan, settings)
    if keeper and (saved := keeper.latest()):
        run.restore(*saved)
        keeper.say(f"resuming an interrupted training after epoch {run.epoch}, step {run.step}")
    after_step = (lambda: keeper.offer(run.capture)) if keeper else (lambda: None)
    try:
        while not run.ended:
            run.train_epoch(after_step)
            with run.averaged():
                metrics = validate(classifier, validation, settings.loss)
                with lifetime.uninterrupted():
                    run.end_epoch(metrics)
            on_epoch(run.rows[-1])
        run.settle()
        if settings.precise_norm:
            run.amend(validate(classifier, validation, settings.loss))
    except lifetime.Stopped:
        if keeper and run.frozen is not None:
            keeper.save(*run.capture())
            keeper.say(f"checkpoint saved after epoch {run.epoch}, step {run.step}: `dvc repro` resumes from there")
        raise
    return pd.DataFrame(run.rows), run.epoch_kept
