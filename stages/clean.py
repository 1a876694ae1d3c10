"""Decode, convert and resize every image; find what is wrong with it; set aside by policy; split.

    python -m stages.clean --dry-run     counts and the worst of each reason, nothing written

One pass decodes in parallel and spools the pixels to disk while a row of facts
an image stays in memory; copies, labels and splits are judged from these; a
second pass writes the splits.
"""

import argparse
import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kiln import params
from kiln.core import entry, files, parallel, progress, randomness
from kiln.core.errors import UserError
from kiln.core.figures import plural
from kiln.modalities import base
from kiln.modalities.image import checks, copies, decoding, features, levels, pictures
from kiln.modalities.image.conversion import Conversion
from kiln.quality import corrections, findings, labels, splits
from kiln.store import dataset

SOURCE = Path("data/raw")
OUTPUT = Path("data/clean")
SAMPLES_PER_CLASS = 8
SAMPLE_CLASSES = 12
AUTO_LIMIT, AUTO_SIZE = 64, (64, 64)
SLICE = 256
# Deep images of another kind of number that do not stop the stage, as a fraction of all; kinds of files that are named.
RARE, KINDS = 0.05, 3
PICTURES = 12
WORST = 10
LEAST_OF_A_CLASS = 10
LEAKS = "leaks"  # of clean.near_duplicate: drop copies across given splits, flag the others


def choose_conversion(shapes: Counter, settings: params.image.Clean) -> Conversion:
    """Settle the automatic parts of the conversion.

    Args:
        shapes: (height, width, channels) of the images' headers -> how many.
        settings: the part's knobs in the clean section.

    Returns:
        The size that all images share if its sides are 64 pixels at most, else
        64 x 64; gray if all images are, else RGB; unless the settings say.
    """
    sizes = {shape[:2] for shape in shapes}
    if settings.size != "auto":
        size = tuple(settings.size)
    else:
        small = len(sizes) == 1 and max(next(iter(sizes))) <= AUTO_LIMIT
        size = sizes.pop() if small else AUTO_SIZE
    channels = settings.channels
    if channels == "auto":
        channels = max((shape[2] for shape in shapes), default=3)
    return Conversion(*size, channels, settings.fit)


def find_conversion(raw: dataset.Dataset, settings: params.image.Clean) -> Conversion:
    """Choose the conversion, by the headers of all images where it is automatic, and by the values of deep ones.

    What the range that was found clips is told, since white or black pixels alone may be left of such an image.

    Raises:
        UserError: as ``find_range`` does.
    """
    shapes, spans = Counter(), []
    given = settings.range if settings.range != "auto" else None

    def look(part) -> list[tuple]:
        contents = [image["bytes"] for image in part["image"].to_pylist()]
        return [
            (decoding.inspect(content), None if given else decoding.span(content, settings.max_pixels))
            for content in contents
        ]

    if "auto" in (settings.size, settings.channels, settings.range):
        tables = (part for table in raw.tables(columns=["image"]) for part in _slices(table, SLICE))
        for seen in parallel.ordered_map(look, tables):
            shapes.update(shape for shape, _ in seen)
            spans += [span for _, span in seen if span]
    shapes.pop(None, None)
    found = find_range(spans)
    if found and (clipped := levels.beyond(spans, found)):
        print(
            f"clean: {clipped:,} of {plural(len(spans), 'deep image')} reach beyond {found[0]:g} to {found[1]:g}, "
            "which nearly all others keep, and are clipped there: give clean.image.range to have them whole"
        )
    return replace(choose_conversion(shapes, settings), range=given or found)


def find_range(spans: list[levels.Span]) -> levels.Range | None:
    """Find the range of values of a set's deep images; None where it has none.

    Raises:
        UserError: whole numbers and floating-point ones are mixed.
    """
    floating = sum(span.floating for span in spans)
    if min(floating, len(spans) - floating) > RARE * len(spans):
        raise UserError(
            f"{len(spans) - floating:,} images hold whole numbers of more than 8 bits and {floating:,} floating-point "
            "ones, which have no common range: convert one kind, or give clean.image.range"
        )
    usual = [span for span in spans if span.floating == (2 * floating > len(spans))]
    return levels.fit(usual) if usual else None


def spool(raw: dataset.Dataset, conversion: Conversion, max_pixels: int, path: Path) -> pd.DataFrame:
    """Decode all images to one file of pixels and a frame of facts.

    Args:
        raw: the dataset of fetch.
        conversion: the shape to bring every image to.
        max_pixels: larger images are not decoded.
        path: the file to write: uint8 [images, H, W, C]; zeros where undecodable.

    Returns:
        id, label, split, group; digest (None where undecodable); failure
        (undecodable or too_large, else None) and detail (why, or what is wrong
        beside the pixels); short_side
        (pixels) and aspect of the image as it came; and what ``checks.measure``
        gives (NaN where undecodable).
    """

    def decode(table):
        pixels = np.zeros((len(table), *conversion.image_shape), np.uint8)
        facts = []
        for place, image in enumerate(table["image"].to_pylist()):
            try:
                pixels[place], size, notes = decoding.decode(image["bytes"], conversion, max_pixels)
                digest = hashlib.blake2b(pixels[place].tobytes(), digest_size=16).digest()
                detail = "; ".join(notes) or None
                facts.append((digest, None, detail, min(size), max(size) / min(size)))
            except base.Undecodable as error:
                failure = "too_large" if isinstance(error, base.TooLarge) else "undecodable"
                facts.append((None, failure, str(error), np.nan, np.nan))
        frame = pd.DataFrame(facts, columns=["digest", "failure", "detail", "short_side", "aspect"])
        measured = checks.measure(pixels).where(frame["failure"].isna())
        return pixels, pd.concat([table.drop_columns("image").to_pandas(), frame, measured], axis=1)

    frames = []
    # Each core holds a few slices: of few images where these are large.
    rows = min(SLICE, dataset.rows_per_group(conversion.image_shape))
    tables = (part for table in raw.tables() for part in _slices(table, rows))
    with path.open("wb") as file:
        decoded = parallel.ordered_map(decode, tables)
        for pixels, frame in progress.track(decoded, "clean", raw.rows(), size=lambda part: len(part[0])):
            file.write(np.ascontiguousarray(pixels))  # tofile forgets why it failed
            frames.append(frame)
    facts = pd.concat(frames, ignore_index=True)
    texts = ["id", "label", "split", "group", "digest", "failure", "detail"]
    facts[texts] = facts[texts].astype(object).where(facts[texts].notna(), None)
    return facts


def _slices(table, rows: int) -> Iterator:
    return (table.slice(start, rows) for start in range(0, len(table), rows))


@dataclass(frozen=True)
class Examined:
    """What clean decided.

    Attributes:
        facts: one row an image, with its final label, split and unit (None where it does not stay).
        found: findings with their action, as ``findings.settle`` leaves them.
        kept: bool a row.
        corrected: how many labels a person has changed.
        leaks: how many copies of given validation and test images were in the splits below them.
        leaks_kept: how many of these stay there, since ``clean.near_duplicate`` says so.
        border: the least score of a near-duplicate.
        drawn: the splits that Kiln drew, and the fraction of each.
    """

    facts: pd.DataFrame
    found: pd.DataFrame
    kept: np.ndarray
    corrected: int
    leaks: int
    leaks_kept: int
    border: float
    drawn: dict[str, float]


def examine(
    facts: pd.DataFrame, pixels: np.ndarray, verdicts: pd.DataFrame, settings: params.Clean, seed: int
) -> Examined:
    """Find what is wrong, decide by policy, and split what stays.

    Args:
        facts: as ``spool`` gives them.
        pixels: uint8 [N, H, W, C].
        verdicts: a person's, as ``corrections.read`` gives them.
        settings: the clean section.
        seed: of splits, folds and samples.

    Raises:
        UserError: an image is broken and that is to stop the stage, or a
            correction cannot be followed.
    """
    facts, left_out, corrected = corrections.apply(facts, verdicts)
    of_part = settings.parts["image"]
    policies = {**settings.model_dump(), **of_part.model_dump(), "left_out": "drop", "too_large": "drop"}
    actions = {reason: policies[reason] for reason in findings.REASONS}
    if settings.near_duplicate == LEAKS:
        actions["near_duplicate"] = findings.FLAG
    given_test = facts.index[facts["split"] == "test"]
    broken = pd.concat([findings.frame(left_out, "left_out"), _broken(facts, settings)], ignore_index=True)
    broken["action"] = findings.decide(broken, actions, [], given_test)
    present = ~facts.index.isin(broken["row"][broken["action"] == findings.DROP])

    copied, pairs, leaks, forbidden, border = find_copies(facts, present, pixels, settings, seed)
    copied["action"] = findings.decide(copied, actions, forbidden, given_test)
    kept = present & ~facts.index.isin(copied["row"][copied["action"] == findings.DROP])

    # Units reach over copies that are dropped, so that two copies of one of them stay together.
    unit = splits.units(facts[present], pairs)[kept[present]]
    drawn = splits.drawn(facts["split"][unit.index], settings.test, settings.validation)
    split = splits.assign(facts.loc[unit.index], unit, settings.test, settings.validation, seed)
    facts = facts.assign(split=facts["split"].mask(kept, split), unit=unit)

    doubtful = find_doubtful(facts.loc[unit.index], unit, pixels, settings, seed)
    doubtful = doubtful[~facts["id"][doubtful["row"]].isin(verdicts["id"]).to_numpy()]
    doubtful["action"] = findings.decide(doubtful, actions, [], facts.index[facts["split"] == "test"])
    found = findings.settle(pd.concat([broken, copied, doubtful], ignore_index=True))
    kept &= ~facts.index.isin(found["row"][found["action"] == findings.DROP])
    leaks_kept = int(kept[leaks].sum())
    return Examined(facts, found, kept, corrected, len(leaks), leaks_kept, border, drawn)


def _broken(facts: pd.DataFrame, settings: params.Clean) -> pd.DataFrame:
    failed = facts[facts["failure"].notna()]
    broken = failed[failed["failure"] == "undecodable"]
    if len(broken) and settings.undecodable == "stop":
        first = broken.iloc[0]
        raise UserError(
            f"{len(broken)} of {len(facts)} images cannot be read, {first['id']} first ({first['detail']}), and "
            "clean.undecodable is stop: mend or remove them, or set it to drop"
        )
    parts = [findings.frame(rows.index, reason, detail=rows["detail"]) for reason, rows in failed.groupby("failure")]
    noted = facts[facts["failure"].isna() & facts["detail"].notna()]
    parts.append(findings.frame(noted.index, "metadata", detail=noted["detail"]))
    image = settings.parts["image"]
    thresholds = {
        "too_small": image.min_side,
        "odd_aspect": image.max_aspect,
        "constant": image.min_contrast,
        "too_dark": image.min_highlight,
        "too_bright": image.max_shadow,
        "blurry": image.min_sharpness,
        "low_information": image.min_entropy,
    }
    beyond = checks.found(facts, thresholds)
    parts += [
        findings.frame(rows["row"], reason, score=rows["score"])
        for reason, rows in beyond.groupby("reason", sort=False)
    ]
    return pd.concat([findings.frame([], "undecodable"), *parts], ignore_index=True)


def find_copies(
    facts: pd.DataFrame, present: np.ndarray, pixels: np.ndarray, settings: params.Clean, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray, float]:
    """Find exact and near-duplicates.

    Args:
        facts: label, split (of the source), digest.
        present: bool a row: which images to look at.
        pixels: uint8 [N, H, W, C].
        settings: the clean section.
        seed: of the search.

    Returns:
        Findings; pairs of rows that show the same (first, second, score); the
        rows that copy an image of a split that the source holds apart; those of
        them that may not stay: all if the settings drop them, else the exact
        copies, of which there is no doubt; and the least score of a near-duplicate.
    """
    exact, same = findings.exact_copies(facts.assign(digest=facts["digest"].where(present, None)))
    out = same["second"]
    if settings.conflicting_labels == findings.DROP:
        out = np.union1d(out, exact["row"][exact["reason"] == "conflicting_labels"])
    # Enlarged, tiny images look alike as they did before.
    large = facts["short_side"].to_numpy() >= copies.SMALLEST
    usable = np.flatnonzero(present & large & ~facts.index.isin(out))
    key = int(randomness.key(seed, "clean", "copies") % np.uint64(2**31))
    score = settings.parts["image"].near_duplicate_score
    near = copies.find(pixels, usable, key, None if score == "auto" else score)
    exactly = same.assign(score=1.0)
    pairs = pd.concat([exactly, near.pairs], ignore_index=True)
    crossing = findings.across(facts, pairs)
    leaks = forbidden = crossing["row"].to_numpy()
    if settings.near_duplicate not in (LEAKS, findings.DROP):
        forbidden = findings.across(facts, exactly)["row"].to_numpy()
    leaked = crossing[~crossing["row"].isin(same["second"])].sort_values("score", ascending=False, kind="stable")
    columns = {name: leaked[name].to_numpy() for name in ("score", "other", "detail")}
    leaked = findings.frame(leaked["row"].to_numpy(), "near_duplicate", **columns)
    apart = near.pairs[~near.pairs["first"].isin(leaks) & ~near.pairs["second"].isin(leaks)]
    found = pd.concat([exact, leaked, findings.near_copies(facts, apart)], ignore_index=True)
    return found, pairs, leaks, forbidden, near.border


def find_doubtful(
    facts: pd.DataFrame, unit: pd.Series, pixels: np.ndarray, settings: params.Clean, seed: int
) -> pd.DataFrame:
    """Find labels that are probably wrong, and outliers of their class.

    Models are fitted on train and validation alone; images of one unit are
    judged by models that saw none of them, and not at all where these saw too few
    of their class; test images are judged and used for none.

    Args:
        facts: label and final split of the images that stay so far.
        unit: of each.
        pixels: uint8 [N, H, W, C], by the index of ``facts``.
        settings: the clean section.
        seed: of folds and samples.
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
    files.forget(pixels)
    made = features.fit(pixels, rows[learn], features.LARGE, generator).transform(pixels, rows)
    files.forget(pixels)
    number = facts["label"].map({name: place for place, name in enumerate(classes)}).to_numpy()
    unit = unit[facts.index].to_numpy()
    folds = np.full(len(facts), labels.JUDGED_ONLY)
    folds[learn] = labels.deal(number[learn], unit[learn], seed)
    judged = labels.judge(made, number, folds, len(classes), generator)
    quality = pd.Series(judged.quality, index=rows)
    wrong = quality[judged.doubted(settings.min_label_quality)].sort_values(kind="stable")
    suggested = pd.Series(np.array(classes, object)[judged.suggestion], index=rows)
    far = pd.Series(labels.isolation(made, number, learn.to_numpy(), generator), index=rows)
    far = far[far > settings.max_isolation].sort_values(ascending=False, kind="stable")
    return pd.concat(
        [
            findings.frame(wrong.index, "label_error", score=wrong, suggestion=suggested[wrong.index]),
            findings.frame(far.index, "outlier", score=far),
        ],
        ignore_index=True,
    )


def check_budget(examined: Examined, most: float) -> None:
    """Refuse to set aside more than a fraction of the images; what a person has left out does not count.

    Raises:
        UserError: with the counts of each reason.
    """
    gone = examined.found[(examined.found["action"] == findings.DROP) & (examined.found["reason"] != "left_out")]
    total = len(examined.facts)
    if len(gone) > most * total:
        raise UserError(
            f"{len(gone):,} of {total:,} images would be set aside ({_causes(gone)}), more than the fraction "
            f"clean.max_set_aside {most:g}: look at them with `python -m stages.clean --dry-run`, "
            "then mend the source, choose flag for a reason, or raise it"
        )


def _causes(gone: pd.DataFrame) -> str:
    """Count the reasons of findings, and of what cannot be decoded the kinds of files."""
    told = []
    for reason, count in gone["reason"].value_counts().items():
        kinds = gone["detail"][gone["reason"] == reason] if reason == "undecodable" else pd.Series([], dtype=object)
        # What is broken is so in its own way each.
        kinds = kinds.fillna("unknown").str.replace(r"(broken or truncated).*", r"\1", regex=True).value_counts()
        listed = [f"{of:,} x {kind}" for kind, of in kinds.head(KINDS).items()]
        listed += [f"{kinds[KINDS:].sum():,} others"] if len(kinds) > KINDS else []
        told.append(f"{count:,} {reason}" + (f": {'; '.join(listed)}" if listed else ""))
    return ", ".join(told)


def check_classes(examined: Examined, counts: pd.DataFrame) -> None:
    """Refuse splits that no classifier can be trained or judged on, and say what was set aside there, and why.

    Raises:
        UserError: as ``splits.check`` does.
    """
    try:
        splits.check(counts)
    except UserError as error:
        lost = counts.index[counts["train"] == 0][:1] if len(counts) > 1 and counts["train"].sum() else counts.index
        concerned = examined.facts["label"].isin(lost)
        gone = examined.found[examined.found["action"] == findings.DROP]
        gone = gone[concerned[gone["row"]].to_numpy()]
        if gone.empty:
            raise
        what, _, remedy = str(error).partition(": ")
        since = f"since {len(gone):,} of {plural(int(concerned.sum()), 'image')} were set aside ({_causes(gone)})"
        raise UserError(f"{what}, {since}: {remedy}") from None


def count(examined: Examined) -> pd.DataFrame:
    """Count the images that stay: every class of the source, sorted, by splits."""
    facts = examined.facts
    counts = pd.crosstab(facts["label"][examined.kept], facts["split"][examined.kept])
    return counts.reindex(index=sorted(facts["label"].unique()), columns=dataset.SPLITS, fill_value=0)


def kept_tables(examined: Examined, classes: list[str], pixels: np.ndarray, seed: int):
    """Yield (split, table) of the images that stay.

    Each split comes in a seeded random order, so that any stretch of it holds a
    mixture of the classes, whatever the order of the source.

    Args:
        examined: what stays, and where.
        classes: their names, in the order of the labels.
        pixels: uint8 [N, H, W, C].
        seed: of the order.
    """
    index = {name: number for number, name in enumerate(classes)}
    rows = dataset.rows_per_group(pixels.shape[1:])
    kept = examined.facts[examined.kept]
    order = randomness.key(seed, "clean", "order", randomness.item_keys(kept["id"]))
    kept = kept.iloc[np.argsort(order, kind="stable")]
    for split in dataset.SPLITS:
        own = kept[kept["split"] == split]
        for start in range(0, len(own), rows):
            part = own.iloc[start : start + rows]
            labels_here = part["label"].map(index).to_numpy(np.int32)
            yield (
                split,
                dataset.pixel_table(part["id"].tolist(), labels_here, pixels[part.index], part["unit"].tolist()),
            )


def samples(examined: Examined, classes: list[str], pixels: np.ndarray) -> tuple[list[str], bytes]:
    """Pick the first few kept training images of the first classes.

    Returns:
        The class names shown and a contact sheet (PNG) with one row a class.
    """
    shown, rows = classes[:SAMPLE_CLASSES], []
    train = examined.facts[examined.kept & (examined.facts["split"] == "train")]
    for name in shown:
        row = np.full((SAMPLES_PER_CLASS, *pixels.shape[1:]), 128, np.uint8)
        own = train.index[train["label"] == name][:SAMPLES_PER_CLASS]
        row[: len(own)] = pixels[own]
        rows.append(row)
    return shown, pictures.contact_sheet(np.concatenate(rows), SAMPLES_PER_CLASS)


def summarize(examined: Examined, counts: pd.DataFrame, conversion: Conversion, shown: list[str]) -> dict:
    """Count what stays, what goes and what is flagged.

    Returns:
        images, kept, corrected, leaks, leaks_kept, near_duplicate_score (the
        least score of a near-duplicate); set_aside and flagged (reason -> images,
        every reason); by_class (the same two, reason -> class -> images);
        conversion, splits (split -> class -> images), split_makers (split -> who
        made it), effective (split -> how many independent images it is worth at
        least), uneven (classes that are absent from a split or far off their
        share, as ``splits.uneven`` lists them), sampled (classes on the contact
        sheet).
    """
    found, classes, kept = examined.found, counts.index, examined.facts[examined.kept]
    dropped = findings.counts(found[found["action"] == findings.DROP], examined.facts, classes)
    flagged = findings.counts(found[found["action"] == findings.FLAG], examined.facts, classes)
    return {
        "images": len(examined.facts),
        "kept": int(examined.kept.sum()),
        "corrected": examined.corrected,
        "leaks": examined.leaks,
        "leaks_kept": examined.leaks_kept,
        "near_duplicate_score": examined.border,
        "set_aside": dropped["total"],
        "flagged": flagged["total"],
        "by_class": {"set_aside": dropped["by_class"], "flagged": flagged["by_class"]},
        "conversion": conversion.to_json(),
        "splits": {split: {name: int(n) for name, n in counts[split].items()} for split in dataset.SPLITS},
        "split_makers": splits.makers(examined.drawn),
        "effective": splits.effective(kept["split"], kept["unit"]),
        "uneven": splits.uneven(kept, kept["unit"], examined.drawn),
        "sampled": shown,
    }


def describe(summary: dict) -> str:
    """One line of what was done."""
    shape = summary["conversion"]
    colors = ("gray" if shape["channels"] == 1 else "RGB") + levels.told(shape.get("range"))
    parts = ", ".join(f"{sum(counts.values()):,} {split}" for split, counts in summary["splits"].items())
    gone = ", ".join(f"{count:,} {reason}" for reason, count in summary["set_aside"].items() if count)
    flags = ", ".join(f"{count:,} {reason}" for reason, count in summary["flagged"].items() if count)
    corrected = f"; {plural(summary['corrected'], 'label')} corrected" if summary["corrected"] else ""
    if kept := summary["leaks_kept"]:
        stay = "COPY OF TEST OR VALIDATION IMAGES STAYS" if kept == 1 else "COPIES OF TEST OR VALIDATION IMAGES STAY"
        corrected += f"; {kept:,} {stay} in the splits below them"
    uneven = "".join(f"; {phrase}" for phrase in splits.told(summary["uneven"]))
    return (
        f"{summary['kept']:,} of {plural(summary['images'], 'image')} as {shape['height']}x{shape['width']} "
        f"{colors}: {parts}{uneven}{corrected}; set aside: {gone or 'none'}; "
        f"flagged: {flags or 'none'}"
    )


def preview(examined: Examined, conversion: Conversion, most: float) -> str:
    """Tabulate the counts of each reason, list its ten worst images, and say what the stage would: its line, or errors.

    Args:
        examined: of ``examine``.
        conversion: of the images.
        most: the fraction of the images that may be set aside.
    """
    found, lines = examined.found, [f"{'reason':<20}{'set aside':>10}{'flagged':>10}"]
    by_reason = pd.crosstab(found["reason"], found["action"]).reindex(columns=["drop", "flag"], fill_value=0)
    reasons = [reason for reason in findings.REASONS if reason in by_reason.index]
    lines += [f"{reason:<20}{by_reason['drop'][reason]:>10,}{by_reason['flag'][reason]:>10,}" for reason in reasons]
    for reason in reasons:
        lines.append(f"\n{reason}, the worst:")
        listed = findings.table(found[found["reason"] == reason].head(WORST), examined.facts).to_pylist()
        for row in listed:
            about = [row["detail"], row["other"] and f"see {row['other']}"]
            about += [row["suggestion"] and f"perhaps {row['suggestion']}"]
            score = "" if row["score"] is None else f"{row['score']:.4g}"
            lines.append(f"  {score:>8}  {row['id']}  ({row['label']})  {', '.join(filter(None, about))}".rstrip())
    counts = count(examined)
    lines.append(f"\nclean would say: {describe(summarize(examined, counts, conversion, []))}")
    for check in (lambda: check_budget(examined, most), lambda: check_classes(examined, counts)):
        try:
            check()
        except UserError as error:
            lines.append(f"clean would stop: {error}")
    return "\n".join(lines)


def save(folder: Path, examined: Examined, pixels: np.ndarray, conversion: Conversion, seed: int) -> dict:
    """Write the dataset and the evidence; return the summary.

    Raises:
        UserError: a class or a split is left without images.
    """
    counts = count(examined)
    check_classes(examined, counts)
    classes = counts.index.tolist()
    about = {"classes": classes, "image_shape": conversion.image_shape, "conversion": conversion.to_json()}
    dataset.write(folder, kept_tables(examined, classes, pixels, seed), "pixels", **about)
    shown, sheet = samples(examined, classes, pixels)
    files.write_bytes(folder / "samples.png", sheet)
    found, facts = examined.found, examined.facts
    for name, action in (("set_aside", findings.DROP), ("flags", findings.FLAG)):
        pq.write_table(findings.table(found[found["action"] == action], facts), folder / f"{name}.parquet")
    measures = facts.loc[examined.kept, ["id", "split", "brightness", "sharpness", "short_side"]]
    pq.write_table(
        pa.Table.from_pandas(measures, preserve_index=False).replace_schema_metadata(), folder / "measures.parquet"
    )
    pq.write_table(findings.pictures(found, facts, pixels, PICTURES), folder / "evidence.parquet")
    summary = summarize(examined, counts, conversion, shown)
    files.write_json(folder / "summary.json", summary)
    return summary


def main() -> None:
    """Clean data/raw/ into data/clean/, or say what that would do."""
    parser = argparse.ArgumentParser(prog="python -m stages.clean", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--dry-run", action="store_true", help="print counts and the worst of each reason, write nothing"
    )
    dry_run = parser.parse_args().dry_run
    everything = params.load()
    settings, seed = everything.clean, everything.seed
    of_part = settings.parts["image"]
    files.verify(SOURCE)
    raw = dataset.open_dataset(SOURCE, "raw")
    verdicts = corrections.read()
    conversion = find_conversion(raw, of_part)
    place = files.scratch(OUTPUT.with_name(".clean.dry-run.partial")) if dry_run else files.publish(OUTPUT)
    with place as folder:
        files.need_room(folder, 2 * raw.rows() * math.prod(conversion.image_shape))  # as one file, then as shards
        path = folder / "pixels.spool"
        facts = spool(raw, conversion, of_part.max_pixels, path)
        pixels = np.memmap(path, np.uint8, "r", shape=(len(facts), *conversion.image_shape))
        examined = examine(facts, pixels, verdicts, settings, seed)
        if dry_run:
            print(preview(examined, conversion, settings.max_set_aside))
            return
        check_budget(examined, settings.max_set_aside)
        summary = save(folder, examined, pixels, conversion, seed)
        path.unlink()
    print(f"clean: {describe(summary)}")


if __name__ == "__main__":
    entry.run(main, "clean", OUTPUT)
