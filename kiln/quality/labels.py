"""Labels that are probably wrong, and outliers of their class."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import faiss
import numpy as np
import pandas as pd
from scipy.optimize import minimize, minimize_scalar
from scipy.special import softmax

from kiln.core import randomness
from kiln.quality.judges import JUDGED_ONLY, Kernel, Linear, batches

FOLDS = 5
NEIGHBOURS = 10
_REFERENCE = 5000
_DIMENSIONS = 128
_BATCH = 4096
# At most so many samples are used to fit the mixture; at most so many scores (samples x classes) are held at once.
_CALIBRATED = 20_000
_SCORES = 2**20
# More noise than this means that the features are uninformative, not that the labels are wrong.
_MOST_NOISE = 0.2
# Penalty on the squared prior, in log-likelihood: balanced classes need no prior.
_SHRINK = 20.0
# Real scores have heavier tails than a softmax: where labels were right, twice as many as expected lay in its last 2 %.
_SOFTER = 0.8
# By so much more log-likelihood must labels by chance be of all classes alike.
_EVIDENCE = 5.0
# Starting grid of the search for scale and prior, and its tolerances.
_LOG_SCALES = range(-1, 8)
_PRIORS = (-1.0, -0.5, 0.0, 0.5, 1.0)
_PRECISION = {"xatol": 0.01, "fatol": 1e-6, "maxiter": 60}


@dataclass(frozen=True)
class Judged:
    """Judgement of labels by models that have not seen the samples.

    Attributes:
        quality: float32 [N], from 0 (surely wrong) to 1: the probability, on a
            conservative scale, that the label comes from the sample's content and not
            from chance; NaN where the model has seen no sample of its class.
        suggestion: integers [N], the most probable other class.
        likely: float32 [N], its probability given the sample's content.
        noise: estimated fraction of labels that come from chance.
    """

    quality: np.ndarray
    suggestion: np.ndarray
    likely: np.ndarray
    noise: float

    def is_suspect(self, least: float) -> np.ndarray:
        """Mark labels with quality below ``least`` whose suggestion is more probable than all other classes."""
        return (self.quality < least) & (self.likely > 0.5)


def judge(
    judges: Sequence[Kernel | Linear],
    labels: np.ndarray,
    folds: np.ndarray,
    classes: int,
    generator: np.random.Generator,
) -> Judged:
    """Judge each label by models that have not seen the sample.

    A label is modelled as drawn from the softmax of the scaled scores or, by chance, from the classes' shares (as
    Lawrence and Schölkopf model wrong labels, "Estimating a kernel Fisher discriminant in the presence of label
    noise", ICML 2001) or, where all models are linear and this fits better, from all classes alike. The unknowns
    maximise the likelihood of the labels out of fold. A label is suspect if it is less probable than by chance and
    another class is probable. Uninformative features make none suspect, whatever the number of classes.

    Args:
        judges: models, whose scores are added.
        labels: integers [N], below ``classes``.
        folds: integers [N]: samples of one fold are judged by a model fitted on the
            others; those of ``JUDGED_ONLY`` by a model of all others, and used for none.
        classes: number of classes.
        generator: draws what the models need, and the samples to fit the mixture.
    """
    used = np.flatnonzero(folds != JUDGED_ONLY)
    known = np.logical_and.reduce([_known(labels, folds, model.taught(folds), classes) for model in judges])
    quality = np.full(len(labels), np.nan, np.float32)
    suggestion, likely = np.zeros(len(labels), np.int64), np.zeros(len(labels), np.float32)
    if not known[used].any():
        return Judged(quality, suggestion, likely, 0.0)
    share = (np.maximum(np.bincount(labels[used], minlength=classes), 1) / len(used)).astype(np.float32)
    fitted = [model.fit(labels, folds, share, generator) for model in judges]

    def scores(rows: np.ndarray) -> np.ndarray:
        return functools.reduce(np.add, (score(rows) for score in fitted))

    # Never all scores at once: with many classes they take far more memory than the samples.
    most = max(1, _SCORES // classes)
    drawn = np.sort(generator.permutation(used[known[used]])[: min(_CALIBRATED, max(most, _CALIBRATED // 20))])
    mixture = _choose(scores(drawn), labels[drawn], share, all(isinstance(model, Linear) for model in judges))
    judged = np.flatnonzero(known)
    for rows in batches(judged[np.argsort(folds[judged], kind="stable")], min(_BATCH, most)):
        quality[rows], suggestion[rows], likely[rows] = mixture.judge(scores(rows), labels[rows])
    return Judged(quality, suggestion, likely, mixture.noise)


def deal(labels: np.ndarray, units: np.ndarray, seed: int) -> np.ndarray:
    """Deal units to folds at random per class, so that no fold holds all units of a class that has several.

    A unit of several classes is dealt with those of its rarest; for its others this is not guaranteed.

    Args:
        labels: integers [N].
        units: names [N]; samples with one name stay in one fold.
        seed: of the order.

    Returns:
        Folds, integers [N], below ``FOLDS``.
    """
    rarity = pd.Series(labels).map(pd.Series(labels).value_counts())
    rarest = pd.DataFrame({"unit": units, "label": labels, "samples": rarity}).sort_values(["samples", "label"])
    whole = rarest.drop_duplicates("unit").set_index("unit")["label"].sort_index()
    order = np.lexsort((randomness.key(seed, "folds", randomness.item_keys(whole.index)), whole))
    fold = pd.Series(np.arange(len(order)) % FOLDS, index=whole.index[order])
    return fold[units].to_numpy()


def _known(labels: np.ndarray, folds: np.ndarray, taught: np.ndarray, classes: int) -> np.ndarray:
    """Mark samples whose class occurs in other folds, among those that the model is fitted on: bool [N]."""
    total = np.bincount(labels[taught], minlength=classes)
    known = np.empty(len(labels), bool)
    for name in np.unique(folds):
        inside = folds == name
        in_fold = np.bincount(labels[inside & taught], minlength=classes)
        known[inside] = (total > in_fold)[labels[inside]]
    return known


@dataclass(frozen=True)
class _Mixture:
    """Model of labels given scores: by the sample's content, or by chance.

    Attributes:
        scale: of the scores.
        prior: exponent of the classes' shares.
        noise: fraction of labels by chance.
        share: of each class, float32 [classes], above 0.
        chance: probability of each class where the label is by chance, float32 [classes].
        added: to the scores; float32 [classes], or 0.
    """

    scale: float
    prior: float
    noise: float
    share: np.ndarray
    chance: np.ndarray
    added: np.ndarray | float = 0.0

    def right(self, scores: np.ndarray) -> np.ndarray:
        """Compute the probability of each class where the label is right: float32 [N, classes]."""
        return softmax(
            np.float32(self.scale) * (scores + np.float32(self.added)) + np.float32(self.prior) * np.log(self.share),
            axis=1,
        )

    def judge(self, scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compute quality, suggestion and likely as in ``Judged``, each [N]."""
        right, given = self.right(scores), (np.arange(len(labels)), labels)
        chance = self.noise * self.chance[labels]
        wrong = chance / (chance + (1 - self.noise) * right[given] + np.finfo(np.float32).tiny)
        right[given] = -1
        return 1 - wrong, right.argmax(axis=1), right.max(axis=1)


def _choose(scores: np.ndarray, labels: np.ndarray, share: np.ndarray, even: bool) -> _Mixture:
    """Find the mixture that fits best; if ``even``, labels by chance may also be of all classes alike."""
    by_share, loss = _calibrate(scores, labels, share, share)
    if not even:
        return by_share
    evenly, other = _calibrate(scores, labels, share, np.full_like(share, 1 / len(share)), share)
    # Where the features say nothing, both fit the same, but then every label of a rare class might be by chance.
    return evenly if (loss - other) * len(labels) > _EVIDENCE else by_share


def _calibrate(
    scores: np.ndarray, labels: np.ndarray, share: np.ndarray, chance: np.ndarray, added: np.ndarray | float = 0.0
) -> tuple[_Mixture, float]:
    """Find the mixture that maximises the likelihood of the labels, and minus its logarithm per label."""
    given, blind = (np.arange(len(labels)), labels), chance[labels]

    def fit(scale: float, prior: float) -> tuple[float, _Mixture]:
        right = _Mixture(scale, prior, 0, share, chance, added).right(scores)[given]

        def loss(noise: float) -> float:
            return -np.log((1 - noise) * right + noise * blind).mean()

        best = minimize_scalar(loss, bounds=(0, _MOST_NOISE), method="bounded")
        return best.fun + _SHRINK * prior**2 / len(labels), _Mixture(scale, prior, best.x, share, chance, added)

    start = min((fit(np.exp(x), prior)[0], x, prior) for x in _LOG_SCALES for prior in _PRIORS)[1:]
    bounds = [(start[0] - 1, start[0] + 1), (_PRIORS[0], _PRIORS[-1])]
    best = minimize(
        lambda at: fit(np.exp(at[0]), at[1])[0], start, bounds=bounds, method="Nelder-Mead", options=_PRECISION
    )
    loss, fitted = fit(np.exp(best.x[0]), best.x[1])
    return replace(fitted, scale=_SOFTER * fitted.scale), loss - _SHRINK * fitted.prior**2 / len(labels)


def isolation(features: np.ndarray, labels: np.ndarray, used: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Measure how far each sample is from its class.

    The mean distance to the ten nearest of at most 5,000 samples of its class,
    as a robust z-score: less the class's median, in its median absolute
    deviations scaled to a normal distribution's standard deviation.

    Args:
        features: float [N, D], of unit length.
        labels: integers [N].
        used: bool [N]: the samples to compare with.
        generator: draws the 5,000.

    Returns:
        float [N]; NaN where the class has fewer than 2 * 10 samples to compare with.
    """
    scores = np.full(len(features), np.nan)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        others = np.flatnonzero((labels == label) & used)
        if len(others) < 2 * NEIGHBOURS:
            continue
        others = np.sort(generator.choice(others, min(_REFERENCE, len(others)), replace=False))
        base = np.ascontiguousarray(features[others, :_DIMENSIONS], np.float32)
        distances = np.empty(len(members))
        for place in batches(np.arange(len(members)), _BATCH):
            query = np.ascontiguousarray(features[members[place], :_DIMENSIONS], np.float32)
            near, nearest = faiss.knn(query, base, NEIGHBOURS + 1)
            near = np.sqrt(np.maximum(near, 0))
            near[others[nearest] == members[place][:, None]] = np.nan
            near = np.sort(near, axis=1)[:, :NEIGHBOURS]
            distances[place] = near.mean(axis=1)
        reference = distances[used[members]]
        median = np.median(reference)
        spread = 1.4826 * np.median(np.abs(reference - median))
        scores[members] = (distances - median) / max(spread, 1e-9)
    return scores
