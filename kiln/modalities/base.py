"""The protocol of modalities, and the types that all of them share.

A sample is one or several parts, each of one modality (image, ...), declared
in params.yaml under ``inputs``. A modality is a folder here with the same files
as the others and a class of the protocol below, listed in ``registry``; nothing
outside that folder knows what a pixel is.

The *values* of a part are an array whose first axis is the samples.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa

from kiln.modalities.baseline import Baseline
from kiln.modalities.explained import Explained
from kiln.modalities.terms import Terms


class Undecodable(Exception):
    """The bytes cannot be decoded as a complete sample; the text says why."""


class TooLarge(Undecodable):
    """The sample is larger than the limit."""


class Decoded(NamedTuple):
    """A decoded sample.

    Attributes:
        value: input of the network, before the normaliser.
        facts: measure -> number, of the original sample.
        notes: faults outside the value, such as broken metadata.
    """

    value: Any
    facts: Mapping[str, float]
    notes: tuple[str, ...]


class Check(NamedTuple):
    """A check of single samples against a threshold.

    Attributes:
        measure: a column of ``Modality.measure`` or of the facts.
        side: ``below`` or ``above``: which values are suspect.
        threshold: name of the knob that sets it.
    """

    measure: str
    side: str
    threshold: str


class Exhibit(NamedTuple):
    """Something to display, by its kind.

    ``picture``: a PNG. ``text``: UTF-8. ``marked``: JSON, a list of [piece of text, weight
    from -1 (against the prediction) to 1 (for it)]. ``texts``: JSON, rows of texts.
    """

    kind: str
    content: bytes

    @property
    def suffix(self) -> str:
        """The suffix of its file."""
        return _SUFFIXES[self.kind]


_SUFFIXES = {"picture": ".png", "text": ".txt", "marked": ".marked", "texts": ".json"}


def read_exhibits(folder: Path) -> dict[str, Exhibit]:
    """Read exhibits from files named after their parts: part -> exhibit, sorted."""
    kinds = {suffix: kind for kind, suffix in _SUFFIXES.items()}
    return {path.stem: Exhibit(kinds[path.suffix], path.read_bytes()) for path in sorted(folder.iterdir())}


class Explanation(NamedTuple):
    """Description of an explanation, for the report.

    Attributes:
        alt: what the exhibit shows, after the sample's id.
        reading: a sentence on how to read it.
        absence: a sentence for networks that have none.
    """

    alt: str
    reading: str
    absence: str


class Copies(NamedTuple):
    """Pairs of samples that show the same, and the threshold of similarity.

    Attributes:
        pairs: first, second (rows, first < second), score (up to 1), sorted by rows.
            They connect each set of copies; not every two of a set are listed.
        border: lowest score of a copy.
    """

    pairs: pd.DataFrame
    border: float


class Corruption(NamedTuple):
    """A degradation of samples: the amount at each of ``STRENGTHS``, and its unit."""

    amounts: tuple[float, float, float]
    unit: str


STRENGTHS = ("mild", "medium", "strong")


class Tensor(NamedTuple):
    """One sample as a network takes it.

    Attributes:
        shape: None for a length that differs from sample to sample.
        dtype: such as ``uint8``.
        kinds: how many different values there are, where they are numbers of things, such as tokens; else None.
    """

    shape: tuple[int | None, ...]
    dtype: str
    kinds: int | None = None


class Conversion(Protocol):
    """How each value of a part is converted to a common form; equal conversions give equal values."""

    def to_json(self) -> dict:
        """Return the fields for a manifest; ``Modality.read_conversion`` reads them back."""

    def describe(self) -> str:
        """Describe the form in a few words, for the terminal, such as ``32x32 RGB``."""

    def spell_out(self) -> str:
        """Describe the form for a sentence of the report, such as ``32 x 32 pixels, RGB``."""


class Storage(Protocol):
    """Layout of a part's values in memory, in Parquet and on disk; see ``storage.ArrayStorage``."""

    column: pa.DataType
    bytes_per_sample: int

    def empty(self, count: int) -> np.ndarray:
        """Allocate values without initialising them."""

    def stack(self, values: Sequence) -> np.ndarray:
        """Put values into one array; None (undecodable) becomes a blank value."""

    def pack(self, values: np.ndarray) -> pa.Array:
        """Convert values to a Parquet column."""

    def unpack(self, column: pa.ChunkedArray) -> np.ndarray:
        """Convert a Parquet column to values."""

    def spool(self, values: np.ndarray, file) -> None:
        """Append values to a file."""

    def open_spool(self, path: Path, count: int) -> np.ndarray:
        """Open spooled values, as a memory map where possible."""

    def draw(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Draw random values, to measure what a network costs."""


class FileKinds(Protocol):
    """What sources need to know about a modality's files.

    Attributes:
        name: of the modality in ``inputs``, and of its folder.
        noun: for a sample, in sentences.
        extensions: of file names, lower case, with the dot.
        refused: extension -> kind of such files, which begin like a supported kind, but are not read.
        usual_formats: formats to convert other files to, for sentences.
        remedies: kind of file, as returned by ``formats.sniff`` -> what to do about it.
        columns: usual names of its column in a table that holds values.
        separator: what joins the values of several columns; None: a row holds no value, but a file or the path to one.
    """

    name: str
    noun: str
    extensions: frozenset[str]
    refused: Mapping[str, str]
    usual_formats: str
    remedies: Mapping[str, str]
    columns: tuple[str, ...]
    separator: str | None

    def reads(self, head: bytes) -> bool:
        """Check, by a file's first ``formats.HEAD`` bytes, whether its kind is supported."""

    def encode(self, value) -> bytes:
        """Encode a value as a file, for sources that hold arrays."""


class Modality(FileKinds, Protocol):
    """What Kiln needs to know about a modality, besides its files.

    Attributes:
        forms: in which networks can take values, such as ``pixels``; each network takes one.
        facts: names of the facts of ``decode``.
        notes_reason: the reason of findings about faults outside the value.
        checks: reason -> check, in order.
        slices: measure by which test samples are sliced -> (title, name of the lowest slice, of the highest).
        fitted_slices: the same, for measures of ``measure_fitted``.
        slice_reasons: reasons of findings; test samples that have any are a slice.
        corruptions: name -> corruption.
        finding_sentences: reason (``notes_reason``, of ``checks``, or any) -> description, with {score}, {share}
            (the score as a percentage) or {detail}.
        repeated_sentence: what many samples of one value have in common, and what they might be.
        values_sentence: what ``describe`` measures, for the report.
        range_clause: what follows the form of values in the model card, such as ", 0 to 255".
        explanations: title, as returned by ``explain`` -> its description.
        described: which lists of ``describe`` the report shows, in order.
        copies_clause: of near-duplicates, what is how alike, with {score}.
        can_mix: whether two values can be mixed to one, by ``mix``.
        baseline: a model without a network, or None.
        lengths_differ: whether encoded values may differ in length, so that a batch is padded to its longest.
    """

    forms: tuple[str, ...]
    facts: tuple[str, ...]
    notes_reason: str
    checks: Mapping[str, Check]
    slices: Mapping[str, tuple[str, str, str]]
    fitted_slices: Mapping[str, tuple[str, str, str]]
    slice_reasons: tuple[str, ...]
    corruptions: Mapping[str, Corruption]
    finding_sentences: Mapping[str, str]
    repeated_sentence: str
    values_sentence: str
    range_clause: str
    explanations: Mapping[str, Explanation]
    described: tuple[str, ...]
    copies_clause: str
    can_mix: bool
    baseline: Baseline | None
    lengths_differ: bool

    # Files and values

    def settle(self, contents: Iterable[Sequence[bytes]], settings) -> Conversion:
        """Choose the conversion of a set of samples; from their contents where the settings are ``auto``."""

    def read_conversion(self, fields: Mapping) -> Conversion:
        """Read the output of ``Conversion.to_json``; raises TypeError or ValueError if it is damaged."""

    def decode(self, content: bytes, conversion: Conversion, settings=None) -> Decoded:
        """Decode a sample; raises Undecodable or TooLarge."""

    def storage(self, conversion: Conversion) -> Storage:
        """Return the layout of values in memory and on disk."""

    # Quality

    def measure(self, values: np.ndarray) -> pd.DataFrame:
        """Measure each value: one row per sample, NaN where undefined."""

    def comparable(self, facts: pd.DataFrame) -> np.ndarray:
        """Mark samples that are large enough to be compared for copies: bool [N]."""

    def find_copies(self, values: np.ndarray, rows: np.ndarray, seed: int, settings) -> Copies:
        """Find pairs of rows that show the same content."""

    def compute_features(
        self, values: np.ndarray, rows: np.ndarray, fit_on: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Compute features of unit length, fitted on the rows ``fit_on`` alone: float16 [len(rows), D]."""

    def find_terms(self, values: np.ndarray, rows: np.ndarray, order: np.ndarray, most: int) -> Terms | None:
        """Find the terms of samples; None where labels are to be judged by ``compute_features``.

        Args:
            values: of the part.
            rows: the samples.
            order: places in ``rows`` to learn weights from, the most useful first.
            most: terms at most.
        """

    # Augmentation

    def is_active(self, settings) -> bool:
        """Check whether the augmentation changes anything."""

    def augment(self, settings, values: np.ndarray, keys: np.ndarray, view: int) -> np.ndarray:
        """Create one view of each value; the same key (uint64 [N]) and view give the same result."""

    def mix(
        self, values: np.ndarray, blends: np.ndarray, shares: np.ndarray, draws: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mix each value with the next one, the last with the first; only where ``can_mix`` is true.

        Args:
            values: of a batch, [N, ...].
            blends: bool [N]: whether to blend (mixup); otherwise a part of the other is pasted in (cutmix).
            shares: float [N]: of each value itself.
            draws: name -> uniform numbers [N] in [0, 1), for positions.

        Returns:
            New values, and the remaining share of each value itself.
        """

    # The normaliser, fitted on train alone

    def count(self, values: np.ndarray) -> Any:
        """Compute statistics that can be summed over batches."""

    def fit(self, statistics: Any, settings) -> dict:
        """Fit the normaliser; returns JSON."""

    def describe(self, statistics: Any, train: Any) -> dict:
        """Describe a split against train.

        Returns:
            JSON: lists of one number per dimension, including ``shift``, the distance from train.
        """

    def measure_fitted(self, values: np.ndarray, fitted: dict) -> pd.DataFrame:
        """Measure each value against train, by what ``fit`` returned: a column for each of ``fitted_slices``."""

    def name_dimensions(self, count: int) -> list[str]:
        """Name the dimensions of ``describe``; a single one has no name."""

    # The network and its behaviour

    def tensor(self, conversion: Conversion, form: str, fitted: Mapping) -> Tensor:
        """Return the shape and dtype in which a network of a form takes a value."""

    def make_encoder(self, form: str, fitted: Mapping) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function from values to the array that a network of a form takes, as ``tensor`` says."""

    def lengths(self, values: np.ndarray) -> np.ndarray:
        """Return about how long values are once encoded, in any unit, [N]; only where ``lengths_differ`` is true."""

    def layer(self, inputs: Any, form: str, fitted: Mapping) -> Any:
        """Apply the network's first layers to a Keras input of encoded values."""

    def wants_test_views(self, settings: Any) -> bool:
        """Check, by the part's settings of evaluate, whether test predictions are averaged over views."""

    def test_views(self, values: np.ndarray) -> list[np.ndarray]:
        """Return the views whose test predictions may be averaged; the values themselves first."""

    def corrupt(self, values: np.ndarray, name: str, strength: str, generator: np.random.Generator) -> np.ndarray:
        """Degrade values by a corruption."""

    def explain(self, network: Explained, values: np.ndarray, classes: np.ndarray) -> list[dict[str, Exhibit]]:
        """Show where the network looks: for each value, title -> exhibit."""

    # Exhibits

    def show(self, value: np.ndarray) -> Exhibit:
        """Show a value at full size."""

    def preview(self, value: np.ndarray) -> Exhibit:
        """Show a small version of a value, for lists."""

    def sheet(self, rows: Sequence[np.ndarray], columns: int) -> Exhibit:
        """Show many values, row by row; a row may hold fewer than ``columns``."""


@dataclass(frozen=True)
class Part:
    """A part of every sample: its name in ``inputs``, its modality, and how its values are brought to one form."""

    name: str
    modality: Modality
    conversion: Conversion

    @property
    def storage(self) -> Storage:
        """Layout of its values in memory and on disk."""
        return self.modality.storage(self.conversion)

    def to_json(self) -> dict:
        """Return modality and conversion, for a manifest."""
        return {"modality": self.modality.name, "conversion": self.conversion.to_json()}


def lengths(parts: Mapping[str, Part], values: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Sum the lengths of samples over the parts that differ in it: [N]; None where none does."""
    differing = [part.modality.lengths(values[name]) for name, part in parts.items() if part.modality.lengths_differ]
    return sum(differing) if differing else None


def name_samples(parts: Mapping[str, Part]) -> str:
    """Return the noun for a sample of these parts: that of its only part, else ``sample``."""
    return next(iter(parts.values())).modality.noun if len(parts) == 1 else "sample"


def qualify(parts: Mapping[str, Part], part: str, name: str) -> str:
    """Qualify the name of a measure, check or knob of a part: ``name`` if there is one part, else ``part.name``."""
    return name if len(parts) == 1 else f"{part}.{name}"
