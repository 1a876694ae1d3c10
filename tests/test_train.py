import numpy as np
import pytest
from conftest import noise
from test_models import PLAIN, classifier
from test_optimization import settings
from test_policy import OFF

from stages import train
from stages.lib import dataset, models, policy
from stages.lib.backend import keras
from stages.lib.errors import UserError

NO_POLICY = policy.Policy(mode="online", views=1, **OFF)
FLIPS = policy.Policy(mode="online", views=1, **{**OFF, "flip": 0.5})


def handful(rows: int = 12) -> dataset.Images:
    ids = np.array([str(i) for i in range(rows)], object)
    return dataset.Images(ids, np.arange(rows, dtype=np.int32) % 4, np.stack([noise(i) for i in range(rows)]))


def fit(data=None, plan=NO_POLICY, **changes):
    made = classifier()
    data = data or handful()
    options = {"epochs": 3, "batch_size": 5, "schedule": "constant", **changes}
    return made, train.fit(made, data, data, plan, settings(**options))


def test_an_epoch_feeds_every_image_once_in_an_order_of_its_own():
    data = handful()
    orders = []
    for epoch in range(2):
        batches = list(train.batches(data, NO_POLICY, 0, epoch, 5))
        assert [len(labels) for _, labels in batches] == [5, 5, 2]
        pixels = np.concatenate([pixels for pixels, _ in batches])
        order = [int(np.flatnonzero((data.pixels == image).all(axis=(1, 2, 3)))[0]) for image in pixels]
        assert sorted(order) == list(range(12))
        assert (data.labels[order] == np.concatenate([labels for _, labels in batches])).all()
        orders.append(order)
    assert orders[0] != orders[1]
    assert [b[1].tolist() for b in train.batches(data, NO_POLICY, 0, 1, 5)] == [
        data.labels[orders[1]].tolist()[i : i + 5] for i in (0, 5, 10)
    ]


def test_online_views_depend_on_seed_epoch_and_item_alone():
    data = handful()

    def views(seed, epoch, size):
        pixels = np.concatenate([pixels for pixels, _ in train.batches(data, FLIPS, seed, epoch, size)])
        return {image.tobytes() for image in pixels}

    assert views(0, 1, 5) == views(0, 1, 12)
    assert views(0, 1, 5) != views(0, 2, 5)
    assert views(0, 1, 5) != views(1, 1, 5)


@pytest.mark.parametrize(
    "changes", [{}, {"loss": "squared_error"}, {"optimizer": "sgd", "lr": 0.05}, {"schedule": "plateau"}]
)
def test_a_handful_is_learnt_by_heart(changes):
    _, history = fit(epochs=60, batch_size=12, **changes)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 2
    assert history["validation_accuracy"].iloc[-1] == 1


def test_history():
    _, history = fit(schedule="cosine", lr=0.01)
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["lr"].tolist() == pytest.approx([0.01 * (1 + np.cos(np.pi * step / 9)) / 2 for step in (2, 5, 8)])
    assert list(history) == ["epoch", "lr", "loss", "accuracy", "validation_loss", "validation_accuracy"]


def test_the_epochs_loss_is_the_mean_over_its_images():
    made = classifier()
    data = handful()
    expected = train.scores.cross_entropy(models.probabilities(made, data.pixels), data.labels).mean()
    _, history = fit(lr=1e-12, epochs=1)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_the_same_seed_gives_the_same_weights():
    one, two, three = (fit(plan=FLIPS, seed=seed)[0].get_weights() for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert any((a != b).any() for a, b in zip(one, three, strict=True))


def test_early_stopping_keeps_the_best_weights():
    data = handful()
    made = classifier()
    elsewhere = dataset.Images(data.ids, (data.labels + 1) % 4, data.pixels)  # what it learns is wrong there
    history = train.fit(
        made, data, elsewhere, NO_POLICY, settings(epochs=50, batch_size=12, patience=3, schedule="constant")
    )
    best = int(history["validation_loss"].idxmin())
    assert len(history) == best + 4 < 50
    loss = train.scores.cross_entropy(models.probabilities(made, elsewhere.pixels), elsewhere.labels).mean()
    assert loss == pytest.approx(history["validation_loss"].min(), rel=1e-5)
    assert train.summarize(made, history, settings(patience=3), 12)["epoch_kept"] == best + 1


def test_a_loss_that_is_not_finite_stops_the_training():
    with pytest.raises(
        UserError, match=r"the loss is (nan|inf) in epoch \d+, batch \d+: lower train\.lr \(now 1e\+30\)"
    ):
        fit(lr=1e30, clip="none", optimizer="sgd", epochs=5)


def test_the_model_is_built_on_the_seed():
    keras.utils.set_random_seed(1)
    one = models.build("article_cnn", (8, 8, 1), 4, PLAIN).get_weights()
    keras.utils.set_random_seed(1)
    two = models.build("article_cnn", (8, 8, 1), 4, PLAIN).get_weights()
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
