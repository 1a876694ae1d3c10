"""Classify image files by the model in data/model/: a command, no stage.

    python -m stages.predict IMAGE... [--json] [--flip] [--model FOLDER]
    python -m stages.predict --benchmark      what the model costs on this machine

Files go through the very conversion that clean used for the training images.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.lib import artifact, entry, files, images, models, prediction
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


def benchmark(classifier: artifact.Classifier, seconds: float = 3.0) -> dict[str, float]:
    """Measure the model on random pixels, from memory, after a few warm-up rounds.

    Args:
        classifier: the model.
        seconds: how long each of the two measurements takes, about.

    Returns:
        parameters, multiply_adds (of an image), milliseconds_an_image (median at
        batch 1), images_a_second (median at the batch named: 256, or fewer where those take much memory).
    """
    generator = np.random.default_rng(0)

    def median(size: int) -> float:
        pixels = generator.integers(0, 256, (size, *classifier.conversion.image_shape), dtype=np.uint8)
        for _ in range(3):
            classifier.model.predict_on_batch(pixels)
        times, end = [], time.perf_counter() + seconds
        while len(times) < 5 or time.perf_counter() < end:
            start = time.perf_counter()
            classifier.model.predict_on_batch(pixels)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    batch = min(BATCH, prediction.batch_size(classifier.model))
    return {
        "parameters": classifier.model.count_params(),
        "multiply_adds": models.multiply_adds(classifier.model),
        "milliseconds_an_image": 1000 * median(1),
        "batch": batch,
        "images_a_second": batch / median(batch),
    }


def tell_costs(costs: dict[str, float], folder: Path) -> str:
    """Lay out what ``benchmark`` measured, and the size on disk."""
    size = sum(path.stat().st_size for path in folder.iterdir())
    return (
        f"{costs['parameters']:,} parameters, {costs['multiply_adds']:,} multiply-adds an image, "
        f"{size / 1e6:.2f} MB on disk\n"
        f"{costs['milliseconds_an_image']:.2f} ms an image at batch 1, "
        f"{costs['images_a_second']:,.0f} images a second at batch {costs['batch']} (medians on this machine)"
    )


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(prog="python -m stages.predict", description="Classify image files.")
    parser.add_argument("images", nargs="*", type=Path, metavar="IMAGE", help="an image file")
    parser.add_argument("--json", action="store_true", help="print JSON with every class's probability")
    parser.add_argument("--flip", action="store_true", help="average over each image and its mirror image")
    parser.add_argument("--model", type=Path, default=Path("data/model"), metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--benchmark", action="store_true", help="measure the model's speed instead")
    options = parser.parse_args()
    if bool(options.images) == options.benchmark:
        parser.error("name image files, or give --benchmark alone")
    classifier = artifact.load(options.model)
    if options.benchmark:
        print(tell_costs(benchmark(classifier), options.model))
        return
    probabilities = classify(classifier, options.images, options.flip)
    shown = as_json if options.json else as_text
    print(shown(options.images, classifier.classes, probabilities))


if __name__ == "__main__":
    entry.run(main, "predict")
