import signal
from pathlib import Path

import numpy as np
import pytest
from makers.datasets import FLIPS, PLAIN, feed
from makers.effort import ALL, full
from makers.networks import classifier
from makers.settings import settings

from kiln.core import lifetime
from kiln.networks import adjusting
from kiln.training import batches, checkpoint, loop


class Cut(checkpoint.Keeper):
    """Stops the training after so many steps, with a checkpoint at each."""

    def __init__(self, folder, steps):
        self.said, self.steps = [], steps
        super().__init__(folder, self.said.append)

    def offer(self, capture):
        self.save(*capture())
        self.steps -= 1
        if not self.steps:
            raise lifetime.Stopped(signal.SIGTERM)


def fit(data, keeper=None, name="article_cnn", model=None, **changes):
    made = classifier(name, data.parts["image"].storage.shape, **(model or {"dropout": 0.3}))
    chosen = settings(model=name, **{**PLAIN, **changes})
    history, kept = loop.fit(made, data, data, FLIPS, chosen, keeper=keeper)
    return made.get_weights(), history, kept


def cut_off(data, folder, steps, **how):
    with pytest.raises(lifetime.Stopped):
        fit(data, Cut(folder, steps), **how)


PLATEAU = {"schedule": "plateau", "lr": 0.05, "decay_epochs": 1}
BEST = {"ema": 0.5, "keep": "best", "monitor": "accuracy", "patience": 2, "epochs": 6}
RESTART = {"ema": 0.5, "ema_every": 2, "ema_restart": True, "optimizer": "adamw", "weight_decay": 0.1}
MUON = {
    "optimizer": "muon",
    "lr": 0.1,
    "name": "fast_cnn",
    "model": {"width": 0.25},
    "mixup": 0.5,
    "precise_norm": True,
}
MIXED = {"optimizer": "sgd", "precision": "mixed_float16", "model": {"precision": "mixed_float16"}}
SEVERAL = {"name": "vit", "model": {"width": 1 / 3, "depth": 2, "patch": 4, "dropout": 0.3}}  # layers that draw
# Steps, of three an epoch: 1 is within one, 3 at its end, 5 before the last, smaller batch of the next.
FEW = [(3, BEST), *full((1, RESTART), (2, SEVERAL), (5, MUON))]
EVERY = [(steps, how) for steps in (1, 3, 5) for how in ({}, PLATEAU, BEST, RESTART, MUON, MIXED, SEVERAL)]


@pytest.mark.parametrize(("steps", "how"), EVERY if ALL else FEW, ids=str)
def test_a_training_that_was_cut_off_ends_as_if_it_had_not_been(tmp_path, steps, how):
    data = feed(tmp_path)
    weights, history, kept = fit(data, **how)
    cut_off(data, tmp_path / "kept", steps, **how)
    keeper = Cut(tmp_path / "kept", 0)
    again, history_again, kept_again = fit(data, keeper, **how)
    assert (
        keeper.said[0] == f"resuming an interrupted training after epoch {(steps - 1) // 3}, step {(steps - 1) % 3 + 1}"
    )
    assert all((a == b).all() for a, b in zip(weights, again, strict=True))
    assert history.equals(history_again)
    assert kept == kept_again


def stopped_and_taken_up_again(data, folder, monkeypatch, weights, history):
    with pytest.raises(lifetime.Stopped):
        fit(data, checkpoint.Keeper(folder / "kept", print), ema=0.5)
    monkeypatch.undo()
    again, history_again, _ = fit(data, Cut(folder / "kept", 0), ema=0.5)
    assert all((a == b).all() for a, b in zip(weights, again, strict=True))
    assert history.equals(history_again)


@pytest.mark.parametrize("epoch", [1, *full(0)])
def test_a_stop_before_the_first_step_of_an_epoch(tmp_path, monkeypatch, epoch):
    data = feed(tmp_path)
    weights, history, _ = fit(data, ema=0.5)
    own = batches.epoch_batches

    def stopping(*arguments):
        if arguments[3] == epoch:
            raise lifetime.Stopped(signal.SIGTERM)
        return own(*arguments)

    monkeypatch.setattr(batches, "epoch_batches", stopping)
    stopped_and_taken_up_again(data, tmp_path, monkeypatch, weights, history)


@pytest.mark.full
def test_a_stop_during_validation_keeps_the_weights_that_train(tmp_path, monkeypatch):
    data = feed(tmp_path)
    weights, history, _ = fit(data, ema=0.5)
    own, calls = loop.validate, []

    def stopping(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise lifetime.Stopped(signal.SIGINT)
        return own(*arguments)

    monkeypatch.setattr(loop, "validate", stopping)
    stopped_and_taken_up_again(data, tmp_path, monkeypatch, weights, history)


@pytest.mark.full
@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("where", ["renormalize", "validate"])
def test_a_stop_while_statistics_are_computed_anew(tmp_path, monkeypatch, where, keep):
    data = feed(tmp_path)
    how = {"model": {"normalization": "batch", "dropout": 0.3}, "keep": keep, "precise_norm": True}
    weights, history, _ = fit(data, **how)
    renormalize, validate, calls = adjusting.renormalize, loop.validate, []

    def stop_after_one(made, fed):
        renormalize(made, [next(fed)])
        raise lifetime.Stopped(signal.SIGTERM)

    def stop_after_the_epochs(*arguments):
        calls.append(1)
        if len(calls) > PLAIN["epochs"]:
            raise lifetime.Stopped(signal.SIGTERM)
        return validate(*arguments)

    if where == "renormalize":
        monkeypatch.setattr(adjusting, "renormalize", stop_after_one)
    else:
        monkeypatch.setattr(loop, "validate", stop_after_the_epochs)
    with pytest.raises(lifetime.Stopped):
        fit(data, checkpoint.Keeper(tmp_path / "kept", print), **how)
    monkeypatch.undo()
    keeper = Cut(tmp_path / "kept", 0)
    again, history_again, _ = fit(data, keeper, **how)
    assert keeper.said == ["resuming an interrupted training after epoch 3, step 0"]
    assert all((a == b).all() for a, b in zip(weights, again, strict=True))
    assert history.equals(history_again)


@pytest.mark.skipif(not ALL, reason="takes a minute: `make faults` runs it")
def test_freezing_survives(tmp_path):
    data = feed(tmp_path, shape=(32, 32, 3))
    pretrained = {"weights": "x", "weights_sha256": "0" * 64, "frozen_epochs": 1, "thaw_factor": 0.1}
    none = {"method": "none", "offset": [0.0] * 3, "scale": [1.0] * 3}
    chosen = settings(model="applications/MobileNet", **{**PLAIN, "batch_size": 7, "epochs": 2, **pretrained})

    def run(keeper):
        made = classifier(chosen.model.name, (32, 32, 3), 4, none, **pretrained)
        loop.fit(made, data, data, FLIPS, chosen, keeper=keeper)
        return made.get_weights()

    whole = run(None)
    for steps in (2, 3):  # of two an epoch: at the end of the frozen one, within the other
        with pytest.raises(lifetime.Stopped):
            run(Cut(tmp_path / f"{steps}", steps))
        again = run(Cut(tmp_path / f"{steps}", 0))
        assert all((a == b).all() for a, b in zip(whole, again, strict=True))


@pytest.mark.full
def test_a_damaged_checkpoint_falls_back_to_the_one_before_then_to_the_start(tmp_path):
    data = feed(tmp_path)
    weights, _, _ = fit(data)
    for damaged in (1, 2):
        folder = tmp_path / f"{damaged} damaged"
        cut_off(data, folder, 5)
        found = sorted(folder.iterdir(), reverse=True)
        assert len(found) == checkpoint.KEPT
        for path in found[:damaged]:
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content if damaged == 2 else content[:-100])
        keeper = Cut(folder, 0)
        again, _, _ = fit(data, keeper)
        assert [f"{path} is damaged" in said for path, said in zip(found, keeper.said, strict=False)][:damaged] == (
            [True] * damaged
        )
        assert any(said.startswith("resuming an interrupted training") for said in keeper.said) == (damaged == 1)
        assert all((a == b).all() for a, b in zip(weights, again, strict=True))


class Hostile:
    def __reduce__(self):
        return Path("ran").mkdir, ()


def test_no_code_runs_from_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keeper = Cut(tmp_path, 0)
    with (tmp_path / "partial").open("wb") as file:
        np.savez(file, state=np.array([Hostile()], dtype=object))
    digest = checkpoint.files.sha256(tmp_path / "partial")
    (tmp_path / "partial").rename(tmp_path / f"000000-{digest[:16]}.npz")
    assert keeper.latest() is None
    assert "is damaged" in keeper.said[0]
    assert not Path("ran").exists()


def test_what_is_restored_is_what_was_captured(tmp_path):
    data, chosen = feed(tmp_path), settings(**{**PLAIN, "keep": "best", "ema": 0.5, "schedule": "plateau"})
    run = loop.Run(classifier(), data, FLIPS, chosen)
    run.train_epoch()
    run.end_epoch({"loss": 1.0, "accuracy": 0.5})
    state, arrays = run.capture()
    assert {name.split("/")[0] for name in arrays} == {"variable", "mean", "best"}
    fresh = loop.Run(classifier(), data, FLIPS, chosen)
    fresh.restore(state, arrays)
    state_again, arrays_again = fresh.capture()
    assert state_again == state
    assert arrays_again.keys() == arrays.keys()
    assert all((arrays_again[name] == arrays[name]).all() for name in arrays)


def test_a_checkpoint_that_cannot_be_written_costs_no_training(tmp_path):
    (tmp_path / "kept").write_text("a file where a folder should be")
    keeper = checkpoint.Keeper(tmp_path / "kept", (said := []).append)
    keeper.save({}, {"a": np.zeros(3)})
    keeper.save({}, {"a": np.zeros(3)})
    assert len(said) == 1 and "cannot write checkpoints" in said[0]


def test_its_name_holds_all_that_the_result_depends_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {"stages/train.py": "a", "kiln/networks/fast.py": "b", "manifest.json": "c"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def named(precision="float32", **changes):
        return checkpoint.identity(settings(**changes), [tmp_path / "manifest.json"], precision)

    seen = {named(), named(lr=0.1), named(seed=1), named(epochs=99), named("mixed_float16")}
    for name in ("stages/train.py", "kiln/networks/fast.py", "manifest.json"):
        (tmp_path / name).write_text("changed")
        seen.add(named())
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    seen.add(named())
    monkeypatch.setattr(checkpoint.parallel, "cores", lambda: 99)
    seen.add(named())
    monkeypatch.setattr(checkpoint.backend, "devices", lambda: ["gpu:0"])
    seen.add(named())
    assert len(seen) == 11
    assert named() in seen


def test_checkpoints_take_a_fiftieth_of_the_time(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    keeper = checkpoint.Keeper(tmp_path, print)
    saved = []

    def capture():
        saved.append(clock[0])
        return {}, {}

    monkeypatch.setattr(checkpoint.os, "fsync", lambda _: clock.__setitem__(0, clock[0] + 2))  # two seconds a write
    for _ in range(300):
        clock[0] += 1
        keeper.offer(capture)
    assert saved == [101, 203, 305]
