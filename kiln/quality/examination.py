"""Decide about each sample: its faults, whether it is kept, and its split."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kiln.modalities.base import Part
from kiln.params import Clean
from kiln.quality import corrections, findings, splits
from kiln.quality.checks import find_broken
from kiln.quality.copies import find_copies
from kiln.quality.suspects import find_suspects


@dataclass(frozen=True)
class Examined:
    """Result of ``examine``.

    Attributes:
        facts: one row per sample, with its final label, split and unit (None if it is not kept).
        findings: with their action, as returned by ``findings.settle``.
        kept: bool per row.
        corrected: number of labels changed by a person.
        leaks: number of copies of given test (validation) samples in validation or train (in train).
        leaks_kept: number of these that stay there, as ``clean.near_duplicate`` says.
        borders: part -> lowest score of a near-duplicate.
        drawn: split that Kiln drew -> its fraction.
    """

    facts: pd.DataFrame
    findings: pd.DataFrame
    kept: np.ndarray
    corrected: int
    leaks: int
    leaks_kept: int
    borders: dict[str, float]
    drawn: dict[str, float]


def examine(
    facts: pd.DataFrame,
    parts: Mapping[str, Part],
    values: Mapping[str, np.ndarray],
    verdicts: pd.DataFrame,
    settings: Clean,
    seed: int,
) -> Examined:
    """Find faults, decide by policy, and split what is kept.

    Args:
        facts: as returned by ``decoding.decode_all``.
        parts: what the samples are made of.
        values: part -> its values [N, ...].
        verdicts: as returned by ``corrections.read``.
        settings: the clean section.
        seed: of splits, folds and samples.

    Raises:
        UserError: a sample cannot be decoded and ``clean.undecodable`` is stop, or a
            correction names an unknown label.
    """
    facts, left_out, corrected = corrections.apply(facts, verdicts)
    actions, given_test = findings.list_actions(parts, settings), facts.index[facts["split"] == "test"]
    broken = [findings.frame(left_out, "left_out"), find_broken(facts, parts, settings)]
    broken = pd.concat(broken, ignore_index=True)
    broken["action"] = findings.decide(broken, actions, [], given_test)
    present = ~facts.index.isin(broken["row"][broken["action"] == findings.DROP])

    copied = find_copies(facts, present, parts, values, settings, seed)
    copied.findings["action"] = findings.decide(copied.findings, actions, copied.forbidden, given_test)
    kept = present & ~facts.index.isin(copied.findings["row"][copied.findings["action"] == findings.DROP])

    # Units include dropped copies, so that two copies of a dropped one share a split.
    unit = splits.units(facts[present], copied.pairs)[kept[present]]
    drawn = splits.drawn(facts["split"][unit.index], settings.test, settings.validation)
    split = splits.assign(facts.loc[unit.index], unit, settings.test, settings.validation, seed)
    facts = facts.assign(split=facts["split"].mask(kept, split), unit=unit)

    suspect = find_suspects(facts.loc[unit.index], unit, parts, values, settings, seed)
    suspect = suspect[~facts["id"][suspect["row"]].isin(verdicts["id"]).to_numpy()]
    suspect["action"] = findings.decide(suspect, actions, [], facts.index[facts["split"] == "test"])
    settled = pd.concat([broken, copied.findings, suspect], ignore_index=True)
    settled = findings.settle(settled, findings.list_reasons(parts))
    kept &= ~facts.index.isin(settled["row"][settled["action"] == findings.DROP])
    leaks_kept = int(kept[copied.leaks].sum())
    return Examined(facts, settled, kept, corrected, len(copied.leaks), leaks_kept, copied.borders, drawn)
