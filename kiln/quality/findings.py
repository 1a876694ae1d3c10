"""What clean finds about each sample, and what the policy does with it.

Findings are a frame, within each reason the worst first:

    row         index of the sample in the facts
    reason      one of ``list_reasons``
    score       what was measured, in the unit of the reason (NaN where there is none)
    other       row of the sample that it copies or contradicts, -1 where there is none
    detail      a short explanation (or None)
    suggestion  the label that is probably right (or None)
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from kiln.core.components import components
from kiln.modalities.base import Part, qualify
from kiln.params import Clean

# The order of examination: a sample that is set aside for one reason is not examined for the next. The checks of
# single values, which each modality defines, come between the two.
_BEFORE, _AFTER = (
    ("left_out", "undecodable", "too_large"),
    ("conflicting_labels", "exact_duplicate", "near_duplicate", "label_error", "outlier"),
)
# This many copies are probably a placeholder.
MANY = 5
DROP, FLAG, KEEP = "drop", "flag", "keep"
LEAKS = "leaks"  # of clean.near_duplicate: drop copies across given splits, flag the others
EXHIBITS = pa.list_(pa.struct({"part": pa.string(), "kind": pa.string(), "content": pa.binary()}))
COLUMNS = ("row", "reason", "score", "other", "detail", "suggestion")


def list_reasons(parts: Mapping[str, Part]) -> list[str]:
    """List the reasons why samples may be set aside or flagged, in the order of examination."""
    checked = [
        qualify(parts, name, reason)
        for name, part in parts.items()
        for reason in (part.modality.notes_reason, *part.modality.checks)
    ]
    return [*_BEFORE, *checked, *_AFTER]


def list_actions(parts: Mapping[str, Part], settings: Clean) -> dict[str, str]:
    """List the action of the settings for each reason: drop, flag or keep."""
    actions = dict.fromkeys(("left_out", "too_large"), DROP)
    actions["undecodable"] = settings.undecodable
    for name, part in parts.items():
        for reason in (part.modality.notes_reason, *part.modality.checks):
            actions[qualify(parts, name, reason)] = getattr(settings.parts[name], reason)
    actions |= {reason: getattr(settings, reason) for reason in _AFTER}
    if actions["near_duplicate"] == LEAKS:
        actions["near_duplicate"] = FLAG
    return actions


def frame(rows: Sequence[int], reason: str, **columns) -> pd.DataFrame:
    """Create findings of one reason; columns that are not given are empty."""
    empty = {"score": np.nan, "other": -1, "detail": None, "suggestion": None}
    return pd.DataFrame({"row": rows, "reason": reason, **empty, **columns}).astype(
        {"row": np.int64, "score": float, "other": np.int64, "detail": object, "suggestion": object}
    )[list(COLUMNS)]


def rank(split: pd.Series) -> pd.Series:
    """Rank splits for the choice of the original among copies: test 0, validation 1, others 2."""
    return split.map({"test": 0, "validation": 1}).fillna(2).astype(int)


def exact_copies(facts: pd.DataFrame, repeated: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find samples with equal values, and those of them with different labels.

    One of several equal samples is the original: one of test if the source has a
    test split, else one of validation, else the first. Where copies outside such a
    test split have different labels, none of them can be trusted.

    Args:
        facts: label, split (of the source, or None), digest (None: no value).
        repeated: what many samples of one value have in common; see ``Modality.repeated_sentence``.

    Returns:
        Findings (exact_duplicate for all but the original, conflicting_labels
        for all of a contradictory set), and pairs: first (the original), second.
    """
    known = facts["digest"].notna()
    copies = facts.loc[known & facts["digest"].duplicated(keep=False), ["digest", "label", "split"]]
    if copies.empty:
        return frame([], "exact_duplicate"), pd.DataFrame({"first": [], "second": []}, dtype=np.int64)
    copies = copies.assign(row=copies.index, rank=rank(copies["split"])).sort_values(["rank", "row"])
    sets = copies.groupby("digest", sort=False)
    original, label = sets["row"].transform("first"), sets["label"].transform("first")
    differs = copies["label"] != label
    contradicting = copies["row"].where(differs).groupby(copies["digest"]).transform("first")
    conflict = contradicting.notna() & (sets["rank"].transform("min") > 0)
    double = copies["row"] != original
    against = original.where(differs, contradicting)[conflict].astype(np.int64)
    labels = zip(copies["label"][conflict], facts["label"][against], strict=True)
    sizes = sets["row"].transform("size")
    listed = [
        frame(
            copies["row"][conflict],
            "conflicting_labels",
            other=against,
            detail=[
                f"label {own} against {other}{f'; {hint}' if hint else ''}"
                for (own, other), hint in zip(
                    labels, [_explain(size, repeated) for size in sizes[conflict]], strict=True
                )
            ],
        ),
        frame(
            copies["row"][double],
            "exact_duplicate",
            score=1.0,
            other=original[double],
            detail=[_explain(size, repeated) for size in sizes[double]],
        ),
    ]
    pairs = pd.DataFrame({"first": original[double], "second": copies["row"][double]})
    return pd.concat(listed, ignore_index=True), pairs.reset_index(drop=True)


def _explain(count: int, repeated: str) -> str | None:
    """Explain a value that occurs many times: servers send a placeholder for each missing photo."""
    return f"one of {count:,} {repeated}" if count >= MANY else None


def near_copies(facts: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """List the copies in each set of near-duplicates.

    Args:
        facts: label, split.
        pairs: first, second, score: rows that show the same.

    Returns:
        Findings: every sample of a set except its first (in test, else in
        validation, else in the source's order), with its most similar partner.
    """
    if pairs.empty:
        return frame([], "near_duplicate")
    both = pd.concat([pairs, pairs.rename(columns={"first": "second", "second": "first"})], ignore_index=True)
    partner = both.sort_values(["score", "second"], ascending=[False, True]).drop_duplicates("first").set_index("first")
    members = np.unique(both["first"])
    place = pd.Series(np.arange(len(members)), index=members)
    group = components(len(members), place[pairs["first"]].to_numpy(), place[pairs["second"]].to_numpy())
    order = pd.DataFrame({"row": members, "group": group, "rank": rank(facts["split"][members]).to_numpy()})
    order = order.sort_values(["rank", "row"])
    copies = order["row"][order["group"].duplicated()].to_numpy()
    listed = partner.loc[copies].sort_values("score", ascending=False, kind="stable")
    labels = zip(facts["label"][listed.index], facts["label"][listed["second"]], strict=True)
    detail = [f"the other is labelled {other}" if own != other else None for own, other in labels]
    return frame(
        listed.index, "near_duplicate", score=listed["score"].to_numpy(), other=listed["second"], detail=detail
    )


def across(facts: pd.DataFrame, pairs: pd.DataFrame, noun: str) -> pd.DataFrame:
    """List the samples that leak: copies of a sample in a test or validation split of the source.

    Copies of copies are copies: samples that a chain of pairs connects.

    Args:
        facts: split, as the source gives it.
        pairs: first, second, score: copies, exact or near.
        noun: for a sample.

    Returns:
        row, other, score, detail: a sample outside test that copies one in test, or
        in train that copies one in validation; each row once, with its most similar
        direct copy in such a split, else with its most similar copy.
    """
    both = pd.concat([pairs, pairs.rename(columns={"first": "second", "second": "first"})], ignore_index=True)
    members = np.unique(both["first"])
    place = pd.Series(np.arange(len(members)), index=members)
    crowd = components(len(members), place[pairs["first"]].to_numpy(), place[pairs["second"]].to_numpy())
    ranks = pd.Series(rank(facts["split"][members]).to_numpy(), index=members)
    highest = ranks.groupby(crowd).transform("min")
    own_rank, other_rank = ranks[both["first"]].to_numpy(), ranks[both["second"]].to_numpy()
    leaks = both.assign(indirect=own_rank <= other_rank)[own_rank > highest[both["first"]].to_numpy()]
    leaks = leaks.sort_values(["first", "indirect", "score"], ascending=[True, True, False], kind="stable")
    leaks = leaks.drop_duplicates("first").rename(columns={"first": "row", "second": "other"})
    copied = highest[leaks["row"]].map({0: "test", 1: "validation"}).to_numpy()
    direct = np.where(leaks["indirect"], "copy of a copy of a ", "copy of a ")
    detail = [f"{way}{split} {noun}" for way, split in zip(direct, copied, strict=True)]
    return leaks.assign(detail=detail)[["row", "other", "score", "detail"]].reset_index(drop=True)


def decide(
    findings: pd.DataFrame, actions: Mapping[str, str], leaks: Sequence[int], protected: Sequence[int]
) -> pd.Series:
    """Choose the action of each finding.

    Args:
        findings: as ``frame`` creates them.
        actions: reason -> drop, flag or keep.
        leaks: rows that are dropped as copies whatever the actions, since they
            would carry a sample of one split into another.
        protected: rows that are dropped only where they cannot be read, or a
            person says so: those of the source's test split, so that metrics on
            it stay comparable with published ones.

    Returns:
        drop, flag or keep, on the index of ``findings``.
    """
    action = findings["reason"].map(actions)
    must = findings["reason"].isin(["left_out", "undecodable", "too_large"])
    action = action.mask((action == DROP) & ~must & findings["row"].isin(protected), FLAG)
    copied = findings["reason"].isin(["exact_duplicate", "near_duplicate"])
    return action.mask(copied & findings["row"].isin(leaks), DROP)


def settle(findings: pd.DataFrame, reasons: Sequence[str]) -> pd.DataFrame:
    """Keep one finding per dropped sample, the first by reason; remove findings whose action is keep.

    Args:
        findings: with their action.
        reasons: as returned by ``list_reasons``.
    """
    order = findings["reason"].map({reason: number for number, reason in enumerate(reasons)})
    findings = findings.assign(order=order).sort_values("order", kind="stable").drop(columns="order")
    dropped = findings[findings["action"] == DROP].drop_duplicates("row")
    flagged = findings[(findings["action"] == FLAG) & ~findings["row"].isin(dropped["row"])]
    return pd.concat([dropped, flagged], ignore_index=True)


def table(findings: pd.DataFrame, facts: pd.DataFrame) -> pa.Table:
    """List findings for people: id, label, split, reason, score, other (its id), detail, suggestion."""
    about = facts.loc[findings["row"]]
    other = facts["id"].reindex(findings["other"]).to_numpy()
    columns = {"id": about["id"], "label": about["label"], "split": about["split"], "reason": findings["reason"]}
    texts = {**columns, "other": other, "detail": findings["detail"], "suggestion": findings["suggestion"]}
    arrays = {name: pa.array(list(values), pa.string(), from_pandas=True) for name, values in texts.items()}
    arrays["score"] = pa.array(findings["score"].to_numpy(), pa.float64(), from_pandas=True)
    return pa.table({name: arrays[name] for name in (*columns, "score", "other", "detail", "suggestion")})


def counts(findings: pd.DataFrame, facts: pd.DataFrame, classes: Sequence[str], reasons: Sequence[str]) -> dict:
    """Count findings: reason -> total and, for reasons that occur, per class."""
    labels = facts["label"][findings["row"]].to_numpy()
    by_class = pd.crosstab(findings["reason"], labels).reindex(index=list(reasons), columns=list(classes), fill_value=0)
    return {
        "total": {reason: int(count) for reason, count in by_class.sum(axis=1).items()},
        "by_class": {
            reason: {name: int(n) for name, n in row.items() if n} for reason, row in by_class.iterrows() if row.sum()
        },
    }


def list_evidence(
    findings: pd.DataFrame,
    facts: pd.DataFrame,
    parts: Mapping[str, Part],
    values: Mapping[str, np.ndarray],
    most: int,
) -> pa.Table:
    """Collect the worst findings of each reason, with exhibits, for the report.

    Args:
        findings: with their action.
        facts: id, label, split.
        parts: what the samples are made of.
        values: part -> its values [N, ...].
        most: findings per reason; copies across splits come first.

    Returns:
        As ``table``, with action, other_label, other_split, shown and other_shown
        (lists of part, kind, content: see ``Exhibit``; null where there is none).
    """
    reasons = list_reasons(parts)
    seen = findings[~findings["reason"].isin(["undecodable", "too_large"])]
    other_split = facts["split"].reindex(seen["other"]).to_numpy()
    crossing = (seen["other"] >= 0) & (other_split != facts["split"][seen["row"]].to_numpy())
    worst = seen.assign(inside=~crossing).sort_values("inside", kind="stable").groupby("reason", sort=False).head(most)
    order = worst["reason"].map(reasons.index)
    worst = worst.assign(order=order).sort_values(["order", "inside"], kind="stable")

    def preview(rows: pd.Series) -> pa.Array:
        shown = [preview_sample(parts, values, row) if row >= 0 else None for row in rows]
        return pa.array(shown, EXHIBITS)

    listed = table(worst, facts)
    for name in ("label", "split"):
        column = facts[name].reindex(worst["other"]).to_numpy()
        listed = listed.append_column(f"other_{name}", pa.array(column, pa.string(), from_pandas=True))
    listed = listed.append_column("action", pa.array(worst["action"], pa.string()))
    listed = listed.append_column("shown", preview(worst["row"]))
    return listed.append_column("other_shown", preview(worst["other"]))


def preview_sample(parts: Mapping[str, Part], values: Mapping[str, np.ndarray], row: int) -> list[dict]:
    """Show each part of a sample small: part, kind, content."""
    return [{"part": name, **part.modality.preview(values[name][row])._asdict()} for name, part in parts.items()]
