"""Labels that are probably wrong, and outliers of their class, by features of the samples."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kiln.core import files, randomness
from kiln.modalities.base import Part
from kiln.params import Clean
from kiln.quality import findings, labels
from kiln.quality.judges import Kernel, Linear

LEAST_OF_A_CLASS = 10
# Samples of each class that a model is fitted on first, where it cannot be fitted on all.
OF_EVERY_CLASS = 100
# Of a linear model: weights at most (terms times classes, of 4 bytes, for each fold), but not fewer terms than these.
WEIGHTS, LEAST_TERMS = 2**23, 2**13


def find_suspects(
    facts: pd.DataFrame,
    unit: pd.Series,
    parts: Mapping[str, Part],
    values: Mapping[str, np.ndarray],
    settings: Clean,
    seed: int,
) -> pd.DataFrame:
    """Find labels that are probably wrong, and outliers of their class.

    Models are fitted on train and validation alone; samples of one unit are
    judged by models that saw none of them, and not at all where the class has too
    few samples; test samples are judged but never fitted on.

    Args:
        facts: label and final split of the samples kept so far.
        unit: of each sample.
        parts: what the samples are made of.
        values: part -> its values [N, ...], by the index of ``facts``.
        settings: the clean section.
        seed: of folds and samples.

    Returns:
        Findings.
    """
    nothing = findings.frame([], "label_error")
    if (settings.label_error, settings.outlier) == (findings.KEEP, findings.KEEP):
        return nothing
    learn = facts["split"] != "test"
    size = facts["label"].map(facts["label"][learn].value_counts()).fillna(0)
    facts = facts[size >= LEAST_OF_A_CLASS]
    learn, classes = learn[facts.index], sorted(facts["label"].unique())
    if len(classes) < 2:
        return nothing
    rows, generator = facts.index.to_numpy(), randomness.generator(seed, "clean", "labels")
    features = compute_features(parts, values, rows, rows[learn], generator)
    number = facts["label"].map({name: place for place, name in enumerate(classes)}).to_numpy()
    folds = np.full(len(facts), labels.JUDGED_ONLY)
    folds[learn] = labels.deal(number[learn], unit[facts.index].to_numpy()[learn], seed)
    models = choose_judges(parts, values, rows, features, number, learn.to_numpy(), seed)
    judged = labels.judge(models, number, folds, len(classes), generator)
    quality = pd.Series(judged.quality, index=rows)
    wrong = quality[judged.is_suspect(settings.min_label_quality)].sort_values(kind="stable")
    suggested = pd.Series(np.array(classes, object)[judged.suggestion], index=rows)
    far = pd.Series(labels.isolation(features, number, learn.to_numpy(), generator), index=rows)
    far = far[far > settings.max_isolation].sort_values(ascending=False, kind="stable")
    return pd.concat(
        [
            findings.frame(wrong.index, "label_error", score=wrong, suggestion=suggested[wrong.index]),
            findings.frame(far.index, "outlier", score=far),
        ],
        ignore_index=True,
    )


def compute_features(
    parts: Mapping[str, Part],
    values: Mapping[str, np.ndarray],
    rows: np.ndarray,
    fit_on: np.ndarray,
    generator: np.random.Generator,
) -> np.ndarray:
    """Compute features of samples: those of all parts concatenated, of unit length together, float16 [N, D]."""
    features = []
    for name, part in parts.items():
        files.forget(values[name])
        features.append(part.modality.compute_features(values[name], rows, fit_on, generator))
        files.forget(values[name])
    if len(features) == 1:
        return features[0]
    return np.concatenate(features, axis=1) / np.float16(np.sqrt(len(features)))


def choose_judges(
    parts: Mapping[str, Part],
    values: Mapping[str, np.ndarray],
    rows: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray,
    learn: np.ndarray,
    seed: int,
) -> list[Kernel | Linear]:
    """Choose the models that judge labels: a linear one for each part that has terms, and one of features for the rest.

    Args:
        parts, values: as for ``find_suspects``.
        rows: the samples, [N].
        features: of all parts, as returned by ``compute_features``.
        labels: integers [N].
        learn: bool [N]: the samples to learn from.
        seed: of the order in which they are used, where not all can be.
    """
    order = _order(labels, rows, np.flatnonzero(learn), seed)
    most = max(LEAST_TERMS, WEIGHTS // (labels.max() + 1))
    terms = {name: part.modality.find_terms(values[name], rows, order, most) for name, part in parts.items()}
    linear = [Linear(found) for found in terms.values() if found is not None]
    return linear if len(linear) == len(parts) else [Kernel(features), *linear]


def _order(labels: np.ndarray, rows: np.ndarray, places: np.ndarray, seed: int) -> np.ndarray:
    """Shuffle places, but so that a beginning has samples of every class."""
    places = places[np.argsort(randomness.key(seed, "judges", rows[places].astype(np.uint64)), kind="stable")]
    number = pd.Series(labels[places]).groupby(labels[places]).cumcount().to_numpy()
    return places[np.argsort(number >= OF_EVERY_CLASS, kind="stable")]
