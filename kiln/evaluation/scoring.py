"""The metrics of a model on each split; on test with intervals, per class and per pair of classes."""

import numpy as np
import pandas as pd

from kiln.core import phrases, randomness
from kiln.evaluation import calibration, intervals

SEEN = ("train", "validation")


def score(
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: list[str],
    resamples: int,
    seed: int,
    units: np.ndarray | None = None,
) -> tuple[dict, pd.DataFrame]:
    """Score test samples, with intervals.

    Returns:
        The metrics of ``intervals.scored``; and one row per class: class, support,
        precision, recall, f1, and the ends of their 95 % intervals (recall_low,
        recall_high, ...; empty without samples).
    """
    generator = randomness.generator(seed, "evaluate", "bootstrap")
    metrics, per_class = intervals.scored(labels, probabilities, resamples, generator, units)
    support = np.bincount(labels, minlength=len(classes))
    columns = ["precision", "recall", "f1", "recall_low", "recall_high"]
    columns += ["precision_low", "precision_high", "f1_low", "f1_high"]
    table = pd.DataFrame({"class": classes, "support": support, **{name: per_class[name] for name in columns}})
    table.loc[support == 0, ["f1_low", "f1_high"]] = np.nan
    return metrics, table


def score_calibrated(validation: dict[str, np.ndarray], test: dict[str, np.ndarray]) -> dict[str, float]:
    """Fit a temperature on validation and score the calibrated probabilities of test.

    Args:
        validation, test: of ``predict_split``, with logits if some probability is 0.

    Returns:
        temperature, temperature_ci95 (low, high), log_loss, brier, ece.
    """
    fitted_on = (validation["labels"], validation["probabilities"], validation.get("logits"), validation["units"])
    low, high = calibration.interval(*fitted_on)
    temperature = calibration.fit(*fitted_on)
    calibrated = calibration.scaled(test["probabilities"], temperature, test.get("logits"))
    scored, _ = intervals.scored(test["labels"], calibrated)
    result = {"temperature": temperature, "temperature_ci95": {"low": low, "high": high}}
    return {**result, **{name: scored[name] for name in ("log_loss", "brier", "ece")}}


def confusion_table(labels: np.ndarray, predictions: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """One row per pair that occurs: label, prediction, samples, share (of the samples with that label)."""
    pairs, counts = np.unique(labels.astype(np.int64) * len(classes) + predictions, return_counts=True)
    rows, columns = np.divmod(pairs, len(classes))
    names = np.array(classes, dtype=object)
    share = counts / np.bincount(labels, minlength=len(classes))[rows]
    return pd.DataFrame({"label": names[rows], "prediction": names[columns], "samples": counts, "share": share})


def summarize(outputs: dict[str, dict], test: dict, flipped: dict | None) -> dict:
    """Gather the metrics of all splits: train, validation, test, test_flipped, test_calibrated, gap.

    Args:
        outputs: split -> result of ``predict_split``.
        test, flipped: metrics of test with intervals, without and with mirror images.
    """
    splits = {split: intervals.scored(outputs[split]["labels"], outputs[split]["probabilities"])[0] for split in SEEN}
    return {
        **splits,
        "test": test,
        **({"test_flipped": flipped} if flipped else {}),
        "test_calibrated": score_calibrated(outputs["validation"], outputs["test"]),
        # How much worse the model is on samples that it was not trained on.
        "gap": {name: splits["train"][name] - test[name] for name in ("accuracy", "f1", "log_loss")},
    }


def describe(summary: dict, noun: str) -> str:
    """Describe the result on test in one line; ``noun`` is that of a sample."""
    test, interval = summary["test"], summary["test"]["accuracy_ci95"]
    parts = [
        f"test accuracy {phrases.percent(test['accuracy'], 2)} on {phrases.plural(test['samples'], noun)}, "
        f"95 % interval {phrases.span(interval['low'], interval['high'], 2)}"
    ]
    if test["units"] < test["samples"]:
        parts[0] += f" by {phrases.grouped(test['units'], test['samples'], noun)}"
    if "test_flipped" in summary:
        parts.append(f"{phrases.percent(summary['test_flipped']['accuracy'], 2)} with mirror images")
    if "robustness" in summary:
        parts.append(f"{phrases.percent(summary['robustness']['mean'], 2)} when corrupted")
    return "; ".join(parts)
