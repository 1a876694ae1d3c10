"""Checks before the first step: settings that are impossible, have no effect, or are slow."""

from collections.abc import Mapping

from kiln import params
from kiln.core import phrases
from kiln.core.errors import UserError
from kiln.modalities.base import Part
from kiln.networks import adjusting, backend
from kiln.networks.backend import keras
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
