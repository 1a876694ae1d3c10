"""The model as files: weights as HDF5, everything else as JSON, both byte-stable.

They contain no code: loading builds the network with the zoo's function and reads
arrays into it.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kiln.core import files
from kiln.core.errors import UserError
from kiln.modalities.base import Part, lengths
from kiln.modalities.registry import read_parts
from kiln.networks import prediction, registry
from kiln.networks.backend import keras
from kiln.networks.parts import Architecture

SCHEMA = 4
WEIGHTS = "model.weights.h5"
DESCRIPTION = "model.json"


@dataclass(frozen=True)
class Classifier:
    """A trained model with everything needed to use it.

    Attributes:
        model: (part -> encoded values [N, ...]) -> probabilities [N, classes].
        classes: names of the classes, in the order of the probabilities.
        parts: of the samples, with the conversion from files to values.
        encoders: part -> raw values to what the network takes; without one, it takes them as they are.
    """

    model: keras.Model
    classes: list[str]
    parts: dict[str, Part]
    encoders: registry.Encoders = field(default_factory=dict)

    def encode(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Turn raw values into what the network takes: part -> array [N, ...]."""
        return registry.encode(self.encoders, values)

    def compute(self, network: keras.Model, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Compute the outputs of a network that takes what the model takes, from raw values: float32 [N, ...]."""
        return prediction.outputs(network, values, self.encode, lengths(self.parts, values))

    def predict(self, values: Mapping[str, np.ndarray], average_views: bool = False) -> np.ndarray:
        """Predict class probabilities.

        Args:
            values: part -> raw values [N, ...], N of 1 or more.
            average_views: average over the test-time views of each sample, such as an
                image and its mirror image.

        Returns:
            float32 [N, classes].
        """
        if not average_views:
            return self.compute(self.model, values)
        views = [part.modality.test_views(values[name]) for name, part in self.parts.items()]
        joined = (dict(zip(self.parts, view, strict=True)) for view in zip(*views, strict=True))
        predicted = [self.compute(self.model, view) for view in joined]
        return sum(predicted) / len(predicted)


def save(folder: Path, classifier: Classifier, how: Mapping[str, Architecture], fitted: Mapping[str, dict]) -> None:
    """Write the weights and the description beside them.

    Args:
        folder: an existing folder.
        classifier: the trained model.
        how: part -> its network and settings.
        fitted: part -> its normaliser.
    """
    # Checked first, since HDF5 crashes on a full disk.
    files.need_room(folder, 2**20 + sum(4 * math.prod(weight.shape) for weight in classifier.model.weights))
    classifier.model.save_weights(folder / WEIGHTS)
    parts = {
        name: {**part.to_json(), "normalizer": fitted[name], "architecture": how[name].to_json()}
        for name, part in classifier.parts.items()
    }
    description = {
        "schema": SCHEMA,
        "parts": parts,
        "classes": classifier.classes,
        "weights": {"file": WEIGHTS, "sha256": files.sha256(folder / WEIGHTS)},
    }
    files.write_json(folder / DESCRIPTION, description)


def read_normalizers(folder: Path) -> dict[str, dict]:
    """Read what is fitted to train: part -> JSON, as ``Modality.fit`` returned it."""
    return {name: about["normalizer"] for name, about in files.read_json(folder / DESCRIPTION)["parts"].items()}


def load(folder: Path) -> Classifier:
    """Build the network and load its weights.

    Raises:
        UserError: a file is missing, damaged or of another schema version, or the
            weights are not those that were saved.
    """
    path = folder / DESCRIPTION
    description = files.read_json(path)
    if description.get("schema") != SCHEMA:
        raise UserError(
            f"{path} has schema {description.get('schema')!r}, but this version of Kiln reads schema {SCHEMA}: "
            "run `dvc repro`"
        )
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise UserError(f"{weights} is missing: run `dvc checkout` or `dvc repro`")
    try:
        if files.sha256(weights) != description["weights"]["sha256"]:
            raise UserError(f"{weights} is not the file that {path} describes: delete {folder} and run `dvc repro`")
        classes, described = description["classes"], description["parts"]
        parts = read_parts(described)
        how = {name: Architecture(**about["architecture"]) for name, about in described.items()}
        fitted = {name: about["normalizer"] for name, about in described.items()}
        model = registry.build(how, parts, len(classes), fitted)
        encoders = registry.make_encoders(how, parts, fitted)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise files.damaged(path) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns of layers that keep their initial weights
            model.load_weights(weights)
    except (KeyError, TypeError, ValueError, OSError, UserWarning):
        raise files.spoilt(weights, folder, f"does not match {path}") from None
    return Classifier(model, classes, parts, encoders)
