import numpy as np
import pytest
from makers.effort import full
from makers.projects import ROOT
from scipy.sparse import csr_array

from kiln import params
from kiln.core import parallel
from kiln.quality import judges, labels

LEAST = params.load(ROOT / "params.yaml").clean.min_label_quality


class Drawn:
    """Terms drawn at random: of each sample some of its class' own, and some of all."""

    def __init__(self, truth: np.ndarray, own: int, others: int = 12, learned: np.ndarray | None = None):
        generator, width = np.random.default_rng(0), 40
        columns = np.concatenate(
            [
                truth[:, None] * width + generator.integers(0, width, (len(truth), own)),
                generator.integers(0, (truth.max() + 1) * width, (len(truth), others)),
            ],
            axis=1,
        )
        rows = np.repeat(np.arange(len(truth)), columns.shape[1])
        shape = (len(truth), (truth.max() + 1) * width)
        self.terms = csr_array((np.full(columns.size, 0.3, np.float32), (rows, columns.ravel())), shape=shape)
        self.learned = np.arange(len(truth)) if learned is None else learned

    def weigh(self, rows: np.ndarray) -> csr_array:
        return self.terms[rows]


def deal(count: int) -> np.ndarray:
    return np.random.default_rng(2).integers(0, labels.FOLDS, count)


def judge(terms: Drawn, given: np.ndarray, folds: np.ndarray | None = None) -> labels.Judged:
    folds = deal(len(given)) if folds is None else folds
    return labels.judge([judges.Linear(terms)], given, folds, given.max() + 1, np.random.default_rng(3))


def plant(truth: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    generator, classes = np.random.default_rng(1), truth.max() + 1
    wrong = generator.random(len(truth)) < fraction
    return (truth + wrong * generator.integers(1, classes, len(truth))) % classes, wrong


@pytest.mark.parametrize("sizes", [[200, 200], [450, 50], [60] * 10, *full([25] * 150)])
def test_planted_errors_are_found_of_rare_classes_too(sizes):
    truth = np.repeat(np.arange(len(sizes)), sizes)
    given, wrong = plant(truth, 0.05)
    result = judge(Drawn(truth, own=8), given)
    found = result.is_suspect(LEAST)
    assert found[wrong].mean() > 0.5 and wrong[found].mean() > 0.85
    assert (result.suggestion[found & wrong] == truth[found & wrong]).all()


@pytest.mark.parametrize("own", [0, 1, 8])
@pytest.mark.parametrize("sizes", [[100] * 10, [900, 90], [2] * 200, [1300, 320, 140, 80, 50, 35, 25, 20, 15, 12]])
def test_where_no_label_is_wrong_few_are_flagged(sizes, own):
    truth = np.repeat(np.arange(len(sizes)), sizes)
    assert judge(Drawn(truth, own), truth).is_suspect(LEAST).mean() <= 0.02


def test_the_weights_solve_the_normal_equations(monkeypatch):
    monkeypatch.setattr(judges, "_TOLERANCE", 1e-6)
    truth = np.repeat(np.arange(3), 30)
    terms, used, share = Drawn(truth, own=4), np.arange(90) % 5 > 0, np.full(3, 1 / 3, np.float32)
    rows = terms.terms.toarray()[used].astype(float)
    centred, target = rows - rows.mean(axis=0), np.eye(3)[truth[used]] - share
    normal = centred.T @ centred + judges._LINEAR_RIDGE * np.eye(rows.shape[1])
    weights = np.linalg.solve(normal, centred.T @ target)
    expected = np.vstack([weights, -rows.mean(axis=0) @ weights])
    fitted = judges._regress(terms.terms, truth, used, share)
    assert fitted == pytest.approx(expected, abs=1e-4)


def test_of_two_classes_one_score_is_minus_the_other():
    truth = np.repeat(np.arange(2), 50)
    share = np.array([0.5, 0.5], np.float32)
    scores = judges.Linear(Drawn(truth, own=4)).fit(truth, deal(100), share, None)(np.arange(100))
    assert scores.sum(axis=1) == pytest.approx(0, abs=1e-5)


def test_what_is_only_judged_or_too_much_teaches_nothing():
    truth = np.repeat(np.arange(4), 100)
    folds = np.arange(400) % labels.FOLDS
    folds[::7] = judges.JUDGED_ONLY
    learned = np.setdiff1d(np.arange(400), np.union1d(np.arange(0, 400, 7), np.arange(0, 400, 3)))
    apart = np.setdiff1d(np.arange(400), learned)
    first = judge(Drawn(truth, 8, learned=learned), truth, folds)
    given = truth.copy()
    given[apart[::2]] = (given[apart[::2]] + 1) % 4
    share = np.full(4, 0.25, np.float32)
    scores = [judges.Linear(Drawn(truth, 8, learned=learned)).fit(y, folds, share, None) for y in (truth, given)]
    assert (scores[0](np.arange(400)) == scores[1](np.arange(400))).all()
    assert np.isfinite(first.quality).all() and first.is_suspect(LEAST).mean() < 0.01
    assert judge(Drawn(truth, 8, learned=learned), given, folds).is_suspect(LEAST)[apart[::2]].mean() > 0.9


def test_a_class_that_no_other_fold_teaches_is_not_judged():
    truth = np.repeat(np.arange(3), [50, 50, 2])
    learned = np.arange(101)  # the last sample is not learned from: who judges the one before knows none of its class
    result = judge(Drawn(truth, 8, learned=learned), truth, np.arange(102) % labels.FOLDS)
    assert np.isnan(result.quality[100]) and np.isfinite(result.quality[[0, 60, 101]]).all()
    alone = judge(Drawn(truth, 8), np.zeros(102, int))
    assert not alone.is_suspect(LEAST).any()


def test_workers_change_nothing(monkeypatch):
    truth = np.repeat(np.arange(5), 80)
    given, _ = plant(truth, 0.1)
    first = judge(Drawn(truth, 3), given)
    ordered = parallel.ordered_map
    monkeypatch.setattr(parallel, "ordered_map", lambda function, items: ordered(function, items, workers=5))
    assert (judge(Drawn(truth, 3), given).quality == first.quality).all()
