"""Learning rates against hand-worked numbers."""

import pytest
from makers.settings import settings

from kiln.training.schedules import LearningRate


def rates(steps, each=5, **changes) -> list[float]:
    made = LearningRate(settings(**{"lr": 0.1, "epochs": 2, **changes}), each)
    return [made.at(step) for step in steps]


def test_schedules_by_hand():
    assert rates((0, 9), schedule="constant") == [0.1, 0.1]
    assert rates((0, 5, 10), schedule="cosine") == pytest.approx([0.1, 0.05, 0])
    assert rates((0, 5, 10), schedule="linear") == pytest.approx([0.1, 0.05, 0])
    assert rates((0, 3, 10), schedule="one_cycle") == pytest.approx([0.004, 0.1, 4e-7])
    assert rates((1.5, 6.5), schedule="one_cycle") == pytest.approx([0.052, 0.0500002])
    stepped = rates((0, 9, 10, 19, 20), epochs=9, schedule="step", decay_factor=0.1, decay_epochs=2)
    assert stepped == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_warm_up_rises_and_the_schedule_takes_the_rest():
    assert rates((0, 1, 3), warmup=0.8, schedule="constant") == pytest.approx([0.025, 0.05, 0.1])
    assert rates((4, 7, 10), warmup=0.8, schedule="linear") == pytest.approx([0.1, 0.05, 0])


def test_plateau_lowers_the_rate_after_patience():
    rate = LearningRate(settings(schedule="plateau", lr=1.0, decay_factor=0.1, decay_epochs=2), 10)
    seen = []
    for loss in (3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0):
        rate.epoch_ended(loss)
        seen.append(rate.at(0))
    assert seen == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001])
