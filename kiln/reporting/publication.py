"""What the report publishes for git besides the page: metrics and tables for plots."""

from collections import Counter

import pandas as pd

from kiln.reporting.evidence import Evidence

MOST = 90_000  # bytes of a table for git


def gather_metrics(evidence: Evidence) -> dict:
    """Gather the metrics that are compared between commits: nested, every leaf a finite number.

    Returns:
        train, validation, test (metrics, and intervals on test), test_calibrated,
        gap, robustness, clean (counts, set_aside and flagged by reason, classes
        that validation and test lack or that are far off their share) and model
        (parameters, multiply_adds, megabytes, epochs).
    """
    clean, train = evidence.clean, evidence.train
    uneven = Counter((about["split"], about["samples"] > 0) for about in clean["uneven"])
    return {
        **evidence.scores,
        "clean": {
            **{name: clean[name] for name in ("samples", "kept", "corrected", "leaks", "leaks_kept")},
            **{name: clean[name] for name in ("set_aside", "flagged")},
            "classes_absent": {split: uneven[split, False] for split in ("validation", "test")},
            "classes_off_share": {split: uneven[split, True] for split in ("validation", "test")},
        },
        "model": {name: train[name] for name in ("parameters", "multiply_adds", "megabytes", "epochs")},
    }


def prepare_plot_table(table: pd.DataFrame) -> pd.DataFrame:
    """Make a table fit for git and for the page of ``dvc plots``.

    DVC writes values into a script of that page as they are, where ``</script>`` in
    a class name would end it. And with many classes, pairs that are rarely
    confused are left out, the rarest first.

    Args:
        table: of strings; confusion counts have a column ``prediction``.
    """
    table = table.apply(lambda column: column.str.replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"))
    if "prediction" not in table:
        return table
    samples = table["samples"].astype(int)
    sizes = table.map(lambda value: len(value.encode()) + len(",''")).sum(axis=1)
    order = samples.sort_values(ascending=False, kind="stable").index
    beyond = sizes[order].cumsum() >= MOST
    # All of a count or none, else some labels would look better than others.
    return table[samples > samples[order][beyond].max()] if beyond.any() else table
