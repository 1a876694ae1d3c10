"""Read two states of the project, files from git and predictions from DVC, and compare them."""

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
    CONFUSION: ["label", "prediction", comparison.COUNT],
}
PREDICTIONS = "data/evaluation/predictions.parquet"
MAIN_BRANCHES = ("origin/HEAD", "origin/main", "origin/master", "main", "master")
UNSHALLOW = "git fetch --unshallow origin '+refs/heads/*:refs/remotes/origin/*'"


def find_base(named: str | None) -> str:
    """Resolve the base to a commit hash: the named one, else the merge base with the main branch.

    Raises:
        UserError: git fails, or the commit does not exist or is missing in a shallow clone.
    """
    shallow = git.run("rev-parse", "--is-shallow-repository").strip() == "true"
    remedy = f", and this clone is shallow, without older commits and other branches: `{UNSHALLOW}`" if shallow else ""
    if named is not None:
        # --end-of-options: a name that starts with - is not an option.
        commit = git.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{named}^{{commit}}")
        if commit is None:
            how = remedy or ": name a branch, tag or hash (`git fetch` gets those of others)"
            raise UserError(f"there is no commit {named!r}{how}")
        return commit
    if git.ask("rev-parse", "--verify", "--quiet", "HEAD") is None:
        raise UserError("there is no commit to compare with yet: `git add -A`, then `git commit`")
    for branch in MAIN_BRANCHES:
        if commit := git.ask("merge-base", "HEAD", branch):
            return commit
    if any(git.ask("rev-parse", "--verify", "--quiet", branch) for branch in MAIN_BRANCHES):
        raise UserError(f"this branch has no common ancestor with the main one{remedy or ': name a commit'}")
    raise UserError(f"none of {', '.join(MAIN_BRANCHES)} exists{remedy or ': name the commit to compare with'}")


def at(commit: str, path: str) -> str | None:
    """Read a file of a commit; None if the commit does not have it.

    Raises:
        UserError: git cannot read it, as when a partial clone cannot reach its server.
    """
    listed = git.run("ls-tree", "--name-only", commit, "--", f"./{path}")
    return git.run("show", f"{commit}:./{path}") if listed else None


def predictions(commit: str | None) -> pd.DataFrame | None:
    """Read the predictions of a commit (None: the working tree) from DVC's cache or remote; None if not there."""
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
    except Exception:  # of any kind, from DVC, a remote or a damaged file: intervals are compared instead
        return None


@dataclass(frozen=True)
class State:
    """The files in git of a state of the project: params, metrics (flat), classes; and tables: history, confusion."""

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
            if older:
                numbers = numbers.rename(columns={comparison.EARLIER_COUNT: comparison.COUNT})
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
    """Read the state of the working tree.

    Raises:
        UserError: the metrics are missing or incomplete.
    """

    def text_of(path: str) -> str | None:
        # With replacement: a file that is not UTF-8 is then reported as damaged.
        return Path(path).read_text("utf-8", "replace") if Path(path).is_file() else None

    state = _read(text_of, "the working tree")
    if state is None:
        raise UserError(f"{METRICS} is missing: run `dvc repro` and commit it")
    return state


def committed(commit: str) -> State | None:
    """Read the state of a commit; None if it cannot be compared, since the working tree is not to blame for that.

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
    """The comparison of two states.

    Attributes:
        base_name: short hash of the base.
        base, now: the states; base is None if it cannot be compared.
        listed: the metrics of both.
        test: of the predictions on test, if both have them for the same samples.
        failures: of the gate, a sentence each.
        unfit: reasons against merging whatever the metrics are, such as outdated results.
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
        """All reasons against merging."""
        return [*self.unfit, *self.failures]


def compare(commit: str, unfit: Sequence[str] = ()) -> Comparison:
    """Compare the working tree with a commit.

    Args:
        commit: the base.
        unfit: of ``Comparison``.

    Raises:
        UserError: the working tree's metrics or params are incomplete or invalid.
    """
    gate = params.load().compare
    now, base = working_tree(), committed(commit)
    test = None
    if base:
        tables = predictions(commit), predictions(None)
        matching = all(_match(*pair) for pair in zip(tables, (base, now), strict=True))
        test = comparison.paired(*tables) if matching else None
    listed = comparison.changes(base.metrics, now.metrics, test) if base else []
    failures = comparison.failures(now.metrics, listed, gate.floors, gate.drops)
    return Comparison(commit[:12], base, now, listed, test, failures, tuple(unfit))


def _match(table: pd.DataFrame | None, state: State) -> bool:
    """Whether predictions agree with the metrics; after `git switch` without `dvc checkout` they do not."""
    if table is None:
        return False
    test = table[table["split"] == "test"]
    accuracy = float((test["label"] == test["prediction"]).mean())
    return math.isclose(accuracy, state.metrics["test.accuracy"], abs_tol=1e-5)
