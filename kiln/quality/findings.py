"""What clean finds, sample by sample, and what becomes of it by policy.

Findings are a frame, the worst of each reason first:

    row         index of the image in the facts
    reason      one of ``list_reasons``
    score       what was measured, in the reason's own unit (NaN where there is none)
    other       row of the image that it copies or contradicts, -1 where there is none
    detail      a few words (or None)
    suggestion  the label that the image seems to deserve (or None)
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from kiln.core.components import components
from kiln.modalities.base import Part, qualify
from kiln.params import Clean

# The order in which samples are looked at: what is set aside for one reason is not looked at for the next. Between
# the two lie the checks of single values, of which each modality has its own.
_BEFORE, _AFTER = (
    ("left_out", "undecodable", "too_large"),
    ("conflicting_labels", "exact_duplicate", "near_duplicate", "label_error", "outlier"),
)
# So many copies are no oversight.
MANY = 5
DROP, FLAG, KEEP = "drop", "flag", "keep"
LEAKS = "leaks"  # of clean.near_duplicate: drop copies across given splits, flag the others
EXHIBITS = pa.list_(pa.struct({"part": pa.string(), "kind": pa.string(), "content": pa.binary()}))
COLUMNS = ("row", "reason", "score", "other", "detail", "suggestion")


def list_reasons(parts: Mapping[str, Part]) -> list[str]:
    """List the reasons why samples of some parts may be set aside or flagged, in the order of looking."""
    own = [
        qualify(parts, name, reason)
        for name, part in parts.items()
        for reason in (part.modality.notes_reason, *part.modality.checks)
    ]
    return [*_BEFORE, *own, *_AFTER]


def list_actions(parts: Mapping[str, Part], settings: Clean) -> dict[str, str]:
    """List what the settings do for each reason: drop, flag or keep."""
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
    """Make findings of one reason; columns that are not given are empty."""
    empty = {"score": np.nan, "other": -1, "detail": None, "suggestion": None}
    return pd.DataFrame({"row": rows, "reason": reason, **empty, **columns}).astype(
        {"row": np.int64, "score": float, "other": np.int64, "detail": object, "suggestion": object}
    )[list(COLUMNS)]


def rank(split: pd.Series) -> pd.Series:
    """Order of precedence among copies: test first, then validation, then the rest."""
    return split.map({"test": 0, "validation": 1}).fillna(2).astype(int)


def exact_copies(facts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find images with the same pixels, and those of them that bear two labels.

    Of equal images one is the original: one of a test split that the source
    brings, else of validation, else the first. Where copies outside of such a
    test split bear two labels, none of them can be trusted.

    Args:
        facts: label, split (of the source, or None), digest (None: no pixels).

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
    found = [
        frame(
            copies["row"][conflict],
            "conflicting_labels",
            other=against,
            detail=[
                f"label {own} against {other}{f'; {hint}' if hint else ''}"
                for (own, other), hint in zip(labels, map(_placeholder, sizes[conflict]), strict=True)
            ],
        ),
        frame(
            copies["row"][double],
            "exact_duplicate",
            score=1.0,
            other=original[double],
            detail=[_placeholder(size) for size in sizes[double]],
        ),
    ]
    pairs = pd.DataFrame({"first": original[double], "second": copies["row"][double]})
    return pd.concat(found, ignore_index=True), pairs.reset_index(drop=True)


def _placeholder(count: int) -> str | None:
    """Say of a picture that there is many times what it may be: servers send one for each photo that they lack."""
    return (
        f"one of {count:,} with these pixels: a placeholder for photos that were not found?" if count >= MANY else None
    )


def near_copies(facts: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Say of each set of near-duplicates which images are copies of which.

    Args:
        facts: label, split.
        pairs: first, second, score: rows that show the same.

    Returns:
        Findings: every image of a set but its first (of test, else of
        validation, else of the source's order), with its likest partner.
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
    found = partner.loc[copies].sort_values("score", ascending=False, kind="stable")
    labels = zip(facts["label"][found.index], facts["label"][found["second"]], strict=True)
    detail = [f"the other is labelled {other}" if own != other else None for own, other in labels]
    return frame(found.index, "near_duplicate", score=found["score"].to_numpy(), other=found["second"], detail=detail)


def across(facts: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """List the images that copy one of a split that the source brings and holds apart.

    Copies of copies are copies: what counts is whether pairs lead from one image to the other.

    Args:
        facts: split, as the source gives it.
        pairs: first, second, score: copies, exact or near.

    Returns:
        row, other, score, detail: an image outside of test that copies one in test, or
        in train that copies one in validation; each row once, with its likest copy in
        such a split, or where it has none with its likest copy.
    """
    both = pd.concat([pairs, pairs.rename(columns={"first": "second", "second": "first"})], ignore_index=True)
    members = np.unique(both["first"])
    place = pd.Series(np.arange(len(members)), index=members)
    crowd = components(len(members), place[pairs["first"]].to_numpy(), place[pairs["second"]].to_numpy())
    ranks = pd.Series(rank(facts["split"][members]).to_numpy(), index=members)
    highest = ranks.groupby(crowd).transform("min")
    own, others = ranks[both["first"]].to_numpy(), ranks[both["second"]].to_numpy()
    leaks = both.assign(indirect=own <= others)[own > highest[both["first"]].to_numpy()]
    leaks = leaks.sort_values(["first", "indirect", "score"], ascending=[True, True, False], kind="stable")
    leaks = leaks.drop_duplicates("first").rename(columns={"first": "row", "second": "other"})
    copied = highest[leaks["row"]].map({0: "test", 1: "validation"}).to_numpy()
    direct = np.where(leaks["indirect"], "copy of a copy of a ", "copy of a ")
    detail = [f"{way}{split} image" for way, split in zip(direct, copied, strict=True)]
    return leaks.assign(detail=detail)[["row", "other", "score", "detail"]].reset_index(drop=True)


def decide(
    found: pd.DataFrame, actions: Mapping[str, str], leaks: Sequence[int], protected: Sequence[int]
) -> pd.Series:
    """Choose what becomes of each finding.

    Args:
        found: findings.
        actions: reason -> drop, flag or keep.
        leaks: rows that are dropped as copies whatever the actions, since they
            would carry an image of one split into another.
        protected: rows that are dropped only where they cannot be read, or a
            person says so: those of a test split that the source brings, so that
            figures on it stay comparable with others'.

    Returns:
        drop, flag or keep, on the index of ``found``.
    """
    action = found["reason"].map(actions)
    must = found["reason"].isin(["left_out", "undecodable", "too_large"])
    action = action.mask((action == DROP) & ~must & found["row"].isin(protected), FLAG)
    copied = found["reason"].isin(["exact_duplicate", "near_duplicate"])
    return action.mask(copied & found["row"].isin(leaks), DROP)


def settle(found: pd.DataFrame, reasons: Sequence[str]) -> pd.DataFrame:
    """Keep one finding of a dropped image, the first by reason; drop findings that the policy keeps quiet about.

    Args:
        found: findings with their action.
        reasons: as ``list_reasons`` gives them.
    """
    order = found["reason"].map({reason: number for number, reason in enumerate(reasons)})
    found = found.assign(order=order).sort_values("order", kind="stable").drop(columns="order")
    dropped = found[found["action"] == DROP].drop_duplicates("row")
    flagged = found[(found["action"] == FLAG) & ~found["row"].isin(dropped["row"])]
    return pd.concat([dropped, flagged], ignore_index=True)


def table(found: pd.DataFrame, facts: pd.DataFrame) -> pa.Table:
    """List findings for people: id, label, split, reason, score, other (its id), detail, suggestion."""
    of = facts.loc[found["row"]]
    other = facts["id"].reindex(found["other"]).to_numpy()
    columns = {"id": of["id"], "label": of["label"], "split": of["split"], "reason": found["reason"]}
    texts = {**columns, "other": other, "detail": found["detail"], "suggestion": found["suggestion"]}
    arrays = {name: pa.array(list(values), pa.string(), from_pandas=True) for name, values in texts.items()}
    arrays["score"] = pa.array(found["score"].to_numpy(), pa.float64(), from_pandas=True)
    return pa.table({name: arrays[name] for name in (*columns, "score", "other", "detail", "suggestion")})


def counts(found: pd.DataFrame, facts: pd.DataFrame, classes: Sequence[str], reasons: Sequence[str]) -> dict:
    """Count findings: reason -> total and, for reasons that occur, by class."""
    labels = facts["label"][found["row"]].to_numpy()
    by_class = pd.crosstab(found["reason"], labels).reindex(index=list(reasons), columns=list(classes), fill_value=0)
    return {
        "total": {reason: int(count) for reason, count in by_class.sum(axis=1).items()},
        "by_class": {
            reason: {name: int(n) for name, n in row.items() if n} for reason, row in by_class.iterrows() if row.sum()
        },
    }


def list_evidence(
    found: pd.DataFrame,
    facts: pd.DataFrame,
    parts: Mapping[str, Part],
    values: Mapping[str, np.ndarray],
    most: int,
) -> pa.Table:
    """Collect the worst of each reason with something to show of them, for the report.

    Args:
        found: findings with their action.
        facts: id, label, split.
        parts: what the samples are made of.
        values: part -> its values [N, ...].
        most: findings per reason; across splits first where there are copies.

    Returns:
        As ``table``, with action, other_label, other_split, shown and other_shown
        (lists of part, kind, content: see ``Exhibit``; null where there is none).
    """
    reasons = list_reasons(parts)
    seen = found[~found["reason"].isin(["undecodable", "too_large"])]
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
