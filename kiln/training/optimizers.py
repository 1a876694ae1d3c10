"""The optimiser by the names of params.yaml's train section, and the kernels whose norm it keeps."""

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


def normed_kernels(network: keras.Model) -> list[str]:
    """Find the convolutions whose kernels' length is no matter: normalisation by the batch takes it out again.

    On every way from such a kernel comes a batch normalisation that trains (a
    frozen one does not follow the length), and before it nothing but layers that
    give k times as much for k times as much. A sum with a shortcut is none of
    them. Kernels of a network within, such as a trained body's, are never among them.

    Returns:
        Paths of the kernels.
    """
    takers: dict[int, list] = {}
    for layer in network.layers:
        for tensor in keras.tree.flatten(layer.input):
            takers.setdefault(id(tensor), []).append(layer)

    def is_normed(tensor) -> bool:
        following = takers.get(id(tensor), [])
        return bool(following) and all(
            (isinstance(layer, layers.BatchNormalization) and layer.trainable)
            or (isinstance(layer, _PROPORTIONAL) and is_normed(layer.output))
            for layer in following
        )

    return [
        layer.kernel.path
        for layer in network.layers
        if isinstance(layer, layers.Conv2D)
        and layer.trainable
        and not layer.use_bias
        and layer.activation is keras.activations.linear
        and is_normed(layer.output)
    ]


def build_optimizer(settings: Train, network: keras.Model) -> keras.optimizers.Optimizer:
    """Make the optimiser of a network, with gradient clipping and weight decay where they are on.

    In float16 small gradients would become 0, so the loss is scaled up for them
    (Micikevicius et al., "Mixed precision training", ICLR 2018).

    Weight decay is decoupled from the gradient (Loshchilov and Hutter,
    "Decoupled weight decay regularization", ICLR 2019) and leaves biases and
    scales alone; under Muon the normed kernels too, since they are kept at a norm.

    Args:
        settings: the train section.
        network: what it is to train.
    """
    rule, clip = settings.optimizer, settings.clip
    normed = normed_kernels(network) if rule.name == "muon" else []
    options = {} if clip.name == "none" else {_CLIP[clip.name]: clip.at}
    if rule.weight_decay:
        options["weight_decay"] = rule.weight_decay
    if rule.name == "sgd":
        made = keras.optimizers.SGD(settings.lr, rule.momentum, rule.nesterov, **options)
    elif rule.name == "muon":
        made = Muon(
            settings.lr,
            rule.side_lr / settings.lr,
            rule.momentum,
            aside=("head/", "logits/", "positions/"),
            normed=normed,
            **options,
        )
    else:
        named = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW, "lion": keras.optimizers.Lion}
        if rule.name == "adamw":
            options["weight_decay"] = rule.weight_decay  # Keras' default is not 0
        made = named[rule.name](settings.lr, **options)
    spared = [v for v in network.trainable_variables if len(v.shape) < 2 or v.path in normed]
    made.exclude_from_weight_decay(spared, var_names=["bias", "beta", "gamma", "positions"])
    # Keras would see to it by itself only if the model had the policy, and not its layers alone.
    if any(layer.compute_dtype == "float16" for layer in network.layers):
        return keras.optimizers.LossScaleOptimizer(made)
    return made
