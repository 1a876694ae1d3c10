"""A summary of the training and the model's costs."""

from pathlib import Path

import pandas as pd

from kiln import params
from kiln.networks import artifact, costs
from kiln.networks.backend import keras
from kiln.training import pretrained


def summarize(
    folder: Path, classifier: keras.Model, settings: params.Train, samples: int, history: pd.DataFrame, kept: int
) -> dict:
    """Summarize the training and the model's costs.

    Returns:
        model, parameters, multiply_adds (per sample), megabytes (10^6 bytes; weights
        and description in ``folder``), samples (trained on), epochs, epoch_kept, seed; weights of
        an encoder, as ``pretrained.describe_origin`` does.
    """
    origin = pretrained.describe_origin(settings.model)
    model_files = (folder / artifact.WEIGHTS, folder / artifact.DESCRIPTION)
    return {
        "model": settings.model.name,
        "parameters": int(classifier.count_params()),
        "multiply_adds": costs.multiply_adds(classifier),
        "megabytes": round(sum(path.stat().st_size for path in model_files) / 1e6, 3),
        "samples": samples,
        "epochs": len(history),
        "epoch_kept": kept,
        "seed": settings.seed,
        **({"weights": origin} if origin else {}),
    }
