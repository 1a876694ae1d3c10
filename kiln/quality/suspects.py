"""Labels that are probably wrong, and outliers of their class, by features of the samples."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from kiln.core import files, randomness
from kiln.modalities.base import Part
from kiln.params import Clean
from kiln.quality import findings, labels

LEAST_OF_A_CLASS = 10


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
    judged = labels.judge(features, number, folds, len(classes), generator)
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
