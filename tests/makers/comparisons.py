"""Metrics and comparisons of two commits, made up."""

import pandas as pd

from kiln.evaluation import comparison, metrics, revisions

HOSTILE = ["<img src=x onerror=alert(1)>", "a|b", "`c`", "[d](http://e)", "日本語", "f" * 200, "g\nh", "@someone #1"]


def whole_metrics(**changes) -> dict[str, float]:
    found = dict.fromkeys(comparison.REQUIRED, 0.5)
    for name in metrics.SPLIT_METRICS:
        found |= {f"test.{name}": 0.5, f"test.{name}_ci95.low": 0.4, f"test.{name}_ci95.high": 0.6}
    return {**found, **{key.replace("__", "."): value for key, value in changes.items()}}


def hostile() -> revisions.Comparison:
    def state(shift: float) -> revisions.State:
        classes = pd.DataFrame({"class": HOSTILE, "support": 100})
        for name in ("precision", "recall", "f1"):
            value = 0.9 - shift
            classes = classes.assign(**{name: value, f"{name}_low": value - 0.01, f"{name}_high": value + 0.01})
        columns = ("epoch", "loss", "validation_loss", "accuracy", "validation_accuracy")
        confusion = pd.DataFrame({"label": HOSTILE, "prediction": HOSTILE[::-1], "samples": 3, "share": 1.0})
        tables = {revisions.HISTORY: pd.DataFrame({key: [1, 2] for key in columns}), revisions.CONFUSION: confusion}
        params = {"report": {"title": f"{HOSTILE[0]}|{shift}"}}
        return revisions.State(params, whole_metrics(test__accuracy=0.5 - shift), classes, tables)

    base, now = state(0.0), state(0.3)
    listed = comparison.changes(base.metrics, now.metrics, None)
    return revisions.Comparison("0123456789ab", base, now, listed, None, [f"{HOSTILE[0]} | failed"])
