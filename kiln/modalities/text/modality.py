"""The modality ``text``: each method of the protocol (``kiln.modalities.base``) and the module that implements it.

What only clean needs is imported where it is used, so that every other stage starts sooner.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kiln.modalities.base import Copies, Decoded, Exhibit, Tensor
from kiln.modalities.explained import Explained
from kiln.modalities.selftaught import Questions, Scores
from kiln.modalities.terms import Terms
from kiln.modalities.text import (
    asking,
    augmentation,
    checks,
    corruptions,
    decoding,
    explanation,
    linear,
    normalizer,
    rarity,
    settling,
    showing,
    wording,
    writing,
)
from kiln.modalities.text.conversion import Conversion
from kiln.modalities.text.formats import TextFiles
from kiln.modalities.text.storage import TextStorage
from kiln.params.text import Augment, Clean, Normalize


class Text(TextFiles):
    """The modality ``text``; values are strings, an object array [N]."""

    forms = normalizer.FORMS
    facts = decoding.FACTS
    notes_reason = "encoding"
    slices, checks = checks.SLICES, checks.CHECKS  # in one line: after it, ``checks`` hides the module
    corruptions = corruptions.CORRUPTIONS
    finding_sentences = wording.FINDINGS
    repeated_sentence = wording.REPEATED
    values_sentence = wording.VALUES
    range_clause = wording.RANGE
    explanations = wording.EXPLANATIONS
    described = ("mean", "std", "median", "unknown", "shift")
    copies_clause = wording.COPIES
    can_mix = False
    baseline = linear.BASELINE
    lengths_differ = True
    fitted_slices = rarity.SLICES
    slice_reasons = (notes_reason, *checks)

    def settle(self, contents: Iterable[Sequence[bytes]], settings: Clean) -> Conversion:
        """Choose what is ``auto``, from the texts; see ``settling``."""
        return settling.settle(contents, settings)

    def read_conversion(self, fields: Mapping) -> Conversion:
        """Read a conversion from a manifest; raises TypeError or ValueError if it is damaged."""
        return Conversion(**fields)

    def decode(self, content: bytes, conversion: Conversion, settings: Clean | None = None) -> Decoded:
        """Decode bytes to a string; see ``decoding.decode``."""
        return decoding.decode(content, conversion, settings)

    def storage(self, conversion: Conversion) -> TextStorage:
        """Store strings."""
        return TextStorage(conversion.bytes)

    def measure(self, values: np.ndarray) -> pd.DataFrame:
        """Measure length, repetition and script; see ``checks.measure``."""
        return checks.measure(values)

    def comparable(self, facts: pd.DataFrame) -> np.ndarray:
        """Mark texts that are long enough to be compared."""
        from kiln.modalities.text import copies

        return copies.comparable(facts)

    def find_copies(self, values: np.ndarray, rows: np.ndarray, seed: int, settings: Clean) -> Copies:
        """Find near-duplicates; see ``copies.find``."""
        from kiln.modalities.text import copies

        return copies.find(values, rows, seed, settings)

    def compute_features(
        self, values: np.ndarray, rows: np.ndarray, fit_on: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Compute features without a network; see ``features``."""
        from kiln.modalities.text import features

        return features.compute(values, rows, fit_on, generator)

    def find_terms(self, values: np.ndarray, rows: np.ndarray, order: np.ndarray, most: int) -> Terms:
        """Weigh words and runs of characters; see ``tfidf``."""
        from kiln.modalities.text import tfidf

        return tfidf.TextTerms(values, rows, order, most)

    def is_active(self, settings: Augment) -> bool:
        """Check whether any probability is above 0."""
        return augmentation.is_active(settings)

    def augment(self, settings: Augment, values: np.ndarray, keys: np.ndarray, view: int) -> np.ndarray:
        """Create one view of each text; see ``augmentation.apply``."""
        return augmentation.apply(settings, values, keys, view)

    def mix(
        self, values: np.ndarray, blends: np.ndarray, shares: np.ndarray, draws: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Texts cannot be mixed; ``training.checks`` refuses it."""
        raise NotImplementedError("texts cannot be mixed")

    def count(self, values: np.ndarray) -> Any:
        """Count words and lengths; see ``normalizer.Statistics``."""
        return normalizer.count(values)

    def fit(self, statistics: Any, settings: Normalize) -> dict:
        """Fit the tokenizer; see ``normalizer.fit``."""
        return normalizer.fit(statistics, settings)

    def describe(self, statistics: Any, train: Any) -> dict:
        """Describe a split's lengths and vocabulary against train's; see ``normalizer.describe``."""
        return normalizer.describe(statistics, train)

    def measure_fitted(self, values: np.ndarray, fitted: dict) -> pd.DataFrame:
        """Measure how rare the words are in train; see ``rarity``."""
        return rarity.measure(values, fitted)

    def name_dimensions(self, count: int) -> list[str]:
        """Name what is described: the length of the texts alone."""
        return [""]

    def tensor(self, conversion: Conversion, form: str, fitted: Mapping) -> Tensor:
        """Numbers of tokens or n-grams, as many as the longest text of a batch has."""
        return Tensor((None,), "int32", normalizer.count_kinds(form, fitted))

    def make_encoder(self, form: str, fitted: Mapping) -> Callable[[np.ndarray], np.ndarray]:
        """Turn texts into numbers: int32 [N, L], padded with 0; see ``normalizer.make_encoder``."""
        return normalizer.make_encoder(form, fitted)

    def lengths(self, values: np.ndarray) -> np.ndarray:
        """Count characters: tokens and n-grams grow with them, and take a thousand times longer to count."""
        return np.array([len(value) for value in values], np.int64)

    def layer(self, inputs: Any, form: str, fitted: Mapping) -> Any:
        """Weigh n-grams by how rare they are; tokens stay as they are."""
        from kiln.modalities.text import layers

        return layers.weigh(inputs, fitted) if form == normalizer.NGRAMS else inputs

    def ask(self, task: str, encoded: np.ndarray, keys: np.ndarray, fitted: Mapping) -> Questions:
        """Ask for tokens; see ``asking``."""
        return asking.ask(task, encoded, keys, fitted)

    def write(self, score: Scores, seed: int, fitted: Mapping) -> list[str]:
        """Write a few texts; see ``writing``."""
        return writing.write(score, seed, fitted)

    def wants_test_views(self, settings: Any) -> bool:
        """A text has no views at test time."""
        return False

    def test_views(self, values: np.ndarray) -> list[np.ndarray]:
        """Return the texts themselves."""
        return [values]

    def corrupt(self, values: np.ndarray, name: str, strength: str, generator: np.random.Generator) -> np.ndarray:
        """Corrupt every text; see ``corruptions``."""
        return corruptions.corrupt(values, name, strength, generator)

    def explain(self, network: Explained, values: np.ndarray, classes: np.ndarray) -> list[dict[str, Exhibit]]:
        """Show which words matter, by hiding them; see ``explanation``."""
        return explanation.explain(network, values, classes)

    def show(self, value: str) -> Exhibit:
        """Show a text whole, up to a few thousand characters."""
        return showing.show(value)

    def preview(self, value: str) -> Exhibit:
        """Show the beginning of a text."""
        return showing.preview(value)

    def sheet(self, rows: Sequence[np.ndarray], columns: int) -> Exhibit:
        """Show the beginnings of many texts."""
        return showing.sheet(rows, columns)
