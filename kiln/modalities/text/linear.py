"""The baseline for texts: a linear model of n-grams, fitted without a network in seconds.

A support vector machine on TF-IDF, one class against the rest (Joachims, "Text categorization with
support vector machines", ECML 1998), by LIBLINEAR. Its settings are fixed: nothing is searched.
"""

from collections.abc import Callable

import numpy as np

from kiln.modalities.baseline import Baseline


def fit(values: np.ndarray, labels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Fit it on texts, object [N], and their labels, int [N]; returns a function from texts to labels."""
    from sklearn.svm import LinearSVC  # here, since most stages need neither it nor SciPy

    from kiln.modalities.text.tfidf import TfIdf

    if (labels == labels[0]).all():  # the library refuses a single class
        return lambda texts: np.full(len(texts), labels[0])
    weights = TfIdf.fit(values, np.arange(len(values)))
    machine = LinearSVC(C=1.0, random_state=0).fit(weights.weigh(list(values)), labels)
    return lambda texts: machine.predict(weights.weigh(list(texts)))


BASELINE = Baseline(
    name="linear model of n-grams",
    method="support vector machine (scikit-learn's LinearSVC, C = 1) on TF-IDF of n-grams of words and characters",
    most=20_000,
    most_bytes=10_000_000,
    fit=fit,
)
