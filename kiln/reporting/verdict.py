"""Write down a comparison of two states: whether it may be merged, why, and all that differs.

As Markdown for people and pull requests, whose first line is the verdict with all
its reasons, and as a page with both states side by side.
"""

from collections.abc import Sequence

from kiln.core import markdown, phrases
from kiln.evaluation import comparison, metrics
from kiln.evaluation.revisions import CONFUSION, HISTORY, Comparison, State
from kiln.modalities import registry as modalities
from kiln.reporting import charts, rendering, sections

LISTED = 40
MARK = "<!-- kiln: comparison -->"  # by this the comment is found again, so that it is updated and not repeated
COMMENT = 60_000  # characters; GitHub takes 65,536


def _signed(change: comparison.Change) -> str:
    return f"{change.now - change.base:+.6g}"


def _judged(change: comparison.Change) -> str:
    if change.beyond is None:
        return ""
    way = "worse" if change.worse > 0 else "better" if change.worse < 0 else "changed"
    return f"{way}, beyond noise" if change.beyond else "within noise"


def refusal(reasons: Sequence[str]) -> str:
    """Say that it may not be merged, with all reasons whole, however long: they are what has to be done."""
    return f"**May not be merged:** {'; '.join(markdown.plain(reason, None) for reason in reasons)}"


def _verdict(found: Comparison) -> str:
    if found.reasons:
        return refusal(found.reasons)
    gate = found.now.params.get("compare") or {}
    if not any(gate.values()):
        return "**May be merged:** `compare` in params.yaml sets no floor and no largest drop."
    unchecked = [key for key in gate.get("drops") or {} if key not in {change.key for change in found.listed}]
    if unchecked:
        names = ", ".join(markdown.plain(key, None) for key in unchecked)
        return (
            "**May be merged:** every floor and largest drop of `compare` in params.yaml that can be checked is kept. "
            f"Not checked, since the base has no such metric: the drop of {names}."
        )
    return "**May be merged:** every floor and largest drop of `compare` in params.yaml is kept."


def _noun(found: Comparison) -> str:
    """The noun for a sample, by the params as they are now, which may be anything; an earlier Kiln had images alone."""
    inputs = found.now.params.get("inputs", {"image": "image"})
    kinds = list(inputs.values()) if isinstance(inputs, dict) else []
    return modalities.get(kinds[0]).noun if len(kinds) == 1 and kinds[0] in modalities.known() else "sample"


def _accuracy(found: Comparison) -> str:
    noun = _noun(found)
    change = next(change for change in found.listed if change.key == "test.accuracy")
    verdict = {True: ", beyond test-sample noise", False: ", within test-sample noise", None: ""}[change.beyond]
    moved = f"is {phrases.percent(change.now, 2)} as before"
    if change.base != change.now:
        moved = f"went from {phrases.span(change.base, change.now, 2)}"
    if found.test:
        test = "McNemar's exact test"
        if found.test.units:
            tested = phrases.grouped(found.test.units, int(found.now.metrics["test.samples"]), noun)
            test = f"the exact sign-flip test over {tested}, which for single {noun}s is McNemar's"
        how = (
            f"the same test {noun}s were predicted by both: {found.test.lost:,} that the base got right "
            f"{'is' if found.test.lost == 1 else 'are'} wrong now, {found.test.won:,} the other way round "
            f"({test}, p = {found.test.p:.3g})"
        )
    elif change.beyond is None:
        how = "no test was made, since the base has no interval that can be compared"
    else:
        how = f"by the two intervals, since the predictions of both on the same test {noun}s are not at hand"
    return (
        f"Test accuracy {moved}{verdict}: {how}. {_resampled(found, noun)}Noise of the training seed is not measured."
    )


def _resampled(found: Comparison, noun: str) -> str:
    """Say what the intervals resample, in a sentence with a space at its end; nothing where each sample is a unit."""
    units, samples = (int(found.now.metrics[f"test.{name}"]) for name in ("units", "samples"))
    parts = []
    if units < samples:
        parts.append(f"The intervals resample {phrases.grouped(units, samples, noun)}.")
    if "test.units" not in found.base.metrics:
        parts.append(f"Those of the base are of an earlier Kiln: they take each {noun} for independent.")
    return "".join(f"{part} " for part in parts)


def describe(found: Comparison) -> str:
    """Write the comparison as Markdown, the verdict in its first line, safe whatever names params and classes have."""
    parts = [_verdict(found), "", f"## Kiln: compared with {found.base_name}", ""]
    if found.unfit:
        parts += ["The metrics are those of the files as they are here; no `dvc repro` confirms them.", ""]
    if not found.base:
        parts += [f"{found.base_name} has no metrics that can be compared.", ""]
        return "\n".join(parts)
    parts += [_accuracy(found), ""]
    changed = comparison.params_changed(found.base.params, found.now.params)
    parts += ["### Params", ""]
    shown = [(key, *("absent" if value is None else value for value in values)) for key, *values in changed]
    parts += [markdown.table(("key", "base", "now"), shown) if shown else "None changed.", ""]
    moved = [change for change in found.listed if change.base != change.now]
    data = [
        change for change in moved if change.key.startswith("clean.") or change.key.endswith((".samples", ".units"))
    ]
    parts += ["### Data", ""]
    rows = [(change.key, change.base, change.now, _signed(change)) for change in data]
    parts += [markdown.table(("count", "base", "now", "difference"), rows) if rows else "No count changed.", ""]
    parts += ["### Metrics", ""]
    rows = [
        (change.key, metrics.direction(change.key) or "", change.base, change.now, _signed(change), _judged(change))
        for change in moved
        if change not in data
    ]
    header = ("metric", "better", "base", "now", "difference", "test-sample noise")
    parts += [markdown.table(header, rows) if rows else "None of those that both have changed.", ""]
    classes = comparison.classes_changed(found.base.classes, found.now.classes)
    if classes:
        parts += ["### Classes that changed beyond noise", ""]
        rows = [(name, figure, base, now, f"{now - base:+.6g}") for name, figure, base, now in classes[:LISTED]]
        parts += [markdown.table(("class", "metric", "base", "now", "difference"), rows), ""]
        more = f"The first {LISTED} of {len(classes)} are listed. " if len(classes) > LISTED else ""
        tried = f"Recall and precision of {_shared(found):,} classes were compared, each by its own 95 % intervals"
        parts += [f"{more}{tried}: with many, some differ so by chance alone.", ""]
    return "\n".join(parts)


def _shared(found: Comparison) -> int:
    return int(found.now.classes["class"].isin(found.base.classes["class"]).sum())


def comment(text: str) -> str:
    """Make a pull request's comment of Markdown: its first line whole, and as many of the others as a server takes."""
    verdict, _, rest = text.partition("\n")
    head = f"{verdict} {MARK}\n"
    if len(head) + len(rest) > COMMENT:
        kept = rest[: max(0, COMMENT - len(head))].rpartition("\n")[0]
        rest = f"{kept}\n\nThe rest is left out here: `kiln compare` prints it.\n"
    return head + rest


def side_by_side(found: Comparison) -> str:
    """Make a page of both states' metrics; loads and runs nothing."""
    states = [_show_state(f"base, {found.base_name}", found.base)] if found.base else []
    facts = {
        "base_name": found.base_name,
        "reasons": found.reasons,
        "accuracy": _accuracy(found) if found.base else None,
        "states": [*states, _show_state("now", found.now)],
    }
    return rendering.make_page("Kiln comparison", rendering.fill_html("comparison", facts))


def _show_state(title: str, state: State) -> dict:
    """What the page shows of a state: charts, metrics, confusion counts unless they would be too many."""
    names, splits = state.classes["class"].tolist(), ("train", "validation", "test")
    return {
        "title": title,
        "charts": charts.draw_history(state.tables[HISTORY]),
        "metrics": [
            (name.replace("_", " "), *(state.metrics.get(f"{split}.{name}") for split in splits))
            for name in metrics.SPLIT_METRICS
        ],
        "classes": names,
        "matrix": sections.count_pairs(state.tables[CONFUSION], names) if len(names) <= LISTED else None,
    }
