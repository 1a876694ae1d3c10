import numpy as np
import pytest
from makers.datasets import FLIPS, NO_POLICY, feed, image_plan, image_table, write_images
from makers.images import noise
from makers.settings import settings

from kiln.training.batches import epoch_batches
from kiln.training.feeding import Feed


@pytest.fixture
def handful(tmp_path) -> Feed:
    return feed(tmp_path)


def test_targets_and_weights_are_those_asked_for(tmp_path):
    pixels = np.stack([noise(i) for i in range(4)])
    table = image_table(list("abcd"), np.array([0, 0, 0, 1]), pixels)
    data = Feed([(write_images(tmp_path, [("train", table)], "xy"), "train")], 1.0)
    chosen = settings(class_weight="balanced", label_smoothing=0.2, batch_size=4)
    ((fed, targets, weights),) = epoch_batches(data, NO_POLICY, chosen, 0)
    own = targets[:, 0] > 0.5
    assert targets[own] == pytest.approx(np.array([[0.9, 0.1]] * 3))
    assert weights[own] == pytest.approx([2 / 3] * 3) and weights[~own] == pytest.approx([2])
    assert sorted(fed["image"].ravel()) == sorted(pixels.ravel())
    ((_, _, weights),) = epoch_batches(data, NO_POLICY, settings(batch_size=4), 0)
    assert weights.tolist() == [1, 1, 1, 1]


def test_online_views_depend_on_seed_epoch_and_item_alone(handful):
    def views(seed, epoch, size):
        fed = epoch_batches(handful, FLIPS, settings(seed=seed, batch_size=size), epoch)
        return {image.tobytes() for values, _, _ in fed for image in values["image"]}

    assert views(0, 1, 5) == views(0, 1, 13)
    assert views(0, 1, 5) != views(0, 2, 5)
    assert views(0, 1, 5) != views(1, 1, 5)


def test_offline_views_are_not_warped_again(handful):
    offline = image_plan("offline", flip=1.0)
    fed = np.concatenate([values["image"] for values, _, _ in epoch_batches(handful, offline, settings(), 0)])
    assert {image.tobytes() for image in fed} == {image.tobytes() for image in handful.whole.parts["image"]}


def test_mixtures_are_fed(handful):
    plain, mixed = (next(epoch_batches(handful, NO_POLICY, settings(mixup=a, batch_size=13), 0)) for a in (0.0, 1.0))
    assert (plain[0]["image"] != mixed[0]["image"]).any() and (plain[1] != mixed[1]).any()
    assert ((mixed[1] > 0).sum(axis=1) <= 2).all()
