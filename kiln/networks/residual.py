"""Residual networks for small images: resnet, wide_resnet."""

from kiln.networks.parts import (
    Architecture,
    activate,
    convolution,
    drop,
    head,
    layers,
    model,
    normalize,
    plain_convolution,
    stem_stride,
)


def _pad_channels(x, channels: int, strides: int, name: str):
    # The parameter-free shortcut of the paper's CIFAR networks (option A).
    if strides > 1:
        x = layers.MaxPooling2D(1, strides, padding="same", name=f"{name}_stride")(x)
    missing = channels - x.shape[-1]
    if missing:
        # Zero-pad the channel axis, as the width of a transposed image.
        x = layers.Permute((1, 3, 2), name=f"{name}_turn")(x)
        x = layers.ZeroPadding2D(((0, 0), (missing // 2, missing - missing // 2)), name=f"{name}_pad")(x)
        x = layers.Permute((1, 3, 2), name=f"{name}_back")(x)
    return x


@model(choose="high accuracy for its size; long training, a GPU helps", depths=(20, 32, 56, 44, 110))
def resnet(inputs, classes: int, how: Architecture):
    """ResNet for small images: 6n + 2 layers in three stages of 16, 32 and 64 channels.

    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR
    2016, section 4.2: 0.27, 0.46 and 0.85 million parameters at depth 20, 32
    and 56. Images above 64 pixels are reduced by the stride of the first convolution.
    """
    x = convolution(inputs, how.count(16), 3, how, "conv1", strides=stem_stride(inputs))
    for stage, channels in enumerate((16, 32, 64), 1):
        for block in range(1, (how.depth - 2) // 6 + 1):
            name, strides = f"block{stage}_{block}", 2 if stage > 1 and block == 1 else 1
            y = convolution(x, how.count(channels), 3, how, f"{name}_conv1", strides=strides)
            y = drop(y, how, f"{name}_drop")
            y = plain_convolution(y, how.count(channels), 3, how, f"{name}_conv2")
            y = normalize(y, how, f"{name}_conv2_norm")
            x = layers.Add(name=f"{name}_add")([_pad_channels(x, how.count(channels), strides, name), y])
            x = activate(x, how, f"{name}_act")
    return head(layers.GlobalAveragePooling2D(name="pool")(x), classes)


@model(choose="the most accurate from scratch; needs a GPU, or hours", depths=(16, 22, 28, 40))
def wide_resnet(inputs, classes: int, how: Architecture):
    """Wide ResNet: 6n + 4 layers, with normalisation and activation before each convolution, four times as wide.

    Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016: width 1 is
    their factor k = 4 (WRN-16-4 at depth 16: 2.7 million parameters), and 2.5
    is k = 10.
    """
    x = plain_convolution(inputs, 16, 3, how, "conv1", strides=stem_stride(inputs))
    for stage, channels in enumerate((64, 128, 256), 1):
        for block in range(1, (how.depth - 4) // 6 + 1):
            name, strides = f"block{stage}_{block}", 2 if stage > 1 and block == 1 else 1
            y = activate(normalize(x, how, f"{name}_norm1"), how, f"{name}_act1")
            if block == 1:
                x = layers.Conv2D(how.count(channels), 1, strides=strides, use_bias=False, name=f"{name}_skip")(y)
            y = plain_convolution(y, how.count(channels), 3, how, f"{name}_conv1", strides=strides)
            y = activate(normalize(y, how, f"{name}_norm2"), how, f"{name}_act2")
            y = drop(y, how, f"{name}_drop")
            y = plain_convolution(y, how.count(channels), 3, how, f"{name}_conv2")
            x = layers.Add(name=f"{name}_add")([x, y])
    x = activate(normalize(x, how, "norm"), how, "act")
    return head(layers.GlobalAveragePooling2D(name="pool")(x), classes)
