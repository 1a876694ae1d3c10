"""The modality ``image``: each method of the protocol (``kiln.modalities.base``) and the module that implements it.

faiss and SciPy are imported where they are used: only clean needs them, and every stage starts sooner.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from kiln.modalities.base import Copies, Decoded, Exhibit, Tensor
from kiln.modalities.explained import Explained
from kiln.modalities.image import (
    augmentation,
    checks,
    corruptions,
    decoding,
    explanation,
    layers,
    mixing,
    normalizer,
    opening,
    pictures,
    settling,
    wording,
)
from kiln.modalities.image.conversion import Conversion
from kiln.modalities.image.formats import ImageFiles
from kiln.modalities.storage import ArrayStorage
from kiln.params.image import Augment, Clean, Evaluate, Normalize


class Image(ImageFiles):
    """The modality ``image``; values are pixels, uint8 [N, H, W, C], C 1 (gray) or 3 (RGB)."""

    forms = ("pixels",)
    facts = ("short_side", "aspect")
    notes_reason = "metadata"
    slices, checks = checks.SLICES, checks.CHECKS  # in one line: after it, ``checks`` hides the module
    corruptions = corruptions.CORRUPTIONS
    finding_sentences = wording.FINDINGS
    repeated_sentence = wording.REPEATED
    values_sentence = wording.VALUES
    range_clause = wording.RANGE
    explanations = wording.EXPLANATIONS
    described = ("mean", "std", "median", "shift")
    copies_clause = wording.COPIES
    can_mix = True
    baseline = None
    lengths_differ = False
    fitted_slices: Mapping[str, tuple[str, str, str]] = MappingProxyType({})
    slice_reasons = ()

    def settle(self, contents: Iterable[Sequence[bytes]], settings: Clean) -> Conversion:
        """Choose size, channels and range if they are ``auto``; see ``settling``."""
        return settling.settle(contents, settings)

    def read_conversion(self, fields: Mapping) -> Conversion:
        """Read a conversion from a manifest; raises TypeError or ValueError if it is damaged."""
        return Conversion(**fields)

    def decode(self, content: bytes, conversion: Conversion, settings: Clean | None = None) -> Decoded:
        """Decode a file; its facts are short_side (pixels) and aspect of the original."""
        most = settings.max_pixels if settings else opening.MAX_PIXELS
        pixels, size, notes = decoding.decode(content, conversion, most)
        return Decoded(pixels, {"short_side": min(size), "aspect": max(size) / min(size)}, notes)

    def storage(self, conversion: Conversion) -> ArrayStorage:
        """Store bytes in C order."""
        return ArrayStorage(conversion.image_shape, np.uint8)

    def measure(self, values: np.ndarray) -> pd.DataFrame:
        """Measure exposure, contrast, sharpness and entropy; see ``checks.measure``."""
        return checks.measure(values)

    def comparable(self, facts: pd.DataFrame) -> np.ndarray:
        """Mark originals that are large enough: tiny images look similar, also when enlarged."""
        from kiln.modalities.image import copies

        return facts["short_side"].to_numpy() >= copies.SMALLEST

    def find_copies(self, values: np.ndarray, rows: np.ndarray, seed: int, settings: Clean) -> Copies:
        """Find near-duplicates; see ``copies.find``."""
        from kiln.modalities.image import copies

        score = settings.near_duplicate_score
        return copies.find(values, rows, seed, None if score == "auto" else score)

    def compute_features(
        self, values: np.ndarray, rows: np.ndarray, fit_on: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """Compute features without a network; see ``features``."""
        from kiln.modalities.image import features

        return features.fit(values, fit_on, features.LARGE, generator).transform(values, rows)

    def find_terms(self, values: np.ndarray, rows: np.ndarray, order: np.ndarray, most: int) -> None:
        """Images have none: their labels are judged by ``compute_features``."""

    def is_active(self, settings: Augment) -> bool:
        """Check whether any strength is above 0."""
        return augmentation.is_active(settings)

    def augment(self, settings: Augment, values: np.ndarray, keys: np.ndarray, view: int) -> np.ndarray:
        """Create one view of each image; see ``augmentation.apply``."""
        return augmentation.apply(settings, values, keys, view)

    def mix(
        self, values: np.ndarray, blends: np.ndarray, shares: np.ndarray, draws: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Blend each image with the next one, or paste a rectangle of it; see ``mixing.mix``."""
        return mixing.mix(values, blends, shares, draws)

    def count(self, values: np.ndarray) -> np.ndarray:
        """Count the values of each channel: int64 [C, 256]."""
        return normalizer.histogram(values)

    def fit(self, statistics: np.ndarray, settings: Normalize) -> dict:
        """Fit an affine map per channel; see ``normalizer.fit``."""
        return normalizer.fit(statistics, settings.method)

    def describe(self, statistics: np.ndarray, train: np.ndarray) -> dict:
        """Describe a split's channels against train's; see ``normalizer.describe``."""
        return normalizer.describe(statistics, train)

    def measure_fitted(self, values: np.ndarray, fitted: dict) -> pd.DataFrame:
        """Measure nothing."""
        return pd.DataFrame(index=range(len(values)))

    def name_dimensions(self, count: int) -> list[str]:
        """Name the channels."""
        return wording.name_channels(count)

    def tensor(self, conversion: Conversion, form: str, fitted: Mapping) -> Tensor:
        """Raw pixels."""
        return Tensor(conversion.image_shape, "uint8")

    def make_encoder(self, form: str, fitted: Mapping) -> Callable[[np.ndarray], np.ndarray]:
        """Networks take pixels as they are."""
        return lambda pixels: pixels

    def lengths(self, values: np.ndarray) -> np.ndarray:
        """Images have one shape."""
        raise NotImplementedError("images do not differ in length")

    def layer(self, inputs: Any, form: str, fitted: Mapping) -> Any:
        """Apply the normaliser to raw pixels, a Keras tensor of uint8."""
        return layers.normalize(inputs, fitted)

    def wants_test_views(self, settings: Evaluate) -> bool:
        """Check whether test is also scored with mirrored images."""
        return settings.flip

    def test_views(self, values: np.ndarray) -> list[np.ndarray]:
        """Return the images and their mirror images."""
        return [values, values[:, :, ::-1]]

    def corrupt(self, values: np.ndarray, name: str, strength: str, generator: np.random.Generator) -> np.ndarray:
        """Corrupt every image; see ``corruptions``."""
        return corruptions.corrupt(values, name, strength, generator)

    def explain(self, network: Explained, values: np.ndarray, classes: np.ndarray) -> list[dict[str, Exhibit]]:
        """Show which regions matter, by occlusion and, if the network has feature maps, by Grad-CAM."""
        return explanation.explain(network, values, classes)

    def show(self, value: np.ndarray) -> Exhibit:
        """Show an image pixel by pixel."""
        return Exhibit("picture", pictures.encode_png(value))

    def preview(self, value: np.ndarray) -> Exhibit:
        """Show an image at no more than 128 pixels per side."""
        return Exhibit("picture", pictures.thumbnail(value))

    def sheet(self, rows: Sequence[np.ndarray], columns: int) -> Exhibit:
        """Show images on a gray background."""
        return Exhibit("picture", pictures.contact_sheet(rows, columns))
