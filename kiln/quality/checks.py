"""Faults of single samples: not decodable, damaged metadata, or a measure beyond its threshold."""

from collections.abc import Mapping

import pandas as pd

from kiln.core.errors import UserError
from kiln.core.phrases import plural
from kiln.modalities.base import Part, qualify
from kiln.params import Clean
from kiln.quality import findings


def find_broken(facts: pd.DataFrame, parts: Mapping[str, Part], settings: Clean) -> pd.DataFrame:
    """Find samples that cannot be decoded or fail a check of their modality.

    Args:
        facts: as returned by ``decoding.decode_all``.
        parts: what the samples are made of.
        settings: the clean section.

    Returns:
        Findings.

    Raises:
        UserError: a sample cannot be decoded and ``clean.undecodable`` is stop.
    """
    failed = facts[facts["failure"].notna()]
    broken = failed[failed["failure"] == "undecodable"]
    if len(broken) and settings.undecodable == "stop":
        first = broken.iloc[0]
        raise UserError(
            f"{len(broken)} of {plural(len(facts), 'sample')} cannot be decoded, {first['id']} first "
            f"({first['detail']}), and clean.undecodable is stop: fix or remove them, or set it to drop"
        )
    listed = [findings.frame(rows.index, reason, detail=rows["detail"]) for reason, rows in failed.groupby("failure")]
    for name, part in parts.items():
        notes = facts[qualify(parts, name, "notes")][facts["failure"].isna()].dropna()
        listed.append(findings.frame(notes.index, qualify(parts, name, part.modality.notes_reason), detail=notes))
        for reason, check in part.modality.checks.items():
            threshold = getattr(settings.parts[name], check.threshold)
            values = facts[qualify(parts, name, check.measure)]
            listed.append(find_beyond(values, threshold, check.side, qualify(parts, name, reason)))
    return pd.concat([findings.frame([], "undecodable"), *listed], ignore_index=True)


def find_beyond(values: pd.Series, threshold: float, side: str, reason: str) -> pd.DataFrame:
    """List the samples whose measure is beyond a threshold, the worst first.

    Args:
        values: of a measure; NaN is never beyond the threshold.
        threshold: the smallest or largest value that is not suspect.
        side: ``below`` or ``above``: which values are suspect.
        reason: of the findings.
    """
    values = values.astype(float)
    beyond = values[values < threshold if side == "below" else values > threshold]
    beyond = beyond.sort_values(ascending=side == "below", kind="stable")
    return findings.frame(beyond.index, reason, score=beyond.to_numpy())
