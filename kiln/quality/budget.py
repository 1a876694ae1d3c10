"""When clean stops: too much set aside, or splits that no classifier can be trained or evaluated on."""

from collections.abc import Mapping

import pandas as pd

from kiln.core.errors import UserError
from kiln.core.phrases import plural
from kiln.modalities.base import Part, name_samples
from kiln.quality import balance, findings
from kiln.quality.examination import Examined

KINDS = 3


def check_budget(examined: Examined, most: float) -> None:
    """Raise if more than a fraction of the samples is set aside; samples that a person has left out do not count.

    Raises:
        UserError: with the count per reason.
    """
    dropped = examined.findings["action"] == findings.DROP
    gone = examined.findings[dropped & (examined.findings["reason"] != "left_out")]
    total = len(examined.facts)
    if len(gone) > most * total:
        raise UserError(
            f"{len(gone):,} of {total:,} samples would be set aside ({list_causes(gone)}), more than the fraction "
            f"clean.max_set_aside {most:g}: list them with `python -m stages.clean --dry-run`, "
            "then fix the source, choose flag for a reason, or raise the fraction"
        )


def check_classes(examined: Examined, counts: pd.DataFrame, parts: Mapping[str, Part]) -> None:
    """Raise if no classifier can be trained or evaluated on the splits, and say what was set aside, and why.

    Args:
        examined: result of ``examine``.
        counts: kept samples per class (rows) and split (columns).
        parts: what the samples are made of.

    Raises:
        UserError: as ``balance.check_counts`` does.
    """
    try:
        balance.check_counts(counts, name_samples(parts))
    except UserError as error:
        lost = counts.index[counts["train"] == 0][:1] if len(counts) > 1 and counts["train"].sum() else counts.index
        concerned = examined.facts["label"].isin(lost)
        gone = examined.findings[examined.findings["action"] == findings.DROP]
        gone = gone[concerned[gone["row"]].to_numpy()]
        if gone.empty:
            raise
        what, _, remedy = str(error).partition(": ")
        cause = (
            f"because {len(gone):,} of {plural(int(concerned.sum()), 'sample')} were set aside ({list_causes(gone)})"
        )
        raise UserError(f"{what}, {cause}: {remedy}") from None


def list_causes(gone: pd.DataFrame) -> str:
    """Count findings per reason, and undecodable files per kind."""
    causes = []
    for reason, count in gone["reason"].value_counts().items():
        kinds = gone["detail"][gone["reason"] == reason] if reason == "undecodable" else pd.Series([], dtype=object)
        # Details of broken files differ from file to file.
        kinds = kinds.fillna("unknown").str.replace(r"(broken or truncated).*", r"\1", regex=True).value_counts()
        listed = [f"{of:,} x {kind}" for kind, of in kinds.head(KINDS).items()]
        listed += [f"{kinds[KINDS:].sum():,} others"] if len(kinds) > KINDS else []
        causes.append(f"{count:,} {reason}" + (f": {'; '.join(listed)}" if listed else ""))
    return ", ".join(causes)
