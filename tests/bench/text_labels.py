"""How well wrong labels of texts are found: planted ones, and those that people did not confirm.

    python tests/bench/text_labels.py TEXTS.parquet [--planted 0.1]

TEXTS.parquet holds text and label. Every tenth label is replaced by another, drawn from the
other classes; or, without --planted, where there are columns votes_given, votes_guessed and
votes_neutral of people, a label counts as wrong that fewer than three of them gave. The
ranking is judged as a detector of these; beside it, the margin of an out-of-fold linear
SVM on TF-IDF, which is what most scripts do, and cleanlab's default where it is installed.
"""

import argparse
import sys
import time
from pathlib import Path

import memory
import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.svm import LinearSVC

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from kiln.modalities.base import Part
from kiln.modalities.text.modality import Text
from kiln.quality import labels, suspects

try:
    from cleanlab.classification import CleanLearning
except ImportError:
    CleanLearning = None

SEED = 0


def load(path: str, planted: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read texts [N], given labels [N], which are wrong [N], and which are to be ranked [N]."""
    frame = pd.read_parquet(path)
    frame = frame[frame["text"].str.strip() != ""].reset_index(drop=True)
    given, names = pd.factorize(frame["label"], sort=True)
    if planted:
        generator = np.random.default_rng(SEED)
        wrong = generator.random(len(given)) < planted
        other = (given + generator.integers(1, len(names), len(given))) % len(names)
        return frame["text"].to_numpy(object), np.where(wrong, other, given), wrong, np.ones(len(given), bool)
    voted = frame["votes_given"].notna().to_numpy()
    return frame["text"].to_numpy(object), given, (frame["votes_given"] < 3).to_numpy(), voted


def kiln(texts: np.ndarray, given: np.ndarray, folds: np.ndarray) -> labels.Judged:
    """Judge labels as clean does."""
    rows, learn, parts = np.arange(len(texts)), np.ones(len(texts), bool), {"text": Part("text", Text(), None)}
    models = suspects.choose_judges(parts, {"text": texts}, rows, None, given, learn, SEED)
    return labels.judge(models, given, folds, given.max() + 1, np.random.default_rng(SEED))


def weigh(texts: np.ndarray):
    """Weight words and pairs of words by TF-IDF, as most scripts do: sparse [N, terms]."""
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+").fit_transform(texts)  # noqa: S106


def margins(weighed, given: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Score labels by the margin of a linear SVM that has not seen the text."""
    scores = np.empty(len(given))
    for fold in range(labels.FOLDS):
        inside = folds == fold
        decided = LinearSVC().fit(weighed[~inside], given[~inside]).decision_function(weighed[inside])
        decided = decided if decided.ndim == 2 else np.column_stack([-decided, decided])
        own = np.arange(len(decided)), given[inside]
        mine, decided[own] = decided[own], -np.inf
        scores[inside] = mine - decided.max(axis=1)
    return scores


def report(name: str, seconds: float, quality: np.ndarray, wrong: np.ndarray) -> None:
    """Print how well low qualities point to wrong labels."""
    precision, area = average_precision_score(wrong, -quality), roc_auc_score(wrong, -quality)
    print(f"{name:<44}{precision:>18.3f}{area:>9.3f}{seconds:>9.0f}", flush=True)


def main() -> None:
    """Judge the rankings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts")
    parser.add_argument("--planted", type=float, default=0)
    options = parser.parse_args()
    texts, given, wrong, ranked = load(options.texts, options.planted)
    folds = labels.deal(given, np.arange(len(texts)).astype(str), SEED)
    print(f"{Path(options.texts).stem}: {ranked.sum():,} of {len(texts):,} texts, {wrong[ranked].mean():.1%} wrong")
    print(f"{'':<44}{'average precision':>18}{'ROC AUC':>9}{'seconds':>9}")
    start = time.perf_counter()
    judged = kiln(texts, given, folds)
    report(
        "Kiln: TF-IDF, out-of-fold ridge regression", time.perf_counter() - start, judged.quality[ranked], wrong[ranked]
    )
    peak, start = memory.peak(), time.perf_counter()
    weighed = weigh(texts)
    scores = margins(weighed, given, folds)
    report("TF-IDF, out-of-fold linear SVM", time.perf_counter() - start, scores[ranked], wrong[ranked])
    if CleanLearning:
        start = time.perf_counter()
        by_default = CleanLearning(seed=SEED).find_label_issues(weighed, given)["label_quality"].to_numpy()
        report("cleanlab's default", time.perf_counter() - start, by_default[ranked], wrong[ranked])
    print(f"Kiln: peak {peak:,.0f} MB, {judged.noise:.1%} of the labels seem to come from chance")
    for least in (0.2, 0.5, 0.7):  # the last is the stage's default
        flagged = judged.is_suspect(least) & ranked
        print(f"  below {least}: {flagged.sum():,} flagged, {wrong[flagged].mean():.0%} of them wrong")


if __name__ == "__main__":
    main()
