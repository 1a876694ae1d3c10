"""Epochs before the labelled ones, in which a network learns from texts without their labels.

All knobs of train that are not about labels apply here as well: learning rate, schedule (over these epochs, with a
warm-up of at most half of them; plateau by this loss), optimiser, clipping, batch size and seed. The head is not
touched: it starts anew with the labelled epochs.
"""

from collections.abc import Callable, Iterator

import numpy as np

from kiln import params
from kiln.core import lifetime, parallel, progress, randomness
from kiln.modalities.selftaught import Questions
from kiln.networks import adjusting, backend, unlabelled
from kiln.networks.backend import keras
from kiln.networks.parts import ZOO
from kiln.training import checkpoint, optimizers, schedules
from kiln.training.checks import check_finite, pretraining_epochs
from kiln.training.feeding import Batch, Feed, equal_sizes


class Pretraining:
    """The state of a pretraining: all that its next step depends on.

    Args:
        classifier: from ``registry.build``, of one part; trained in place.
        texts: without labels, or with labels that are not looked at.
        fitted: the part's normaliser.
        settings: the train section.

    Attributes:
        epoch, step: completed epochs, and completed steps of the next epoch.
        rows: of the history: epoch (from 1), lr (of the last step) and loss (mean over the tokens that were asked for).
    """

    def __init__(self, classifier: keras.Model, texts: Feed, fitted: dict, settings: params.Train):
        self.classifier, self.texts, self.fitted = classifier, texts, fitted
        self.epochs, self.task = pretraining_epochs(settings), ZOO[settings.model.name].task
        warmup = min(settings.schedule.warmup, self.epochs / 2)
        schedule = settings.schedule.model_copy(update={"warmup": warmup})
        self.settings = settings.model_copy(update={"epochs": self.epochs, "schedule": schedule})
        self.part = next(iter(texts.parts.values()))
        self.scorer = unlabelled.scorer_of(classifier)
        self.sizes = equal_sizes(texts.rows, settings.batch_size)
        self.rate = schedules.LearningRate(self.settings, len(self.sizes))
        self.epoch, self.step, self.sums, self.rows = 0, 0, [0.0, 0.0], []
        self._compile()

    def _compile(self) -> None:
        self.scorer.compile(
            optimizers.build_optimizer(self.settings, self.scorer),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
            jit_compile=backend.jit(),
        )
        self.scorer.optimizer.build(self.scorer.trainable_variables)
        self._trace([keras.ops.convert_to_numpy(variable) for variable in self._variables()])

    def _trace(self, variables: list[np.ndarray]) -> None:
        """Train on blank texts of two shapes, so that one graph serves all; see ``loop.Run``."""
        for extra in (1, 2):
            blank = np.zeros((self.sizes[0] + extra, 2 + extra), np.int32)
            self._train_on(Questions(blank, blank[:, :extra], blank[:, :extra], blank[:, :extra].astype(np.float32)))
        self._set(variables)

    def _set(self, values: list[np.ndarray]) -> None:
        for variable, value in zip(self._variables(), values, strict=True):
            variable.assign(value)

    def _variables(self) -> list:
        return [*self.classifier.variables, *self.scorer.optimizer.variables]

    def _train_on(self, asked: Questions) -> float:
        inputs = {self.part.name: asked.encoded, unlabelled.PLACES: asked.places}
        return float(self.scorer.train_on_batch(inputs, asked.answers, asked.weights))

    def questions(self) -> Iterator[Questions]:
        """Yield what is left of the epoch's batches; order and questions depend only on (train.seed, epoch, item)."""
        settings = self.settings

        def ask(batch: Batch) -> Questions:
            keys = randomness.key(settings.seed, "pretraining", self.epoch, batch.keys)
            return self.part.modality.ask(self.task, self.texts.encode(batch.parts)[self.part.name], keys, self.fitted)

        # Other orders than those of the labelled epochs.
        seed = int(randomness.key(settings.seed, "pretraining") >> np.uint64(1))
        batches = self.texts.shuffled(seed, self.epoch, settings.batch_size)
        left = (batch for number, batch in enumerate(batches) if number >= self.step)
        return parallel.ordered_map(ask, left, workers=1)

    def train_epoch(self, after_step: Callable[[], None] = lambda: None) -> None:
        """Train to the end of the epoch, and add its row to the history.

        Args:
            after_step: called after each step.

        Raises:
            UserError: the loss is not finite.
        """
        if self.step == 0:
            adjusting.reseed(self.classifier, self.settings.seed, "pretraining dropout", self.epoch)
        label, steps = f"pretraining epoch {self.epoch + 1}/{self.epochs}", len(self.sizes)
        for asked in progress.track(self.questions(), label, steps - self.step, "batches"):
            with lifetime.uninterrupted():
                self._train_step(asked)
            after_step()
        with lifetime.uninterrupted():
            loss = self.sums[0] / max(1.0, self.sums[1])
            self.rows.append({"epoch": self.epoch + 1, "lr": self._lr(steps - 1), "loss": loss})
            self.rate.epoch_ended(loss)
            self.epoch, self.step, self.sums = self.epoch + 1, 0, [0.0, 0.0]

    def _train_step(self, asked: Questions) -> None:
        self.scorer.optimizer.learning_rate = self._lr(self.step)
        loss, count = self._train_on(asked), float(asked.weights.sum())
        self.step += 1
        where = f"in epoch {self.epoch + 1} of pretraining, batch {self.step} of {len(self.sizes)}"
        check_finite(loss, f"the loss is {loss} {where}", self.settings.lr)
        self.sums = [self.sums[0] + loss * count, self.sums[1] + count]

    def _lr(self, step: int) -> float:
        return self.rate.at(self.epoch * len(self.sizes) + step)

    def write(self) -> list[str]:
        """Write a few texts by the network as it is, if it was asked what is next; else none."""
        if self.task != "next":
            return []

        def score(encoded: np.ndarray, places: np.ndarray) -> np.ndarray:
            inputs = {self.part.name: encoded, unlabelled.PLACES: places}
            return np.asarray(self.scorer.predict_on_batch(inputs))

        return self.part.modality.write(score, self.settings.seed, self.fitted)

    def capture(self) -> tuple[dict, dict[str, np.ndarray]]:
        """Return all that the next step depends on: strict JSON, and arrays by name."""
        arrays = (keras.ops.convert_to_numpy(variable) for variable in self._variables())
        state = {name: getattr(self, name) for name in self._STATE} | {"rate": self.rate.state}
        return state, {str(number): np.asarray(array) for number, array in enumerate(arrays)}

    def restore(self, state: dict, arrays: dict[str, np.ndarray]) -> None:
        """Restore the captured state of a pretraining with the same settings and data."""
        for name in self._STATE:
            setattr(self, name, state[name])
        self.rate.state = state["rate"]
        self._set(list(arrays.values()))  # numbered, and written in order

    _STATE = ("epoch", "step", "sums", "rows")


def fit(
    classifier: keras.Model,
    texts: Feed,
    fitted: dict,
    settings: params.Train,
    on_epoch: Callable[[dict], None] = lambda row: None,
    keeper: checkpoint.Keeper | None = None,
) -> dict:
    """Pretrain a classifier in place.

    Args:
        classifier, texts, fitted, settings: as for ``Pretraining``.
        on_epoch: called with the row of each epoch.
        keeper: of checkpoints, of pretraining alone: the last one is that of its end, from which training starts
            again should it be interrupted later.

    Returns:
        JSON: task, epochs, samples (how many), losses (of each epoch), and written (texts, where the task is next).

    Raises:
        UserError: the loss is not finite.
        lifetime.Stopped: by a signal; the last step is saved as a checkpoint.
    """
    run = Pretraining(classifier, texts, fitted, settings)
    if keeper and (saved := keeper.latest()):
        run.restore(*saved)
        if run.epoch < run.epochs:
            keeper.say(f"resuming an interrupted pretraining after epoch {run.epoch}, step {run.step}")
    after_step = (lambda: keeper.offer(run.capture)) if keeper else (lambda: None)
    try:
        while run.epoch < run.epochs:
            run.train_epoch(after_step)
            on_epoch(run.rows[-1])
        written = run.write()
    except lifetime.Stopped:
        if keeper:
            keeper.save(*run.capture())
            keeper.say(f"checkpoint saved in epoch {run.epoch + 1} of pretraining: `dvc repro` resumes from there")
        raise
    if keeper:
        keeper.save(*run.capture())
    losses = [row["loss"] for row in run.rows]
    return {"task": run.task, "epochs": run.epochs, "samples": texts.rows, "losses": losses, "written": written}
