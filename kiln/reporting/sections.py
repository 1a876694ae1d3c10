"""The report's facts: a function per section returns plain data, which the template of the same name puts into words.

The sentences stand in ``templates/``: those of ``findings`` in ``templates/findings.html``.
"""

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata

import numpy as np
import pandas as pd
from scipy import stats

from kiln.core.phrases import number, percent, span
from kiln.evaluation.metrics import SPLIT_METRICS
from kiln.modalities import registry as modalities
from kiln.modalities.base import Exhibit
from kiln.reporting import card as model_card
from kiln.reporting import charts, scope
from kiln.reporting.evidence import Evidence
from kiln.store.dataset import SPLITS

_FINDINGS = {
    "left_out": "Left out by a correction",
    "conflicting_labels": "The same content under two labels",
    "exact_duplicate": "The same content twice",
    "near_duplicate": "Copies: similarity {score:.3f}",
    "label_error": "Label suspect: quality {score:.2f}",
    "outlier": "Unlike its class: {score:.1f} deviations from the median",
}
MATRIX_CLASSES = 30
LISTED = 50
CHANCE = 0.01  # p-value below which two accuracies are said to differ
PACKAGES = ("dvc", "keras", "tensorflow", "tensorflow-cpu", "numpy", "pandas", "pyarrow", "pillow")
PACKAGES += ("opencv-python-headless", "scikit-learn", "papermill", "nbconvert")


def summary(evidence: Evidence) -> dict:
    """What the model is, how good it is, how sure that is, where it fails, and what cleaning did."""
    test, clean = evidence.scores["test"], evidence.clean
    return {
        "noun": evidence.noun,
        "title": evidence.settings.report.title,
        "model": evidence.train["model"],
        "parameters": evidence.train["parameters"],
        "classes": len(evidence.per_class),
        "test": test,
        "baseline": model_card.judge_baseline(evidence),
        "wrong": test["samples"] - round(test["accuracy"] * test["samples"]),
        "train_accuracy": evidence.scores["train"]["accuracy"],
        "weakest": _find_weakest_class(evidence.per_class),
        "worst_slice": _find_worst_slice(evidence.slices, test["accuracy"]),
        "worst_corruption": _find_worst_corruption(evidence.robustness),
        "leaks_kept": clean["leaks_kept"],
        "near_duplicate": evidence.settings.clean.near_duplicate,
        "fetched": clean["samples"],
        "set_aside": clean["samples"] - clean["kept"],
        "findings": sum(clean["flagged"].values()),
        "suspect_labels": clean["flagged"]["label_error"],
    }


def _find_weakest_class(per_class: pd.DataFrame) -> dict:
    """Find the class of the lowest recall, how many have the same, and how many have test samples or none."""
    tested = per_class[per_class["support"] > 0]
    lowest = tested[tested["recall"] == tested["recall"].min()]
    return {
        "name": lowest["class"].iloc[0],
        "recall": float(lowest["recall"].iloc[0]),
        "samples": int(lowest["support"].iloc[0]),
        "classes": len(lowest),
        "tested": len(tested),
        "untested": len(per_class) - len(tested),
    }


def _find_worst_slice(slices_: pd.DataFrame, accuracy: float) -> dict | None:
    """Find the slice of the lowest accuracy among those that are worse than all samples beyond chance."""
    worse = slices_[slices_["high"] < accuracy].sort_values("accuracy", kind="stable")
    return worse.iloc[0].to_dict() if len(worse) else None


def _find_worst_corruption(robustness_: pd.DataFrame) -> dict | None:
    """Find the corruptions of medium strength that cost the most accuracy, if any costs more than chance would."""
    uncorrupted = robustness_[robustness_["strength"] == "none"]["accuracy"]
    medium = robustness_[robustness_["strength"] == "medium"]
    hurt = medium[medium["high"] < uncorrupted.max()].sort_values("accuracy", kind="stable")
    if not len(hurt):
        return None
    lowest = hurt["accuracy"].iloc[0]
    names = hurt["corruption"][hurt["accuracy"] == lowest].tolist()
    return {"names": names, "of": len(medium), "accuracy": float(lowest)}


def data(evidence: Evidence) -> dict:
    """The data: counts per class and split, some samples, where splits differ, what fetch skipped."""
    clean, splits = evidence.clean, evidence.clean["splits"]
    names = list(splits["train"])
    return {
        "noun": evidence.noun,
        "fetched": evidence.fetch["samples"],
        "conversion": describe_parts(clean["parts"]),
        "splits": list(SPLITS),
        "classes": len(names),
        "listed": LISTED,
        "counts": [[name, *(splits[split].get(name, 0) for split in SPLITS)] for name in names[:LISTED]],
        "totals": [sum(splits[split].values()) for split in SPLITS],
        "samples": show_parts(evidence.samples),
        "sampled": clean["sampled"],
        "makers": clean["split_makers"],
        "uneven": [
            (about["split"], about["class"], about["samples"], f"{about['expected']:,.1f}") for about in clean["uneven"]
        ],
        "difference": _compare_splits(evidence),
        "unlabelled": clean.get("unlabelled"),
        **{
            kind: [(reason, about["files"], ", ".join(about["examples"])) for reason, about in files.items()]
            for kind, files in ((kind, evidence.fetch[kind]) for kind in ("skipped", "notes"))
        },
    }


def describe_parts(parts: dict) -> str:
    """Describe what samples are converted to, for a sentence: 8 x 8 pixels, gray."""
    if len(parts) == 1:
        return next(iter(parts.values()))["sentence"]
    return "; ".join(f"{name}: {about['sentence']}" for name, about in parts.items())


def show_parts(exhibits: dict[str, Exhibit]) -> list[dict]:
    """Give the exhibits of a sample's parts as templates show them: part, kind, content."""
    return [{"part": part, **exhibit._asdict()} for part, exhibit in exhibits.items()]


def compare_shares(first: tuple[float, float], second: tuple[float, float]) -> float:
    """Test whether two shares differ by more than chance: the pooled z-test, two-sided.

    Args:
        first, second: the share, and of how many.

    Returns:
        The p-value; 1 where fewer than five of a kind are expected, too few for the normal approximation.
    """
    table = np.array([(share * count, (1 - share) * count) for share, count in (first, second)])
    if (stats.contingency.expected_freq(table) < 5).any():
        return 1.0
    # Its square is Pearson's chi-squared without correction.
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def _compare_splits(evidence: Evidence) -> dict | None:
    """Compare accuracy on validation and test; None where chance explains the difference."""
    clean, pair = evidence.clean, ("validation", "test")
    # Samples of a group are not independent, so the effective number of samples counts.
    sides = [(evidence.scores[split]["accuracy"], clean["effective"][split]) for split in pair]
    p = compare_shares(*sides)
    if p >= CHANCE:
        return None
    drawn = all(clean["split_makers"][split] != "given by the source" for split in pair)
    return {"validation": sides[0][0], "test": sides[1][0], "p": p, "both_drawn": drawn}


def findings(evidence: Evidence) -> dict:
    """What cleaning set aside and flagged: counts, then the worst of each reason as exhibits."""
    clean, gone, inputs = evidence.clean, evidence.set_aside, evidence.settings.inputs
    unseen = gone[gone["reason"].isin(["undecodable", "too_large"])].head(LISTED)
    copies = clean["set_aside"]["near_duplicate"] + clean["flagged"]["near_duplicate"]
    return {
        "noun": evidence.noun,
        "counts": [
            (_spell(reason), clean["set_aside"][reason], clean["flagged"][reason])
            for reason in clean["set_aside"]
            if clean["set_aside"][reason] or clean["flagged"][reason]
        ],
        "leaks": clean["leaks"],
        "leaks_kept": clean["leaks_kept"],
        "corrected": clean["corrected"],
        "copies": _describe_copies(clean["near_duplicate_score"], inputs) if copies else "",
        "unreadable": [(row.id, row.label, _spell(row.reason), row.detail) for row in unseen.itertuples()],
        "worst": {
            _spell(reason).capitalize(): [_show_finding(row, inputs) for row in worst.to_dict("records")]
            for reason, worst in evidence.evidence.groupby("reason", sort=False)
        },
    }


def _describe_copies(borders: Mapping[str, float], inputs: Mapping[str, str]) -> str:
    """Say how alike near-duplicates are, part by part: their "fine structure correlates by 0.65 or more"."""
    return ", ".join(modalities.get(inputs[part]).copies_clause.format(score=score) for part, score in borders.items())


def _spell(reason: str) -> str:
    return reason.replace("_", " ")


def _show_finding(row: dict, inputs: Mapping[str, str]) -> dict:
    names = ("id", "label", "split", "suggestion", "other", "other_label", "other_split")
    return {
        **{name: row[name] for name in names},
        "what": describe_finding(row, inputs),
        "set_aside": row["action"] == "drop",
        "shown": list(row["shown"]),
        "other_shown": [] if row["other_shown"] is None else list(row["other_shown"]),
    }


def describe_finding(row: dict, inputs: Mapping[str, str]) -> str:
    """Describe what a check saw in a sample: Blurry: sharpness 0.12."""
    sentences = dict(_FINDINGS)
    for part, modality in inputs.items():
        own = modalities.get(modality).finding_sentences
        sentences |= {reason if len(inputs) == 1 else f"{part}.{reason}": text for reason, text in own.items()}
    score = row["score"]
    share = percent(score, 0) if pd.notna(score) else ""
    return sentences[row["reason"]].format(score=score, share=share, detail=row["detail"])


def augmentation(evidence: Evidence) -> dict:
    """Whether views are made, when, and samples of them."""
    names = ("active", "mode", "views")
    return {
        "noun": evidence.noun,
        **{name: evidence.augment[name] for name in names},
        "samples": show_parts(evidence.views),
    }


def normalization(evidence: Evidence) -> dict:
    """The splits' values, part by part: what the modality describes, per dimension."""
    parts = []
    for part, about in evidence.normalize["parts"].items():
        modality, rows = modalities.get(evidence.settings.inputs[part]), []
        keys = modality.described
        for split, measured in about["splits"].items():
            for index, dimension in enumerate(modality.name_dimensions(len(measured["mean"]))):
                name = f"{split}, {dimension}" if dimension else split
                rows.append((name, *(float(measured[key][index]) for key in keys)))
        described = {"columns": [_spell(key) for key in keys], "rows": rows}
        parts.append({"method": about["method"], "scale": modality.values_sentence, **described})
    return {"parts": parts}


def learning(evidence: Evidence) -> dict:
    """The learning curves, and what was learnt before them without labels."""
    names = ("epochs", "samples", "epoch_kept")
    return {
        "noun": evidence.noun,
        "pretraining": evidence.train.get("pretraining"),
        **{name: evidence.train[name] for name in names},
        "charts": charts.draw_history(evidence.history),
    }


def metrics(evidence: Evidence) -> dict:
    """Every metric on every split, with intervals on test."""
    scores, test = evidence.scores, evidence.scores["test"]
    rows = []
    for name, (title, better) in SPLIT_METRICS.items():
        if name not in test:
            continue
        row = [
            f"{title.format(noun=evidence.noun)}, {better} is better",
            *(float(scores[split][name]) for split in SPLITS),
            _ends(test, name),
        ]
        if "test_flipped" in scores:
            flipped = scores["test_flipped"]
            row.append(f"{number(flipped[name])}: {_ends(flipped, name)}")
        rows.append(row)
    return {
        "noun": evidence.noun,
        "splits": list(SPLITS),
        "flipped": "test_flipped" in scores,
        "rows": rows,
        "resamples": evidence.settings.evaluate.resamples,
        "test": test,
        "scope": scope.gather(evidence),
    }


def _ends(scores: dict, name: str) -> str:
    return " to ".join(number(scores[f"{name}_ci95"][end]) for end in ("low", "high"))


def calibration(evidence: Evidence) -> dict:
    """Whether probabilities mean what they say, and what a temperature would fix."""
    test, after, frame = evidence.scores["test"], evidence.scores["test_calibrated"], evidence.reliability
    return {
        "noun": evidence.noun,
        "temperature": model_card.judge_temperature(after),
        "rows": [
            (SPLIT_METRICS[name][0], float(test[name]), float(after[name])) for name in ("log_loss", "brier", "ece")
        ],
        "chart": charts.draw_reliability(
            frame["confidence"].tolist(), frame["accuracy"].tolist(), "Reliability on test"
        ),
    }


def confusion(evidence: Evidence) -> dict:
    """The confusion matrix of the test split, unless it would be too large, and the most frequent mistakes."""
    names, table = evidence.per_class["class"].tolist(), evidence.confusion
    pairs = table[table["label"] != table["prediction"]]
    worst = pairs.sort_values("samples", ascending=False, kind="stable").head(10)
    return {
        "noun": evidence.noun,
        "samples": evidence.scores["test"]["samples"],
        "kinds": len(pairs),
        "worst": [(row.label, row.prediction, row.samples, percent(row.share)) for row in worst.itertuples()],
        "names": names,
        "matrix": count_pairs(table, names) if len(names) <= MATRIX_CLASSES else None,
    }


def count_pairs(table: pd.DataFrame, names: list[str]) -> list[list[int]]:
    """Lay out counts of (label, prediction, samples) as a matrix, one row per label, in the order of ``names``."""
    counts = table.pivot_table(index="label", columns="prediction", values="samples", fill_value=0, aggfunc="sum")
    return counts.reindex(index=names, columns=names, fill_value=0).astype(int).to_numpy().tolist()


def classes(evidence: Evidence) -> dict:
    """F1 per class, and precision, recall and F1 with their intervals."""
    table = evidence.per_class.to_dict("records")
    noun, names = evidence.noun, ("precision", "recall", "f1")
    return {
        "noun": noun,
        "bars": [(row["class"], row["f1"], percent(row["f1"]) if row["support"] else f"no {noun}") for row in table],
        "rows": [
            (row["class"], row["support"], *(_describe_metric(row, name, noun) for name in names)) for row in table
        ],
    }


def _describe_metric(row: dict, name: str, noun: str) -> str:
    if not row["support"]:
        return f"no test {noun}"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    if "" in (low, high):
        return "none predicted as it"
    return f"{percent(float(row[name]))} ({span(float(low), float(high))})"


def slices(evidence: Evidence) -> dict:
    """Accuracy on slices of test."""
    return {
        "noun": evidence.noun,
        "rows": [
            (row.about, row.slice, row.samples, percent(row.accuracy), span(row.low, row.high))
            for row in evidence.slices.itertuples()
        ],
    }


def robustness(evidence: Evidence) -> dict:
    """Accuracy on corrupted test samples."""
    frame = evidence.robustness
    if not len(frame):
        return {"noun": evidence.noun, "measured": False}
    corrupted = frame[frame["corruption"] != "none"]
    by_kind = {name: rows["accuracy"].tolist() for name, rows in corrupted.groupby("corruption", sort=False)}
    return {
        "noun": evidence.noun,
        "measured": True,
        "scores": evidence.scores["robustness"],
        "strengths": corrupted["strength"].unique().tolist(),
        "rows": [(name, *map(percent, accuracies)) for name, accuracies in by_kind.items()],
        "bars": [(name, accuracies[-1], percent(accuracies[-1])) for name, accuracies in by_kind.items()],
    }


def mistakes(evidence: Evidence) -> dict:
    """The wrong predictions that the model is surest of, with explanations and the nearest training samples."""
    shown = evidence.exhibits
    test = evidence.scores["test"]
    return {
        "noun": evidence.noun,
        "explained": _show_predictions(shown[shown["label"] != shown["prediction"]], evidence.settings.inputs),
        "reading": _read_explanations(shown, evidence.settings.inputs),
        "samples": test["samples"],
        "all_right": test["accuracy"] == 1,
    }


def successes(evidence: Evidence) -> dict:
    """A few samples that the model is rightly sure of, shown in the same way."""
    shown = evidence.exhibits
    right = shown[shown["label"] == shown["prediction"]]
    return {"noun": evidence.noun, "explained": _show_predictions(right, evidence.settings.inputs)}


def _read_explanations(shown: pd.DataFrame, inputs: Mapping[str, str]) -> list[str]:
    """Say once how the explanations of the exhibits are read, and which there are none of."""
    given = {(one["part"], one["title"]) for exhibits in shown["shown"] for one in exhibits}
    sentences = [
        about.reading if (part, title) in given else about.absence
        for part, modality in inputs.items()
        for title, about in modalities.get(modality).explanations.items()
    ]
    return list(dict.fromkeys(sentences))


def _show_predictions(exhibits: pd.DataFrame, inputs: Mapping[str, str]) -> list[dict]:
    return [_show_prediction(row, inputs) for row in exhibits.itertuples()]


def _show_prediction(row, inputs: Mapping[str, str]) -> dict:
    return {
        **{name: getattr(row, name) for name in ("id", "label", "prediction", "probability")},
        "shown": [{**one, "alt": _describe_exhibit(one, row, inputs)} for one in _leave_out_repeated(row.shown)],
        "neighbours": [
            {**{name: one[name] for name in ("id", "label", "cosine")}, "shown": list(one["shown"])}
            for one in row.neighbours
        ],
    }


def _leave_out_repeated(shown: Sequence[dict]) -> list[dict]:
    """Leave out the text of a part that is shown as marked text too."""
    marked = {one["part"] for one in shown if one["kind"] == "marked"}
    return [one for one in shown if one["kind"] != "text" or one["part"] not in marked]


def _describe_exhibit(one: dict, row, inputs: Mapping[str, str]) -> str:
    if one["title"] == "sample":
        return f"label {row.label}, prediction {row.prediction}"
    return modalities.get(inputs[one["part"]]).explanations[one["title"]].alt


def card(evidence: Evidence) -> dict:
    """The model card, which metrics/model_card.md is too."""
    return model_card.gather(evidence)


def provenance(evidence: Evidence) -> dict:
    """What the model was made of: digests, versions, parameters."""
    # Without the patch level, so that a machine's newer 3.11 gives the same report.
    versions = [("Python", ".".join(platform.python_version_tuple()[:2]))]
    for name in PACKAGES:
        try:
            versions.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return {"digests": list(evidence.digests.items()), "versions": versions, "params": evidence.params_text}
