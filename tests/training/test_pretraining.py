"""Networks that learn from texts without labels, cut off and resumed."""

import numpy as np
import pytest
from makers.effort import full
from makers.texts import as_array
from training import test_texts as few

from kiln.core import lifetime
from kiln.core.errors import UserError
from kiln.modalities.text import normalizer
from kiln.networks import registry, unlabelled
from kiln.networks.backend import keras
from kiln.params import schema
from kiln.store import dataset
from kiln.training import checkpoint, checks, loop, pretraining
from kiln.training.feeding import Feed

TRAIN = schema.model_for({"text": "text"}).model_fields["train"].annotation


def settings(name: str, **changes):
    """Settings of a small network, pretrained for two epochs."""
    model = {"name": name, **few.SMALL[name].get("model", {})}
    common = {"epochs": 1, "pretrain_epochs": 2, "batch_size": 10, "lr": 0.01, "schedule": {"name": "constant"}}
    return TRAIN(**{**common, "model": model, **changes})


def make(folder, chosen) -> tuple[keras.Model, Feed]:
    """A network, and what it is trained on: 48 texts in five batches."""
    data = dataset.open_dataset(folder, "clean") if folder.exists() else few.write(folder)
    keras.utils.set_random_seed(0)
    how = registry.settle(chosen, data.parts, few.ABOUT)
    network = registry.build(how, data.parts, 2, few.ABOUT)
    return network, Feed([(data, "train")], 1.0, registry.make_encoders(how, data.parts, few.ABOUT))


def learn(folder, name: str, keeper=None, **changes) -> tuple[keras.Model, dict]:
    """Pretrain; returns the network and what ``pretraining.fit`` says."""
    chosen = settings(name, **changes)
    network, feed = make(folder, chosen)
    return network, pretraining.fit(network, feed, few.ABOUT["text"], chosen, keeper=keeper)


def same(one: keras.Model, other: keras.Model) -> bool:
    """Whether two networks have the same weights."""
    return all((a == b).all() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize("name", ["gpt", *full("bert")])
def test_the_loss_falls_far_below_that_of_guessing(name, tmp_path):
    _, about = learn(tmp_path / "texts", name, pretrain_epochs=25)
    losses = about["losses"]
    assert len(losses) == 25 and about["samples"] == len(few.TEXTS)
    assert losses[0] > 3 and losses[-1] < 0.6 * losses[0]
    assert about["task"] == {"bert": "masked", "gpt": "next"}[name]
    assert bool(about["written"]) == (name == "gpt")


@pytest.mark.full
def test_gpt_writes_texts_like_those_it_has_read(tmp_path):
    _, about = learn(tmp_path / "texts", "gpt", pretrain_epochs=60)
    assert sum(text.strip().endswith("is here") for text in about["written"]) >= 4


@pytest.mark.full
def test_the_head_is_not_touched_and_no_label_is_looked_at(tmp_path):
    chosen = settings("gpt")
    network, feed = make(tmp_path / "texts", chosen)
    before = [weight.copy() for weight in network.get_layer("logits").get_weights()]
    feed.whole.labels[:] = -1
    pretraining.fit(network, feed, few.ABOUT["text"], chosen)
    after = network.get_layer("logits").get_weights()
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    assert same(network, learn(tmp_path / "texts", "gpt")[0])


@pytest.mark.parametrize("name", ["bert", *full("gpt")])
def test_padding_changes_neither_scores_nor_loss(name, tmp_path):
    chosen = settings(name)
    network, feed = make(tmp_path / "texts", chosen)
    run = pretraining.Pretraining(network, feed, few.ABOUT["text"], chosen)
    asked = next(iter(run.questions()))
    longer = asked._replace(
        encoded=np.pad(asked.encoded, [(0, 0), (0, 16)]),
        **{name: np.pad(getattr(asked, name), [(0, 0), (0, 3)]) for name in ("places", "answers", "weights")},
    )
    scored = [np.asarray(run.scorer({"text": one.encoded, unlabelled.PLACES: one.places})) for one in (asked, longer)]
    assert scored[1][:, : asked.places.shape[1]] == pytest.approx(scored[0], abs=1e-6)
    losses = [
        run.scorer.test_on_batch({"text": one.encoded, unlabelled.PLACES: one.places}, one.answers, one.weights)
        for one in (asked, longer)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    real = asked.weights > 0
    shares = scored[0] - np.log(np.exp(scored[0]).sum(axis=-1, keepdims=True))
    told = -np.take_along_axis(shares, asked.answers[..., None], axis=-1)[..., 0]
    assert losses[0] == pytest.approx(told[real].mean(), abs=1e-5)


def test_no_score_of_gpt_depends_on_a_later_token(tmp_path):
    network, _ = make(tmp_path / "texts", settings("gpt"))
    scorer, encode = unlabelled.scorer_of(network), normalizer.make_encoder("tokens", few.ABOUT["text"])
    numbers = encode(as_array(few.TEXTS[6:7]))
    places = np.arange(numbers.shape[1])[None]
    changed = numbers.copy()
    changed[0, 4] += 1
    one, other = (np.asarray(scorer({"text": row, unlabelled.PLACES: places}))[0] for row in (numbers, changed))
    assert (one[:4] == other[:4]).all() and np.abs(one[4] - other[4]).max() > 1e-3


@pytest.mark.parametrize("name", ["bert", *full("gpt")])
@pytest.mark.parametrize("steps", [7, *full(1, 5, 10)])
def test_a_pretraining_that_is_cut_off_ends_with_the_same_weights(name, steps, tmp_path):
    whole, about = learn(tmp_path / "texts", name)
    with pytest.raises(lifetime.Stopped):
        learn(tmp_path / "texts", name, few.Cut(tmp_path / "kept", steps))  # of five steps per epoch
    resumed, again = learn(tmp_path / "texts", name, checkpoint.Keeper(tmp_path / "kept", lambda _: None))
    assert about == again and same(whole, resumed)


@pytest.mark.full
@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_a_training_that_is_cut_off_after_pretraining_ends_with_the_same_weights(name, tmp_path):
    chosen = settings(name, epochs=2)

    def train(keepers):
        network, feed = make(tmp_path / "texts", chosen)
        about = pretraining.fit(network, feed, few.ABOUT["text"], chosen, keeper=keepers[0])
        history, _ = loop.fit(network, feed, feed, few.OFFLINE, chosen, keeper=keepers[1])
        return network, about, history

    folder = tmp_path / "kept"
    whole, about, history = train((None, None))
    keeper = checkpoint.Keeper(folder / "pretraining", lambda _: None)
    with pytest.raises(lifetime.Stopped):
        train((keeper, few.Cut(folder, 3)))
    resumed, again, rows = train((keeper, checkpoint.Keeper(folder, lambda _: None)))
    assert about == again and history.equals(rows) and same(whole, resumed)


@pytest.fixture
def uncompiled(monkeypatch):
    """Pretraining that cannot step, and starts at once."""
    monkeypatch.setattr(pretraining.Pretraining, "_compile", lambda self: None)


def test_questions_depend_on_seed_epoch_and_text_alone(tmp_path, uncompiled):
    def ask(epoch: int, **changes) -> list[bytes]:
        chosen = settings("bert", **changes)
        network, feed = make(tmp_path / "texts", chosen)
        run = pretraining.Pretraining(network, feed, few.ABOUT["text"], chosen)
        run.epoch = epoch
        return [row[row > 0].tobytes() for asked in run.questions() for row in asked.encoded]

    first = ask(0)
    assert len(first) == len(few.TEXTS) and ask(0) == first
    assert sorted(ask(0, batch_size=7)) == sorted(first)
    for other in (ask(1), ask(0, seed=1)):
        assert len(set(other) & set(first)) < len(first) / 2


def test_the_schedule_spans_the_epochs_of_pretraining(tmp_path, uncompiled):
    chosen = settings("bert", schedule={"name": "cosine", "warmup": 30}, epochs=40, pretrain_epochs=4)
    network, feed = make(tmp_path / "texts", chosen)
    run = pretraining.Pretraining(network, feed, few.ABOUT["text"], chosen)
    rates = [run.rate.at(step) for step in range(20)]
    assert np.argmax(rates) in (9, 10) and rates[0] == pytest.approx(0.001) and rates[-1] < 0.001


@pytest.mark.parametrize(
    ("name", "parts", "says"),
    [
        ("text_cnn", 1, "text_cnn learns nothing without labels: set it to 0, or train.model.name to bert or gpt"),
        ("article_cnn", 1, "article_cnn learns nothing without labels"),
        ("bert", 2, "takes samples of one part, and inputs has a, b: set it to 0"),
    ],
)
def test_what_cannot_be_pretrained_is_refused(name, parts, says):
    chosen = TRAIN(pretrain_epochs=1, model={"name": name})
    with pytest.raises(UserError, match=says):
        checks.check_pretraining(chosen, dict.fromkeys("ab"[:parts]))
    checks.check_pretraining(TRAIN(model={"name": name}), {})


def test_a_project_without_texts_has_no_such_knob():
    assert "train.pretrain_epochs" not in schema.known_keys({"image": "image"})
    assert "train.pretrain_epochs" in schema.known_keys({"photo": "image", "title": "text"})
