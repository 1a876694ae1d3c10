"""Exact and near-duplicates among samples, and copies across the splits of a source."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kiln.core import randomness
from kiln.core.components import components
from kiln.modalities.base import Part, name_samples, qualify
from kiln.params import Clean
from kiln.quality import findings


@dataclass(frozen=True)
class Copied:
    """Result of ``find_copies``.

    Attributes:
        findings: of exact and near-duplicates and conflicting labels.
        pairs: first, second, score: rows that must share a split, since one of their parts shows the same.
        leaks: rows that copy a sample of validation or test as given by the source.
        forbidden: those leaks that may not stay: all if the settings drop them,
            else the exact copies.
        borders: part -> lowest score of a near-duplicate.
    """

    findings: pd.DataFrame
    pairs: pd.DataFrame
    leaks: np.ndarray
    forbidden: np.ndarray
    borders: dict[str, float]


def find_copies(
    facts: pd.DataFrame,
    present: np.ndarray,
    parts: Mapping[str, Part],
    values: Mapping[str, np.ndarray],
    settings: Clean,
    seed: int,
) -> Copied:
    """Find exact and near-duplicates.

    Args:
        facts: as returned by ``decoding.decode_all``.
        present: bool per row: which samples to compare.
        parts: what the samples are made of.
        values: part -> its values [N, ...].
        settings: the clean section.
        seed: of the search.
    """
    exact, same = findings.exact_copies(facts.assign(digest=facts["digest"].where(present, None)), _repeated(parts))
    left_out = same["second"]
    if settings.conflicting_labels == findings.DROP:
        left_out = np.union1d(left_out, exact["row"][exact["reason"] == "conflicting_labels"])
    present = present & ~facts.index.isin(left_out)
    near, linked, borders = _find_near(facts, present, parts, values, settings, seed)
    exactly = same.assign(score=1.0)
    pairs = pd.concat([exactly, linked], ignore_index=True)
    crossing = findings.across(facts, pairs, name_samples(parts))
    leaks = forbidden = crossing["row"].to_numpy()
    if settings.near_duplicate not in (findings.LEAKS, findings.DROP):
        forbidden = findings.across(facts, exactly, name_samples(parts))["row"].to_numpy()
    leaked = crossing[~crossing["row"].isin(same["second"])].sort_values("score", ascending=False, kind="stable")
    columns = {name: leaked[name].to_numpy() for name in ("score", "other", "detail")}
    leaked = findings.frame(leaked["row"].to_numpy(), "near_duplicate", **columns)
    apart = near[~near["first"].isin(leaks) & ~near["second"].isin(leaks)]
    found = pd.concat([exact, leaked, findings.near_copies(facts, apart)], ignore_index=True)
    return Copied(found, pairs, leaks, forbidden, borders)


def _repeated(parts: Mapping[str, Part]) -> str:
    sentences = {part.modality.repeated_sentence for part in parts.values()}
    return sentences.pop() if len(sentences) == 1 else "with these contents: a placeholder for what is missing?"


def _find_near(
    facts: pd.DataFrame,
    present: np.ndarray,
    parts: Mapping[str, Part],
    values: Mapping[str, np.ndarray],
    settings: Clean,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, float]]:
    """Find near-duplicates part by part.

    Returns:
        Pairs that show the same in every part; pairs that show the same in any part, which must share a split: a
        model that knows one part of a test sample knows half of the answer; and part -> border.
    """
    key, pairs_by_part, borders = int(randomness.key(seed, "clean", "copies") % np.uint64(2**31)), [], {}
    for name, part in parts.items():
        part_facts = facts.rename(columns={qualify(parts, name, fact): fact for fact in part.modality.facts})
        rows = np.flatnonzero(present & part.modality.comparable(part_facts))
        copies = part.modality.find_copies(values[name], rows, key, settings.parts[name])
        pairs_by_part.append(copies.pairs)
        borders[name] = copies.border
    linked = pd.concat(pairs_by_part, ignore_index=True)
    # By connected sets, since not every two samples of a set are listed as a pair.
    everywhere = np.ones(len(linked), bool)
    for pairs in pairs_by_part:
        crowd = components(len(facts), pairs["first"].to_numpy(), pairs["second"].to_numpy())
        everywhere &= crowd[linked["first"]] == crowd[linked["second"]]
    return linked[everywhere].drop_duplicates(["first", "second"], ignore_index=True), linked, borders
