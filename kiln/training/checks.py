"""What is settled before the first step: settings that cannot be had, that do nothing, or that cost much."""

from kiln import params
from kiln.core.errors import UserError
from kiln.networks import adjusting, backend
from kiln.networks.backend import keras
from kiln.training import optimizers


def check_norm(settings: params.Train, classifier: keras.Model) -> None:
    """Refuse precise_norm where there is nothing that it would compute.

    Raises:
        UserError: the model has no batch normalisation.
    """
    if settings.precise_norm and not adjusting.normalizes(classifier):
        raise UserError(
            f"params.yaml: train.precise_norm is true, but {settings.model.name} as it is set has no batch "
            "normalisation: set it to false"
        )


def list_warnings(settings: params.Train, classifier: keras.Model, precision: str) -> list[str]:
    """List what settings do not do, or at what price, a sentence each."""
    warnings = []
    if backend.emulated(precision):
        warnings.append(
            f"this CPU emulates {precision}, many times slower than float32: set train.precision to mixed or float32"
        )
    if settings.optimizer.name == "muon" and settings.optimizer.weight_decay:
        kept = len(optimizers.normed_kernels(classifier))
        if kept:
            warnings.append(
                f"train.optimizer.weight_decay leaves {kept} kernels alone: muon keeps their norm, as normalisation "
                "follows them"
            )
    return warnings
