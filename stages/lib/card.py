"""The model card: what the model is for, made from, good at and bad at; one content, as HTML and as Markdown.

After Mitchell et al., "Model cards for model reporting", FAT* 2019.
"""

from stages.lib import markdown, page
from stages.lib.figures import FIGURES

SHOWN = ("accuracy", "balanced_accuracy", "f1", "log_loss", "ece")
WORST = 5


def content(evidence) -> list[tuple[str, list[str], tuple | None]]:
    """Gather the card: (heading, sentences, table as (header, rows) or None) each.

    Args:
        evidence: of ``sections.load``.
    """
    test, train, clean, settings = evidence.scores["test"], evidence.train, evidence.clean, evidence.settings
    shape, splits = clean["conversion"], clean["splits"]
    size = f"{shape['height']} x {shape['width']} pixels, {'gray' if shape['channels'] == 1 else 'RGB'}"
    flagged = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in clean["flagged"].items() if count)
    gone = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in clean["set_aside"].items() if count)
    makers = clean["split_makers"]
    counts = ", ".join(f"{sum(counts.values()):,} {split} ({makers[split]})" for split, counts in splits.items())
    figures = [
        (
            FIGURES[name][0],
            f"{test[name]:.4g}",
            "{low:.4g} to {high:.4g}".format(**test[f"{name}_ci95"]),
            f"{train_figures[name]:.4g}",
        )
        for train_figures in [evidence.scores["train"]]
        for name in SHOWN
    ]
    weak = evidence.per_class[evidence.per_class["support"] > 0].sort_values("recall", kind="stable").head(WORST)
    limits = [
        "It always answers with one of its classes, whatever the picture shows.",
        "The intervals tell how much a figure would move with other test images of the same kind, not with images of "
        "another kind, nor with another training seed.",
    ]
    if "robustness" in evidence.scores:
        robust = evidence.scores["robustness"]
        limits.append(
            f"On corrupted pictures (eight ways, three strengths) {robust['mean']:.1%} are right, as they are "
            f"{robust['none']:.1%}."
        )
    temperature = evidence.scores["test_calibrated"]["temperature"]
    limits.append(
        f"Its probabilities are {'too sure' if temperature > 1 else 'too cautious'}: the temperature that fits "
        f"validation is {temperature:.2f}; it is not built into the model."
    )
    for split in ("validation", "test"):
        absent = [about["class"] for about in clean["uneven"] if about["split"] == split and not about["images"]]
        if absent:
            more = f" and {len(absent) - WORST} more" if len(absent) > WORST else ""
            limits.append(f"There is no {split} image of {', '.join(absent[:WORST])}{more}.")
    names = list(splits["train"])
    classes = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return [
        ("Intended use", [settings.report.intended_use], None),
        (
            "Model",
            [
                f"{train['model']}: {train['parameters']:,} parameters, {train['multiply_adds']:,} multiply-adds an "
                f"image, {train['megabytes']:.3g} MB. Input: {size}, 0 to 255. Output: a probability for each of "
                f"{len(names)} classes: {classes}."
            ],
            None,
        ),
        (
            "Data",
            [
                f"{clean['images']:,} images, source {settings.fetch.source}; used: {counts}.",
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
                    (row["class"], row["support"], f"{row['recall']:.1%}", f"{row['precision']:.1%}")
                    for row in weak.to_dict("records")
                ],
            ),
        ),
        (
            "How it was made",
            [
                f"{train['epochs']} epochs over {train['images']:,} images, train.seed {train['seed']}. The digests "
                "say of what; params.yaml and dvc.lock, how."
            ],
            (("what", "SHA-256"), list(evidence.digests.items())),
        ),
    ]


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
