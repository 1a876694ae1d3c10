"""How well the model tells what it should not know, as the report and the model card put it into words."""

from kiln.core.phrases import number, percent, span
from kiln.evaluation.metrics import SCOPE_METRICS
from kiln.reporting.evidence import Evidence


def gather(evidence: Evidence) -> dict | None:
    """Gather the metrics of what is out of scope; None where no class is named.

    Returns:
        name (of the class), outside and samples (of test), training (samples of the class in train), rows (title,
        value, 95 % interval), auroc (value, interval) and passed (fpr95, its interval) as the card words them.
    """
    scored = evidence.scores.get("out_of_scope")
    if scored is None:
        return None
    name = evidence.settings.evaluate.out_of_scope
    ends = {key: scored[f"{key}_ci95"] for key in SCOPE_METRICS}
    return {
        "name": name,
        **{key: scored[key] for key in ("outside", "samples")},
        "training": evidence.clean["splits"]["train"].get(name, 0),
        "rows": [
            (f"{title}, {better} is better", scored[key], f"{number(ends[key]['low'])} to {number(ends[key]['high'])}")
            for key, (title, better) in SCOPE_METRICS.items()
        ],
        "auroc": (number(scored["auroc"]), f"{number(ends['auroc']['low'])} to {number(ends['auroc']['high'])}"),
        "passed": (percent(scored["fpr95"]), span(ends["fpr95"]["low"], ends["fpr95"]["high"])),
    }
