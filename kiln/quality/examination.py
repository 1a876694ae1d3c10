"""What clean decides about each sample: what is wrong with it, whether it stays, and in which split."""

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
    """What clean decided.

    Attributes:
        facts: one row per sample, with its final label, split and unit (None where it does not stay).
        found: findings with their action, as ``findings.settle`` leaves them.
        kept: bool per row.
        corrected: how many labels a person has changed.
        leaks: how many copies of given validation and test samples were in the splits below them.
        leaks_kept: how many of these stay there, since ``clean.near_duplicate`` says so.
        borders: part -> the least score of a near-duplicate.
        drawn: the splits that Kiln drew, and the fraction of each.
    """

    facts: pd.DataFrame
    found: pd.DataFrame
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
    """Find what is wrong, decide by policy, and split what stays.

    Args:
        facts: as ``decoding.decode_all`` gives them.
        parts: what the samples are made of.
        values: part -> its values [N, ...].
        verdicts: a person's, as ``corrections.read`` gives them.
        settings: the clean section.
        seed: of splits, folds and samples.

    Raises:
        UserError: a sample cannot be decoded and that is to stop the stage, or a
            correction cannot be followed.
    """
    facts, left_out, corrected = corrections.apply(facts, verdicts)
    actions, given_test = findings.list_actions(parts, settings), facts.index[facts["split"] == "test"]
    broken = [findings.frame(left_out, "left_out"), find_broken(facts, parts, settings)]
    broken = pd.concat(broken, ignore_index=True)
    broken["action"] = findings.decide(broken, actions, [], given_test)
    present = ~facts.index.isin(broken["row"][broken["action"] == findings.DROP])

    copied = find_copies(facts, present, parts, values, settings, seed)
    copied.found["action"] = findings.decide(copied.found, actions, copied.forbidden, given_test)
    kept = present & ~facts.index.isin(copied.found["row"][copied.found["action"] == findings.DROP])

    # Units reach over copies that are dropped, so that two copies of one of them stay together.
    unit = splits.units(facts[present], copied.pairs)[kept[present]]
    drawn = splits.drawn(facts["split"][unit.index], settings.test, settings.validation)
    split = splits.assign(facts.loc[unit.index], unit, settings.test, settings.validation, seed)
    facts = facts.assign(split=facts["split"].mask(kept, split), unit=unit)

    suspect = find_suspects(facts.loc[unit.index], unit, parts, values, settings, seed)
    suspect = suspect[~facts["id"][suspect["row"]].isin(verdicts["id"]).to_numpy()]
    suspect["action"] = findings.decide(suspect, actions, [], facts.index[facts["split"] == "test"])
    found = pd.concat([broken, copied.found, suspect], ignore_index=True)
    found = findings.settle(found, findings.list_reasons(parts))
    kept &= ~facts.index.isin(found["row"][found["action"] == findings.DROP])
    leaks_kept = int(kept[copied.leaks].sum())
    return Examined(facts, found, kept, corrected, len(copied.leaks), leaks_kept, copied.borders, drawn)
