"""The model card's facts: what the model is for, made from, good at and bad at.

After Mitchell et al., "Model cards for model reporting", FAT* 2019. The sentences
stand in ``templates/card_text.j2``, for the report and for Markdown.
"""

import math

import pandas as pd

from kiln.core.phrases import number, percent
from kiln.evaluation import calibration, comparison
from kiln.evaluation.metrics import SPLIT_METRICS
from kiln.modalities import registry as modalities
from kiln.reporting import scope
from kiln.reporting.evidence import Evidence

SHOWN = ("accuracy", "balanced_accuracy", "f1", "log_loss", "ece")
WORST = 5


def gather(evidence: Evidence) -> dict:
    """Gather the facts of the card."""
    scores, clean, settings = evidence.scores, evidence.clean, evidence.settings
    tested = evidence.per_class["support"] > 0
    weak = evidence.per_class[tested & (evidence.per_class["recall"] < 1)]
    absent = [about["class"] for about in clean["uneven"] if about["split"] == "validation" and not about["samples"]]
    corrupted = evidence.robustness[evidence.robustness["corruption"] != "none"]
    return {
        "noun": evidence.noun,
        "title": settings.report.title,
        "intended_use": settings.report.intended_use,
        **{name: evidence.train[name] for name in ("model", "parameters", "multiply_adds", "megabytes")},
        "conversion": "; ".join(
            about["sentence"] + modalities.get(settings.inputs[part]).range_clause
            for part, about in clean["parts"].items()
        ),
        "classes": list(clean["splits"]["train"]),
        "fetched": clean["samples"],
        "source": settings.fetch.source.name,
        "splits": [(split, sum(counts.values())) for split, counts in clean["splits"].items()],
        "makers": clean["split_makers"],
        **{
            kind: [(name.replace("_", " "), count) for name, count in clean[kind].items() if count]
            for kind in ("set_aside", "flagged")
        },
        "metrics": [_tabulate_metric(name, scores) for name in SHOWN],
        "test": scores["test"],
        "baseline": judge_baseline(evidence),
        "robustness": scores.get("robustness"),
        "scope": scope.gather(evidence),
        "ways": corrupted["corruption"].nunique(),
        "strengths": corrupted["strength"].nunique(),
        "temperature": judge_temperature(scores["test_calibrated"]),
        "listed": WORST,
        "not_validated": absent,
        "untested": evidence.per_class["class"][~tested].tolist(),
        "weakest": _tabulate_weakest(weak),
        **{name: evidence.train[name] for name in ("epochs", "samples", "seed")},
        **{name: evidence.train.get(name) for name in ("weights", "pretraining")},
        "digests": list(evidence.digests.items()),
    }


def _tabulate_metric(name: str, scores: dict) -> tuple[str, str, str, str]:
    test = scores["test"]
    ends = " to ".join(number(test[f"{name}_ci95"][end]) for end in ("low", "high"))
    return SPLIT_METRICS[name][0], number(test[name]), ends, number(scores["train"][name])


def _tabulate_weakest(weak: pd.DataFrame) -> list[tuple[str, int, str, str]]:
    return [
        (
            row["class"],
            row["support"],
            percent(row["recall"]),
            percent(row["precision"]) if row["precision_low"] != "" else "none predicted",
        )
        for row in weak.sort_values("recall", kind="stable").head(WORST).to_dict("records")
    ]


def judge_temperature(calibrated: dict) -> dict:
    """Judge by the temperature that fits validation whether the model is too sure.

    Args:
        calibrated: temperature and temperature_ci95.

    Returns:
        value, low, high (the interval), and whether it is bounded below and above:
        where every sample is right no temperature is too low; where chance is as
        good as the model, none too high.
    """
    ends = calibrated["temperature_ci95"]
    return {
        "value": calibrated["temperature"],
        **ends,
        "bounded_below": not math.isclose(ends["low"], calibration.LOWEST, rel_tol=1e-3),
        "bounded_above": not math.isclose(ends["high"], calibration.HIGHEST, rel_tol=1e-3),
    }


def judge_baseline(evidence: Evidence) -> dict | None:
    """Judge whether the model is better than its modality's simple one.

    Returns:
        name and method of the baseline, of (the training samples), a verdict, and what evaluate has measured of it;
        None where there is no baseline.
    """
    if "baseline" not in evidence.scores:
        return None
    measured = evidence.scores["baseline"]
    (modality,) = evidence.settings.inputs.values()
    about = modalities.get(modality).baseline
    if measured["p"] >= comparison.SIGNIFICANT:
        verdict = "a difference that may be chance"
    else:
        verdict = f"{'better' if measured['won'] > measured['lost'] else 'worse'} beyond chance"
    of = sum(evidence.clean["splits"]["train"].values())
    return {"name": about.name, "method": about.method, "of": of, "verdict": verdict, **measured}
