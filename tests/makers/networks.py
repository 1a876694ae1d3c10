"""Small networks of the zoo."""

from kiln.networks import registry
from kiln.networks.backend import keras
from makers.settings import settings

NONE = {"method": "none", "offset": [0.0] * 3, "scale": [1.0] * 3}


def classifier(name="article_cnn", shape=(8, 8, 1), classes=4, normalizer=None, precision="float32", **changes):
    """Build a model on seed 0."""
    if normalizer is None:
        normalizer = {"method": "standard", "offset": [100.0] * shape[2], "scale": [50.0] * shape[2]}
    keras.utils.set_random_seed(0)
    how = registry.architecture(settings(model=name, **changes), shape, normalizer)
    return registry.build(how, shape, classes, normalizer, precision)


def smallest(name: str) -> dict:
    """Settings that make a model cheap to build."""
    depths = registry.ZOO[name].depths
    return {**({"depth": min(depths)} if depths else {}), "width": 1 / 3 if name == "vit" else 0.25}


def one_weight(**options) -> keras.Model:
    """One weight of 0 and one bias of 0."""
    inputs = keras.Input((1,))
    return keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="zeros", name="logits", **options)(inputs))
