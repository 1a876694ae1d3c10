"""Optimisers against hand-worked numbers."""

import math
from functools import partial

import numpy as np
import pytest
from makers.effort import full
from makers.networks import classifier, join, one_weight, smallest, standard
from makers.pairs import pair_parts
from makers.settings import settings

from kiln.networks import prediction
from kiln.networks.backend import keras
from kiln.training import losses, muon, optimizers


def step(gradient: list[float], steps: int = 1, start: float = 0.0, **changes) -> np.ndarray:
    made = one_weight()
    made.set_weights([np.full((1, 1), start), np.full(1, start)])
    optimizer = optimizers.build_optimizer(settings(**{"lr": 1.0, "clip": "none", **changes}), made)
    optimizer.build(made.trainable_variables)
    for _ in range(steps):
        gradients = [
            keras.ops.reshape(keras.ops.array([g]), v.shape)
            for g, v in zip(gradient, made.trainable_variables, strict=True)
        ]
        optimizer.apply_gradients(zip(gradients, made.trainable_variables, strict=True))
    return np.array([np.asarray(weight).item() for weight in made.get_weights()])


SGD = {"optimizer": "sgd", "momentum": 0.0, "nesterov": False}


@pytest.mark.parametrize(
    ("clip", "moved"),
    [("none", [-3, -4]), ("value", [-2.5, -2.5]), ("norm", [-2.5, -2.5]), ("global_norm", [-1.5, -2])],
)
def test_clipping(clip, moved):
    assert step([3.0, 4.0], clip=clip, clip_at=2.5, **SGD) == pytest.approx(moved)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "muon"])
def test_every_optimizer_clips(optimizer):
    cut, free = (
        step([100.0, 100.0], optimizer=optimizer, clip=clip, clip_at=1e-9, lr=0.1, side_lr=0.1)
        for clip in ("value", "none")
    )
    assert (abs(cut) < abs(free) * 0.95).all()


def test_lion_clips():
    # It takes the sign alone, of 0.9 momentum and 0.1 gradient: a cut gradient shows in the step after it.
    made = one_weight()
    optimizer = optimizers.build_optimizer(settings(optimizer="lion", lr=1.0, clip="value", clip_at=1.0), made)
    optimizer.build(made.trainable_variables)
    for gradient in (100.0, -1.0):
        gradients = [keras.ops.full(variable.shape, gradient) for variable in made.trainable_variables]
        optimizer.apply_gradients(zip(gradients, made.trainable_variables, strict=True))
    # Not cut, the first would outweigh the second (0.9 * 0.01 * 100 > 0.1) and lead to -2.
    assert np.concatenate([weight.ravel() for weight in made.get_weights()]).tolist() == [0, 0]


def test_optimizers_by_hand():
    # Momentum 0.8: -1, then -(1 + 0.8); Nesterov looks ahead: -1.8, then -(1 + 0.8 + 0.64).
    assert step([1.0, 2.0], 2, **{**SGD, "momentum": 0.8}) == pytest.approx([-2.8, -5.6])
    assert step([1.0, 2.0], 2, **{**SGD, "momentum": 0.8, "nesterov": True}) == pytest.approx([-4.24, -8.48])
    # The first step of Adam is the learning rate, whatever the gradient; Lion's always.
    for optimizer in ("adam", "adamw", "lion"):
        assert step([3.0, -0.1], optimizer=optimizer) == pytest.approx([-1, 1], rel=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lion", "muon"])
def test_weight_decay_leaves_biases_alone(optimizer):
    changes = {"optimizer": optimizer, "lr": 0.1, "weight_decay": 0.5, "momentum": 0.0, "nesterov": False}
    decayed = step([0.0, 0.0], start=2.0, **changes)
    assert decayed == pytest.approx([2 * (1 - 0.1 * 0.5), 2])


def test_orthogonalized_brings_singular_values_near_one():
    made = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
    for matrix in (made, made.T):
        found = np.asarray(muon.orthogonalized(keras.ops.array(matrix)))
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        # The quintic's band, after three steps from values above a tenth of the norm.
        turned = np.diag(left.T @ found @ right.T)
        assert np.allclose(found, left @ np.diag(turned) @ right, atol=1e-4)
        assert ((turned > 0.5) & (turned < 1.3)).all()
        assert values.max() / values.min() > 2


def test_muon_by_hand():
    inputs = keras.Input((4, 4, 1))
    x = keras.layers.Conv2D(2, 1, use_bias=False, name="conv")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(x))
    made = keras.Model(inputs, x)
    chosen = settings(optimizer="muon", lr=0.1, side_lr=0.01, momentum=0.0, clip="none")
    optimizer = optimizers.build_optimizer(chosen, made)
    optimizer.build(made.trainable_variables)
    before = [np.asarray(v).copy() for v in made.trainable_variables]
    gradients = [np.ones(weight.shape, np.float32) * 7 for weight in before]
    gradients[0] = np.array([3.0, 4.0], np.float32).reshape(1, 1, 1, 2)
    optimizer.apply_gradients(zip(map(keras.ops.array, gradients), made.trainable_variables, strict=True))
    conv, *rest = map(np.asarray, made.trainable_variables)
    # Kept at the norm sqrt(2); then a step along the unit vector (0.6, 0.8), times Newton-Schulz' factor.
    moved = before[0] * math.sqrt(2) / np.linalg.norm(before[0]) - conv
    x = 1.0
    for _ in range(3):
        x = 3.4445 * x - 4.7750 * x**3 + 2.0315 * x**5
    assert moved.ravel() == pytest.approx(0.1 * x * np.array([0.6, 0.8]), rel=1e-3)
    for new, old in zip(rest, before[1:], strict=True):  # Adam's first step
        assert old - new == pytest.approx(np.full(old.shape, 0.01), rel=1e-3)


def chain(*layers, shape=(8, 8, 4)) -> keras.Model:
    inputs = x = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(x)))


def convolution(name, **options) -> keras.layers.Layer:
    return keras.layers.Conv2D(4, 1, **{"use_bias": False, **options}, name=name)


def test_only_kernels_before_a_normalisation_are_kept_at_a_norm():
    layers = keras.layers

    def normed(*between, **options):
        made = chain(convolution("conv", **options), *between)
        return [kernel.path for kernel in optimizers.normed_kernels(made)] == ["conv/kernel"]

    assert normed(layers.BatchNormalization())
    assert normed(layers.MaxPooling2D(2), layers.Dropout(0.5), layers.BatchNormalization())
    assert not normed(layers.Activation("gelu"), layers.BatchNormalization())
    assert not normed(layers.Activation("gelu"))
    assert not normed(layers.BatchNormalization(trainable=False))  # its statistics do not follow
    assert not normed(layers.BatchNormalization(), use_bias=True)
    assert not normed(layers.BatchNormalization(), activation="tanh")
    assert not normed()


def test_a_shortcut_past_the_normalisation_counts():
    inputs = keras.Input((8, 8, 4))
    x = convolution("conv")(inputs)
    y = keras.layers.BatchNormalization()(x)
    assert optimizers.normed_kernels(keras.Model(inputs, keras.layers.Add()([x, y]))) == []


def test_kernels_of_several_parts_are_found_in_the_network_of_each():
    parts, fitted = pair_parts((8, 8, 1)), {"left": standard(1), "right": standard(1)}

    def normed(**chosen) -> list:
        made, _ = join("article_cnn", chosen, fitted, normalization="batch", **smallest("article_cnn"))
        return optimizers.normed_kernels(made)

    alone, both = normed(left=parts["left"]), normed(**parts)
    assert alone and [kernel.path for kernel in both] == 2 * [kernel.path for kernel in alone]
    assert len({id(kernel) for kernel in both}) == len(both)


@pytest.mark.parametrize("name", ["article_cnn", "fast_cnn", *full("vgg", "alexnet", "resnet", "wide_resnet")])
def test_what_is_kept_at_a_norm_may_have_any_length(name):
    made = classifier(name, (16, 16, 3), 4, normalization="batch", dropout=0.0, **smallest(name))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
    before = np.asarray(made({"image": pixels}, training=True))
    kernels = {layer.kernel.path: layer.kernel for layer in made.layers if isinstance(layer, keras.layers.Conv2D)}
    normed = [kernel.path for kernel in optimizers.normed_kernels(made)]
    assert normed
    for path in normed:
        kernels[path].assign(3 * kernels[path])
    assert np.asarray(made({"image": pixels}, training=True)) == pytest.approx(before, abs=0.02)
    # And these are all: no other kernel without a bias is free in its length.
    for path in kernels.keys() - set(normed) - {"whiten/kernel"}:
        own = np.asarray(kernels[path])
        kernels[path].assign(3 * own)
        assert np.abs(np.asarray(made({"image": pixels}, training=True)) - before).max() > 0.02, path
        kernels[path].assign(own)


def two_layers() -> keras.Model:
    """A convolution that a normalisation follows, and one that none does."""
    keras.utils.set_random_seed(0)
    return chain(convolution("normed"), keras.layers.BatchNormalization(), convolution("free"), shape=(16, 16, 3))


def of_the_zoo(name: str) -> keras.Model:
    return prediction.logits_of(classifier(name, (16, 16, 3), 3, **smallest(name)))


def kernels_after(made: keras.Model, decay: float) -> dict[str, np.ndarray]:
    chosen = settings(optimizer="muon", weight_decay=decay, lr=0.05, clip="none")
    made.compile(optimizers.build_optimizer(chosen, made), losses.cross_entropy)
    generator = np.random.default_rng(0)
    for _ in range(3):
        pixels = generator.integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)
        values = {"image": pixels} if isinstance(made.input, dict) else pixels
        made.train_on_batch(values, np.eye(3, dtype=np.float32)[generator.integers(0, 3, 8)], np.ones(8, np.float32))
    return {v.path: np.asarray(v) for v in made.trainable_variables if v.path.endswith("kernel")}


@pytest.mark.parametrize("name", ["two layers", *full("fast_cnn", "wide_resnet")])
def test_weight_decay_shortens_every_kernel_that_muon_does_not_keep_at_a_norm(name):
    build = two_layers if name == "two layers" else partial(of_the_zoo, name)
    normed = [kernel.path for kernel in optimizers.normed_kernels(build())]
    assert normed
    free, decayed = kernels_after(build(), 0.0), kernels_after(build(), 2.0)
    for path in free:
        ratio = np.linalg.norm(decayed[path]) / np.linalg.norm(free[path])
        assert ratio == pytest.approx(1, abs=0.05) if path in normed else ratio < 0.9, path


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
def test_gradients_too_small_for_float16_are_scaled(optimizer):
    def moved(precision: str) -> np.ndarray:
        keras.utils.set_random_seed(0)
        inputs = keras.Input((4,))
        made = keras.Model(inputs, keras.layers.Dense(2, name="logits", dtype=precision)(inputs))
        chosen = settings(optimizer=optimizer, lr=0.1, momentum=0, nesterov=False, clip="none", weight_decay=0)
        made.compile(optimizers.build_optimizer(chosen, made), lambda _, y: 1e-8 * keras.ops.sum(y, axis=-1))
        before = made.get_weights()[0]
        made.train_on_batch(np.ones((8, 4), np.float32), np.zeros((8, 2), np.float32))
        return made.get_weights()[0] - before

    assert moved("mixed_float16") == pytest.approx(moved("float32"), rel=0.05)
