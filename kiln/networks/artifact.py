"""The model as files: weights as HDF5 and all else as JSON, both byte-stable.

Nothing in them is code: loading builds the network by the zoo's own function
and reads arrays into it.
"""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path

from kiln.core import files
from kiln.core.errors import UserError
from kiln.modalities.image.conversion import Conversion
from kiln.networks import registry
from kiln.networks.backend import keras
from kiln.networks.parts import Architecture

SCHEMA = 3  # 2: EfficientNetB* from trained weights lacked a scaling
WEIGHTS = "model.weights.h5"
DESCRIPTION = "model.json"


@dataclass(frozen=True)
class Classifier:
    """A trained model with what it takes to use it.

    Attributes:
        model: uint8 [N, H, W, C] -> probabilities [N, classes].
        classes: the classes' names, in the order of the probabilities.
        conversion: from an image file to the pixels.
    """

    model: keras.Model
    classes: list[str]
    conversion: Conversion


def save(folder: Path, classifier: Classifier, how: Architecture, normalizer: dict) -> None:
    """Write the weights and the description beside them.

    Args:
        folder: an existing folder.
        classifier: the trained model.
        how: its network and settings.
        normalizer: its first layer's.
    """
    # HDF5 crashes on a full disk.
    files.need_room(folder, 2**20 + sum(4 * math.prod(weight.shape) for weight in classifier.model.weights))
    classifier.model.save_weights(folder / WEIGHTS)
    description = {
        "schema": SCHEMA,
        "architecture": how.to_json(),
        "classes": classifier.classes,
        "conversion": classifier.conversion.to_json(),
        "normalizer": normalizer,
        "weights": {"file": WEIGHTS, "sha256": files.sha256(folder / WEIGHTS)},
    }
    files.write_json(folder / DESCRIPTION, description)


def load(folder: Path) -> Classifier:
    """Build the network and read its weights.

    Raises:
        UserError: a file is missing, damaged, of another schema version, or the
            weights are not those that were saved.
    """
    path = folder / DESCRIPTION
    description = files.read_json(path)
    if description.get("schema") != SCHEMA:
        raise UserError(
            f"{path} is of schema {description.get('schema')!r}, but this version of Kiln reads schema {SCHEMA}: "
            "run `dvc repro`"
        )
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{weights} is missing: run `dvc checkout` or `dvc repro`")
    try:
        if files.sha256(weights) != description["weights"]["sha256"]:
            raise UserError(f"{weights} is not what {path} was saved with: delete {folder} and run `dvc repro`")
        conversion = Conversion(**description["conversion"])
        classes = description["classes"]
        how = Architecture(**description["architecture"])
        model = registry.build(how, conversion.image_shape, len(classes), description["normalizer"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise files.damaged(path) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns of layers that keep their fresh weights
            model.load_weights(weights)
    except (KeyError, TypeError, ValueError, OSError, UserWarning):
        raise files.spoilt(weights, folder, f"does not fit {path}") from None
    return Classifier(model, classes, conversion)
