"""The report's sections: each takes the evidence and returns HTML."""

import math
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from kiln import params
from kiln.core import files
from kiln.core.figures import FIGURES, grouped, joined, number, percent, plural, span
from kiln.modalities.image import levels
from kiln.reporting import card as model_card
from kiln.reporting import page
from kiln.store.dataset import SPLITS

MATRIX_CLASSES = 30
LISTED = 50
CHANCE = 0.01  # p-value below which two accuracies are said to differ
PACKAGES = ("dvc", "keras", "tensorflow", "tensorflow-cpu", "numpy", "pandas", "pyarrow", "pillow")
PACKAGES += ("opencv-python-headless", "scikit-learn", "papermill", "nbconvert")

# What the report reads of each folder; the rest need not be in this clone.
READ = {
    "raw": ("manifest.json", "summary.json"),
    "clean": ("evidence.parquet", "manifest.json", "samples.png", "set_aside.parquet", "summary.json"),
    "augmented": ("samples.png", "summary.json"),
    "normalized": ("summary.json",),
    "model": ("history.csv", "model.json", "summary.json"),
    "evaluation": (
        *(f"{name}.csv" for name in ("confusion", "per_class", "precision_recall", "reliability")),
        *(f"{name}.csv" for name in ("robustness", "roc", "slices")),
        "exhibits.parquet",
        "summary.json",
    ),
}


@dataclass(frozen=True)
class Evidence:
    """Everything that the report shows, as the stages left it."""

    settings: params.Params
    params_text: str
    fetch: dict
    clean: dict
    set_aside: pd.DataFrame
    evidence: pd.DataFrame
    samples: bytes
    augment: dict
    views: bytes
    normalize: dict
    train: dict
    history: pd.DataFrame
    scores: dict
    per_class: pd.DataFrame
    confusion: pd.DataFrame
    exhibits: pd.DataFrame
    reliability: pd.DataFrame
    slices: pd.DataFrame
    robustness: pd.DataFrame
    digests: dict[str, str]


def load(data: Path = Path("data")) -> Evidence:
    """Read the evidence from the stages' outputs.

    Raises:
        UserError: a file is missing or damaged.
    """
    for folder, names in READ.items():
        files.verify(data / folder, *names)

    def frame(path: str) -> pd.DataFrame:
        return pd.read_csv(data / path, dtype={"class": str, "label": str, "prediction": str}, keep_default_na=False)

    return Evidence(
        settings=params.load(),
        params_text=params.PATH.read_text(),
        fetch=files.read_json(data / "raw/summary.json"),
        clean=files.read_json(data / "clean/summary.json"),
        set_aside=pq.read_table(data / "clean/set_aside.parquet").to_pandas(),
        evidence=pq.read_table(data / "clean/evidence.parquet").to_pandas().astype(object).replace({np.nan: None}),
        samples=(data / "clean/samples.png").read_bytes(),
        augment=files.read_json(data / "augmented/summary.json"),
        views=(data / "augmented/samples.png").read_bytes(),
        normalize=files.read_json(data / "normalized/summary.json"),
        train=files.read_json(data / "model/summary.json"),
        history=frame("model/history.csv"),
        scores=files.read_json(data / "evaluation/summary.json"),
        per_class=frame("evaluation/per_class.csv"),
        confusion=frame("evaluation/confusion.csv"),
        reliability=frame("evaluation/reliability.csv"),
        slices=frame("evaluation/slices.csv"),
        robustness=frame("evaluation/robustness.csv"),
        exhibits=pq.read_table(data / "evaluation/exhibits.parquet").to_pandas(),
        digests={
            "images as fetched": files.sha256(data / "raw/manifest.json"),
            "images as cleaned": files.sha256(data / "clean/manifest.json"),
            "model": files.sha256(data / "model/model.json"),
        },
    )


def _interval(test: dict, name: str) -> str:
    return f"95 % interval {span(test[f'{name}_ci95']['low'], test[f'{name}_ci95']['high'])}"


def _resampled(evidence: Evidence) -> str:
    """Say what the intervals resample where that is not single images."""
    test = evidence.scores["test"]
    if test["units"] == test["images"]:
        return ""
    return (
        f"The 95 % intervals resample {grouped(test['units'], test['images'])}, since images that belong together "
        "are right or wrong together."
    )


def _failures(evidence: Evidence) -> str:
    """Say in a sentence or two where the model fails: the worst slice, the worst corruption."""
    test, parts = evidence.scores["test"], []
    # Only what differs by more than chance is worth a word.
    worst = evidence.slices[evidence.slices["high"] < test["accuracy"]].sort_values("accuracy", kind="stable")
    if len(worst):
        row = worst.iloc[0]
        answer = {"yes": "", "no": "not "}.get(row["slice"])
        kind = f"{row['about']}: {row['slice']}" if answer is None else f"{answer}{row['about']}"
        parts.append(
            f"On the slice “{kind}” it does worse than on all: {percent(row['accuracy'])} of "
            f"{plural(row['images'], 'image')} right."
        )
    plain = evidence.robustness[evidence.robustness["strength"] == "none"]["accuracy"]
    corrupted = evidence.robustness[evidence.robustness["strength"] == "medium"]
    hurt = corrupted[corrupted["high"] < plain.max()].sort_values("accuracy", kind="stable")
    if len(hurt):
        row = hurt.iloc[0]
        alike = hurt["corruption"][hurt["accuracy"] == row["accuracy"]].tolist()
        hurts = f"{joined(alike)} {'hurts' if len(alike) == 1 else 'hurt'}"
        parts.append(
            f"Of {plural(len(corrupted), 'medium corruption')} {hurts} most: {percent(row['accuracy'])} right."
        )
    return " ".join(parts)


def _weakest(evidence: Evidence) -> str:
    """Say which class is found worst, and how many images tell so."""
    seen = evidence.per_class[evidence.per_class["support"] > 0]
    unseen = len(evidence.per_class) - len(seen)
    lowest = seen[seen["recall"] == seen["recall"].min()]
    row = lowest.iloc[0]
    only = " that has some" if unseen else ""
    found = f"{percent(row['recall'])} of {plural(int(row['support']), 'image')}"
    if row["recall"] == 1:
        said = "it finds every test image of every class" + only
    elif len(lowest) == len(seen):
        said = f"it finds {percent(row['recall'])} of every class" + only
    elif len(lowest) == 1:
        said = f"its weakest class is “{row['class']}”, of which it finds {found}"
    else:
        said = (
            f"its {len(lowest):,} weakest classes, “{row['class']}” among them, are found at {percent(row['recall'])}"
        )
    return said + (f"; {plural(unseen, 'class', 'classes')} {_have(unseen)} no test image" if unseen else "")


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _lost(train: float, test: dict) -> str:
    """Say what the gap between train and test means."""
    if train <= test["accuracy"]:
        return "it does no worse on images it never saw"
    if train <= test["accuracy_ci95"]["high"]:
        return "within what other test images would show"
    return "what the model loses on images it never saw"


def answer(evidence: Evidence) -> str:
    """Open with what the model is, how good it is and how sure that is."""
    test, train, clean = evidence.scores["test"], evidence.scores["train"], evidence.clean
    gone, flagged = clean["images"] - clean["kept"], sum(clean["flagged"].values())
    doubted = clean["flagged"]["label_error"]
    wrong = test["images"] - round(test["accuracy"] * test["images"])
    made = f"made {plural(flagged, 'finding')} on the others" if flagged else "found nothing to flag on the others"
    if doubted:
        of_them = "" if doubted == flagged else f" {doubted:,} of them"
        made += f":{of_them} {'a label' if doubted == 1 else 'labels'} that the other images speak against"
    return f"<h1>{page.escape(evidence.settings.report.title)}</h1>" + "".join(
        [
            page.text(
                f"{evidence.train['model']}, {plural(evidence.train['parameters'], 'parameter')}, chooses among "
                f"{plural(len(evidence.per_class), 'class', 'classes')}. Of "
                f"{plural(test['images'], 'test image')} that it never saw it gets {f'{wrong:,}' if wrong else 'none'} "
                f"wrong; {_weakest(evidence)}. {_failures(evidence)}"
            ),
            *([f"<p><strong>{page.escape(_leaking(evidence))}</strong></p>"] if clean["leaks_kept"] else []),
            page.text(f"The data: cleaning set aside {gone:,} of {plural(clean['images'], 'image')} and {made}."),
            page.headline(
                [
                    ("Test accuracy", percent(test["accuracy"]), _interval(test, "accuracy")),
                    ("Test F1 (macro)", percent(test["f1"]), _interval(test, "f1")),
                    ("Test recall (macro)", percent(test["recall"]), _interval(test, "recall")),
                    (
                        "Train minus test accuracy",
                        f"{100 * (train['accuracy'] - test['accuracy']):.1f} points",
                        _lost(train["accuracy"], test),
                    ),
                ]
            ),
            page.text(_resampled(evidence), "note") if _resampled(evidence) else "",
        ]
    )


def _leaking(evidence: Evidence) -> str:
    """Say that copies of test images stay in train, and what that does to the metrics."""
    kept = evidence.clean["leaks_kept"]
    return (
        f"{plural(kept, 'copy', 'copies')} of test or validation images {'stays' if kept == 1 else 'stay'} in the "
        f"splits below them, as clean.near_duplicate is {evidence.settings.clean.near_duplicate}: the test metrics are "
        "too good."
    )


def two_proportions(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Test whether two shares differ by more than chance: the pooled z-test, two-sided.

    Args:
        first, second: the share, and of how many.

    Returns:
        The p-value; 1 where fewer than five of a kind are expected, too few for the normal approximation.
    """
    shares, counts = zip(first, second, strict=True)
    pooled = sum(share * count for share, count in (first, second)) / sum(counts)
    if min(counts) * min(pooled, 1 - pooled) < 5:
        return 1.0
    error = math.sqrt(pooled * (1 - pooled) * sum(1 / count for count in counts))
    return math.erfc(abs(shares[0] - shares[1]) / error / math.sqrt(2))


def _unlike(evidence: Evidence) -> list[str]:
    """Say where validation and test differ by more than chance: a sentence or none."""
    clean = evidence.clean
    # Images of a group are not independent, so they count for what they are worth at least.
    sides = [(evidence.scores[split]["accuracy"], clean["effective"][split]) for split in ("validation", "test")]
    if two_proportions(*sides) >= CHANCE:
        return []
    drawn = all(clean["split_makers"][split] != "given by the source" for split in ("validation", "test"))
    why = (
        "Both were drawn from the same images, but the epoch kept was chosen on validation."
        if drawn
        else "They do not come from one draw: their images may differ in kind, so one says little of the other."
    )
    return [
        f"Accuracy differs between validation, {percent(sides[0][0])}, and test, {percent(sides[1][0])}, by more "
        f"than chance (p = {two_proportions(*sides):.1g}). {why}"
    ]


def data(evidence: Evidence) -> str:
    """Show the images: counts a class and split, and samples."""
    clean = evidence.clean
    shape, splits = clean["conversion"], clean["splits"]
    colors = ("gray" if shape["channels"] == 1 else "RGB") + levels.told(shape.get("range"))
    names = list(splits["train"])
    rows = [(name, *(splits[split].get(name, 0) for split in SPLITS)) for name in names[:LISTED]]
    rows.append(("all classes", *(sum(splits[split].values()) for split in SPLITS)))
    parts = [
        page.text(
            f"{plural(evidence.fetch['images'], 'image was', 'images were')} fetched; all that can be read are now "
            f"{shape['height']} x {shape['width']} pixels, {colors}."
        ),
        '<div class="side">',
        page.table(("class", *SPLITS), rows),
        page.sheet(evidence.samples, clean["sampled"], "Training images, one row a class"),
        "</div>",
    ]
    if len(names) > LISTED:
        parts.insert(3, page.text(f"The first {LISTED} of {len(names)} classes are listed.", "note"))
    parts.append(page.text(" ".join(f"{split.capitalize()}: {who}." for split, who in clean["split_makers"].items())))
    if uneven := clean["uneven"]:
        rows = [(about["split"], about["class"], about["images"], f"{about['expected']:,.1f}") for about in uneven]
        more = f" The first {LISTED} of {len(rows)} are listed." if len(rows) > LISTED else ""
        parts.append(
            page.text(
                "Classes that a split lacks, or of which it holds far more or fewer images than its share: its figures "
                f"say nothing, or little, of them.{more}"
            )
        )
        parts.append(page.table(("split", "class", "images", "expected"), rows[:LISTED]))
    parts += [page.text(sentence) for sentence in _unlike(evidence)]
    for kind, title in (
        ("skipped", "Files of the source that were passed over:"),
        ("notes", "Taken, but worth a look:"),
    ):
        found = evidence.fetch[kind].items()
        if found:
            rows = [(reason, about["files"], ", ".join(about["examples"])) for reason, about in found]
            parts += [page.text(title), page.table(("why", "files", "such as"), rows)]
    return page.section("The data", *parts)


_FOUND = {
    "metadata": "Whole pixels, but {detail}",
    "too_small": "Too small: shorter side {score:.0f} pixels",
    "odd_aspect": "Long and thin: {score:.1f} to 1",
    "constant": "Nothing to see: contrast {score:.1f}",
    "too_dark": "Too dark: highlights at {score:.0f} of 255",
    "too_bright": "Too bright: shadows at {score:.0f} of 255",
    "blurry": "Blurry: sharpness {score:.2f}",
    "low_information": "Little to see: {score:.1f} bits",
    "left_out": "Left out by a correction",
    "conflicting_labels": "The same pixels under two labels",
    "exact_duplicate": "The same pixels twice",
    "near_duplicate": "Copies: correlation {score:.3f}",
    "label_error": "Label suspect: quality {score:.2f}",
    "outlier": "Unlike its class: {score:.1f} deviations from the median",
}


def found(evidence: Evidence) -> str:
    """Show what cleaning set aside and flagged: counts, then the worst of each reason in pictures."""
    clean, gone = evidence.clean, evidence.set_aside
    rows = [
        (reason.replace("_", " "), clean["set_aside"][reason], clean["flagged"][reason])
        for reason in clean["set_aside"]
        if clean["set_aside"][reason] or clean["flagged"][reason]
    ]
    copied = "No copy of a given test or validation image was found in the splits below it. "
    if clean["leaks"]:
        copied = (
            "Copies of given test or validation images in the splits below them: "
            f"{clean['leaks']:,} found, {clean['leaks'] - clean['leaks_kept']:,} set aside. "
        )
    corrected = (
        f"{plural(clean['corrected'], 'label was', 'labels were')} corrected by data/corrections.csv, where a person's "
        "verdict on any image below lasts."
    )
    if not rows:
        nothing = "Nothing: no image was set aside and none flagged. "
        told = nothing + (copied if clean["leaks"] else "") + (corrected if clean["corrected"] else "")
        return page.section("What cleaning found", page.text(told.strip()))
    border = ""
    if clean["set_aside"]["near_duplicate"] + clean["flagged"]["near_duplicate"]:
        border = f"Near-duplicates' fine structure correlates by {clean['near_duplicate_score']:.2f} or more. "
    parts = [
        page.text(f"Images set aside are in no split; flagged ones stay in. {copied}{border}{corrected}"),
        page.table(("reason", "set aside", "flagged"), rows),
    ]
    unseen = gone[gone["reason"].isin(["undecodable", "too_large"])].head(LISTED)
    if len(unseen):
        listed = [(row.id, row.label, row.reason.replace("_", " "), row.detail) for row in unseen.itertuples()]
        parts.append(page.table(("image", "label", "reason", "detail"), listed))
    for reason, worst in evidence.evidence.groupby("reason", sort=False):
        parts.append(f"<h3>{page.escape(reason.replace('_', ' ').capitalize())}</h3>")
        parts.append(page.strip([_exhibit(row) for row in worst.itertuples()]))
    if len(evidence.evidence):
        parts.append(
            page.text(
                "The worst of each; all are in data/clean/set_aside.parquet and data/clean/flags.parquet.", "note"
            )
        )
    return page.section("What cleaning found", *parts)


def _exhibit(row) -> tuple[list[tuple[bytes, str]], str]:
    """One finding: its pictures, each with an alternative text, and a caption."""
    pictures = [(row.image, f"{row.id}, labelled {row.label}")]
    caption = f"{_FOUND[row.reason].format(score=row.score, detail=row.detail)}. {row.id}: label {row.label}"
    if row.suggestion:
        caption += f", perhaps {row.suggestion}"
    if row.other_image:
        pictures.append((row.other_image, f"{row.other}, labelled {row.other_label}"))
        caption += f", {row.split or 'unsplit'}; {row.other}: label {row.other_label}, {row.other_split or 'unsplit'}"
    return pictures, f"{caption} ({'set aside' if row.action == 'drop' else 'flagged'})"


def augmented(evidence: Evidence) -> str:
    """Show the augmented samples."""
    if not evidence.augment["active"]:
        return page.section("Augmentation", page.text("Augmentation is off: every strength is 0."))
    what = (
        f"{plural(evidence.augment['views'], 'view was', 'views were')} written, to train on beside the originals."
        if evidence.augment["mode"] == "offline"
        else "New views are made of every image in every epoch."
    )
    picture = page.image(evidence.views, "Training images at the left, augmented views of each to the right")
    return page.section("Augmentation", page.text(f"{what} At the left the original, then views of it."), picture)


def normalized(evidence: Evidence) -> str:
    """Compare the splits' pixel values."""
    rows = []
    for split, figures in evidence.normalize["splits"].items():
        channels = len(figures["mean"])
        for channel in range(channels):
            name = split if channels == 1 else f"{split}, {('red', 'green', 'blue')[channel]}"
            rows.append((name, *(float(figures[key][channel]) for key in ("mean", "std", "median", "shift"))))
    return page.section(
        "Normalisation",
        page.text(
            f"Method: {evidence.normalize['method']}, fitted on train. Pixel values from 0 to 255; shift is the "
            "distance of a split's mean from train's, in train's standard deviations."
        ),
        page.table(("split", "mean", "std", "median", "shift"), rows),
    )


def learning(evidence: Evidence) -> str:
    """Plot the learning curves."""
    history, train = evidence.history, evidence.train
    epochs = history["epoch"].tolist()
    plots = [
        page.curves(
            epochs, {"train": history[key].tolist(), "validation": history[f"validation_{key}"].tolist()}, title
        )
        for key, title in (("loss", "Loss"), ("accuracy", "Accuracy"))
    ]
    return page.section(
        "Learning curves",
        page.text(
            f"{plural(train['epochs'], 'epoch')} over {plural(train['images'], 'image')}; "
            f"the weights of epoch {train['epoch_kept']} are "
            "kept. Figures on train are means over the epoch, while the weights move."
        ),
        f'<div class="side">{"".join(plots)}</div>',
    )


def metrics(evidence: Evidence) -> str:
    """Tabulate every figure on every split, with intervals on test."""
    test = evidence.scores["test"]
    measured = {"test, 95 % interval": "test", "test with mirror images, 95 % interval": "test_flipped"}
    columns = {title: split for title, split in measured.items() if split in evidence.scores}
    rows = []
    for name, (title, better) in FIGURES.items():
        if name not in evidence.scores["test"]:
            continue
        values = [float(evidence.scores[split][name]) for split in SPLITS]
        for split in columns.values():
            value, interval = evidence.scores[split][name], evidence.scores[split][f"{name}_ci95"]
            shown = f"{number(interval['low'])} to {number(interval['high'])}"
            values.append(shown if split == "test" else f"{number(value)}: {shown}")
        rows.append((f"{title}, {better} is better", *values))
    return page.section(
        "Metrics",
        page.table(("", *SPLITS, *columns), rows),
        page.text(
            "95 % intervals are score intervals; the variance of accuracy is computed, that of the other figures comes "
            f"from {evidence.settings.evaluate.resamples:,} resamples of {grouped(test['units'], test['images'])}. "
            "They tell how much a figure would move with other test images, not with another training seed.",
            "note",
        ),
    )


def confused(evidence: Evidence) -> str:
    """Show the confusion matrix of the test split, or the worst pairs where it would be too large."""
    names = evidence.per_class["class"].tolist()
    pairs = evidence.confusion[evidence.confusion["label"] != evidence.confusion["prediction"]]
    worst = pairs.sort_values("images", ascending=False, kind="stable").head(10)
    if not len(pairs):
        said = f"No mistakes: {_all_right(evidence)}."
    elif len(pairs) > len(worst):
        said = f"The {len(worst)} most frequent of {len(pairs):,} kinds of mistake:"
    else:
        said = "The mistakes:"
    listing = page.text(said)
    listing += (
        ""
        if not len(pairs)
        else page.table(
            ("label", "taken for", "images", "share of label"),
            [(row.label, row.prediction, row.images, percent(row.share)) for row in worst.itertuples()],
        )
    )
    if len(names) > MATRIX_CLASSES:
        return page.section("Confusion on test", listing)
    index = {name: number for number, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), int)
    for row in evidence.confusion.itertuples():
        counts[index[row.label], index[row.prediction]] = row.images
    return page.section(
        "Confusion on test",
        page.matrix(names, counts.tolist()),
        listing,
    )


def _all_right(evidence: Evidence) -> str:
    images = evidence.scores["test"]["images"]
    return "the one test image is right" if images == 1 else f"all {images:,} test images are right"


def per_class(evidence: Evidence) -> str:
    """Show F1 a class as bars, and the table."""
    frame = evidence.per_class
    rows = []
    for row in frame.to_dict("records"):
        figures = [
            _with_ends(row, name) if row["support"] else "no test image" for name in ("precision", "recall", "f1")
        ]
        rows.append((row["class"], row["support"], *figures))
    return page.section(
        "Classes on test",
        page.text("F1 of each class:"),
        page.bars(
            [
                (row["class"], row["f1"], percent(row["f1"]) if row["support"] else "no image")
                for row in frame.to_dict("records")
            ]
        ),
        page.text("With 95 % intervals:"),
        page.table(("class", "images", "precision", "recall", "F1"), rows),
    )


def _with_ends(row: dict, name: str) -> str:
    ends = [row[f"{name}_{end}"] for end in ("low", "high")]
    if "" in ends:
        return "none predicted as it"
    return f"{percent(float(row[name]))} ({span(float(ends[0]), float(ends[1]))})"


def calibration(evidence: Evidence) -> str:
    """Show whether probabilities mean what they say, and what a temperature would fix."""
    test, after, frame = evidence.scores["test"], evidence.scores["test_calibrated"], evidence.reliability
    names = ("log_loss", "brier", "ece")
    rows = [(FIGURES[name][0], float(test[name]), float(after[name])) for name in names]
    return page.section(
        "Are its probabilities right?",
        page.text(
            f"On validation the model is {model_card.sureness(after)}. The table shows what dividing its logits by "
            f"{after['temperature']:.3g} does on test. Points below the diagonal are bins of images of which it is "
            "too sure."
        ),
        '<div class="side">',
        page.diagonal(frame["confidence"].tolist(), frame["accuracy"].tolist(), "Reliability on test"),
        page.table(("on test", "as it is", "with the temperature"), rows),
        "</div>",
    )


def slices(evidence: Evidence) -> str:
    """Tabulate accuracy on slices of test."""
    rows = [
        (row.about, row.slice, row.images, percent(row.accuracy), span(row.low, row.high))
        for row in evidence.slices.itertuples()
    ]
    if not rows:
        return page.section(
            "Where it does better and worse", page.text("Nothing that cleaning knows tells the test images apart.")
        )
    return page.section(
        "Where it does better and worse",
        page.text(
            "Test images by what cleaning knows of them. A slice whose interval lies below the others' is worth more "
            "images of its kind; but of many slices some lie apart by chance alone."
        ),
        page.table(("by", "slice", "images", "accuracy", "its 95 % interval"), rows),
    )


def robustness(evidence: Evidence) -> str:
    """Tabulate accuracy under corruptions."""
    frame = evidence.robustness
    if not len(frame):
        return page.section(
            "When pictures get worse", page.text("Not measured: evaluate.robustness_samples is 0 in params.yaml.")
        )
    corrupted = frame[frame["corruption"] != "none"]
    strengths = corrupted["strength"].unique().tolist()
    rows = [
        (name, *(percent(accuracy) for accuracy in rows["accuracy"]), float(rows["accuracy"].iloc[-1]))
        for name, rows in corrupted.groupby("corruption", sort=False)
    ]
    figures = evidence.scores["robustness"]
    return page.section(
        "When pictures get worse",
        page.text(
            f"Accuracy on {plural(figures['images'], 'test image')}: {percent(figures['none'])} uncorrupted, "
            f"{percent(figures['mean'])} on average when corrupted. kiln/modalities/image/corruptions.py tells how."
        ),
        page.table(("corruption", *strengths), [row[:-1] for row in rows]),
        page.text("At the strongest:"),
        page.bars([(row[0], row[-1], percent(row[-1])) for row in rows]),
    )


def mistakes(evidence: Evidence) -> str:
    """Show the wrong predictions that the model is surest of, where it looked, and what it has seen that is alike."""
    wrong = evidence.exhibits["label"] != evidence.exhibits["prediction"]
    if not wrong.any():
        test = evidence.scores["test"]
        none = f"None: {_all_right(evidence)}."
        hidden = "Not shown: evaluate.mistakes is 0 in params.yaml."
        return page.section("Surest mistakes", page.text(none if test["accuracy"] == 1 else hidden))
    grad_cam = (
        "There is no Grad-CAM: this network has no feature maps near its end."
        if evidence.exhibits["grad_cam"].isna().all()
        else "Then: what in the last feature maps speaks for it (Grad-CAM)."
    )
    return page.section(
        "Surest mistakes",
        page.text(
            "Test images that the model gets wrong, the surest first. Look for wrong labels among them. Beside each: "
            "where the evidence for the prediction lies. Red is where hiding a patch makes the prediction less "
            f"likely, blue where more. {grad_cam} Below: the training images whose features are most alike. Other "
            "labels there mean wrong labels, or a kind of image of which there are too few."
        ),
        page.exhibits([_explained(row) for row in evidence.exhibits[wrong].itertuples()]),
    )


def right(evidence: Evidence) -> str:
    """Show a few images that the model is rightly sure of, in the same way."""
    shown = evidence.exhibits[evidence.exhibits["label"] == evidence.exhibits["prediction"]]
    if not len(shown):
        return ""
    return page.section(
        "Rightly sure",
        page.text("For comparison, the surest of some classes. Does it look at the thing, or at what is beside it?"),
        page.exhibits([_explained(row) for row in shown.itertuples()]),
    )


def _explained(row) -> tuple[list[list[tuple[bytes, str]]], str]:
    """Rows of pictures, each with an alternative text, and a caption."""
    own = [(row.image, f"{row.id}: label {row.label}, prediction {row.prediction}")]
    own.append((row.occlusion, f"{row.id}: where hiding a patch changes the prediction"))
    if row.grad_cam:
        own.append((row.grad_cam, f"{row.id}: Grad-CAM of the prediction"))
    near = [
        (one["image"], f"training image {one['id']}, labelled {one['label']}, cosine {one['cosine']:.2f}")
        for one in row.neighbours
    ]
    labels = ", ".join(one["label"] for one in row.neighbours)
    caption = f"{row.id}: label {row.label}, predicted {row.prediction} at {percent(row.probability)}. Alike: {labels}"
    return [own, near], caption


def card(evidence: Evidence) -> str:
    """Show the model card, which metrics/model_card.md is too."""
    return model_card.as_html(evidence)


def provenance(evidence: Evidence) -> str:
    """Say what the model was made of: digests, versions, parameters."""
    # Without the patch level, so that a machine's newer 3.11 gives the same report.
    versions = [("Python", ".".join(platform.python_version_tuple()[:2]))]
    for name in PACKAGES:
        try:
            versions.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return page.section(
        "How it was made",
        page.table(("what", "SHA-256"), evidence.digests.items()),
        page.table(("software", "version"), versions),
        f"<details><summary>params.yaml</summary><pre>{page.escape(evidence.params_text)}</pre></details>",
    )
