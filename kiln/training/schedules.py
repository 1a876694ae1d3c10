"""Learning-rate schedules by the names of train.schedule.name."""

import math

from kiln.params import Train


class LearningRate:
    """The learning rate of each step.

    Args:
        settings: the train section.
        steps: per epoch.

    Attributes:
        state: of plateau between epochs: factor, best (validation loss), stalled (epochs).
    """

    def __init__(self, settings: Train, steps: int):
        self.settings = settings
        self.steps = steps
        self.warm = round(settings.schedule.warmup * steps)
        self.total = settings.epochs * steps - self.warm
        self.state = {"factor": 1.0, "best": None, "stalled": 0}

    def at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0.

        After a linear warm-up over the first epochs, with t from 0 to 1 over the rest:

        - constant: lr
        - linear: lr (1 - t)
        - cosine: lr (1 + cos(pi t)) / 2 (Loshchilov and Hutter, "SGDR", ICLR 2017)
        - one_cycle: up from lr / 25 by half a cosine until t = 0.3, then down to
          lr / 250,000 (Smith and Topin, "Super-convergence", 2018)
        - step: multiplied by decay_factor after every decay_epochs epochs
        - plateau: multiplied by decay_factor after decay_epochs epochs without a lower validation loss
        """
        lr, schedule, name = self.settings.lr, self.settings.schedule, self.settings.schedule.name
        if step < self.warm:
            return lr * (step + 1) / self.warm
        t = (step - self.warm) / self.total
        if name == "linear":
            return lr * (1 - t)
        if name == "cosine":
            return lr * (1 + math.cos(math.pi * t)) / 2
        if name == "one_cycle":
            if t < 0.3:
                return lr / 25 + (lr - lr / 25) * (1 - math.cos(math.pi * t / 0.3)) / 2
            low = lr / 250_000
            return low + (lr - low) * (1 + math.cos(math.pi * (t - 0.3) / 0.7)) / 2
        if name == "step":
            return lr * schedule.decay_factor ** (step // self.steps // schedule.decay_epochs)
        return lr * self.state["factor"]

    def epoch_ended(self, validation_loss: float) -> None:
        """Record the validation loss of an epoch; plateau lowers the rate when it stalls."""
        schedule = self.settings.schedule
        if schedule.name != "plateau":
            return
        if self.state["best"] is None or validation_loss < self.state["best"]:
            self.state.update(best=validation_loss, stalled=0)
            return
        self.state["stalled"] += 1
        if self.state["stalled"] == schedule.decay_epochs:
            self.state.update(factor=self.state["factor"] * schedule.decay_factor, stalled=0)
