"""The average of weights against hand-worked numbers."""

import numpy as np
import pytest
from makers.networks import one_weight

from kiln.networks.backend import keras
from kiln.training.averaging import Average


def averaged(restart: bool) -> tuple[Average, keras.Model, list[float]]:
    made, own = one_weight(), []
    average = Average(made, 0.2, 2, restart)
    for value in (1.0, 2.0, 3.0, 4.0):
        made.set_weights([np.full((1, 1), value), np.zeros(1)])
        average.step_ended()
        own.append(made.get_weights()[0].item())
    return average, made, own


def test_the_average_by_hand():
    # Updates after steps 2 and 4; the decays are min(0.2, 2/11) and 0.2.
    first = 9 / 11 * 2
    average, made, own = averaged(restart=False)
    assert own == [1, 2, 3, 4]
    with average.applied():
        assert made.get_weights()[0].item() == pytest.approx(0.2 * first + 0.8 * 4)
    assert made.get_weights()[0].item() == 4
    assert averaged(restart=True)[2] == pytest.approx([1, first, 3, 0.2 * first + 0.8 * 4])


def test_without_decay_nothing_is_averaged():
    made = one_weight()
    average = Average(made, 0.0)
    made.set_weights([np.ones((1, 1)), np.ones(1)])
    average.step_ended()
    with average.applied():
        assert made.get_weights()[0].item() == 1
