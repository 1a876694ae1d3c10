"""The model card: what the model is for, made from, good at and bad at; one content, as HTML and as Markdown.

After Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

import math

from kiln.core import markdown
from kiln.core.figures import FIGURES, grouped, number, percent, plural
from kiln.evaluation import calibration
from kiln.modalities.image import levels
from kiln.reporting import page

SHOWN = ("accuracy", "balanced_accuracy", "f1", "log_loss", "ece")
WORST = 5


def content(evidence) -> list[tuple[str, list[str], tuple | None]]:
    """Gather the card: (heading, sentences, table as (header, rows) or None) each.

    Args:
        evidence: of ``sections.load``.
    """
    test, train, clean, settings = evidence.scores["test"], evidence.train, evidence.clean, evidence.settings
    shape, splits = clean["conversion"], clean["splits"]
    colors = ("gray" if shape["channels"] == 1 else "RGB") + levels.told(shape.get("range"))
    size = f"{shape['height']} x {shape['width']} pixels, {colors}"
    flagged = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in clean["flagged"].items() if count)
    gone = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in clean["set_aside"].items() if count)
    makers = clean["split_makers"]
    counts = ", ".join(f"{sum(counts.values()):,} {split} ({makers[split]})" for split, counts in splits.items())
    figures = [
        (
            FIGURES[name][0],
            number(test[name]),
            " to ".join(number(test[f"{name}_ci95"][end]) for end in ("low", "high")),
            number(train_figures[name]),
        )
        for train_figures in [evidence.scores["train"]]
        for name in SHOWN
    ]
    has = evidence.per_class["support"] > 0
    seen, unseen = evidence.per_class[has], evidence.per_class[~has]
    weak = seen[seen["recall"] < 1].sort_values("recall", kind="stable").head(WORST)
    limits = [
        "It always answers with one of its classes, whatever the picture shows.",
        f"The intervals resample {grouped(test['units'], test['images'])}"
        + (", since images of a group are right or wrong together" if test["units"] < test["images"] else "")
        + ". They tell how much a figure would move with other test images of the same kind, not with images of "
        "another kind, nor with another training seed.",
    ]
    if "robustness" in evidence.scores:
        robust = evidence.scores["robustness"]
        limits.append(
            f"On corrupted pictures (eight ways, three strengths) accuracy is {percent(robust['mean'])} on average, on "
            f"the same {plural(robust['images'], 'test image')} uncorrupted {percent(robust['none'])}."
        )
    limits.append(
        f"By validation it is {sureness(evidence.scores['test_calibrated'])}. The temperature is not built into the "
        "model."
    )
    absent = [about["class"] for about in clean["uneven"] if about["split"] == "validation" and not about["images"]]
    if absent:
        more = f" and {len(absent) - WORST} more" if len(absent) > WORST else ""
        limits.append(f"There is no validation image of {', '.join(absent[:WORST])}{more}.")
    if len(unseen):
        shown = ", ".join(unseen["class"][:WORST]) + (" and more" if len(unseen) > WORST else "")
        limits.append(f"Nothing is known of {plural(len(unseen), 'class', 'classes')} without a test image: {shown}.")
    if not len(weak):
        limits.append("Every test image is found, so no class is known to be weak.")
    names = list(splits["train"])
    classes = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return [
        ("Intended use", [settings.report.intended_use], None),
        (
            "Model",
            [
                f"{train['model']}: {plural(train['parameters'], 'parameter')}, "
                f"{plural(train['multiply_adds'], 'multiply-add')} an image, {train['megabytes']:.3g} MB. "
                f"Input: {size}, 0 to 255. Output: a probability for each of {len(names)} classes: {classes}."
            ],
            None,
        ),
        (
            "Data",
            [
                f"{plural(clean['images'], 'image')}, source {settings.fetch.source.name}; used: {counts}.",
                f"Set aside: {gone or 'none'}. Flagged, but used: {flagged or 'none'}.",
            ],
            None,
        ),
        ("How good it is", [], (("figure", "test", "95 % interval", "train"), figures)),
        (
            "Limits",
            limits,
            (
                ("weakest classes", "test images", "recall", "precision"),
                [
                    (
                        row["class"],
                        row["support"],
                        percent(row["recall"]),
                        percent(row["precision"]) if row["precision_low"] != "" else "none predicted",
                    )
                    for row in weak.to_dict("records")
                ],
            )
            if len(weak)
            else None,
        ),
        (
            "How it was made",
            [
                f"{plural(train['epochs'], 'epoch')} over {plural(train['images'], 'image')}, "
                f"train.seed {train['seed']}. The digests say of what; params.yaml and dvc.lock, how."
            ],
            (("what", "SHA-256"), list(evidence.digests.items())),
        ),
    ]


def sureness(calibrated: dict) -> str:
    """Say whether the model is too sure, with the temperature that fits validation and its interval.

    Args:
        calibrated: temperature and temperature_ci95.
    """
    temperature, ends = calibrated["temperature"], calibrated["temperature_ci95"]
    if ends["low"] > 1:
        sure = "surer than it should be"
    elif ends["high"] < 1:
        sure = "less sure than it could be"
    else:
        sure = "neither too sure nor too cautious beyond chance"
    # Where every image is right no temperature is too low; where chance is as good as the model, none too high.
    parts = [f"{ends['low']:.3g}", f"{ends['high']:.3g}"]
    lowest = math.isclose(ends["low"], calibration.LOWEST, rel_tol=1e-3)
    highest = math.isclose(ends["high"], calibration.HIGHEST, rel_tol=1e-3)
    if lowest and highest:
        said = "any at all"
    elif lowest:
        said = f"{parts[1]} or less"
    elif highest:
        said = f"{parts[0]} or more"
    else:
        said = " to ".join(parts)
    return f"{sure}: temperature {temperature:.3g}, 95 % interval {said}"


def as_html(evidence) -> str:
    """Make the report's section."""
    parts = []
    for heading, sentences, table in content(evidence):
        parts.append(f"<h3>{page.escape(heading)}</h3>")
        parts += [page.text(sentence) for sentence in sentences]
        if table:
            parts.append(page.table(*table))
    return page.section("Model card", *parts)


def as_markdown(evidence) -> str:
    """Make a page that stands alone."""
    parts = [f"# {markdown.plain(evidence.settings.report.title)}: model card", ""]
    for heading, sentences, table in content(evidence):
        parts += [f"## {heading}", ""]
        for sentence in sentences:
            parts += [markdown.plain(sentence, limit=None), ""]
        if table:
            parts += [markdown.table(*table), ""]
    return "\n".join(parts)
