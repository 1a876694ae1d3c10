"""Say what changed against another commit, whether it is more than noise, and whether it may be merged: a command.

    kiln compare [BASE] [--html FILE]

Prints Markdown; its first line is the verdict, with all its reasons. BASE is a
commit, branch or tag, by default where the present branch left the main one.
Ends with exit code 1 where metrics.json is not whole or the `compare` section
of params.yaml is not kept.
"""

import argparse
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from kiln import params
from kiln.core import entry, figures, files, git, markdown
from kiln.core.errors import UserError
from kiln.evaluation import comparison
from kiln.reporting import charts, rendering, sections

METRICS, CLASSES = "metrics/metrics.json", "metrics/plots/per_class.csv"
HISTORY, CONFUSION = "metrics/plots/history.csv", "metrics/plots/confusion.csv"
COLUMNS = {
    CLASSES: ["class", *(f"{name}{end}" for name in ("recall", "precision") for end in ("", "_low", "_high"))],
    HISTORY: ["epoch", "loss", "accuracy", "validation_loss", "validation_accuracy"],
    CONFUSION: ["label", "prediction", "images"],
}
PREDICTIONS = "data/evaluation/predictions.parquet"
MAIN_BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
UNSHALLOW = "git fetch --unshallow origin '+refs/heads/*:refs/remotes/origin/*'"
LISTED = 40
MARK = "<!-- kiln: comparison -->"  # by this the comment is found again, so that it is updated and not repeated
COMMENT = 60_000  # characters; GitHub takes 65,536


def find_base(named: str | None) -> str:
    """Resolve the base to a commit's hash: the one that is named, else where this branch left the main one.

    Raises:
        UserError: git fails here, there is no such commit, or a shallow clone lacks it.
    """
    shallow = git.run("rev-parse", "--is-shallow-repository").strip() == "true"
    cut = f", and this clone is shallow, without older commits and other branches: `{UNSHALLOW}`" if shallow else ""
    if named is not None:
        # A name is never an option: what starts with - is no revision.
        found = git.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{named}^{{commit}}")
        if found is None:
            how = cut or ": name a branch, tag or hash (`git fetch` gets those of others)"
            raise UserError(f"there is no commit {named!r}{how}")
        return found
    if git.ask("rev-parse", "--verify", "--quiet", "HEAD") is None:
        raise UserError("there is no commit yet to compare with: `git add -A`, then `git commit`")
    for branch in MAIN_BRANCHES:
        if found := git.ask("merge-base", "HEAD", branch):
            return found
    if any(git.ask("rev-parse", "--verify", "--quiet", branch) for branch in MAIN_BRANCHES):
        raise UserError(f"no commit is known from which this branch left the main one{cut or ': name one'}")
    raise UserError(f"none of {', '.join(MAIN_BRANCHES)} exists{cut or ': name the commit to compare with'}")


def at(commit: str, path: str) -> str | None:
    """Read a file of a commit; None where it has none.

    Raises:
        UserError: git cannot read it, as where a partial clone does not reach its server.
    """
    listed = git.run("ls-tree", "--name-only", commit, "--", f"./{path}")
    return git.run("show", f"{commit}:./{path}") if listed else None


def predictions(commit: str | None) -> pd.DataFrame | None:
    """Read the predictions of a commit (None: the working tree) from DVC's cache or remote, where one has them."""
    from dvc.api import DVCFileSystem  # takes a second to import

    try:
        with DVCFileSystem(rev=commit).open(PREDICTIONS) as file:
            content = file.read()
        table = pq.ParquetFile(io.BytesIO(content))
        # An earlier Kiln wrote no units.
        wanted = [
            name
            for name in ("id", "split", "unit", "label", "prediction")
            if name != "unit" or name in table.schema_arrow.names
        ]
        return table.read(columns=wanted).to_pandas()
    except Exception:  # whatever DVC, a remote or a damaged file raises: the intervals are left to compare by
        return None


@dataclass(frozen=True)
class State:
    """What git holds of a state of the project: params, metrics (flat), classes, history, confusion."""

    params: dict
    metrics: dict[str, float]
    classes: pd.DataFrame
    tables: dict[str, pd.DataFrame]


def _read(text_of, name: str, older: bool = False) -> State | None:
    metrics = text_of(METRICS)
    if metrics is None:
        return None

    def table(path: str) -> pd.DataFrame:
        names = {"class": str, "label": str, "prediction": str}
        text = text_of(path)
        if text is None:
            raise UserError(f"{path} is missing in {name}: run `dvc repro` and commit it")
        try:
            frame = pd.read_csv(io.StringIO(text), dtype=names, keep_default_na=False, na_values={"": []})
            numbers = frame.apply(lambda column: pd.to_numeric(column) if column.name not in names else column)
            return numbers[COLUMNS[path]]
        except (KeyError, ValueError):
            raise UserError(f"{path} in {name} is damaged: run `dvc repro` and commit it") from None

    try:
        settings = YAML(typ="safe", pure=True).load(text_of("params.yaml") or "")
    except YAMLError:
        raise UserError(f"params.yaml in {name} is no YAML: mend it") from None
    return State(
        settings if isinstance(settings, dict) else {},
        comparison.read_metrics(metrics, f"{METRICS} of {name}", older),
        table(CLASSES),
        {path: table(path) for path in (HISTORY, CONFUSION)},
    )


def working_tree() -> State:
    """Read the present state.

    Raises:
        UserError: there are no metrics, or they are not whole.
    """

    def text_of(path: str) -> str | None:
        # Of what is not UTF-8 it is said that it is damaged.
        return Path(path).read_text("utf-8", "replace") if Path(path).is_file() else None

    found = _read(text_of, "the working tree")
    if found is None:
        raise UserError(f"{METRICS} is missing: run `dvc repro` and commit it")
    return found


def committed(commit: str) -> State | None:
    """Read the state of a commit; None where it has none that can be compared, which is no fault of the present one.

    Raises:
        UserError: git cannot read it.
    """
    texts = {path: at(commit, path) for path in (METRICS, *COLUMNS, "params.yaml")}
    try:
        return _read(texts.get, commit[:12], older=True)
    except UserError:
        return None


def _signed(change: comparison.Change) -> str:
    return f"{change.now - change.base:+.6g}"


def _judged(change: comparison.Change) -> str:
    if change.beyond is None:
        return ""
    way = "worse" if change.worse > 0 else "better" if change.worse < 0 else "changed"
    return f"{way}, beyond noise" if change.beyond else "within noise"


@dataclass(frozen=True)
class Comparison:
    """All that is said about two states.

    Attributes:
        failures: what the gate does not let through.
        unfit: why it may not be merged whatever the figures are, such as that they are not current.
    """

    base_name: str
    base: State | None
    now: State
    listed: list[comparison.Change]
    test: comparison.McNemar | None
    failures: list[str]
    unfit: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """All that speaks against merging."""
        return [*self.unfit, *self.failures]


def compare(commit: str, unfit: Sequence[str] = ()) -> Comparison:
    """Compare the working tree with a commit.

    Args:
        commit: the base.
        unfit: of ``Comparison``.

    Raises:
        UserError: the working tree's metrics or params are not whole.
    """
    gate = params.load().compare
    now, base = working_tree(), committed(commit)
    test = None
    if base:
        tables = predictions(commit), predictions(None)
        whole = all(_belong(*pair) for pair in zip(tables, (base, now), strict=True))
        test = comparison.paired(*tables) if whole else None
    listed = comparison.changes(base.metrics, now.metrics, test) if base else []
    failures = comparison.failures(now.metrics, listed, gate.floors, gate.drops)
    return Comparison(commit[:12], base, now, listed, test, failures, tuple(unfit))


def _belong(table: pd.DataFrame | None, state: State) -> bool:
    # After `git switch` without `dvc checkout` those of another commit lie there.
    if table is None:
        return False
    test = table[table["split"] == "test"]
    right = float((test["label"] == test["prediction"]).mean())
    return math.isclose(right, state.metrics["test.accuracy"], abs_tol=1e-5)


def _refusal(reasons: Sequence[str]) -> str:
    # Whole, however long: it is what has to be done.
    return f"**May not be merged:** {'; '.join(markdown.plain(reason, None) for reason in reasons)}"


def _verdict(found: Comparison) -> str:
    if found.reasons:
        return _refusal(found.reasons)
    gate = found.now.params.get("compare") or {}
    if not any(gate.values()):
        return "**May be merged:** `compare` in params.yaml sets no floor and no largest drop."
    unchecked = [key for key in gate.get("drops") or {} if key not in {change.key for change in found.listed}]
    if unchecked:
        names = ", ".join(markdown.plain(key, None) for key in unchecked)
        return (
            "**May be merged:** every floor and largest drop of `compare` in params.yaml that can be checked is kept. "
            f"Not checked, since the base has no such figure: the drop of {names}."
        )
    return "**May be merged:** every floor and largest drop of `compare` in params.yaml is kept."


def _accuracy(found: Comparison) -> str:
    change = next(change for change in found.listed if change.key == "test.accuracy")
    verdict = {True: ", beyond test-sample noise", False: ", within test-sample noise", None: ""}[change.beyond]
    moved = f"is {figures.percent(change.now, 2)} as before"
    if change.base != change.now:
        moved = f"went from {figures.span(change.base, change.now, 2)}"
    if found.test:
        test = "McNemar's exact test"
        if found.test.units:
            tested = figures.grouped(found.test.units, int(found.now.metrics["test.images"]))
            test = f"the exact sign-flip test over {tested}, which for single images is McNemar's"
        how = (
            f"the same test images were predicted by both: {found.test.lost:,} that the base got right "
            f"{'is' if found.test.lost == 1 else 'are'} wrong now, {found.test.won:,} the other way round "
            f"({test}, p = {found.test.p:.3g})"
        )
    elif change.beyond is None:
        how = "no test was made, since the base has no interval that can be compared"
    else:
        how = "by the two intervals, since the predictions of both on the same test images are not at hand"
    return f"Test accuracy {moved}{verdict}: {how}. {_resampled(found)}Noise of the training seed is not measured."


def _resampled(found: Comparison) -> str:
    """Say what the intervals resample, in a sentence with a space at its end; nothing where each image is a unit."""
    units, images = (int(found.now.metrics[f"test.{name}"]) for name in ("units", "images"))
    parts = []
    if units < images:
        parts.append(f"The intervals resample {figures.grouped(units, images)}.")
    if "test.units" not in found.base.metrics:
        parts.append("Those of the base are of an earlier Kiln: they take each image for independent.")
    return "".join(f"{part} " for part in parts)


def describe(found: Comparison) -> str:
    """Write the comparison as Markdown, the verdict in its first line, safe whatever names params and classes have."""
    parts = [_verdict(found), "", f"## Kiln: compared with {found.base_name}", ""]
    if found.unfit:
        parts += ["The figures are those of the files as they lie here, which no `dvc repro` vouches for.", ""]
    if not found.base:
        parts += [f"{found.base_name} has no metrics that can be compared.", ""]
        return "\n".join(parts)
    parts += [_accuracy(found), ""]
    changed = comparison.params_changed(found.base.params, found.now.params)
    parts += ["### Params", ""]
    shown = [(key, *("absent" if value is None else value for value in values)) for key, *values in changed]
    parts += [markdown.table(("key", "base", "now"), shown) if shown else "None changed.", ""]
    moved = [change for change in found.listed if change.base != change.now]
    data = [change for change in moved if change.key.startswith("clean.") or change.key.endswith((".images", ".units"))]
    parts += ["### Data", ""]
    rows = [(change.key, change.base, change.now, _signed(change)) for change in data]
    parts += [markdown.table(("count", "base", "now", "difference"), rows) if rows else "No count changed.", ""]
    parts += ["### Figures", ""]
    rows = [
        (change.key, figures.better(change.key) or "", change.base, change.now, _signed(change), _judged(change))
        for change in moved
        if change not in data
    ]
    header = ("figure", "better", "base", "now", "difference", "test-sample noise")
    parts += [markdown.table(header, rows) if rows else "None of those that both have changed.", ""]
    classes = comparison.classes_changed(found.base.classes, found.now.classes)
    if classes:
        parts += ["### Classes that changed beyond noise", ""]
        rows = [(name, figure, base, now, f"{now - base:+.6g}") for name, figure, base, now in classes[:LISTED]]
        parts += [markdown.table(("class", "figure", "base", "now", "difference"), rows), ""]
        more = f"The first {LISTED} of {len(classes)} are listed. " if len(classes) > LISTED else ""
        tried = f"Recall and precision of {_shared(found):,} classes were compared, each by its own 95 % intervals"
        parts += [f"{more}{tried}: with many, some differ so by chance alone.", ""]
    return "\n".join(parts)


def _shared(found: Comparison) -> int:
    return int(found.now.classes["class"].isin(found.base.classes["class"]).sum())


def _show_state(title: str, state: State) -> dict:
    """What the page shows of a state: charts, metrics, confusion counts unless they would be too many."""
    names, splits = state.classes["class"].tolist(), ("train", "validation", "test")
    return {
        "title": title,
        "charts": charts.draw_history(state.tables[HISTORY]),
        "metrics": [
            (name.replace("_", " "), *(state.metrics.get(f"{split}.{name}") for split in splits))
            for name in figures.FIGURES
        ],
        "classes": names,
        "matrix": sections.count_pairs(state.tables[CONFUSION], names) if len(names) <= LISTED else None,
    }


def comment(text: str) -> str:
    """Make a pull request's comment of Markdown: its first line whole, and as many of the others as a server takes."""
    verdict, _, rest = text.partition("\n")
    head = f"{verdict} {MARK}\n"
    if len(head) + len(rest) > COMMENT:
        kept = rest[: max(0, COMMENT - len(head))].rpartition("\n")[0]
        rest = f"{kept}\n\nThe rest is left out here: `kiln compare` prints it.\n"
    return head + rest


def side_by_side(found: Comparison) -> str:
    """Make a page of both states' figures; loads and runs nothing."""
    states = [_show_state(f"base, {found.base_name}", found.base)] if found.base else []
    facts = {
        "base_name": found.base_name,
        "reasons": found.reasons,
        "accuracy": _accuracy(found) if found.base else None,
        "states": [*states, _show_state("now", found.now)],
    }
    return rendering.make_page("Kiln comparison", rendering.fill_html("comparison", facts))


def main() -> None:
    """Read the command line, print, and end with 1 where the gate holds."""
    parser = argparse.ArgumentParser(prog="kiln compare", description=__doc__.partition("\n")[0])
    parser.add_argument("base", nargs="?", help="commit, branch or tag; default: where this branch left the main one")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with the figures side by side, too")
    parser.add_argument("--comment", type=Path, metavar="FILE", help="write a pull request's comment; print nothing")
    parser.add_argument(
        "--unfit", action="append", default=[], metavar="REASON", help="why it may not be merged anyway"
    )
    options = parser.parse_args()
    try:
        found = compare(find_base(options.base), options.unfit)
    except UserError as error:
        if options.comment:  # the verdict, where there is nothing to compare, too
            files.write_bytes(options.comment, comment(_refusal([*options.unfit, str(error)]) + "\n").encode())
        raise
    if options.html:
        files.write_bytes(options.html, side_by_side(found).encode())
    if options.comment:
        files.write_bytes(options.comment, comment(describe(found)).encode())
    else:
        print(describe(found))
    if found.reasons:
        sys.exit(f"compare: {'; '.join(found.reasons)}")


if __name__ == "__main__":
    entry.run(main, "compare")
