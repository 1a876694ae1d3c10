"""Decode, convert and resize every image; set aside what is broken or double; split.

One pass decodes in parallel and spools the pixels to disk while a row of facts
an image stays in memory; the plan is made from these facts; a second pass
writes the splits.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stages.lib import dataset, entry, files, images, parallel, params, progress, randomness
from stages.lib.errors import UserError

SOURCE = Path("data/raw")
OUTPUT = Path("data/clean")
REASONS = ("undecodable", "exact_duplicate", "conflicting_labels")
SAMPLES_PER_CLASS = 8
SAMPLE_CLASSES = 12
AUTO_LIMIT, AUTO_SIZE = 64, (64, 64)


def choose_conversion(shapes: Counter, settings: params.Clean) -> images.Conversion:
    """Settle the automatic parts of the conversion.

    Args:
        shapes: (height, width, channels) of the images' headers -> how many.
        settings: the clean section.

    Returns:
        The size that all images share if its sides are 64 pixels at most, else
        64 x 64; gray if all images are, else RGB; unless the settings say.
    """
    sizes = {shape[:2] for shape in shapes}
    if settings.image_size != "auto":
        size = tuple(settings.image_size)
    else:
        small = len(sizes) == 1 and max(next(iter(sizes))) <= AUTO_LIMIT
        size = sizes.pop() if small else AUTO_SIZE
    channels = settings.channels
    if channels == "auto":
        channels = max((shape[2] for shape in shapes), default=3)
    return images.Conversion(*size, channels, settings.fit)


def mark_doubles(facts: pd.DataFrame) -> pd.DataFrame:
    """Say of each image whether it is set aside, and why.

    Of images with the same pixels one stays: one of a test split that the source
    brings, else of validation, else the first. Images of such a test split
    always stay, since figures on it are compared with others'. Where copies
    outside of it bear two labels, none of them can be trusted and all go.

    Args:
        facts: one row an image: label, split (train, validation, test or None),
            digest (None where it could not be decoded).

    Returns:
        reason (None where the image stays) and other (row of the copy that
        stays or contradicts, -1 where there is none), on the index of ``facts``.
    """
    marks = pd.DataFrame({"reason": None, "other": -1}, index=facts.index, dtype=object)
    marks.loc[facts["digest"].isna(), "reason"] = "undecodable"
    copies = facts.loc[facts["digest"].notna() & facts["digest"].duplicated(keep=False), ["digest", "label"]].copy()
    if copies.empty:
        return marks
    copies["row"] = copies.index
    copies["rank"] = facts["split"].map({"test": 0, "validation": 1}).fillna(2).astype(int)
    copies = copies.sort_values(["rank", "row"])
    groups = copies.groupby("digest", sort=False)
    keeper, first_label = groups["row"].transform("first"), groups["label"].transform("first")
    other_label = copies["label"] != first_label
    contradicting = copies["row"].where(other_label).groupby(copies["digest"]).transform("first")
    conflict = contradicting.notna() & (groups["rank"].transform("min") > 0)
    double = ~conflict & (copies["rank"] > 0) & (copies["row"] != keeper)
    marks.loc[copies.index[double], "reason"] = "exact_duplicate"
    marks.loc[copies.index[conflict], "reason"] = "conflicting_labels"
    marks.loc[copies.index[double], "other"] = keeper[double]
    marks.loc[copies.index[conflict], "other"] = keeper.where(other_label, contradicting)[conflict].astype(int)
    return marks


def assign_splits(facts: pd.DataFrame, test: float, validation: float, seed: int) -> pd.Series:
    """Give every image its split, stratified by label, no group across a border.

    What the source says stands. Where it brings no test split, a fraction of all
    is drawn; where it brings no validation split, a fraction of train is. The
    draw ranks images by seed and name, so their order in the source is no matter
    and further images move few of them.

    Args:
        facts: id, label, split (or None), group (or None), one row an image.
        test: fraction of all images.
        validation: fraction of the images left for train.
        seed: of the draw.

    Returns:
        train, validation or test, on the index of ``facts``.
    """
    unit = facts["group"].where(facts["group"].notna(), "\0" + facts["id"])
    given = facts["split"].fillna("train")
    splits = given.copy()
    order = pd.Series(randomness.key(seed, "clean", randomness.item_keys(unit)), index=facts.index)
    for name, fraction in (("test", test), ("validation", validation)):
        if (given == name).any():
            continue
        pool = pd.DataFrame({"unit": unit, "label": facts["label"], "order": order})[splits == "train"]
        units = pool.groupby("unit").agg(label=("label", "first"), order=("order", "first"), size=("label", "size"))
        units = units.sort_values("order")
        reach = units.groupby("label")["size"].cumsum() - units["size"] / 2
        # At least one image of a class that can spare it, never the last one.
        total = units.groupby("label")["size"].transform("sum")
        wanted = (total * fraction).round().clip(lower=(total > 2).astype(float))
        taken = units.index[(reach < wanted) & (wanted < total)]
        splits[pool.index[pool["unit"].isin(taken)]] = name
    return splits


def check_splits(counts: pd.DataFrame) -> None:
    """Refuse splits that no classifier can be trained or judged on.

    Args:
        counts: images, classes by splits.

    Raises:
        UserError: naming the class or split that lacks images.
    """
    if len(counts) < 2:
        raise UserError(f"{len(counts)} class is left after cleaning, but a classifier needs two: add images")
    lacking = counts.index[counts["train"] == 0]
    if len(lacking):
        raise UserError(f"class {lacking[0]} has no image left for train: add images of it or take its folder out")
    for split in dataset.SPLITS:
        if counts[split].sum() == 0:
            raise UserError(f"no image is left for {split}: add images, or raise clean.{split}")


def spool(raw: dataset.Dataset, conversion: images.Conversion, path: Path) -> pd.DataFrame:
    """Decode all images to one file of pixels and a frame of facts.

    Args:
        raw: the dataset of fetch.
        conversion: the shape to bring every image to.
        path: the file to write: uint8 [images, H, W, C]; zeros where undecodable.

    Returns:
        id, label, split, group, digest (None where undecodable), detail (why).
    """

    def decode(table):
        blank = np.zeros(conversion.image_shape, np.uint8)
        pixels, digests, details = [], [], []
        for image in table["image"].to_pylist():
            try:
                pixels.append(images.convert(image["bytes"], conversion))
                digests.append(hashlib.blake2b(pixels[-1].tobytes(), digest_size=16).digest())
                details.append(None)
            except images.Undecodable as error:
                pixels.append(blank)
                digests.append(None)
                details.append(str(error))
        frame = table.drop_columns("image").to_pandas().astype(object)
        return np.stack(pixels), frame.assign(digest=digests, detail=details)

    frames = []
    tables = (part for table in raw.tables() for part in _slices(table, 256))
    with path.open("wb") as file:
        decoded = parallel.ordered_map(decode, tables)
        for pixels, frame in progress.track(decoded, "clean", raw.rows(), size=lambda part: len(part[0])):
            pixels.tofile(file)
            frames.append(frame)
    facts = pd.concat(frames, ignore_index=True).astype(object)
    return facts.where(facts.notna(), None)


def _slices(table, rows: int) -> Iterator:
    return (table.slice(start, rows) for start in range(0, len(table), rows))


def kept_tables(facts: pd.DataFrame, classes: list[str], path: Path, conversion: images.Conversion, seed: int):
    """Yield (split, table) of the images that stay, streamed from the spooled pixels.

    Each split comes in a seeded random order, so that any stretch of it holds a
    mixture of the classes, whatever the order of the source.

    Args:
        facts: with split, and reason (None where the image stays).
        classes: their names, in the order of the labels.
        path: of the spool.
        conversion: that the pixels went through.
        seed: of the order.
    """
    index = {name: number for number, name in enumerate(classes)}
    rows = dataset.rows_per_group(conversion.image_shape)
    pixels = np.memmap(path, np.uint8, "r", shape=(len(facts), *conversion.image_shape))
    kept = facts[facts["reason"].isna()]
    order = randomness.key(seed, "clean", "order", randomness.item_keys(kept["id"]))
    kept = kept.iloc[np.argsort(order, kind="stable")]
    for split in dataset.SPLITS:
        own = kept[kept["split"] == split]
        for start in range(0, len(own), rows):
            part = own.iloc[start : start + rows]
            labels = part["label"].map(index).to_numpy(np.int32)
            yield split, dataset.pixel_table(part["id"].tolist(), labels, pixels[part.index])


def samples(facts: pd.DataFrame, classes: list[str], path: Path, conversion: images.Conversion) -> tuple:
    """Pick the first few kept training images of the first classes.

    Returns:
        The class names shown and a contact sheet (PNG) with one row a class.
    """
    pixels = np.memmap(path, np.uint8, "r", shape=(len(facts), *conversion.image_shape))
    shown, rows = classes[:SAMPLE_CLASSES], []
    train = facts[facts["reason"].isna() & (facts["split"] == "train")]
    for name in shown:
        row = np.full((SAMPLES_PER_CLASS, *conversion.image_shape), 128, np.uint8)
        own = train.index[train["label"] == name][:SAMPLES_PER_CLASS]
        row[: len(own)] = pixels[own]
        rows.append(row)
    return shown, images.contact_sheet(np.concatenate(rows), SAMPLES_PER_CLASS)


def summarize(facts: pd.DataFrame, counts: pd.DataFrame, conversion: images.Conversion, shown: list[str]) -> dict:
    """Count what stays and what goes.

    Returns:
        images, kept, set_aside (reason -> images, every reason), conversion,
        splits (split -> class -> images), sampled (classes on the contact sheet).
    """
    reasons = facts["reason"].value_counts()
    return {
        "images": len(facts),
        "kept": int(facts["reason"].isna().sum()),
        "set_aside": {reason: int(reasons.get(reason, 0)) for reason in REASONS},
        "conversion": conversion.to_json(),
        "splits": {split: {name: int(n) for name, n in counts[split].items()} for split in dataset.SPLITS},
        "sampled": shown,
    }


def prepare(facts: pd.DataFrame, settings: params.Clean, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Decide what stays and in which split.

    Args:
        facts: as ``spool`` gives them.

    Returns:
        The facts with reason, other and the final split, and the table of images
        kept, classes (every class of the source, sorted) by splits.

    Raises:
        UserError: a class or a split is left without images.
    """
    facts = facts.join(mark_doubles(facts))
    stays = facts["reason"].isna()
    splits = assign_splits(facts[stays], settings.test, settings.validation, seed)
    facts["split"] = facts["split"].mask(stays, splits)
    counts = pd.crosstab(facts["label"][stays], splits)
    counts = counts.reindex(index=sorted(facts["label"].unique()), columns=dataset.SPLITS, fill_value=0)
    check_splits(counts)
    return facts, counts


def set_aside_table(facts: pd.DataFrame) -> pa.Table:
    """List the images set aside: id, label, split, reason, detail, other (id of the copy)."""
    gone = facts[facts["reason"].notna()]
    other = [facts["id"][row] if row >= 0 else None for row in gone["other"]]
    columns = ("id", "label", "split", "reason", "detail")
    return pa.table(
        {**{name: pa.array(gone[name], pa.string()) for name in columns}, "other": pa.array(other, pa.string())}
    )


def find_conversion(raw: dataset.Dataset, settings: params.Clean) -> images.Conversion:
    """Choose the conversion, by the headers of all images where it is automatic."""
    shapes = Counter()
    if "auto" in (settings.image_size, settings.channels):
        for table in raw.tables(columns=["image"]):
            shapes.update(images.inspect(image["bytes"]) for image in table["image"].to_pylist())
    shapes.pop(None, None)
    return choose_conversion(shapes, settings)


def describe(summary: dict) -> str:
    """One line of what was done."""
    shape = summary["conversion"]
    splits = ", ".join(f"{sum(counts.values()):,} {split}" for split, counts in summary["splits"].items())
    gone = ", ".join(f"{count} {reason}" for reason, count in summary["set_aside"].items() if count)
    return (
        f"{summary['kept']:,} of {summary['images']:,} images as {shape['height']}x{shape['width']} "
        f"{'gray' if shape['channels'] == 1 else 'RGB'}: {splits}; set aside: {gone or 'none'}"
    )


def main() -> None:
    """Clean data/raw/ into data/clean/."""
    everything = params.load()
    raw = dataset.open_dataset(SOURCE, "raw")
    conversion = find_conversion(raw, everything.clean)
    with files.publish(OUTPUT) as folder:
        pixels = folder / "pixels.spool"
        facts, counts = prepare(spool(raw, conversion, pixels), everything.clean, everything.seed)
        classes = counts.index.tolist()
        dataset.write(
            folder,
            kept_tables(facts, classes, pixels, conversion, everything.seed),
            "pixels",
            classes=classes,
            image_shape=conversion.image_shape,
            conversion=conversion.to_json(),
        )
        shown, sheet = samples(facts, classes, pixels, conversion)
        files.write_bytes(folder / "samples.png", sheet)
        pq.write_table(set_aside_table(facts), folder / "set_aside.parquet")
        summary = summarize(facts, counts, conversion, shown)
        files.write_json(folder / "summary.json", summary)
        pixels.unlink()
    print(f"clean: {describe(summary)}")


if __name__ == "__main__":
    entry.run(main, "clean")
