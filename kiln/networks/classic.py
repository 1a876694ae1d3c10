"""Networks without residual connections: mlp, lenet5, article_cnn, alexnet, vgg."""

from kiln.networks.parts import (
    Architecture,
    activate,
    convolution,
    dense,
    drop,
    head,
    layers,
    model,
    normalize,
    stem_stride,
)


@model(
    choose="a baseline to compare with: ignores spatial structure, fast on tiny images",
    normalization="none",
    depths=(2, 1, 3, 4, 5, 6),
    smallest=1,
)
def mlp(inputs, classes: int, how: Architecture):
    """Depth hidden layers of 256 units on the flattened pixels."""
    x = layers.Flatten(name="flatten")(inputs)
    for number in range(how.depth):
        x = dense(x, how.count(256), how, f"dense{number + 1}")
    return head(x, classes)


@model(
    choose="digits and other small gray symbols; 61,706 parameters on 32x32x1",
    activation="tanh",
    normalization="none",
)
def lenet5(inputs, classes: int, how: Architecture):
    """LeNet-5: two 5x5 convolutions, two 2x2 average poolings, dense layers of 120 and 84.

    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to
    document recognition", Proc. IEEE 86 (1998), with the second convolution
    connected to all channels of the first, as is now usual: 61,706 parameters on
    32x32x1. Images below 32 pixels are padded at the first convolution (so that
    28x28 gives the same maps as 32x32), those below 28 also at the second.
    """
    side = min(inputs.shape[1:3])
    pad = ["same" if side < 32 else "valid", "same" if side < 28 else "valid"]
    x = inputs
    for number, (channels, padding) in enumerate(zip((6, 16), pad, strict=True), 1):
        x = convolution(x, how.count(channels), 5, how, f"conv{number}", padding=padding)
        x = layers.AveragePooling2D(2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = dense(x, how.count(120), how, "dense1")
    return head(dense(x, how.count(84), how, "dense2"), classes)


@model(choose="a first run on images of up to 64 pixels: fast, modest accuracy", normalization="none", smallest=8)
def article_cnn(inputs, classes: int, how: Architecture):
    """Three 3x3 convolutions (32, 64, 64), two 2x2 poolings, a dense layer of 64.

    The network of Keras' well-known CIFAR-10 example: 122,570 parameters on
    32x32x3 and 10 classes. It uses no padding, except for images below 18 pixels,
    whose maps would otherwise shrink to nothing: they are padded at every convolution.
    """
    padding = "valid" if min(inputs.shape[1:3]) >= 18 else "same"

    def convolve(x, channels, name):
        x = layers.Conv2D(how.count(channels), 3, padding=padding, use_bias=how.normalization != "batch", name=name)(x)
        return activate(normalize(x, how, f"{name}_norm"), how, f"{name}_act")

    x = convolve(inputs, 32, "conv1")
    x = layers.MaxPooling2D(2, padding=padding, name="pool1")(x)
    x = convolve(x, 64, "conv2")
    x = layers.MaxPooling2D(2, padding=padding, name="pool2")(x)
    x = convolve(x, 64, "conv3")
    x = layers.Flatten(name="flatten")(x)
    x = activate(layers.Dense(how.count(64), name="dense")(x), how, "dense_act")
    return head(drop(x, how, "drop"), classes)


@model(choose="historical interest: large dense layers, slow, much memory", normalization="none", dropout=0.5)
def alexnet(inputs, classes: int, how: Architecture):
    """AlexNet: five convolutions (96, 256, 384, 384, 256), three poolings, two dense layers of 4096.

    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep
    convolutional neural networks", NIPS 2012, on one device and without local
    response normalisation: 62,378,344 parameters on 227x227x3 and 1,000
    classes. Below 128 pixels the first convolution is 5x5 with a stride of 1 (2 above
    64 pixels), and all are padded, so that maps of small images do not shrink to nothing.
    """
    large = min(inputs.shape[1:3]) >= 128
    padding = "valid" if large else "same"

    def pool(x, name):
        return layers.MaxPooling2D(3, 2, padding=padding, name=name)(x)

    x = convolution(
        inputs, how.count(96), 11 if large else 5, how, "conv1", 4 if large else stem_stride(inputs), padding
    )
    x = convolution(pool(x, "pool1"), how.count(256), 5, how, "conv2")
    x = convolution(pool(x, "pool2"), how.count(384), 3, how, "conv3")
    x = convolution(x, how.count(384), 3, how, "conv4")
    x = convolution(x, how.count(256), 3, how, "conv5")
    x = layers.Flatten(name="flatten")(pool(x, "pool5"))
    x = dense(x, how.count(4096), how, "dense1")
    return head(dense(x, how.count(4096), how, "dense2"), classes)


_VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3)}


@model(choose="a plain deep network to compare residual ones with", dropout=0.3, depths=(11, 13, 16))
def vgg(inputs, classes: int, how: Architecture):
    """VGG: 3x3 convolutions in five blocks (64, 128, 256, 512, 512) with pooling, a dense layer of 512.

    Simonyan and Zisserman, "Very deep convolutional networks for large-scale
    image recognition", ICLR 2015: the 13 convolutions of depth 16 have
    14,714,688 parameters on RGB (with biases, so without normalisation). One dense
    layer of 512 replaces its two of 4096, as is usual on small images.
    """
    x = inputs
    for block, (convolutions, channels) in enumerate(zip(_VGG[how.depth], (64, 128, 256, 512, 512), strict=True), 1):
        for number in range(1, convolutions + 1):
            x = convolution(x, how.count(channels), 3, how, f"conv{block}_{number}")
        x = layers.MaxPooling2D(2, padding="same", name=f"pool{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    return head(dense(x, how.count(512), how, "dense"), classes)
