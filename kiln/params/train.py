"""Knobs of the stage train: the network, the loss, the optimiser and how long."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kiln.params.types import Address, Digest, Group, Section, Seed, knob

_PUBLISHED = "applications/.*|bert_preset"
_TRAINED = "applications/.*|bert_preset|minilm"  # minilm has its weights from a package
_OTHERS = "(?!applications/|bert_preset|minilm).*"  # networks of Kiln's zoo, and names that are not known
Share = Annotated[float, Field(ge=0, lt=1)]
Auto = Literal["auto"]


class Model(Group):
    """The network, and the choices that its family has."""

    USED_BY: ClassVar = {
        "width": _OTHERS,
        "depth": "(?!lenet5|article_cnn|alexnet|linear_text|fast_text|text_cnn|bert_preset|minilm|applications/).*",
        "patch": "vit",
        "activation": "(?!linear_text|fast_text|bert_preset|minilm|applications/).*",
        "normalization": "(?!vit|linear_text|fast_text|text_cnn|bert|gpt|minilm|applications/).*",
        "weights": _PUBLISHED,
        "weights_sha256": _PUBLISHED,
        "frozen_epochs": _TRAINED,
        "thaw_factor": _TRAINED,
    }
    name: str = knob("article_cnn", "`kiln models` lists them")
    width: float = knob(1.0, "factor on its numbers of channels and units", gt=0, le=32)
    depth: Auto | Annotated[int, Field(ge=1)] = knob("auto", "layers, as its family counts them")
    patch: Auto | Annotated[int, Field(ge=1)] = knob("auto", "pixels per side; auto: about 8 x 8 patches per image")
    activation: Literal["auto", "sigmoid", "tanh", "relu", "gelu", "silu"] = knob("auto", "auto: its usual one")
    normalization: Literal["auto", "batch", "none"] = knob("auto", "auto: its usual one")
    dropout: Auto | Share = knob("auto", "fraction of units; auto: its usual one")
    weights: Address = knob("", "file or http(s):// URL of trained weights without the top; empty: from scratch")
    weights_sha256: Digest = knob("", "of that file, 64 hex digits")
    frozen_epochs: int = knob(0, "first epochs, in which only the new head is trained", ge=0)
    thaw_factor: float = knob(0.1, "factor on the learning rate after them", gt=0, le=1)

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.weights and not self.weights_sha256:
            raise ValueError("weights needs weights_sha256: give the file's 64 hex digits, as `sha256sum` prints them")
        if self.name == "bert_preset" and not self.weights:
            raise ValueError("weights is empty, but bert_preset starts from them: give the file or URL of a preset")
        if self.frozen_epochs and not self.weights and self.name != "minilm":
            raise ValueError("frozen_epochs freezes trained weights, but weights is empty: set it to 0 or give weights")
        return self


class Optimizer(Group):
    """The update rule; its learning rate is train.lr."""

    USED_BY: ClassVar = {
        "weight_decay": "(?!adam$).*",
        "momentum": "sgd|muon",
        "nesterov": "sgd",
        "side_lr": "muon",
    }
    name: Literal["adam", "adamw", "sgd", "lion", "muon"] = knob("adam", "")
    weight_decay: float = knob(0, "per step and unit of learning rate; muon: not for kernels before batch norm", ge=0)
    momentum: Share = knob(0.9, "")
    nesterov: bool = knob(True, "look ahead")
    side_lr: float = knob(0.002, "learning rate of Adam for biases, scales and the head", gt=0)


class Clip(Group):
    """How gradients are clipped."""

    USED_BY: ClassVar = {"at": "(?!none).*"}
    name: Literal["none", "value", "norm", "global_norm"] = knob(
        "global_norm", "of gradients; norm: per variable; global_norm: of all together"
    )
    at: float = knob(1.0, "largest value or norm", gt=0)


class Schedule(Group):
    """How the learning rate changes."""

    USED_BY: ClassVar = {"warmup": "(?!one_cycle).*", "decay_factor": "step|plateau", "decay_epochs": "step|plateau"}
    name: Literal["constant", "linear", "cosine", "one_cycle", "step", "plateau"] = knob(
        "cosine", "of the learning rate; plateau: lowered when the validation loss stalls"
    )
    warmup: float = knob(0, "epochs of a linear rise first", ge=0)
    decay_factor: float = knob(0.5, "factor on the learning rate at each decay", gt=0, lt=1)
    decay_epochs: int = knob(3, "epochs between two steps; for plateau: without a better validation loss", ge=1)


class Average(Section):
    """The moving average of the weights."""

    decay: Share = knob(0, "of a moving average of weights, which is validated and saved; 0: off")
    every: int = knob(1, "steps between updates", ge=1)
    restart: bool = knob(False, "continue from the average")


class Train(Section):
    """The network, the loss, the optimiser and how long."""

    model: Model = Model()
    loss: Literal["cross_entropy", "squared_error"] = knob("cross_entropy", "squared_error: of the probabilities")
    label_smoothing: Share = knob(0, "fraction of each target that is spread over all classes")
    class_weight: Literal["none", "balanced"] = knob("none", "balanced: rare classes count as much as frequent ones")
    mixup: float = knob(0, "a of Beta(a, a): blend samples and labels; 0: off, 0.2 is usual", ge=0, le=100)
    cutmix: float = knob(0, "a of Beta(a, a): paste a part of another sample; 0: off, 1 is usual", ge=0, le=100)
    optimizer: Optimizer = Optimizer()
    lr: float = knob(0.001, "learning rate", gt=0)
    clip: Clip = Clip()
    schedule: Schedule = Schedule()
    ema: Average = Average()
    precise_norm: bool = knob(False, "recompute batch-norm statistics at the end, on unaugmented samples")
    precision: Literal["auto", "mixed", "float32", "mixed_float16", "mixed_bfloat16"] = knob(
        "auto", "mixed: 16-bit where the hardware supports it; auto: the same, but float32 on any CPU"
    )
    batch_size: int = knob(64, "samples at most: an epoch is cut into equal batches", ge=1, le=65536)
    memory: float = knob(4.0, "GiB for training samples; larger sets are streamed", gt=0)
    epochs: int = knob(20, "passes over the training samples", ge=1, le=100_000)
    monitor: Literal["loss", "accuracy", "precision", "recall", "f1"] = knob(
        "loss", "of validation, for keep and patience"
    )
    keep: Literal["last", "best"] = knob("last", "weights; best: of the epoch with the best monitor")
    patience: int = knob(0, "epochs without a better monitor, after which to stop; 0: never", ge=0)
    seed: Seed = knob(0, "of initial weights and order of batches; the splits stay the same")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.schedule.warmup >= self.epochs:
            raise ValueError("schedule.warmup should be less than epochs")
        if self.precise_norm and self.model.weights:
            raise ValueError(
                "precise_norm computes statistics anew, but a body with trained weights keeps its own: set it to false"
            )
        return self
