"""A network for training on few CPU cores: fast_cnn."""

import numpy as np

from kiln.networks import prediction
from kiln.networks.backend import keras
from kiln.networks.parts import Architecture, activate, drop, layers, model, stem_stride

WHITEN = "whiten"
WHITEN_IMAGES = 5000
WHITEN_AT_ONCE = 250


def whitening_filters(images: np.ndarray, size: int = 2) -> np.ndarray:
    """Compute filters whose responses on patches are uncorrelated with variance 1.

    They are the eigenvectors of the patch covariance, each divided by the root of its
    eigenvalue (plus a thousandth of the largest, so that noise is not amplified).

    Args:
        images: floats [N, H, W, C], after normalisation.
        size: side of a patch in pixels.

    Returns:
        float32 [size, size, C, size * size * C].
    """
    channels = images.shape[-1]
    length = size * size * channels
    count, total, products = 0, np.zeros(length), np.zeros((length, length))
    # In chunks: the patches take size * size times the memory of the images.
    for start in range(0, len(images), WHITEN_AT_ONCE):
        chunk = images[start : start + WHITEN_AT_ONCE].astype(np.float64)
        patches = np.lib.stride_tricks.sliding_window_view(chunk, (size, size), axis=(1, 2))
        # [N, H', W', C, size, size] -> [patches, size, size, C]
        flat = np.moveaxis(patches, 3, -1).reshape(-1, length)
        count, total, products = count + len(flat), total + flat.sum(axis=0), products + flat.T @ flat
    mean = total / count
    values, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
    vectors *= np.where(vectors.sum(axis=0) < 0, -1.0, 1.0)  # eigh does not fix the sign
    scaled = vectors / np.sqrt(values + 1e-3 * max(values[-1], 1e-12))
    return scaled.reshape(size, size, channels, -1).astype(np.float32)


def adapt(classifier: keras.Model, pixels: np.ndarray) -> None:
    """Compute the first convolution's filters from training images; they are not trained afterwards.

    Args:
        classifier: of fast_cnn.
        pixels: uint8 [N, H, W, C], a few thousand training images in any order.
    """
    layer = classifier.get_layer(WHITEN)
    inputs = keras.tree.flatten(classifier.input)[0]
    filters = whitening_filters(prediction.outputs(keras.Model(inputs, layer.input), pixels[:WHITEN_IMAGES]))
    layer.kernel.assign(np.concatenate([filters, -filters], axis=-1))


class Passing(keras.initializers.Initializer):
    """Initialise the first filters of a convolution as the identity on its input channels, the others randomly.

    The others are uniform, bounded by the inverse root of the fan-in, as in airbench.
    """

    def __init__(self):
        self.others = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")

    def __call__(self, shape, dtype=None):
        """Return a kernel of shape (height, width, input channels, filters)."""
        kernel = np.array(keras.ops.convert_to_numpy(self.others(shape, dtype="float32")))
        height, width, inputs, filters = shape
        same = min(inputs, filters)
        kernel[..., :same] = 0
        kernel[height // 2, width // 2, range(same), range(same)] = 1
        return keras.ops.convert_to_tensor(kernel, dtype)


@model(
    choose="first choice on a CPU for images of up to 64 pixels; most accuracy per minute",
    activation="gelu",
    depths=(2, 3),
)
def fast_cnn(inputs, classes: int, how: Architecture):
    """A whitening 2x2 convolution and three blocks of ``depth`` 3x3 convolutions (32, 64, 128 channels).

    After Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024
    (airbench): the first layer's filters, with both signs, come from the patch
    covariance of the training images and stay fixed; each block pools after its first
    convolution; from depth 3 on, a block adds the output of its first convolution
    to its last; the network ends in global max pooling and logits scaled by 1/9.
    Images above 64 pixels are first reduced by average pooling.
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
