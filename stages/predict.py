"""Classify image files by the model in data/model/: a command, no stage.

    python -m stages.predict IMAGE... [--json] [--flip] [--model FOLDER]

Files go through the very conversion that clean used for the training images.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.lib import artifact, entry, files, images, models
from stages.lib.errors import UserError

BATCH = 256


def read(path: Path, conversion: images.Conversion) -> np.ndarray:
    """Read an image file: uint8 [height, width, channels].

    Raises:
        UserError: there is no such file, or it is no image.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder: name image files, such as {path}/*.jpg")
    if not path.is_file():
        raise UserError(f"{path} does not exist: check the path")
    try:
        return images.convert(path.read_bytes(), conversion)
    except images.Undecodable as error:
        raise UserError(f"{path}: {error}: give an image file") from None


def classify(classifier: artifact.Classifier, paths: Sequence[Path], flip: bool = False) -> np.ndarray:
    """Predict probabilities of image files: float32 [N, classes]; with ``flip`` the mean with the mirror image's.

    Raises:
        UserError: a file cannot be read; nothing is predicted then.
    """
    parts = []
    for start in range(0, len(paths), BATCH):
        pixels = [read(path, classifier.conversion) for path in paths[start : start + BATCH]]
        parts.append(models.probabilities(classifier.model, np.stack(pixels), flip=flip))
    return np.concatenate(parts)


def as_json(paths: Sequence[Path], classes: list[str], probabilities: np.ndarray) -> str:
    """One object a file: path, prediction, probability, probabilities by class."""
    rows = [
        {
            "path": str(path),
            "prediction": classes[row.argmax()],
            "probability": float(row.max()),
            "probabilities": dict(zip(classes, row.tolist(), strict=True)),
        }
        for path, row in zip(paths, probabilities, strict=True)
    ]
    return json.dumps(files.rounded(rows), indent=2, ensure_ascii=False)


def as_text(paths: Sequence[Path], classes: list[str], probabilities: np.ndarray) -> str:
    """One line a file: the path and its three likeliest classes."""
    lines = []
    for path, row in zip(paths, probabilities, strict=True):
        likeliest = np.argsort(-row, kind="stable")[:3]
        lines.append(f"{path}: " + ", ".join(f"{classes[index]} {row[index]:.1%}" for index in likeliest))
    return "\n".join(lines)


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(prog="python -m stages.predict", description="Classify image files.")
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="an image file")
    parser.add_argument("--json", action="store_true", help="print JSON with every class's probability")
    parser.add_argument("--flip", action="store_true", help="average over each image and its mirror image")
    parser.add_argument("--model", type=Path, default=Path("data/model"), metavar="FOLDER", help="default: %(default)s")
    options = parser.parse_args()
    classifier = artifact.load(options.model)
    probabilities = classify(classifier, options.images, options.flip)
    shown = as_json if options.json else as_text
    print(shown(options.images, classifier.classes, probabilities))


if __name__ == "__main__":
    entry.run(main, "predict")
