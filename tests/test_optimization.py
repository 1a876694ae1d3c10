"""Losses, optimisers and schedules against hand-worked numbers."""

import math

import numpy as np
import pytest
from conftest import ROOT

from stages.lib import optimization, params, scores
from stages.lib.backend import keras

BASE = params.load(ROOT / "params.yaml").train
LOGITS = np.log(np.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]], np.float32))
LABELS = np.array([0, 1], np.int32)


def settings(**changes) -> params.Train:
    return params.Train(**{**BASE.model_dump(), **changes})


def test_losses_by_hand():
    assert np.asarray(optimization.cross_entropy(LABELS, LOGITS)) == pytest.approx([-math.log(0.7), -math.log(0.25)])
    by_hand = [0.3**2 + 0.2**2 + 0.1**2, 0.25**2 + 0.75**2 + 0.5**2]
    assert np.asarray(optimization.squared_error(LABELS, LOGITS)) == pytest.approx(by_hand)


@pytest.mark.parametrize("name", sorted(optimization.LOSSES))
def test_validation_measures_the_loss_that_is_trained(name):
    probabilities = np.exp(LOGITS)
    trained = np.asarray(optimization.LOSSES[name](LABELS, LOGITS))
    assert scores.LOSSES[name](probabilities, LABELS) == pytest.approx(trained, rel=1e-6)


def step(gradient: list[float], **changes) -> np.ndarray:
    optimizer = optimization.optimizer(settings(lr=1.0, **changes))
    variables = [keras.Variable(np.zeros(1)), keras.Variable(np.zeros(1))]
    optimizer.build(variables)
    optimizer.apply_gradients([(keras.ops.array([g]), v) for g, v in zip(gradient, variables, strict=True)])
    return np.concatenate([np.asarray(variable) for variable in variables])


SGD = {"optimizer": "sgd", "momentum": 0.0, "nesterov": False}


@pytest.mark.parametrize(
    ("clip", "moved"),
    [
        ("none", [-3, -4]),
        ("value", [-2.5, -2.5]),
        ("norm", [-2.5, -2.5]),
        ("global_norm", [-1.5, -2]),
    ],
)
def test_clipping(clip, moved):
    assert step([3.0, 4.0], clip=clip, clip_at=2.5, **SGD) == pytest.approx(moved)


def test_the_optimizer_has_the_momentum_asked_for():
    made = optimization.optimizer(settings(optimizer="sgd", momentum=0.8, nesterov=True))
    assert (made.momentum, made.nesterov) == (0.8, True)
    # Adam's first step is the learning rate, whatever the gradient.
    assert step([3.0, -0.1], optimizer="adam", clip="none") == pytest.approx([-1, 1], rel=1e-4)


def test_constant_and_cosine():
    constant = optimization.LearningRate(settings(schedule="constant", lr=0.1), 10)
    assert [constant.at(step) for step in (0, 9)] == [0.1, 0.1]
    cosine = optimization.LearningRate(settings(schedule="cosine", lr=0.1), 10)
    assert [cosine.at(step) for step in (0, 5, 10)] == pytest.approx([0.1, 0.05, 0])


def test_plateau_lowers_the_rate_after_patience():
    rate = optimization.LearningRate(settings(schedule="plateau", lr=1.0, plateau_factor=0.1, plateau_patience=2), 10)
    seen = []
    for loss in (3.0, 2.0, 2.0, 2.5, 1.0, 1.0, 1.0, 1.0, 1.0):
        rate.epoch_ended(loss)
        seen.append(rate.at(0))
    assert seen == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001])
