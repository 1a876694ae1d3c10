"""Checks before the first step: settings that are impossible, have no effect, or are slow."""

import math
from collections.abc import Mapping

from kiln import params
from kiln.core import phrases
from kiln.core.errors import UserError
from kiln.modalities.base import Part
from kiln.networks import adjusting, backend
from kiln.networks.backend import keras
from kiln.networks.parts import ZOO
from kiln.training import optimizers


def check_mixing(settings: params.Train, parts: Mapping[str, Part]) -> None:
    """Reject mixup and cutmix for samples that cannot be mixed.

    Raises:
        UserError: a part is of a modality that cannot mix.
    """
    for knob in ("mixup", "cutmix"):
        for part in parts.values():
            if getattr(settings, knob) and not part.modality.can_mix:
                raise UserError(
                    f"params.yaml: train.{knob} is {getattr(settings, knob):g}, but "
                    f"{phrases.with_article(part.modality.noun)} cannot be mixed with another: set it to 0"
                )


def check_norm(settings: params.Train, classifier: keras.Model) -> None:
    """Reject precise_norm for a network without batch normalisation.

    Raises:
        UserError: the model has no batch normalisation.
    """
    if settings.precise_norm and not adjusting.normalizes(classifier):
        raise UserError(
            f"params.yaml: train.precise_norm is true, but {settings.model.name} as it is set has no batch "
            "normalisation: set it to false"
        )


def check_pretraining(settings: params.Train, parts: Mapping[str, Part]) -> None:
    """Reject epochs of pretraining for networks and samples that have none.

    Raises:
        UserError: the network learns nothing without labels, or a sample has several parts.
    """
    epochs = pretraining_epochs(settings)
    if not epochs:
        return
    able = [name for name, entry in ZOO.items() if entry.task]
    if settings.model.name not in able:
        raise UserError(
            f"params.yaml: train.pretrain_epochs is {epochs}, but {settings.model.name} learns nothing without labels: "
            f"set it to 0, or train.model.name to {' or '.join(able)}"
        )
    if len(parts) > 1:
        raise UserError(
            f"params.yaml: train.pretrain_epochs is {epochs}, but pretraining takes samples of one part, and "
            f"inputs has {', '.join(parts)}: set it to 0"
        )


def pretraining_epochs(settings: params.Train) -> int:
    """Return how many epochs of pretraining are asked for; only where a part's modality has it, there is the knob."""
    return getattr(settings, "pretrain_epochs", 0)


def check_finite(loss: float, problem: str, lr: float) -> None:
    """Reject a loss that is not finite.

    Args:
        loss: of a batch or a split.
        problem: how it came, for the sentence.
        lr: the learning rate of the settings.

    Raises:
        UserError: it is infinite or not a number.
    """
    if not math.isfinite(loss):
        raise UserError(
            f"{problem}, so no model is saved: lower train.lr (now {lr}), set train.clip.name to global_norm, or set "
            "train.precision to float32"
        )


def list_warnings(settings: params.Train, classifier: keras.Model, precision: str) -> list[str]:
    """List settings that have no effect or are slow on this machine, one sentence each."""
    warnings = []
    if backend.emulated(precision):
        warnings.append(
            f"this CPU emulates {precision}, which is many times slower than float32: set train.precision to mixed "
            "or float32"
        )
    if settings.optimizer.name == "muon" and settings.optimizer.weight_decay:
        kept = len(optimizers.normed_kernels(classifier))
        if kept:
            warnings.append(
                f"train.optimizer.weight_decay does not apply to {kept} kernels: muon keeps their norm fixed, because "
                "normalisation follows them"
            )
    return warnings
