"""What was trained, on what, and what the model costs."""

from pathlib import Path

import pandas as pd

from kiln import params
from kiln.networks import artifact, costs
from kiln.networks.backend import keras


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
        "model": settings.model.name,
        "parameters": int(classifier.count_params()),
        "multiply_adds": costs.multiply_adds(classifier),
        "megabytes": round(sum(path.stat().st_size for path in files_of_the_model) / 1e6, 3),
        "images": images,
        "epochs": len(history),
        "epoch_kept": kept,
        "seed": settings.seed,
    }
