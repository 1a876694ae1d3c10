"""Loss, optimiser, learning rate and average of weights, by the names of params.yaml's train section."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from kiln.core import lifetime
from kiln.networks.backend import keras
from kiln.params import Train
from kiln.training.muon import Muon

ops = keras.ops
layers = keras.layers


def cross_entropy(targets, logits):
    """Cross-entropy of the softmax of the logits, in nats.

    Args:
        targets: floats [N, classes] that sum to 1.
        logits: floats [N, classes].

    Returns:
        float32 [N].
    """
    return keras.losses.categorical_crossentropy(targets, ops.cast(logits, "float32"), from_logits=True)


def squared_error(targets, logits):
    """Squared error of the probabilities, summed over classes.

    The score of Brier, "Verification of forecasts expressed in terms of
    probability", Monthly Weather Review 78 (1950): from 0 to 2.

    Args:
        targets: floats [N, classes] that sum to 1.
        logits: floats [N, classes].

    Returns:
        float32 [N].
    """
    return ops.sum(ops.square(ops.softmax(ops.cast(logits, "float32")) - targets), axis=-1)


LOSSES = {"cross_entropy": cross_entropy, "squared_error": squared_error}
_PROPORTIONAL = (
    layers.AveragePooling2D,
    layers.Dropout,
    layers.Flatten,
    layers.MaxPooling2D,
    layers.Permute,
    layers.Reshape,
    layers.ZeroPadding2D,
)
_CLIP = {"value": "clipvalue", "norm": "clipnorm", "global_norm": "global_clipnorm"}


def normed_kernels(network: keras.Model) -> list[str]:
    """Find the convolutions whose kernels' length is no matter: normalisation by the batch takes it out again.

    On every way from such a kernel comes a batch normalisation that trains (a
    frozen one does not follow the length), and before it nothing but layers that
    give k times as much for k times as much. A sum with a shortcut is none of
    them. Kernels of a network within, such as a trained body's, are never among them.

    Returns:
        Paths of the kernels.
    """
    takers: dict[int, list] = {}
    for layer in network.layers:
        for tensor in keras.tree.flatten(layer.input):
            takers.setdefault(id(tensor), []).append(layer)

    def is_normed(tensor) -> bool:
        following = takers.get(id(tensor), [])
        return bool(following) and all(
            (isinstance(layer, layers.BatchNormalization) and layer.trainable)
            or (isinstance(layer, _PROPORTIONAL) and is_normed(layer.output))
            for layer in following
        )

    return [
        layer.kernel.path
        for layer in network.layers
        if isinstance(layer, layers.Conv2D)
        and layer.trainable
        and not layer.use_bias
        and layer.activation is keras.activations.linear
        and is_normed(layer.output)
    ]


def optimizer(settings: Train, network: keras.Model) -> keras.optimizers.Optimizer:
    """Make the optimiser of a network, with gradient clipping and weight decay where they are on.

    In float16 small gradients would become 0, so the loss is scaled up for them
    (Micikevicius et al., "Mixed precision training", ICLR 2018).

    Weight decay is decoupled from the gradient (Loshchilov and Hutter,
    "Decoupled weight decay regularization", ICLR 2019) and leaves biases and
    scales alone; under Muon the normed kernels too, since they are kept at a norm.

    Args:
        settings: the train section.
        network: what it is to train.
    """
    rule, clip = settings.optimizer, settings.clip
    normed = normed_kernels(network) if rule.name == "muon" else []
    options = {} if clip.name == "none" else {_CLIP[clip.name]: clip.at}
    if rule.weight_decay:
        options["weight_decay"] = rule.weight_decay
    if rule.name == "sgd":
        made = keras.optimizers.SGD(settings.lr, rule.momentum, rule.nesterov, **options)
    elif rule.name == "muon":
        made = Muon(
            settings.lr,
            rule.side_lr / settings.lr,
            rule.momentum,
            aside=("head/", "logits/", "positions/"),
            normed=normed,
            **options,
        )
    else:
        named = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW, "lion": keras.optimizers.Lion}
        if rule.name == "adamw":
            options["weight_decay"] = rule.weight_decay  # Keras' default is not 0
        made = named[rule.name](settings.lr, **options)
    spared = [v for v in network.trainable_variables if len(v.shape) < 2 or v.path in normed]
    made.exclude_from_weight_decay(spared, var_names=["bias", "beta", "gamma", "positions"])
    # Keras would see to it by itself only if the model had the policy, and not its layers alone.
    if any(layer.compute_dtype == "float16" for layer in network.layers):
        return keras.optimizers.LossScaleOptimizer(made)
    return made


class LearningRate:
    """The learning rate, step by step.

    Args:
        settings: the train section.
        steps: how many steps an epoch takes.

    Attributes:
        state: what plateau remembers between epochs: factor, best, stalled.
    """

    def __init__(self, settings: Train, steps: int):
        self.settings = settings
        self.steps = steps
        self.warm = round(settings.schedule.warmup * steps)
        self.total = settings.epochs * steps - self.warm
        self.state = {"factor": 1.0, "best": None, "stalled": 0}

    def at(self, step: int) -> float:
        """Give the learning rate of a step, counted from 0.

        After a linear warm-up over its first epochs, with t from 0 to 1 over the rest:

        - constant: lr
        - linear: lr (1 - t)
        - cosine: lr (1 + cos(pi t)) / 2 (Loshchilov and Hutter, "SGDR", ICLR 2017)
        - one_cycle: up from lr / 25 by half a cosine until t = 0.3, then down to
          lr / 250,000 (Smith and Topin, "Super-convergence", 2018)
        - step: lr times decay_factor after every decay_epochs epochs
        - plateau: the same after decay_epochs epochs without a better validation loss
        """
        lr, name = self.settings.lr, self.settings.schedule.name
        if step < self.warm:
            return lr * (step + 1) / self.warm
        part = (step - self.warm) / self.total
        if name == "linear":
            return lr * (1 - part)
        if name == "cosine":
            return lr * (1 + math.cos(math.pi * part)) / 2
        if name == "one_cycle":
            if part < 0.3:
                return lr / 25 + (lr - lr / 25) * (1 - math.cos(math.pi * part / 0.3)) / 2
            low = lr / 250_000
            return low + (lr - low) * (1 + math.cos(math.pi * (part - 0.3) / 0.7)) / 2
        if name == "step":
            schedule = self.settings.schedule
            return lr * schedule.decay_factor ** (step // self.steps // schedule.decay_epochs)
        return lr * self.state["factor"]

    def epoch_ended(self, validation_loss: float) -> None:
        """Take note of an epoch's validation loss; plateau lowers the rate when it stalls."""
        if self.settings.schedule.name != "plateau":
            return
        if self.state["best"] is None or validation_loss < self.state["best"]:
            self.state.update(best=validation_loss, stalled=0)
            return
        self.state["stalled"] += 1
        if self.state["stalled"] == self.settings.schedule.decay_epochs:
            self.state.update(factor=self.state["factor"] * self.settings.schedule.decay_factor, stalled=0)


class Average:
    """The exponential moving average of a network's weights.

    Polyak and Juditsky, "Acceleration of stochastic approximation by
    averaging", 1992, in its usual exponential form. The decay of update n is at
    most (1 + n) / (10 + n), so that the random start is soon forgotten. With
    ``restart`` training goes on from the average each time (Zhang et al.,
    "Lookahead optimizer", NeurIPS 2019).

    Args:
        network: whose weights to average, statistics of normalisation included.
        decay: 0 up to 1; at 0 nothing is averaged.
        every: steps between updates.
        restart: whether to copy the average into the weights.
    """

    def __init__(self, network: keras.Model, decay: float, every: int = 1, restart: bool = False):
        self.decay, self.every, self.restart = decay, every, restart
        self.weights = [weight for weight in network.weights if "float" in weight.dtype] if decay else []
        self.means = self._copies()
        self.steps = 0

    def step_ended(self) -> None:
        """Take note of a step."""
        self.steps += 1
        if not self.weights or self.steps % self.every:
            return
        updates = self.steps // self.every
        decay = min(self.decay, (1 + updates) / (10 + updates))
        self.means = [
            decay * mean + (1 - decay) * weight for mean, weight in zip(self.means, self._copies(), strict=True)
        ]
        if self.restart:
            self._assign(self.means)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the network the average for a while, then its own weights back."""
        own = self._copies()
        try:
            with lifetime.uninterrupted():
                self._assign(self.means)
            yield
        finally:
            with lifetime.uninterrupted():
                self._assign(own)

    def adopt(self) -> None:
        """Give the network the average for good."""
        self._assign(self.means)

    def _copies(self) -> list:
        return [ops.stop_gradient(ops.copy(ops.convert_to_tensor(weight))) for weight in self.weights]

    def _assign(self, values) -> None:
        for weight, value in zip(self.weights, values, strict=True):
            weight.assign(value)
