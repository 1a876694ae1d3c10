"""Classify files, typed texts and rows of tables with a trained model.

They are converted like the training samples in clean. What cannot be read is
reported, on standard error or in the JSON, and the others are still classified.
"""

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from kiln.core import files, parallel, phrases
from kiln.core.errors import UserError
from kiln.deployment import inputs
from kiln.deployment.inputs import Input
from kiln.modalities.base import Part, Undecodable
from kiln.networks.artifact import Classifier

BATCH, BATCH_BYTES = 256, 64 * 2**20
LINE = 80  # characters of a name in a line of text


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


def read(one: Input, part: Part) -> Any:
    """Read what is to be classified as a value of a part.

    Raises:
        UserError: it does not exist, cannot be read, or is not of the part's modality.
    """
    kinds, content = part.modality, one.content
    if isinstance(content, UserError):
        raise content
    if isinstance(content, bytes):
        return _decode(content, part, "")
    if kinds.separator is not None and content.suffix.lower() in inputs.TABLES:
        raise UserError(f"it is a table: say by --column which of its columns holds the {kinds.noun}s")
    try:
        held = content.read_bytes()
    except (OSError, ValueError) as error:
        raise inputs.explain(error, content, kinds) from None
    return _decode(held, part, f": give {phrases.with_article(kinds.noun)} file")


def _decode(content: bytes, part: Part, remedy: str) -> Any:
    try:
        return part.modality.decode(content, part.conversion).value
    except Undecodable as error:
        raise UserError(f"{error}{remedy}") from None


def _shown(name: str) -> str:
    # On one line, without control characters.
    return name if name.isprintable() else ascii(name)


def _named(one: Input) -> str:
    """Name what is classified in a line: a path as it is, a text by its beginning."""
    return _shown(one.name if one.kind == "path" or len(one.name) <= LINE else one.name[: LINE - 3] + "...")


def classify(
    classifier: Classifier, given: Iterable[Input], average_views: bool = False
) -> Iterator[tuple[Input, np.ndarray | UserError]]:
    """Predict class probabilities, with one batch in memory at a time.

    Args:
        classifier: a model of samples of one part.
        given: what is to be classified, consumed as needed.
        average_views: average over the test-time views of each sample, such as an image and its mirror image.

    Yields:
        Each with its probabilities, float32 [classes], or with the error that explains why it cannot be read.

    Raises:
        UserError: the model takes samples of several parts.
    """
    part = only_part(classifier)

    def attempt(one: Input) -> tuple[Input, Any]:
        try:
            return one, read(one, part)
        except UserError as error:
            return one, error

    size = min(BATCH, max(1, BATCH_BYTES // part.storage.bytes_per_sample))
    done = parallel.ordered_map(attempt, given)
    while batch := list(itertools.islice(done, size)):
        values = [value for _, value in batch if not isinstance(value, UserError)]
        rows = iter(classifier.predict({part.name: part.storage.stack(values)}, average_views) if values else [])
        for one, outcome in batch:
            yield one, outcome if isinstance(outcome, UserError) else next(rows)


def as_json(one: Input, classes: list[str], outcome: np.ndarray | UserError) -> str:
    """Format one result as an object: path or text, prediction, probability, probabilities per class; or an error."""
    if isinstance(outcome, UserError):
        about = {one.kind: one.name, "error": str(outcome)}
    else:
        about = {
            one.kind: one.name,
            "prediction": classes[outcome.argmax()],
            "probability": float(outcome.max()),
            "probabilities": dict(zip(classes, outcome.tolist(), strict=True)),
        }
    text = "  " + json.dumps(files.rounded(about), indent=2, ensure_ascii=False).replace("\n", "\n  ")
    # Some characters beyond ASCII separate lines, and file names need not be valid text.
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def as_text(one: Input, classes: list[str], row: np.ndarray) -> str:
    """Format one result as a line: path or text, and the three most probable classes."""
    likeliest = np.argsort(-row, kind="stable")[:3]
    return f"{_named(one)}: " + ", ".join(f"{_shown(classes[index])} {row[index]:.1%}" for index in likeliest)


def print_results(results: Iterable[tuple[Input, np.ndarray | UserError]], classes: list[str], in_json: bool) -> int:
    """Print results as they arrive, with the errors on standard error or, for JSON, as objects.

    Returns:
        The number of inputs that could not be read.
    """
    failed, before = 0, "[\n"
    for one, outcome in results:
        failed += isinstance(outcome, UserError)
        if in_json:
            print(before + as_json(one, classes, outcome), end="", flush=True)
            before = ",\n"
        elif isinstance(outcome, UserError):
            print(f"predict: {_named(one)}: {outcome}", file=sys.stderr, flush=True)
        else:
            print(as_text(one, classes, outcome), flush=True)
    if in_json:
        print("\n]" if before == ",\n" else "[]")
    return failed
