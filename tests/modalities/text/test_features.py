import numpy as np
import pytest
from makers.texts import as_array, prose

from kiln.core import parallel
from kiln.modalities.text import features, shingles


def compute(texts, fit_on=None) -> np.ndarray:
    rows = np.arange(len(texts))
    return features.compute(as_array(texts), rows, rows if fit_on is None else fit_on, np.random.default_rng(0))


TEXTS = [prose(seed, 12) for seed in range(60)]


def test_unit_length():
    result = compute(TEXTS)
    assert result.dtype == np.float16 and result.shape == (60, 59)
    assert np.linalg.norm(result.astype(float), axis=1) == pytest.approx(1, abs=2e-3)


def test_what_shares_words_or_characters_is_near():
    texts = [*TEXTS, "cats and dogs", "dogs and cats!", "酒店的服务很好", "服务很好的酒店", "酒店服务"]
    near = compute(texts).astype(float)
    near = near @ near.T
    np.fill_diagonal(near, 0)
    assert near[60:62].argmax(axis=1).tolist() == [61, 60]
    assert set(near[62:].argmax(axis=1)) <= {62, 63, 64} and near[62:, :60].max() < 0.1


def test_only_the_rows_to_fit_on_are_learned_from():
    fit_on = np.arange(40)
    first = compute(TEXTS, fit_on)
    second = compute([*TEXTS[:50], *[prose(seed, 99) for seed in range(10)]], fit_on)
    assert (first[:50] == second[:50]).all() and not (first[50:] == second[50:]).all()


def test_workers_and_batches_change_nothing(monkeypatch):
    first = compute(TEXTS)
    ordered = parallel.ordered_map
    monkeypatch.setattr(parallel, "ordered_map", lambda function, items: ordered(function, items, workers=5))
    monkeypatch.setattr(shingles, "_TEXTS", 7)
    assert (compute(TEXTS) == first).all()


@pytest.mark.parametrize("texts", [["a"], ["a", "b"], ["", "same", "same"], ["x" * 50_000, "y"], ["?", "!", "."]])
def test_few_and_strange_texts(texts):
    result = compute(texts)
    assert len(result) == len(texts) and np.isfinite(result).all()
