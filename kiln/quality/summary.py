"""What clean reports: the summary, the line on the terminal, and the preview of ``--dry-run``."""

from collections.abc import Mapping

import pandas as pd

from kiln.core.errors import UserError
from kiln.core.phrases import plural
from kiln.modalities.base import Part, name_samples
from kiln.quality import balance, findings
from kiln.quality.budget import check_budget, check_classes
from kiln.quality.examination import Examined
from kiln.store import dataset

WORST = 10


def count_kept(examined: Examined) -> pd.DataFrame:
    """Count the kept samples per class of the source (rows, sorted) and split (columns)."""
    facts = examined.facts
    counts = pd.crosstab(facts["label"][examined.kept], facts["split"][examined.kept])
    return counts.reindex(index=sorted(facts["label"].unique()), columns=dataset.SPLITS, fill_value=0)


def summarize(examined: Examined, counts: pd.DataFrame, parts: Mapping[str, Part], sampled: list[str]) -> dict:
    """Count what is kept, set aside and flagged.

    Args:
        examined: result of ``examine``.
        counts: as returned by ``count_kept``.
        parts: what the samples are made of.
        sampled: the classes on the sample sheets.

    Returns:
        samples (of the source), kept, corrected, leaks, leaks_kept,
        near_duplicate_score (part -> lowest score of a near-duplicate);
        set_aside and flagged (reason -> samples, every reason); by_class (the same
        two, reason -> class -> samples); parts (name -> modality, conversion, its description
        and noun), splits (split -> class -> samples), split_makers (split
        -> origin), effective (split -> effective sample size, a lower bound),
        uneven (classes that are missing from a split or far off their share, as
        returned by ``balance.list_uneven``), sampled.
    """
    listed, classes, kept = examined.findings, counts.index, examined.facts[examined.kept]
    reasons = findings.list_reasons(parts)
    dropped = findings.counts(listed[listed["action"] == findings.DROP], examined.facts, classes, reasons)
    flagged = findings.counts(listed[listed["action"] == findings.FLAG], examined.facts, classes, reasons)
    return {
        "samples": len(examined.facts),
        "kept": int(examined.kept.sum()),
        "corrected": examined.corrected,
        "leaks": examined.leaks,
        "leaks_kept": examined.leaks_kept,
        "near_duplicate_score": examined.borders,
        "set_aside": dropped["total"],
        "flagged": flagged["total"],
        "by_class": {"set_aside": dropped["by_class"], "flagged": flagged["by_class"]},
        "parts": {name: _describe_part(part) for name, part in parts.items()},
        "splits": {split: {name: int(n) for name, n in counts[split].items()} for split in dataset.SPLITS},
        "split_makers": balance.describe_makers(examined.drawn, name_samples(parts)),
        "effective": balance.count_effective(kept["split"], kept["unit"]),
        "uneven": balance.list_uneven(kept, kept["unit"], examined.drawn),
        "sampled": sampled,
    }


def _describe_part(part: Part) -> dict:
    words = {"description": part.conversion.describe(), "sentence": part.conversion.spell_out()}
    return {**part.to_json(), **words, "noun": part.modality.noun}


def describe(summary: dict) -> str:
    """Describe what was done in one line."""
    about = list(summary["parts"].values())
    noun = about[0]["noun"] if len(about) == 1 else "sample"
    form = ", ".join(
        part["description"] if len(about) == 1 else f"{name} {part['description']}"
        for name, part in summary["parts"].items()
    )
    sizes = ", ".join(f"{sum(counts.values()):,} {split}" for split, counts in summary["splits"].items())
    gone = ", ".join(f"{count:,} {reason}" for reason, count in summary["set_aside"].items() if count)
    flags = ", ".join(f"{count:,} {reason}" for reason, count in summary["flagged"].items() if count)
    corrected = f"; {plural(summary['corrected'], 'label')} corrected" if summary["corrected"] else ""
    if kept := summary["leaks_kept"]:
        stay = (
            f"COPY OF TEST OR VALIDATION {noun.upper()}S STAYS"
            if kept == 1
            else (f"COPIES OF TEST OR VALIDATION {noun.upper()}S STAY")
        )
        corrected += f"; {kept:,} {stay} in the splits below them"
    uneven = "".join(f"; {phrase}" for phrase in balance.describe_uneven(summary["uneven"], noun))
    return (
        f"{summary['kept']:,} of {plural(summary['samples'], noun)} as {form}: {sizes}{uneven}{corrected}; "
        f"set aside: {gone or 'none'}; flagged: {flags or 'none'}"
    )


def preview(examined: Examined, parts: Mapping[str, Part], most: float) -> str:
    """Tabulate the counts per reason, list its worst samples, and add what the stage would print.

    Args:
        examined: result of ``examine``.
        parts: what the samples are made of.
        most: largest fraction of the samples that may be set aside.
    """
    all_findings, lines = examined.findings, [f"{'reason':<20}{'set aside':>10}{'flagged':>10}"]
    by_reason = pd.crosstab(all_findings["reason"], all_findings["action"]).reindex(
        columns=["drop", "flag"], fill_value=0
    )
    reasons = [reason for reason in findings.list_reasons(parts) if reason in by_reason.index]
    lines += [f"{reason:<20}{by_reason['drop'][reason]:>10,}{by_reason['flag'][reason]:>10,}" for reason in reasons]
    for reason in reasons:
        lines.append(f"\n{reason}, the worst:")
        listed = findings.table(all_findings[all_findings["reason"] == reason].head(WORST), examined.facts).to_pylist()
        for row in listed:
            about = [row["detail"], row["other"] and f"see {row['other']}"]
            about += [row["suggestion"] and f"perhaps {row['suggestion']}"]
            score = "" if row["score"] is None else f"{row['score']:.4g}"
            lines.append(f"  {score:>8}  {row['id']}  ({row['label']})  {', '.join(filter(None, about))}".rstrip())
    counts = count_kept(examined)
    lines.append(f"\nclean would say: {describe(summarize(examined, counts, parts, []))}")
    for check in (lambda: check_budget(examined, most), lambda: check_classes(examined, counts, parts)):
        try:
            check()
        except UserError as error:
            lines.append(f"clean would stop: {error}")
    return "\n".join(lines)
