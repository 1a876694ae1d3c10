"""What clean refuses to publish: too much set aside, or splits that no classifier can be trained or judged on."""

import pandas as pd

from kiln.core.errors import UserError
from kiln.core.phrases import plural
from kiln.quality import balance, findings
from kiln.quality.examination import Examined

KINDS = 3


def check_budget(examined: Examined, most: float) -> None:
    """Refuse to set aside more than a fraction of the samples; what a person has left out does not count.

    Raises:
        UserError: with the counts of each reason.
    """
    dropped = examined.found["action"] == findings.DROP
    gone = examined.found[dropped & (examined.found["reason"] != "left_out")]
    total = len(examined.facts)
    if len(gone) > most * total:
        raise UserError(
            f"{len(gone):,} of {total:,} samples would be set aside ({list_causes(gone)}), more than the fraction "
            f"clean.max_set_aside {most:g}: look at them with `python -m stages.clean --dry-run`, "
            "then fix the source, choose flag for a reason, or raise it"
        )


def check_classes(examined: Examined, counts: pd.DataFrame) -> None:
    """Refuse splits that no classifier can be trained or judged on, and say what was set aside there, and why.

    Args:
        examined: of ``examine``.
        counts: samples that stay, classes by splits.

    Raises:
        UserError: as ``balance.check_counts`` does.
    """
    try:
        balance.check_counts(counts)
    except UserError as error:
        lost = counts.index[counts["train"] == 0][:1] if len(counts) > 1 and counts["train"].sum() else counts.index
        concerned = examined.facts["label"].isin(lost)
        gone = examined.found[examined.found["action"] == findings.DROP]
        gone = gone[concerned[gone["row"]].to_numpy()]
        if gone.empty:
            raise
        what, _, remedy = str(error).partition(": ")
        cause = f"since {len(gone):,} of {plural(int(concerned.sum()), 'sample')} were set aside ({list_causes(gone)})"
        raise UserError(f"{what}, {cause}: {remedy}") from None


def list_causes(gone: pd.DataFrame) -> str:
    """Count the reasons of findings, and of what cannot be decoded the kinds of files."""
    causes = []
    for reason, count in gone["reason"].value_counts().items():
        kinds = gone["detail"][gone["reason"] == reason] if reason == "undecodable" else pd.Series([], dtype=object)
        # Each broken file is broken in a way of its own.
        kinds = kinds.fillna("unknown").str.replace(r"(broken or truncated).*", r"\1", regex=True).value_counts()
        listed = [f"{of:,} x {kind}" for kind, of in kinds.head(KINDS).items()]
        listed += [f"{kinds[KINDS:].sum():,} others"] if len(kinds) > KINDS else []
        causes.append(f"{count:,} {reason}" + (f": {'; '.join(listed)}" if listed else ""))
    return ", ".join(causes)
