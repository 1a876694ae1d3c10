"""How well a classifier's probability tells what it should know from what it should not.

The samples of one class stand for what is out of scope. A sample's score is the largest
probability among the *other* classes. Where training has hardly a sample of the class, its output
is hardly ever above 0, and this is the maximum probability of Hendrycks and Gimpel ("A baseline for
detecting misclassified and out-of-distribution examples in neural networks", ICLR 2017). Where it
has many, as in Larson et al. ("An evaluation dataset for intent classification and out-of-scope
prediction", EMNLP 2019), the score is at most 1 less the probability of the class, so it falls
too where the network recognises what is out of scope. But 1 less that probability alone would say
nothing without such samples, and little about kinds of them that training does not show.
"""

import difflib

import numpy as np
from scipy import stats

from kiln.core.errors import UserError
from kiln.evaluation import intervals, proportions, resampling

RECALL = 0.95  # of the samples in scope


def find_class(name: str, classes: list[str], labels: np.ndarray) -> int:
    """Find the class whose samples are out of scope.

    Args:
        name: as evaluate.out_of_scope gives it.
        classes: of the model.
        labels: of the test samples, int [N].

    Returns:
        Its index.

    Raises:
        UserError: there is no such class, or test has no sample of it, or of it alone.
    """
    if name not in classes:
        near = difflib.get_close_matches(name, classes, n=3, cutoff=0) or classes[:3]
        raise UserError(f"evaluate.out_of_scope is {name!r}, but there is no such class: near are {', '.join(near)}")
    index = classes.index(name)
    found = np.count_nonzero(labels == index)
    if not 0 < found < len(labels):
        problem = "all test samples are of it" if found else "no test sample is of it"
        raise UserError(
            f"evaluate.out_of_scope is {name!r}, but {problem}: give test samples of both sides, or leave it empty"
        )
    return index


def score(
    labels: np.ndarray,
    probabilities: np.ndarray,
    index: int,
    resamples: int,
    generator: np.random.Generator,
    units: np.ndarray,
) -> dict:
    """Score how well samples in scope and out of scope are told apart.

    Args:
        labels: int [N], of both kinds.
        probabilities: floats [N, K].
        index: of the class that is out of scope.
        resamples: for the intervals.
        generator: draws them.
        units: int [N], from 0, the same for samples that belong together.

    Returns:
        samples, units (of test); outside (samples out of scope); auroc, the probability that a sample in scope has
        a higher score than one out of scope, ties counting half; fpr95, see ``false_positives``;
        in_scope_accuracy; and NAME_ci95 of each, with low and high.
    """
    outside = labels == index
    known = np.delete(probabilities, index, axis=1).max(axis=1)
    # Only the order counts: as a classifier of two classes, whose area under the curve is that of either.
    order = stats.rankdata(known, method="dense") / (len(known) + 1)
    apart, _ = intervals.scored(
        outside.astype(np.int64), np.stack([order, 1 - order], axis=1), resamples, generator, units
    )
    false = float(false_positives(known, outside, np.ones((1, len(known))))[0])
    drawn = [
        false_positives(known, outside, weights) for weights in resampling.draw(units, resamples, generator, len(known))
    ]
    right = (probabilities.argmax(axis=1) == labels)[~outside]
    ends = {
        "auroc": apart["auc_ci95"].values(),
        "fpr95": _around(false, np.concatenate(drawn), units[outside]),
        "in_scope_accuracy": proportions.share(right, units[~outside]),
    }
    values = {"auroc": apart["auc"], "fpr95": false, "in_scope_accuracy": float(right.mean())}
    result = {"samples": len(labels), "units": apart["units"], "outside": int(outside.sum())}
    for name, (low, high) in ends.items():
        result |= {name: values[name], f"{name}_ci95": {"low": float(low), "high": float(high)}}
    return result


def false_positives(known: np.ndarray, outside: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the share of samples out of scope that pass for known where 95 % of those in scope do.

    A sample passes whose score is at least a threshold: the highest at which 95 % of the samples in
    scope, or more, pass. Liang, Li and Srikant, "Enhancing the reliability of out-of-distribution
    image detection in neural networks", ICLR 2018 (there "FPR at 95 % TPR").

    Args:
        known: score of each sample, floats [N].
        outside: which are out of scope, bool [N].
        weights: floats [R, N].

    Returns:
        floats [R]; NaN where all samples of weight are of one side.
    """
    order = np.argsort(-known, kind="stable")
    # Equal scores pass together: only the last of each run is a place for the threshold.
    last = np.append(np.flatnonzero(np.diff(known[order])), len(known) - 1)
    passed = {
        side: np.cumsum(weights[:, order] * (outside[order] == side), axis=1, dtype=float)[:, last]
        for side in (False, True)
    }
    inside, false = passed[False], passed[True]
    # Weights are whole numbers, so what counts against the share is rounding alone.
    place = (inside >= RECALL * inside[:, -1:] - 1e-9).argmax(axis=1)
    at = np.take_along_axis(false, place[:, None], axis=1)[:, 0]
    total = np.where(inside[:, -1] > 0, false[:, -1], 0)
    return np.divide(at, total, out=np.full(len(at), np.nan), where=total > 0)


def _around(value: float, drawn: np.ndarray, unit: np.ndarray) -> tuple[float, float]:
    """95 % score interval of a share whose variance resamples show, as those of ``intervals``."""
    sizes = np.unique(unit, return_counts=True)[1]
    samples, apart = int(sizes.sum()), float(sizes.sum() ** 2 / np.square(sizes).sum())
    variance = float(np.nanvar(drawn)) * apart / max(apart - 1, 1)
    number = np.minimum(proportions.effective_number(value, variance, samples, apart, apart), samples)
    return proportions.wilson(value * number, number)
