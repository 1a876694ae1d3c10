"""Classify files with a trained model.

Files are converted like the training samples in clean. A file that cannot be read
is reported, on standard error or in the JSON, and the others are still classified.
"""

import codecs
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kiln.core import files, formats, parallel, phrases
from kiln.core.errors import UserError
from kiln.modalities.base import FileKinds, Part, Undecodable
from kiln.networks.artifact import Classifier

BATCH, BATCH_BYTES = 256, 64 * 2**20


def only_part(classifier: Classifier) -> Part:
    """Return the single part of the model's samples.

    Raises:
        UserError: the model takes samples of several parts.
    """
    if len(classifier.parts) > 1:
        raise UserError(
            f"the model takes samples of several parts ({', '.join(classifier.parts)}), but `kiln predict` supports "
            "only one part so far"
        )
    return next(iter(classifier.parts.values()))


def list_files(arguments: Iterable[str], lines: Iterable[bytes], kinds: FileKinds) -> Iterator[Path]:
    """List the files that arguments name, in their order.

    Args:
        arguments: paths of files and folders, and ``-`` for the paths on standard input.
        lines: of standard input, one path each; read only for ``-``.
        kinds: which files of a folder are samples.

    Yields:
        For a folder its samples, sorted, including those of subfolders and links, without hidden ones; for a folder
        without samples the folder itself, which ``read`` reports.
    """
    for argument in arguments:
        for path in _named(lines, kinds) if argument == "-" else [Path(argument)]:
            inside = _inside(path, kinds)
            yield next(inside, path)
            yield from inside


def _named(lines: Iterable[bytes], kinds: FileKinds) -> Iterator[Path]:
    for number, line in enumerate(lines):
        if not number and line[:1] > b"\x7f" and kinds.reads(line[: formats.HEAD]):  # not BMW/1.png
            line = b"\0"  # not a path, so that a sample on standard input gives one error, as below
        # Lists from Windows have a byte-order mark and CRLF line ends.
        if name := (line if number else line.removeprefix(codecs.BOM_UTF8)).rstrip(b"\r\n"):
            yield Path(os.fsdecode(name))
        if b"\0" in name:
            return  # a sample itself, not a list of paths: one error is enough


def _inside(path: Path, kinds: FileKinds, parents: frozenset[str] = frozenset()) -> Iterator[Path]:
    try:
        parents = parents | {os.path.realpath(path)}  # links may form a cycle
        with os.scandir(path) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except (OSError, ValueError):  # not a folder, or not readable: ``read`` reports it
        yield path
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if os.path.realpath(entry) not in parents:
                yield from _inside(path / entry.name, kinds, parents)
        # Not a pipe, which might never end.
        elif (entry.is_symlink() or entry.is_file()) and _is_sample(path / entry.name, kinds):
            yield path / entry.name


def _is_sample(path: Path, kinds: FileKinds) -> bool:
    """Whether a file is a sample, as fetch decides: by a known extension, else by content."""
    if path.suffix.lower() in kinds.extensions:
        return True
    if path.suffix.lower() in kinds.refused:
        return False
    try:
        if not path.is_file():  # a link to a pipe, which might never end
            return False
        with path.open("rb") as file:
            return kinds.reads(file.read(formats.HEAD))
    except OSError:
        return False


def read(path: Path, part: Part) -> Any:
    """Read a file as a value of a part.

    Raises:
        UserError: the file does not exist, cannot be read, or is not of the part's modality.
    """
    kinds = part.modality
    try:
        return kinds.decode(path.read_bytes(), part.conversion).value
    except Undecodable as error:
        reason = f"{error}: give {phrases.with_article(kinds.noun)} file"
    except FileNotFoundError:
        reason = "it does not exist: check the path"
    except IsADirectoryError:
        reason = f"the folder holds no {kinds.noun} file ({' '.join(sorted(kinds.extensions))}): check the path"
        if not os.access(path, os.R_OK | os.X_OK):
            reason = "the folder cannot be opened: check its permissions"
    except OSError as error:
        reason = f"it cannot be read ({error.strerror}): check the path and its permissions"
    except ValueError:
        sample = phrases.with_article(kinds.noun)
        reason = f"it is not a path: give one path per line, or /dev/stdin for {sample} on standard input"
    raise UserError(reason) from None


def _shown(name: object) -> str:
    # On one line, without control characters.
    return str(name) if str(name).isprintable() else ascii(str(name))


def classify(
    classifier: Classifier, paths: Iterable[Path], average_views: bool = False
) -> Iterator[tuple[Path, np.ndarray | UserError]]:
    """Predict the class probabilities of files, with one batch in memory at a time.

    Args:
        classifier: a model of samples of one part.
        paths: of the files, consumed as needed.
        average_views: average over the test-time views of each sample, such as an image and its mirror image.

    Yields:
        Each path with its probabilities, float32 [classes], or with the error that explains why it cannot be read.

    Raises:
        UserError: the model takes samples of several parts.
    """
    part = only_part(classifier)

    def attempt(path: Path) -> tuple[Path, Any]:
        try:
            return path, read(path, part)
        except UserError as error:
            return path, error

    size = min(BATCH, max(1, BATCH_BYTES // part.storage.bytes_per_sample))
    done = parallel.ordered_map(attempt, paths)
    while batch := list(itertools.islice(done, size)):
        values = [value for _, value in batch if not isinstance(value, UserError)]
        rows = iter(classifier.predict({part.name: part.storage.stack(values)}, average_views) if values else [])
        for path, outcome in batch:
            yield path, outcome if isinstance(outcome, UserError) else next(rows)


def as_json(path: Path, classes: list[str], outcome: np.ndarray | UserError) -> str:
    """Format one file as an object: path, prediction, probability, probabilities per class; or path and error."""
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
    # Some characters beyond ASCII separate lines, and file names need not be valid text.
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def as_text(path: Path, classes: list[str], row: np.ndarray) -> str:
    """Format one file as a line: its path and its three most probable classes."""
    likeliest = np.argsort(-row, kind="stable")[:3]
    return f"{_shown(path)}: " + ", ".join(f"{_shown(classes[index])} {row[index]:.1%}" for index in likeliest)


def print_results(results: Iterable[tuple[Path, np.ndarray | UserError]], classes: list[str], in_json: bool) -> int:
    """Print results as they arrive, with the errors on standard error or, for JSON, as objects.

    Returns:
        The number of files that could not be read.
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
