"""Optimisers by the names of train.optimizer.name, and the kernels whose norm Muon keeps fixed."""

from kiln.networks import registry
from kiln.networks.backend import keras
from kiln.params import Train
from kiln.training.muon import Muon

layers = keras.layers
_PROPORTIONAL = (
    layers.AveragePooling2D,
    layers.Dropout,
    layers.Flatten,
    layers.MaxPooling2D,
    layers.Permute,
    layers.Reshape,
    layers.ZeroPadding2D,
)
_CLIP = {"value": "clipvalue", "norm": "clipnorm", "global_norm": "global_clipnorm"}


def normed_kernels(network: keras.Model) -> list[keras.Variable]:
    """Find the convolution kernels whose norm has no effect, because batch normalisation cancels it.

    Every path from such a kernel leads to a trainable batch normalisation (a frozen
    one does not adapt to the norm) through layers that are homogeneous of degree 1
    only; a sum with a shortcut is not one of them. Kernels of a nested network that
    is not that of a part, such as a pretrained body, are never included.
    """
    return [kernel for body in registry.bodies_within(network) for kernel in _normed_kernels(body)]


def _normed_kernels(network: keras.Model) -> list[keras.Variable]:
    consumers: dict[int, list] = {}
    for layer in network.layers:
        for tensor in keras.tree.flatten(layer.input):
            consumers.setdefault(id(tensor), []).append(layer)

    def is_normed(tensor) -> bool:
        following = consumers.get(id(tensor), [])
        return bool(following) and all(
            (isinstance(layer, layers.BatchNormalization) and layer.trainable)
            or (isinstance(layer, _PROPORTIONAL) and is_normed(layer.output))
            for layer in following
        )

    return [
        layer.kernel
        for layer in network.layers
        if isinstance(layer, layers.Conv2D)
        and layer.trainable
        and not layer.use_bias
        and layer.activation is keras.activations.linear
        and is_normed(layer.output)
    ]


def build_optimizer(settings: Train, network: keras.Model) -> keras.optimizers.Optimizer:
    """Build the optimiser of a network, with gradient clipping and weight decay if they are on.

    In float16 small gradients would underflow to 0, so the loss is scaled up
    (Micikevicius et al., "Mixed precision training", ICLR 2018).

    Weight decay is decoupled from the gradient (Loshchilov and Hutter,
    "Decoupled weight decay regularization", ICLR 2019) and does not apply to biases
    and scales, nor with Muon to the kernels that are kept at a fixed norm.

    Args:
        settings: the train section.
        network: the network to train.
    """
    rule, clip = settings.optimizer, settings.clip
    normed = normed_kernels(network) if rule.name == "muon" else []
    options = {} if clip.name == "none" else {_CLIP[clip.name]: clip.at}
    if rule.weight_decay:
        options["weight_decay"] = rule.weight_decay
    if rule.name == "sgd":
        optimizer = keras.optimizers.SGD(settings.lr, rule.momentum, rule.nesterov, **options)
    elif rule.name == "muon":
        optimizer = Muon(
            settings.lr,
            rule.side_lr / settings.lr,
            rule.momentum,
            aside=("head/", "logits/", "positions/"),
            normed=normed,
            **options,
        )
    else:
        kinds = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW, "lion": keras.optimizers.Lion}
        if rule.name == "adamw":
            options["weight_decay"] = rule.weight_decay  # Keras' default is not 0
        optimizer = kinds[rule.name](settings.lr, **options)
    kept = {id(kernel) for kernel in normed}
    excluded = [v for v in network.trainable_variables if len(v.shape) < 2 or id(v) in kept]
    optimizer.exclude_from_weight_decay(excluded, var_names=["bias", "beta", "gamma", "positions"])
    # Keras does so itself only if the model has the policy; here only its layers have it.
    if any(layer.compute_dtype == "float16" for layer in network.layers):
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
