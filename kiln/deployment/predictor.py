"""Classify image files by a trained model.

Files go through the same conversion as the training images in clean. A
file that cannot be read is reported, on standard error or in the JSON, and the
others are classified all the same.
"""

import codecs
import itertools
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from kiln.core import files, formats, parallel
from kiln.core.errors import UserError
from kiln.modalities import base
from kiln.modalities.image import decoding
from kiln.modalities.image.conversion import Conversion
from kiln.networks import artifact, prediction

BATCH, BATCH_BYTES = 256, 64 * 2**20


def listed(arguments: Iterable[str], lines: Iterable[bytes]) -> Iterator[Path]:
    """List the files that arguments name, in their order.

    Args:
        arguments: paths of files and folders, and ``-`` for the paths on standard input.
        lines: of standard input, a path each; read only where ``-`` asks for it.

    Yields:
        Of a folder its image files, with those of the folders in it, linked
        ones too, sorted, hidden ones left out; the folder itself where it has none, for ``read`` to report.
    """
    for argument in arguments:
        for path in _named(lines) if argument == "-" else [Path(argument)]:
            inside = _inside(path)
            yield next(inside, path)
            yield from inside


def _named(lines: Iterable[bytes]) -> Iterator[Path]:
    for number, line in enumerate(lines):
        if not number and line[:1] > b"\x7f" and formats.sniff(line) in formats.READ:  # not BMW/1.png
            line = b"\0"  # not a path, so that the image itself is one complaint, as below
        # Lists from Windows: a mark of the encoding, and both characters for the line's end.
        if name := (line if number else line.removeprefix(codecs.BOM_UTF8)).rstrip(b"\r\n"):
            yield Path(os.fsdecode(name))
        if b"\0" in name:
            return  # such as an image itself: one complaint is enough


def _inside(path: Path, around: frozenset[str] = frozenset()) -> Iterator[Path]:
    try:
        around = around | {os.path.realpath(path)}  # links may lead round in a circle
        with os.scandir(path) as found:
            entries = sorted(found, key=lambda one: one.name)
    except (OSError, ValueError):  # not a folder, or not readable: ``read`` reports it
        yield path
        return
    for one in entries:
        if one.name.startswith("."):
            continue
        if one.is_dir():
            if os.path.realpath(one) not in around:
                yield from _inside(path / one.name, around)
        # Not from a pipe, which might never end.
        elif (one.is_symlink() or one.is_file()) and _is_image(path / one.name):
            yield path / one.name


def _is_image(path: Path) -> bool:
    """Decide as fetch does: by the extension where that is known, else by content."""
    if path.suffix.lower() in decoding.EXTENSIONS:
        return True
    if path.suffix.lower() in formats.RAW:
        return False
    try:
        if not path.is_file():  # a link to a pipe, which might never end
            return False
        with path.open("rb") as file:
            return formats.sniff(file.read(formats.HEAD)) in formats.READ
    except OSError:
        return False


def read(path: Path, conversion: Conversion) -> np.ndarray:
    """Read an image file: uint8 [height, width, channels].

    Raises:
        UserError: there is no such file, it cannot be read, or it is not an image.
    """
    try:
        return decoding.convert(path.read_bytes(), conversion)
    except base.Undecodable as error:
        why = f"{error}: give an image file"
    except FileNotFoundError:
        why = "it does not exist: check the path"
    except IsADirectoryError:
        why = f"the folder holds no image file ({' '.join(sorted(decoding.EXTENSIONS))}): check the path"
        if not os.access(path, os.R_OK | os.X_OK):
            why = "the folder cannot be opened: check its permissions"
    except OSError as error:
        why = f"it cannot be read ({error.strerror}): check the path and its permissions"
    except ValueError:
        why = "it is not a path: give one path per line, or /dev/stdin for an image on standard input"
    raise UserError(why) from None


def _shown(name: object) -> str:
    # One line, and nothing that a terminal would obey.
    return str(name) if str(name).isprintable() else ascii(str(name))


def classify(
    classifier: artifact.Classifier, paths: Iterable[Path], flip: bool = False
) -> Iterator[tuple[Path, np.ndarray | UserError]]:
    """Predict probabilities of image files, a batch in memory at a time.

    Args:
        classifier: the model.
        paths: of the files, consumed as they are needed.
        flip: give the mean over each image and its mirror image.

    Yields:
        Each path with its probabilities, float32 [classes], or with the reason why it cannot be read.
    """

    def attempt(path: Path) -> tuple[Path, np.ndarray | UserError]:
        try:
            return path, read(path, classifier.conversion)
        except UserError as error:
            return path, error

    size = min(BATCH, max(1, BATCH_BYTES // math.prod(classifier.conversion.image_shape)))
    done = parallel.ordered_map(attempt, paths)
    while batch := list(itertools.islice(done, size)):
        whole = [pixels for _, pixels in batch if not isinstance(pixels, UserError)]
        rows = iter(prediction.probabilities(classifier.model, np.stack(whole), flip=flip) if whole else [])
        for path, outcome in batch:
            yield path, outcome if isinstance(outcome, UserError) else next(rows)


def as_json(path: Path, classes: list[str], outcome: np.ndarray | UserError) -> str:
    """Lay out one file as an object: path, prediction, probability, probabilities by class; or path and error."""
    if isinstance(outcome, UserError):
        about = {"path": str(path), "error": str(outcome)}
    else:
        about = {
            "path": str(path),
            "prediction": classes[outcome.argmax()],
            "probability": float(outcome.max()),
            "probabilities": dict(zip(classes, outcome.tolist(), strict=True)),
        }
    text = "  " + json.dumps(files.rounded(about), indent=2, ensure_ascii=False).replace("\n", "\n  ")
    # Some separate lines beyond ASCII, and names of files need not be text.
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def as_text(path: Path, classes: list[str], row: np.ndarray) -> str:
    """Lay out one file as a line: its path and three likeliest classes."""
    likeliest = np.argsort(-row, kind="stable")[:3]
    return f"{_shown(path)}: " + ", ".join(f"{_shown(classes[index])} {row[index]:.1%}" for index in likeliest)


def print_results(results: Iterable[tuple[Path, np.ndarray | UserError]], classes: list[str], in_json: bool) -> int:
    """Print results as they come, and what could not be read: on standard error, or as an object of the JSON.

    Returns:
        How many could not be read.
    """
    failed, before = 0, "[\n"
    for path, outcome in results:
        failed += isinstance(outcome, UserError)
        if in_json:
            print(before + as_json(path, classes, outcome), end="", flush=True)
            before = ",\n"
        elif isinstance(outcome, UserError):
            print(f"predict: {_shown(path)}: {outcome}", file=sys.stderr, flush=True)
        else:
            print(as_text(path, classes, outcome), flush=True)
    if in_json:
        print("\n]" if before == ",\n" else "[]")
    return failed
