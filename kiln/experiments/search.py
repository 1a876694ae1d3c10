"""Search for better params, one experiment at a time.

Each trial is a DVC experiment named NAME-1, NAME-2, ... The search keeps no state:
the trials are read back from `dvc exp show`, so an interrupted search resumes. Only
validation metrics can be optimised, never those of test.
"""

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from kiln import params
from kiln.core import git, lifetime, yaml
from kiln.core.errors import UserError
from kiln.evaluation import comparison, metrics

TRACKED = ("params.yaml", "dvc.lock", "metrics")


def parse(text: str):
    """Read one dimension: ``key=low..high``, ``key=log(low..high)`` or ``key=one,two,...``.

    Returns:
        The key, and its Optuna distribution: integers if both ends are.

    Raises:
        UserError: the text has none of these forms, the key is unknown, or the ends are not a range.
    """
    from optuna import distributions

    key, equals, space = text.partition("=")
    if not equals or not space:
        raise UserError(f"{text!r} has no search space: write KEY=LOW..HIGH, KEY=log(LOW..HIGH) or KEY=ONE,TWO")
    if key not in params.knobs():
        raise UserError(f"{key} is not a param: name one of params.yaml, such as train.lr")
    inner = re.fullmatch(r"log\((.*)\)", space)
    ends = (inner[1] if inner else space).split("..")
    if len(ends) == 2:
        low, high = (_scalar(end, text) for end in ends)
        if any(isinstance(end, bool) or not isinstance(end, int | float) for end in (low, high)) or not low < high:
            raise UserError(f"{text!r}: {space} is not a range: write two numbers, the lower first, as in 1e-4..1e-1")
        if inner and low <= 0:
            raise UserError(f"{text!r}: a logarithmic range starts above 0")
        integers = isinstance(low, int) and isinstance(high, int)
        distribution = distributions.IntDistribution if integers else distributions.FloatDistribution
        return key, distribution(low, high, log=bool(inner))
    choices = [_scalar(choice, text) for choice in space.split(",")]
    return key, distributions.CategoricalDistribution(choices)


def _scalar(word: str, text: str):
    try:
        value = yaml.load(word)
    except yaml.Invalid:
        value = None
    if not isinstance(value, str | int | float | bool) or (isinstance(value, float) and not math.isfinite(value)):
        raise UserError(f"{text!r}: {word!r} is not a valid value: write finite numbers, words, true or false")
    return value


def dvc(*arguments: str) -> subprocess.CompletedProcess:
    """Run DVC, with its output as text; when interrupted, wait until DVC has cleaned up.

    Raises:
        UserError: DVC cannot be started.
    """
    try:
        # In its own process group: it then gets exactly one SIGINT, whatever signal stops this process.
        process = subprocess.Popen(
            ["dvc", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
    except FileNotFoundError:  # not on PATH, or in a .venv that was moved
        raise UserError("dvc cannot be started: run `make setup`, then `source .venv/bin/activate`") from None
    try:
        out, errors = process.communicate()
    except lifetime.Stopped:
        # DVC leaves SIGINT to the stage that it runs, and then returns git to its branch.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.communicate()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


def tried(shown: Sequence[Mapping], name: str, metric: str) -> dict[int, tuple[dict, float]]:
    """Read the completed trials of a search.

    Args:
        shown: output of `dvc exp show --json`.
        name: of the search.
        metric: key of metrics.json.

    Returns:
        number -> (params, flat; value of the metric). Experiments without the metric are left out.
    """
    trials = {}
    for base in shown:
        for experiment in base.get("experiments") or []:
            match = re.fullmatch(rf"{re.escape(name)}-(\d+)", experiment.get("name") or "")
            data = (experiment["revs"][0].get("data") or {}) if match else {}
            values = comparison.flat(data.get("metrics", {}).get("metrics/metrics.json", {}).get("data") or {})
            settings = comparison.flat(data.get("params", {}).get("params.yaml", {}).get("data") or {})
            if isinstance(values.get(metric), int | float):
                trials[int(match[1])] = settings, float(values[metric])
    return trials


def history(name: str, metric: str) -> dict[int, tuple[dict, float]]:
    """Read the completed trials from DVC, for the current commit.

    Raises:
        UserError: `dvc exp show` fails.
    """
    shown = dvc("exp", "show", "--json")
    if shown.returncode:
        raise UserError(f"`dvc exp show` failed: {shown.stderr.strip() or 'no message'}")
    return tried(json.loads(shown.stdout), name, metric)


def study(done: Mapping[int, tuple[dict, float]], space: Mapping, direction: str, seed: int):
    """Rebuild the Optuna study from the completed trials; the same history gives the same next trial.

    Args:
        done: of ``tried``; trials outside the space are left out.
        space: key -> distribution.
        direction: maximize or minimize.
        seed: of the sampler.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed + len(done), n_startup_trials=8)
    rebuilt = optuna.create_study(direction=direction, sampler=sampler)
    for _, (settings, value) in sorted(done.items()):
        chosen = {key: settings.get(key) for key in space}
        try:
            rebuilt.add_trial(optuna.trial.create_trial(params=chosen, distributions=dict(space), value=value))
        except (ValueError, TypeError):  # a trial of another space
            continue
    return rebuilt


def clean_tree() -> None:
    """Reject uncommitted changes, which the search would overwrite.

    Raises:
        UserError: params, lock or metrics differ from the commit, or git fails.
    """
    if changed := git.run("status", "--porcelain", "--", *TRACKED).split():
        raise UserError(f"{changed[-1]} has uncommitted changes: commit or stash them first")


def restore() -> None:
    """Restore the commit's params, lock, metrics and data."""
    # Without the user's hooks, since a failing hook makes the checkout fail.
    git.run("-c", f"core.hooksPath={os.devnull}", "checkout", "--quiet", "HEAD", "--", *TRACKED)
    dvc("checkout", "--quiet")


def run_trial(name: str, chosen: Mapping) -> bool:
    """Run one experiment; return whether it succeeded."""
    # With ++, since a param of another optimiser or model may be missing in params.yaml.
    settings = [word for key, value in chosen.items() for word in ("-S", f"++{key}={json.dumps(value)}")]
    process = dvc("exp", "run", "--name", name, *settings)  # not with --quiet, which hides DVC's errors
    if process.returncode:
        print(f"search: {name} failed: {cause(process.stderr)}", file=sys.stderr)
    return process.returncode == 0


def cause(stderr: str) -> str:
    """Find the line that explains why `dvc exp run` failed: DVC's error, else the last line of the stage."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    stage = [line for line in lines if not line.startswith("ERROR: ")]
    reasons = [line for line in errors if not line.startswith("failed to reproduce")] or stage[-1:] or errors
    return reasons[0] if reasons else "no message"


def run_trials(space: Mapping, name: str, metric: str, trials: int, seed: int) -> dict[int, tuple[dict, float]]:
    """Run trials until ``trials`` are complete; return all of them.

    Raises:
        UserError: three trials in a row failed, or one has no such metric.
    """
    maximize = metrics.direction(metric) == "higher"
    failed = 0
    while len(done := history(name, metric)) < trials:
        trial = study(done, space, "maximize" if maximize else "minimize", seed + 1000 * failed).ask(dict(space))
        number = max(done, default=0) + 1
        shown = ", ".join(f"{key}={value}" for key, value in trial.params.items())
        print(f"search: {name}-{number}: {shown}", flush=True)
        failed = 0 if run_trial(f"{name}-{number}", trial.params) else failed + 1
        if failed == 3:
            raise UserError("three trials in a row failed: see above, and narrow the ranges")
        if not failed:
            values = history(name, metric)
            if number not in values:
                raise UserError(f"{name}-{number} has no {metric}: choose a metric that its metrics.json holds")
            print(f"search: {name}-{number}: {metric} {values[number][1]:.6g}", flush=True)
    return done


def search(space: Sequence[str], name: str, metric: str, trials: int, seed: int) -> tuple[int, dict[int, float]]:
    """Check the arguments, search, and restore the working tree.

    Args:
        space: dimensions, as ``parse`` reads them.
        name: of the search and, with a number, of its experiments.
        metric: key of metrics.json, of validation.
        trials: total number, including earlier ones.
        seed: of the sampler.

    Returns:
        The number of the best trial, and number -> metric of all trials.

    Raises:
        UserError: an argument is invalid, the tree has uncommitted changes, or three trials in a row failed.
    """
    if not metric.startswith("validation.") or not metrics.direction(metric):
        raise UserError(f"{metric} cannot be searched by: choose a validation metric, such as validation.log_loss")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name):
        raise UserError(f"--name {name!r}: use letters, digits and hyphens, starting with a letter")
    if trials < 1:
        raise UserError(f"--trials {trials}: should be at least 1")
    dimensions = dict(parse(text) for text in space)
    clean_tree()
    try:
        done = run_trials(dimensions, name, metric, trials, seed)
    finally:
        restore()
    values = {number: value for number, (_, value) in done.items()}
    choose = max if metrics.direction(metric) == "higher" else min
    return choose(values, key=values.get), values
