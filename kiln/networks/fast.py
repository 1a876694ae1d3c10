"""The network for two cores: fast_cnn."""

import numpy as np

from kiln.networks import prediction
from kiln.networks.backend import keras
from kiln.networks.parts import Architecture, activate, drop, layers, model, stem_stride

WHITEN = "whiten"
WHITEN_IMAGES = 5000
WHITEN_AT_ONCE = 250


def whitening_filters(images: np.ndarray, size: int = 2) -> np.ndarray:
    """Compute filters whose responses on patches are uncorrelated and of variance 1.

    The eigenvectors of the patches' covariance, each by the inverse root of its
    eigenvalue (with a thousandth of the largest added, so that noise is not blown up).

    Args:
        images: floats [N, H, W, C], as the network sees them.
        size: side of a patch in pixels.

    Returns:
        float32 [size, size, C, size * size * C].
    """
    channels = images.shape[-1]
    length = size * size * channels
    count, total, products = 0, np.zeros(length), np.zeros((length, length))
    # A part at a time: the patches take size * size times the images' memory.
    for start in range(0, len(images), WHITEN_AT_ONCE):
        part = images[start : start + WHITEN_AT_ONCE].astype(np.float64)
        patches = np.lib.stride_tricks.sliding_window_view(part, (size, size), axis=(1, 2))
        # [N, H', W', C, size, size] -> [patches, size, size, C]
        flat = np.moveaxis(patches, 3, -1).reshape(-1, length)
        count, total, products = count + len(flat), total + flat.sum(axis=0), products + flat.T @ flat
    mean = total / count
    values, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    vectors *= np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)  # eigh leaves the sign open
    scaled = vectors / np.sqrt(values + 1e-3 * max(values[-1], 1e-12))
    return scaled.reshape(size, size, channels, -1).astype(np.float32)


def adapt(classifier: keras.Model, pixels: np.ndarray) -> None:
    """Set the first convolution from training images; it is not trained afterwards.

    Args:
        classifier: of fast_cnn.
        pixels: uint8 [N, H, W, C], a few thousand training images in any order.
    """
    layer = classifier.get_layer(WHITEN)
    inputs = keras.tree.flatten(classifier.input)[0]
    filters = whitening_filters(prediction.outputs(keras.Model(inputs, layer.input), pixels[:WHITEN_IMAGES]))
    layer.kernel.assign(np.concatenate([filters, -filters], axis=-1))


class Passing(keras.initializers.Initializer):
    """Let the first filters of a convolution pass its input channels on; draw the others.

    The others are uniform within the inverse root of the fan-in, as in airbench.
    """

    def __init__(self):
        self.others = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")

    def __call__(self, shape, dtype=None):
        """Make a kernel of shape (height, width, input channels, filters)."""
        kernel = np.array(keras.ops.convert_to_numpy(self.others(shape, dtype="float32")))
        height, width, inputs, filters = shape
        same = min(inputs, filters)
        kernel[..., :same] = 0
        kernel[height // 2, width // 2, range(same), range(same)] = 1
        return keras.ops.convert_to_tensor(kernel, dtype)


@model(
    choose="first choice on two cores for images of up to 64 pixels; most accuracy a minute",
    activation="gelu",
    depths=(2, 3),
)
def fast_cnn(inputs, classes: int, how: Architecture):
    """A whitening 2x2 convolution and three blocks of depth 3x3 convolutions (32, 64, 128 channels).

    After Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024
    (airbench): the first layer's filters, plus and minus, come from the patch
    covariance of the training images and stay; each block pools after its first
    convolution; from depth 3 on a block adds the output of its first convolution
    to its last; the network ends in a global maximum and logits scaled by 1/9.
    Images beyond 64 pixels are pooled down first.
    """
    stride = stem_stride(inputs)
    x = layers.AveragePooling2D(stride, name="shrink")(inputs) if stride > 1 else inputs
    filters = 2 * 4 * inputs.shape[-1]
    x = layers.Conv2D(filters, 2, trainable=False, use_bias=False, kernel_initializer="orthogonal", name=WHITEN)(x)
    x = activate(x, how, "whiten_act")
    for block, channels in enumerate((32, 64, 128), 1):
        for number in range(1, how.depth + 1):
            name = f"conv{block}_{number}"
            batch = how.normalization == "batch"
            start = Passing()
            x = layers.Conv2D(
                how.count(channels), 3, padding="same", use_bias=not batch, kernel_initializer=start, name=name
            )(x)
            if number == 1 and min(x.shape[1:3]) > 1:
                x = layers.MaxPooling2D(2, name=f"pool{block}")(x)
            if batch:
                x = layers.BatchNormalization(momentum=0.6, epsilon=1e-5, scale=False, name=f"{name}_norm")(x)
            if number == 1:
                first = x
            elif number == how.depth >= 3:
                x = layers.Add(name=f"add{block}")([x, first])
            x = activate(x, how, f"{name}_act")
    x = drop(layers.GlobalMaxPooling2D(name="pool")(x), how, "drop")
    x = layers.Dense(classes, use_bias=False, name="head")(x)
    return layers.Rescaling(1 / 9, name="logits")(x)
