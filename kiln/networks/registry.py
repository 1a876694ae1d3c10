"""Classifiers by name: from raw values to probabilities.

To add a network, write a function of (inputs, classes, architecture) that
returns the logits in a file of ``kiln/networks/``, decorate it with ``@model``
and add that file to ``FAMILIES``; its name is then a value of train.model.name.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from kiln.core.errors import UserError
from kiln.modalities.base import Part
from kiln.networks import applications, bayes, classic, encoders, fast, residual, texts, transformer
from kiln.networks.backend import keras
from kiln.networks.parts import ZOO, Architecture
from kiln.params import Train
from kiln.params.train import Model

layers = keras.layers
ADAPT_IMAGES = 5000  # training samples that a first layer may be fitted to
Encoders = Mapping[str, Callable[[np.ndarray], np.ndarray]]  # part -> raw values to what its network takes
_BODY = "{}_body"  # the network of a part, where there are several
FAMILIES = (classic, residual, transformer, fast, texts, encoders)  # importing them registers their networks


def known() -> list[str]:
    """List every value of train.model.name."""
    return [*ZOO, *applications.names()]


def settle(
    settings: Train, parts: Mapping[str, Part], fitted: Mapping[str, dict], weights: Path | None = None
) -> dict[str, Architecture]:
    """Resolve the network of each part; see ``architecture``."""
    return {name: architecture(settings, part, fitted[name], weights) for name, part in parts.items()}


def form_of(name: str) -> str:
    """Return the form in which a network takes samples; see ``Modality.forms``."""
    return ZOO[name].form if name in ZOO else "pixels"


def architecture(settings: Train, part: Part, normalizer: dict, weights: Path | None = None) -> Architecture:
    """Resolve the automatic settings of a part's network and reject those that it does not support.

    Args:
        settings: the train section.
        part: that the network takes.
        normalizer: of the part, as ``Modality.fit`` returns it.
        weights: file of trained weights, from which an encoder has its sizes.

    Raises:
        UserError: the model is unknown, takes no such part, does not support a setting, or needs larger images.
    """
    settings = settings.model
    name = settings.name
    check(name)
    form, modality = form_of(name), part.modality
    if form not in modality.forms:
        fitting = [other for other in ZOO if form_of(other) in modality.forms]
        raise UserError(
            f"params.yaml: train.model.name {name} takes {form}, but {part.name} is {modality.name}: set it to "
            f"{' or '.join([', '.join(fitting[:-1]), fitting[-1]])}"
        )
    shape, _, kinds = modality.tensor(part.conversion, form, normalizer)
    if name.startswith(applications.PREFIX):
        if normalizer["method"] != "none":
            raise UserError(
                f"params.yaml: normalize.image.method is {normalizer['method']}, but {name} includes its own "
                "normalisation: set it to none"
            )
        dropout = 0.2 if settings.dropout == "auto" else settings.dropout
        return Architecture(name, 1.0, None, None, None, None, dropout, bool(settings.weights))
    entry = ZOO[name]
    defaults = {"activation": entry.activation, "normalization": entry.normalization}
    chosen = {
        key: value if getattr(settings, key) == "auto" else getattr(settings, key) for key, value in defaults.items()
    }
    if form == "pixels" and min(shape[:2]) < entry.smallest:
        raise UserError(
            f"train.model.name {name} needs images of at least {entry.smallest}x{entry.smallest} pixels, not "
            f"{shape[0]}x{shape[1]}: set clean.image.size to "
            f"[{entry.smallest}, {entry.smallest}] or choose another model"
        )
    return Architecture(
        name,
        float(settings.width),
        _depth(settings, name),
        _patch(settings, name, shape),
        chosen["activation"],
        chosen["normalization"],
        entry.dropout if settings.dropout == "auto" else settings.dropout,
        vocabulary=kinds,
        length=normalizer.get("max_tokens") if form == "tokens" else None,
        sizes=encoders.settle(name, weights, normalizer) if name in encoders.NAMES else None,
    )


def _depth(settings: Model, name: str) -> int | None:
    depths = ZOO[name].depths
    if not depths:
        return None
    if settings.depth == "auto":
        return depths[0]
    if settings.depth not in depths:
        raise UserError(
            f"params.yaml: train.model.depth is {settings.depth}, but {name} supports: auto, "
            f"{', '.join(map(str, sorted(depths)))}"
        )
    return settings.depth


def _patch(settings: Model, name: str, image_shape: tuple[int, ...]) -> int | None:
    if name != "vit":
        return None
    side = transformer.patch_side(image_shape) if settings.patch == "auto" else settings.patch
    if side > min(image_shape[:2]):
        raise UserError(
            f"params.yaml: train.model.patch is {side}, larger than the image ({min(image_shape[:2])} pixels): lower it"
        )
    return side


def check(name: str) -> None:
    """Raise if the model is unknown.

    Raises:
        UserError: the message lists the known names.
    """
    if name in known():
        return
    published = name.startswith(applications.PREFIX)
    names = applications.names() if published else [*ZOO, f"{applications.PREFIX}<Name>"]
    near = difflib.get_close_matches(name, known(), n=1)
    raise UserError(
        f"params.yaml: train.model.name is {name!r}, but should be one of: {', '.join(names)}"
        + (f"; did you mean {near[0]}?" if near else "")
    )


def build(
    how: Mapping[str, Architecture],
    parts: Mapping[str, Part],
    classes: int,
    fitted: Mapping[str, dict],
    precision: str = "float32",
) -> keras.Model:
    """Build a classifier with newly initialised weights.

    Each part of a sample has its own network, whose first layers are the part's normaliser; the logits of
    several parts are added.

    Args:
        how: part -> network and settings, from ``settle``.
        parts: of the samples.
        classes: number of classes.
        fitted: part -> its normaliser, as ``Modality.fit`` returns it.
        precision: of the computation, a Keras dtype policy; weights and probabilities are float32.

    Returns:
        A model from (part -> raw values [N, ...]) to class probabilities, float32
        [N, classes]. The outputs of its layer ``logits`` are those before the softmax.

    Raises:
        UserError: the network needs larger images, or a part is called as a layer is.
    """

    def apply(name: str, inputs):
        network = applications.build if how[name].model.startswith(applications.PREFIX) else ZOO[how[name].model].build
        form = form_of(how[name].model)
        return network(parts[name].modality.layer(inputs, form, fitted[name]), classes, how[name])

    with _computing_in(precision):
        inputs = {name: _make_input(part, how[name], fitted[name]) for name, part in parts.items()}
        if len(parts) == 1:
            logits = apply(*next(iter(inputs.items())))
        else:
            logits = layers.Add(name="logits")(
                [_nest(apply, part, how[name], fitted[name])(inputs[name]) for name, part in parts.items()]
            )
        outputs = layers.Softmax(dtype="float32", name="probabilities")(logits)
    return _connect(inputs, outputs, next(iter(how.values())).model.replace("/", "_"))


def make_encoders(how: Mapping[str, Architecture], parts: Mapping[str, Part], fitted: Mapping[str, dict]) -> Encoders:
    """Return for each part the function from raw values to what its network takes."""
    return {name: part.modality.make_encoder(form_of(how[name].model), fitted[name]) for name, part in parts.items()}


def encode(encoders: Encoders, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn raw values of samples into what a classifier takes; a part without an encoder stays as it is."""
    return {name: encoders[name](array) if name in encoders else array for name, array in values.items()}


def _make_input(part: Part, how: Architecture, fitted: dict):
    tensor = part.modality.tensor(part.conversion, form_of(how.model), fitted)
    return keras.Input(tensor.shape, dtype=tensor.dtype, name=part.name)


def _nest(apply: Callable, part: Part, how: Architecture, fitted: dict) -> keras.Model:
    # A nested network, so that layers of several parts can have the same names.
    inputs = _make_input(part, how, fitted)
    return _connect(inputs, apply(part.name, inputs), _BODY.format(part.name))


def _connect(inputs, outputs, name: str) -> keras.Model:
    try:
        return keras.Model(inputs, outputs, name=name)
    except ValueError as error:
        parts = [tensor.name for tensor in keras.tree.flatten(inputs)]
        taken = next((part for part in parts if f'"{part}" is used' in str(error)), None)
        if taken is None:
            raise
        raise UserError(
            f"params.yaml: inputs names a part {taken}, as a layer of its network is called: give it another name"
        ) from None


def list_bodies(classifier: keras.Model, parts: Iterable[str]) -> dict[str, keras.Model]:
    """Return the network of each part; with a single part, the classifier itself."""
    names = list(parts)
    return (
        {names[0]: classifier}
        if len(names) == 1
        else {name: classifier.get_layer(_BODY.format(name)) for name in names}
    )


def bodies_within(network: keras.Model) -> list[keras.Model]:
    """Return the networks of a classifier's parts, of whatever names, or of a network made from one."""
    nested = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    return [layer for layer in nested if layer.name.endswith(_BODY.format(""))] or [network]


@contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def prepare(
    classifier: keras.Model,
    values: Mapping[str, np.ndarray],
    weights: Path | None,
    batches: Callable[[], Iterable[tuple[Mapping[str, np.ndarray], np.ndarray]]] = tuple,
) -> None:
    """Set the weights that do not come from training, before the first step.

    Args:
        classifier: from ``build``.
        values: part -> raw values [N, ...] of a few thousand training samples, to
            which the first layer of fast_cnn is fitted.
        weights: file of pretrained weights, or None.
        batches: returns all training samples, encoded, with their labels, for naive Bayes within
            linear_text.

    Raises:
        UserError: the weights do not match the network.
    """
    for name, body in list_bodies(classifier, values).items():
        if any(layer.name == fast.WHITEN for layer in body.layers):
            fast.adapt(body, values[name])
        for table in (layer for layer in body.layers if isinstance(layer, texts.VotedSum)):
            bayes.fit(body, table, ((encoded[name], labels) for encoded, labels in batches()))
        if weights:
            (encoders if encoders.is_encoder(body) else applications).load_weights(body, weights)
