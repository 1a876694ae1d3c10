"""Two states of the project, of which git holds the files and DVC the predictions, and what differs between them."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from kiln import params
from kiln.core import git, yaml
from kiln.core.errors import UserError
from kiln.evaluation import comparison

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
        settings = yaml.load(text_of("params.yaml") or "")
    except yaml.Invalid:
        raise UserError(f"params.yaml in {name} is not valid YAML: fix it") from None
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
    """Read the state of a commit; None if it has none that can be compared, which is not a fault of the present state.

    Raises:
        UserError: git cannot read it.
    """
    texts = {path: at(commit, path) for path in (METRICS, *COLUMNS, "params.yaml")}
    try:
        return _read(texts.get, commit[:12], older=True)
    except UserError:
        return None


@dataclass(frozen=True)
class Comparison:
    """All that is said about two states.

    Attributes:
        failures: what the gate does not let through.
        unfit: why it may not be merged whatever the metrics are, such as that they are not current.
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
