import numpy as np
import pytest
from makers.datasets import FLIPS, NO_POLICY, PLAIN, feed
from makers.effort import full
from makers.networks import NONE, classifier, predict, save, smallest
from makers.settings import settings

from kiln.core import scores
from kiln.core.errors import UserError
from kiln.networks import adjusting, artifact, registry
from kiln.networks.backend import keras
from kiln.store import dataset
from kiln.training import loop
from kiln.training.feeding import Feed


@pytest.fixture
def handful(tmp_path) -> Feed:
    return feed(tmp_path)


def fit(data: Feed, plan=NO_POLICY, validation=None, name="article_cnn", model=None, **changes):
    model = model or {}
    made = classifier(name, data.parts["image"].storage.shape, **model)
    history, kept = loop.fit(
        made, data, validation or data, plan, settings(model=name, **{**PLAIN, **model, **changes})
    )
    return made, history, kept


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss": "squared_error"},
        {"optimizer": "muon", "lr": 0.02, "side_lr": 0.005},
        {"ema": 0.5, "ema_every": 5, "ema_restart": True},
        *full(
            {"optimizer": "sgd", "lr": 0.05},
            {"optimizer": "adamw", "weight_decay": 0.01},
            {"optimizer": "lion", "lr": 0.001},
            {"schedule": "plateau"},
            {"schedule": "one_cycle", "lr": 0.005},
            {"label_smoothing": 0.1, "class_weight": "balanced"},
            {"ema": 0.9},
        ),
    ],
    ids=str,
)
def test_a_handful_is_learnt_by_heart(handful, changes):
    _, history, _ = fit(handful, **{"epochs": 60, "batch_size": 13, **changes})
    assert history["validation_loss"].iloc[-1] < history["validation_loss"].iloc[0] / 2
    assert history["validation_accuracy"].iloc[-1] == 1


OF_IMAGES = {name for name in registry.ZOO if registry.form_of(name) == "pixels"}


@pytest.mark.parametrize("name", ["fast_cnn", *full(*sorted(OF_IMAGES - {"fast_cnn"}))])
def test_every_model_learns_a_handful_and_comes_back_from_disk(name, tmp_path):
    data = feed(tmp_path, shape=(16, 16, 1))
    model = {**smallest(name), "dropout": 0.0, **({"depth": 2} if name == "vit" else {})}
    if name in ("alexnet", "vgg", "lenet5"):
        model["width"] = 0.5
    lr = {"alexnet": 0.0005, "fast_cnn": 0.01}.get(name, 0.003)
    # Batch statistics of a dozen images lag behind, so validation looks at the loss while it trains.
    made, history, _ = fit(data, name=name, model=model, epochs=50, batch_size=13, lr=lr)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 2
    assert history["accuracy"].iloc[-1] == 1
    save(tmp_path / "model", name, (16, 16, 1), made, **model)
    pixels = data.whole.parts["image"]
    assert (predict(artifact.load(tmp_path / "model").model, pixels) == predict(made, pixels)).all()


def test_history(handful):
    _, history, kept = fit(handful, schedule="cosine", lr=0.01)
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["lr"].tolist() == pytest.approx([0.01 * (1 + np.cos(np.pi * step / 9)) / 2 for step in (2, 5, 8)])
    measured = [f"validation_{name}" for name in ("loss", "accuracy", "precision", "recall", "f1")]
    assert list(history) == ["epoch", "lr", "loss", "accuracy", *measured]
    assert kept == 3


def test_the_epochs_loss_is_the_mean_over_its_images(handful):
    made = classifier()
    whole = handful.whole
    expected = scores.cross_entropy(predict(made, whole.parts["image"]), whole.labels).mean()
    _, history, _ = fit(handful, lr=1e-12, epochs=1)
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert history["validation_loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["mlp", *full("article_cnn", "fast_cnn")])
def test_the_same_seed_gives_the_same_weights(handful, name):
    model = {"width": 0.25, "dropout": 0.3}
    more = {"name": name, "model": model, "mixup": 0.5, "plan": FLIPS}
    one, two, three = (fit(handful, seed=seed, **more)[0].get_weights() for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(one, two, strict=True))
    assert any((a != b).any() for a, b in zip(one, three, strict=True))


@pytest.mark.parametrize("monitor", ["f1", *full("loss", "accuracy")])
def test_early_stopping_keeps_the_best_weights(tmp_path, monitor):
    data, elsewhere = feed(tmp_path), feed(tmp_path, shift=1)  # what it learns is wrong there
    made, history, kept = fit(
        data, validation=elsewhere, epochs=50, batch_size=13, patience=3, keep="best", monitor=monitor
    )
    figures = history[f"validation_{monitor}"]
    best = int(figures.idxmin() if monitor == "loss" else figures.idxmax())
    assert len(history) == best + 4 < 50
    assert kept == best + 1
    found = loop.validate(made, elsewhere, "cross_entropy")[monitor]
    assert found == pytest.approx(figures[best], rel=1e-5)
    last, history, kept = fit(data, validation=elsewhere, epochs=50, batch_size=13, patience=3, monitor=monitor)
    assert kept == len(history) == best + 4
    found = loop.validate(last, elsewhere, "cross_entropy")["loss"]
    assert found == pytest.approx(history["validation_loss"].iloc[-1], rel=1e-5)


def test_the_best_weights_are_those_of_the_best_epoch(handful):
    made = classifier()
    run = loop.Run(made, handful, NO_POLICY, settings(keep="best"))
    for epoch, loss in enumerate((3.0, 1.0, 2.0), 1):
        made.set_weights([np.full(weight.shape, epoch) for weight in made.get_weights()])
        run.end_epoch({"loss": loss})
    assert [row["validation_loss"] for row in run.rows] == [3, 1, 2]
    assert run.kept == 2
    assert len(run.best_weights) == len(made.get_weights()) > 0
    assert all((weight == 2).all() for weight in run.best_weights)


def test_the_averaged_weights_are_validated_and_kept(handful):
    made, history, _ = fit(handful, ema=0.9, epochs=4, lr=0.02)
    assert loop.validate(made, handful, "cross_entropy")["loss"] == pytest.approx(
        history["validation_loss"].iloc[-1], rel=1e-5
    )
    plain, _, _ = fit(handful, epochs=4, lr=0.02)
    assert any((a != b).any() for a, b in zip(made.get_weights(), plain.get_weights(), strict=True))


@pytest.mark.parametrize("keep", ["best", *full("last")])
def test_statistics_of_normalisation_are_computed_anew_without_views(handful, keep):
    how = {"name": "fast_cnn", "model": {"width": 0.25}, "plan": FLIPS, "keep": keep, "batch_size": 13}
    made, _, _ = fit(handful, **how, precise_norm=True)
    other, _, _ = fit(handful, **how)
    both = zip(made.weights, made.get_weights(), other.get_weights(), strict=True)
    differ = {weight.path for weight, ours, theirs in both if (ours != theirs).any()}
    assert {path.rsplit("/", 1)[-1] for path in differ} == {"moving_mean", "moving_variance"}
    norm = made.get_layer("conv1_1_norm")
    seen = np.asarray(keras.Model(made.input, norm.input)(handful.whole.parts))
    assert np.asarray(norm.moving_mean) == pytest.approx(seen.mean(axis=(0, 1, 2)), abs=1e-5)


def test_the_kept_epoch_is_judged_with_its_new_statistics(handful):
    how = {"name": "fast_cnn", "model": {"width": 0.25}, "precise_norm": True, "monitor": "accuracy", "lr": 0.05}
    made, history, kept = fit(handful, keep="best", epochs=4, **how)
    assert loop.validate(made, handful, "cross_entropy")["loss"] == pytest.approx(
        history["validation_loss"][kept - 1], rel=1e-5
    )
    run = loop.Run(made, handful, NO_POLICY, settings())
    run.rows, run.epoch = [{}], 1
    with pytest.raises(UserError, match="the validation loss is nan with precise_norm, so no model is saved"):
        run.amend({"loss": float("nan")})


@pytest.mark.full
def test_new_statistics_are_the_same_of_a_streamed_set(handful, tmp_path):
    how = {"name": "fast_cnn", "model": {"width": 0.25}, "batch_size": 13, "precise_norm": True}
    streamed = Feed([(dataset.open_dataset(tmp_path / "0", "clean"), "train")], 1e-9)
    assert streamed.whole is None and handful.whole is not None
    # One batch holds all, so that order makes no difference.
    one, two = (fit(data, **how)[0] for data in (handful, streamed))
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        assert a == pytest.approx(b, abs=1e-4)


@pytest.mark.parametrize("precision", ["mixed_float16", *full("mixed_bfloat16")])
def test_mixed_precision_trains(handful, precision):
    made = classifier(precision=precision)
    chosen = settings(**{**PLAIN, "epochs": 60, "batch_size": 13, "clip": "global_norm", "precision": precision})
    history, _ = loop.fit(made, handful, handful, NO_POLICY, chosen)
    assert history["validation_accuracy"].iloc[-1] == 1
    assert history["lr"].iloc[-1] == pytest.approx(chosen.lr)


@pytest.mark.full
def test_the_head_learns_first_then_the_body_at_its_own_rate(tmp_path):
    data = feed(tmp_path, shape=(32, 32, 3))
    pretrained = {"weights": "x", "weights_sha256": "0" * 64, "frozen_epochs": 2, "thaw_factor": 0.1}
    name = "applications/MobileNet"
    made = classifier(name, (32, 32, 3), 4, NONE, **pretrained)
    body = made.get_layer("body")
    adjusting.renormalize(made, [data.whole.parts])  # as a trained body has them; else its signal dies out
    before = body.get_weights()
    seen = []

    def tell(row):
        seen.append(any((a != b).any() for a, b in zip(body.get_weights(), before, strict=True)))

    chosen = settings(model=name, **{**PLAIN, "epochs": 3, "lr": 0.01, **pretrained})
    history, _ = loop.fit(made, data, data, NO_POLICY, chosen, tell)
    assert seen == [False, False, True]
    moved = {w.name for w, a, b in zip(body.weights, body.get_weights(), before, strict=True) if (a != b).any()}
    assert "kernel" in moved and not {"moving_mean", "moving_variance", "gamma", "beta"} & moved
    assert history["lr"].tolist() == pytest.approx([0.01, 0.01, 0.001])


def test_a_loss_that_is_not_finite_stops_the_training(handful):
    with pytest.raises(
        UserError, match=r"the loss is (nan|inf) in epoch \d+, batch \d of 3, .* lower train\.lr \(now 1e\+30\)"
    ):
        fit(handful, lr=1e30, optimizer="sgd", epochs=5)


def test_a_validation_loss_that_is_not_finite_stops_it_too(handful):
    run = loop.Run(classifier(), handful, NO_POLICY, settings())
    with pytest.raises(UserError, match=r"the validation loss is inf after epoch 1, so no model is saved"):
        run.end_epoch({"loss": np.inf})
