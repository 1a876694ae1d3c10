"""Losses against hand-worked numbers."""

import math

import numpy as np
import pytest

from kiln.core import scores
from kiln.training import losses
from kiln.training.targets import encode_labels

LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]], np.float32))
LABELS = np.array([0, 1], np.int32)
TARGETS = encode_labels(LABELS, 3)


def test_losses_by_hand():
    assert np.asarray(losses.cross_entropy(TARGETS, LOGITS)) == pytest.approx([-math.log(0.7), -math.log(0.25)])
    by_hand = [0.3**2 + 0.2**2 + 0.1**2, 0.25**2 + 0.75**2 + 0.5**2]
    assert np.asarray(losses.squared_error(TARGETS, LOGITS)) == pytest.approx(by_hand)
    # Half of each of the first two classes.
    shared = np.array([[0.5, 0.5, 0]], np.float32)
    assert np.asarray(losses.cross_entropy(shared, LOGITS[:1])) == pytest.approx([-math.log(0.7 * 0.2) / 2])


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_validation_measures_the_loss_that_is_trained(name):
    trained = np.asarray(losses.LOSSES[name](TARGETS, LOGITS))
    assert scores.LOSSES[name](np.exp(LOGITS), LABELS) == pytest.approx(trained, rel=1e-6)
