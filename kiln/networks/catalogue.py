"""The models that train.model.name accepts: size, cost, and when to choose each."""

from kiln import params
from kiln.modalities import registry as modalities
from kiln.modalities.base import Part
from kiln.modalities.image.conversion import Conversion
from kiln.networks import applications, costs, encoders, registry
from kiln.networks.backend import keras
from kiln.networks.parts import Architecture

PLAIN = {"method": "none", "offset": [0.0], "scale": [1.0]}
TOKENS, LENGTH = 8192, costs.LENGTH  # different ones, and of a text
NGRAMS, OF_A_TEXT = 50_000, 300


def row(name: str, settings: params.Train, image_shape: tuple[int, int, int], classes: int) -> tuple[str, ...]:
    """Describe a model with its default settings: name, parameters, multiply-adds per image, depths, advice.

    Raises:
        UserError: the model is unknown, or the images are too small for it.
    """
    chosen = settings.model_copy(update={"model": type(settings.model)(name=name)})
    parts = {"image": Part("image", modalities.get("image"), Conversion(*image_shape, "crop"))}
    how = registry.settle(chosen, parts, {"image": PLAIN})
    return _describe(name, registry.build(how, parts, classes, {"image": PLAIN}))


def row_of_texts(name: str, classes: int) -> tuple[str, ...]:
    """Describe a model for texts with its default settings, as ``row``."""
    entry, form = registry.ZOO[name], registry.form_of(name)
    depth = entry.depths[0] if entry.depths else None
    kinds = TOKENS if form == "tokens" else NGRAMS
    sizes = encoders.USUAL.get(name)
    how = Architecture(name, 1.0, depth, None, entry.activation, None, entry.dropout, False, kinds, LENGTH, sizes)
    inputs = keras.Input((LENGTH if form == "tokens" else OF_A_TEXT,), dtype="int32")
    weights = keras.Input(inputs.shape[1:])
    given = inputs if form == "tokens" else (inputs, weights)
    return _describe(name, keras.Model(given, entry.build(given, classes, how)))


def _describe(name: str, network: keras.Model) -> tuple[str, ...]:
    entry = registry.ZOO.get(name)
    depths = ", ".join(map(str, sorted(entry.depths))) if entry else ""
    advice = entry.choose if entry else "a published network, to start from pretrained weights"
    return name, f"{network.count_params():,}", f"{costs.multiply_adds(network) / 1e6:,.1f} M", depths or "-", advice


def table(rows: list[tuple[str, ...]]) -> str:
    """Format rows under a heading, with aligned columns."""
    rows = [("model", "parameters", "multiply-adds", "depths", "choose it for"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {size:>{widths[1]}}  {cost:>{widths[2]}}  {depths:<{widths[3]}}  {advice}"
        for name, size, cost, depths, advice in rows
    )


def others() -> str:
    """List the published networks in one line, without their prefix."""
    return " ".join(name.removeprefix(applications.PREFIX) for name in applications.names())
