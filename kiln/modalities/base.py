"""What Kiln must know of a modality, and what all modalities share.

A sample is one or several parts, each of one modality (image, ...), declared
in params.yaml under ``inputs``. A modality is a folder here with the same
files as the others and an object ``MODALITY`` of the protocol below; nothing
outside of that folder knows what a pixel is.

A part's *values* are an array whose first axis is the samples.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa


class Undecodable(Exception):
    """The bytes are not a whole sample that the modality can decode; the text says why."""


class TooLarge(Undecodable):
    """The sample is larger than may be decoded."""


class Decoded(NamedTuple):
    """A decoded sample.

    Attributes:
        value: as the network will get it, before the normaliser.
        facts: measure -> number, of the sample as it came.
        notes: what is wrong beside the value.
    """

    value: Any
    facts: Mapping[str, float]
    notes: tuple[str, ...]


class Check(NamedTuple):
    """A check of single samples against a threshold.

    Attributes:
        measure: a column of ``Modality.measure`` or of the facts.
        side: ``below`` or ``above``: which values are suspect.
        threshold: the knob that holds the threshold.
    """

    measure: str
    side: str
    threshold: str


class Exhibit(NamedTuple):
    """Something to show to people: its kind (``picture``: a PNG) and its content."""

    kind: str
    content: bytes

    @property
    def suffix(self) -> str:
        """The suffix of a file that holds it."""
        return _SUFFIXES[self.kind]


_SUFFIXES = {"picture": ".png"}


def read_exhibits(folder: Path) -> dict[str, Exhibit]:
    """Read exhibits that were written to files named after their parts: part -> exhibit, sorted."""
    kinds = {suffix: kind for kind, suffix in _SUFFIXES.items()}
    return {path.stem: Exhibit(kinds[path.suffix], path.read_bytes()) for path in sorted(folder.iterdir())}


class Explanation(NamedTuple):
    """What an explanation is, for the report.

    Attributes:
        alt: what the exhibit shows, after the sample's id.
        reading: a sentence on how it is read.
        absence: a sentence for where a network has none.
    """

    alt: str
    reading: str
    absence: str


class Copies(NamedTuple):
    """Pairs of samples that show the same, and how alike they had to be.

    Attributes:
        pairs: first, second (rows, first < second), score (up to 1), sorted by rows.
            They connect each set of copies; not every two of it are listed.
        border: the least score of a copy.
    """

    pairs: pd.DataFrame
    border: float


class Corruption(NamedTuple):
    """A way in which samples get worse: the amount at each of ``STRENGTHS``, and what the amount is."""

    amounts: tuple[float, float, float]
    unit: str


STRENGTHS = ("mild", "medium", "strong")


class Conversion(Protocol):
    """How every value of a part is brought to one form; equal conversions give equal values."""

    def to_json(self) -> dict:
        """Give the fields, for a manifest; ``Modality.read_conversion`` reads them back."""

    def describe(self) -> str:
        """Describe the form in a few words, for the terminal, such as ``32x32 RGB``."""

    def spell_out(self) -> str:
        """Describe the form for a sentence of the report, such as ``32 x 32 pixels, RGB``."""


class Storage(Protocol):
    """How the values of a part lie in memory, in Parquet and on disk; see ``storage.ArrayStorage``."""

    column: pa.DataType
    bytes_per_sample: int

    def empty(self, count: int) -> np.ndarray:
        """Allocate values to be filled."""

    def stack(self, values: Sequence) -> np.ndarray:
        """Put values into one array; None, of what cannot be decoded, becomes a blank."""

    def pack(self, values: np.ndarray) -> pa.Array:
        """Make a Parquet column of values."""

    def unpack(self, column: pa.ChunkedArray) -> np.ndarray:
        """Read a Parquet column."""

    def spool(self, values: np.ndarray, file) -> None:
        """Append values to a file."""

    def open_spool(self, path: Path, count: int) -> np.ndarray:
        """Open what was spooled, as a memory map where possible."""


class FileKinds(Protocol):
    """What sources must know of a modality's files.

    Attributes:
        name: as in ``inputs``, and of the folder.
        noun: what a sample of it is called in sentences.
        extensions: of file names, lower case, with the dot.
        refused: extension -> what such files are, which begin like files that are read, but are not.
        usual_formats: what to convert other files to, for sentences.
        remedies: kind of file, as ``formats.sniff`` names it -> what to do about it.
        columns: usual names of its column in Parquet.
    """

    name: str
    noun: str
    extensions: frozenset[str]
    refused: Mapping[str, str]
    usual_formats: str
    remedies: Mapping[str, str]
    columns: tuple[str, ...]

    def reads(self, head: bytes) -> bool:
        """Tell by a file's first ``formats.HEAD`` bytes whether it is of a kind that is decoded."""

    def encode(self, value) -> bytes:
        """Make a file of a value, for sources that hold arrays."""


class Modality(FileKinds, Protocol):
    """What Kiln must know of a modality, besides its files.

    Attributes:
        facts: the names of what ``decode`` says of a sample as it came.
        notes_reason: the reason of findings about what is wrong beside the value.
        checks: reason -> check, in the order in which they are made.
        slices: measure by which test samples are sliced -> (title, name of its lowest part, of its highest).
        corruptions: name -> corruption.
        finding_sentences: reason, of ``notes_reason`` and ``checks`` -> what was seen, with {score} or {detail}.
        values_sentence: what the networks' inputs are, for the report.
        explanations: title, as ``explain`` gives it -> what it is and how it is read.
    """

    facts: tuple[str, ...]
    notes_reason: str
    checks: Mapping[str, Check]
    slices: Mapping[str, tuple[str, str, str]]
    corruptions: Mapping[str, Corruption]
    finding_sentences: Mapping[str, str]
    values_sentence: str
    explanations: Mapping[str, Explanation]

    # Files and values

    def settle(self, contents: Iterable[Sequence[bytes]], settings) -> Conversion:
        """Choose the conversion of a set of samples, by their contents where the settings say ``auto``."""

    def read_conversion(self, fields: Mapping) -> Conversion:
        """Read what ``Conversion.to_json`` gave; TypeError or ValueError where it is damaged."""

    def decode(self, content: bytes, conversion: Conversion, settings=None) -> Decoded:
        """Decode a sample; raises Undecodable or TooLarge."""

    def storage(self, conversion: Conversion) -> Storage:
        """Say how values lie in memory and on disk."""

    # Quality

    def measure(self, values: np.ndarray) -> pd.DataFrame:
        """Measure each value: one row per sample, NaN where there is nothing to measure."""

    def comparable(self, facts: pd.DataFrame) -> np.ndarray:
        """Tell which samples are large enough to be compared for copies: bool [N]."""

    def find_copies(self, values: np.ndarray, rows: np.ndarray, seed: int, settings) -> Copies:
        """Find pairs of rows that show the same."""

    def compute_features(
        self, values: np.ndarray, rows: np.ndarray, fit_on: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Compute features of unit length, fitted on some rows alone: float16 [len(rows), D]."""

    # Augmentation

    def is_active(self, settings) -> bool:
        """Tell whether the augmentation changes anything."""

    def augment(self, settings, values: np.ndarray, keys: np.ndarray, view: int) -> np.ndarray:
        """Make one view of each value; the same key (uint64 [N]) and view make the same."""

    def mix(
        self, values: np.ndarray, blends: np.ndarray, shares: np.ndarray, draws: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mix each value with the next one, the last with the first.

        Args:
            values: of a batch, [N, ...].
            blends: bool [N]: whether to blend (mixup), else to paste a part of the other in (cutmix).
            shares: float [N]: of each value itself.
            draws: name -> uniform numbers [N] in [0, 1), for places.

        Returns:
            New values, and the shares that are left of each value itself.
        """

    # The normaliser, fitted on train alone

    def count(self, values: np.ndarray) -> Any:
        """Gather statistics that can be added."""

    def fit(self, statistics: Any, settings) -> dict:
        """Fit the normaliser: JSON."""

    def describe(self, statistics: Any, train: Any) -> dict:
        """Describe a split against train.

        Returns:
            JSON: lists of one number per dimension, among them ``shift``, the distance from train.
        """

    def name_dimensions(self, count: int) -> list[str]:
        """Name the dimensions of ``describe``; an only one has no name."""

    # The network and what it makes of a value

    def layer(self, inputs: Any, fitted: Mapping) -> Any:
        """Apply the network's first layers to a Keras input of raw values."""

    def wants_test_views(self, settings: Any) -> bool:
        """Tell by the part's knobs of evaluate whether predictions are averaged over views on test."""

    def test_views(self, values: np.ndarray) -> list[np.ndarray]:
        """Give the views whose predictions may be averaged on test: the values themselves first."""

    def corrupt(self, values: np.ndarray, name: str, strength: str, generator: np.random.Generator) -> np.ndarray:
        """Make values worse."""

    def explain(self, network: "Explained", values: np.ndarray, classes: np.ndarray) -> list[dict[str, Exhibit]]:
        """Show where the network looks: for each value, title -> exhibit."""

    # For people

    def show(self, value: np.ndarray) -> Exhibit:
        """Show a value whole."""

    def preview(self, value: np.ndarray) -> Exhibit:
        """Show a value small, for lists."""

    def sheet(self, rows: Sequence[np.ndarray], columns: int) -> Exhibit:
        """Show many values, row by row; a row may hold fewer than ``columns``."""


class FeatureMaps(NamedTuple):
    """What a network has made of some samples before it ends in logits.

    Attributes:
        values: float32 [N, height, width, channels].
        compute_logits: values of that shape [M, ...] -> logits [M, classes].
        batch: how many values are to be computed at a time.
    """

    values: np.ndarray
    compute_logits: Callable[[np.ndarray], np.ndarray]
    batch: int


class Explained(Protocol):
    """What an explanation may ask of a network about a part of some samples."""

    def predict(self, row: int, changed: np.ndarray) -> np.ndarray:
        """Predict a sample with other values of the part, [M, ...]: probabilities, float32 [M, classes]."""

    def compute_maps(self) -> FeatureMaps | None:
        """Compute the last feature maps of all samples; None where the network has none that tell something."""


@dataclass(frozen=True)
class Part:
    """A part of every sample.

    Attributes:
        name: as in ``inputs``.
        modality: what it is.
        conversion: how its values are brought to one form.
    """

    name: str
    modality: Modality
    conversion: Conversion

    @property
    def storage(self) -> Storage:
        """How its values lie in memory and on disk."""
        return self.modality.storage(self.conversion)

    def to_json(self) -> dict:
        """Give modality and conversion, for a manifest."""
        return {"modality": self.modality.name, "conversion": self.conversion.to_json()}


def qualify(parts: Mapping[str, Part], part: str, name: str) -> str:
    """Name a measure, a check or a knob of a part: by itself where there is one part, else ``part.name``."""
    return name if len(parts) == 1 else f"{part}.{name}"
