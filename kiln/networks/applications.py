"""Networks of keras.applications, from scratch or from pretrained weights: ``applications/<Name>``.

All networks of the installed Keras are available, with the default arguments of
their functions (so MobileNets have width 1 and are not minimalistic), without
their top.
"""

import inspect
import math
import re
import warnings
from pathlib import Path

from kiln.core.errors import UserError
from kiln.networks.backend import keras
from kiln.networks.parts import Architecture, drop, head, layers

PREFIX = "applications/"
BODY = "body"
# How the published networks expect pixels from 0 to 255 to be scaled; all others scale them themselves.
_PREPROCESSING = {
    r"ResNet\d+|VGG\d+": "caffe",
    r"ResNet\d+V2|MobileNet(V2)?|Inception.*|Xception|NASNet.*": "tf",
    r"DenseNet.*": "torch",
}


def names() -> list[str]:
    """List every ``applications/<Name>`` of the installed Keras."""
    return [f"{PREFIX}{name}" for name in sorted(dir(keras.applications)) if name[0].isupper()]


def preprocessing(name: str) -> str:
    """Return the mode of ``Preprocess`` that a network expects, by its name in Keras."""
    return next((mode for pattern, mode in _PREPROCESSING.items() if re.fullmatch(pattern, name)), "none")


class Preprocess(layers.Layer):
    """Scale pixels from 0 to 255 as in the training of a published network.

    Args:
        mode: ``tf`` (-1 to 1), ``torch`` (standardised by ImageNet's channel means and
            deviations), ``caffe`` (BGR minus ImageNet's channel means) or ``none``.
    """

    def __init__(self, mode: str, **options):
        super().__init__(**options)
        self.mode = mode

    def call(self, images):
        """Convert: floats [N, H, W, 3] -> the same shape."""
        if self.mode == "none":
            return images
        return keras.applications.imagenet_utils.preprocess_input(images, data_format="channels_last", mode=self.mode)


def build(inputs, classes: int, how: Architecture):
    """Build a network of keras.applications without its top: body, global average pooling, dropout, logits.

    Gray images are repeated to three channels.

    Raises:
        UserError: the images are too small for the network.
    """
    name = how.model.removeprefix(PREFIX)
    make = getattr(keras.applications, name)
    x = layers.Concatenate(name="rgb")([inputs] * 3) if inputs.shape[-1] == 1 else inputs
    x = Preprocess(preprocessing(name), name="preprocess")(x)
    # The default of networks that scale pixels themselves.
    options = {"include_preprocessing": True} if "include_preprocessing" in inspect.signature(make).parameters else {}
    try:
        body = make(include_top=False, weights=None, input_shape=x.shape[1:], **options)
    except ValueError as error:
        smallest = re.search(r"at least (\d+)x(\d+)", str(error))
        if not smallest:
            raise
        height, width = smallest.groups()
        raise UserError(
            f"train.model.name {how.model} needs images of at least {height}x{width} pixels, not "
            f"{inputs.shape[1]}x{inputs.shape[2]}: set clean.image.size to [{height}, {width}] or choose another model"
        ) from None
    if how.pretrained and re.fullmatch(r"EfficientNetB\d", name):
        body = _scaled_as_published(body)
    body.name = BODY  # not as an argument: EfficientNetV2 chooses its layers by its name
    x = drop(layers.GlobalAveragePooling2D(name="pool")(body(x)), how, "drop")
    return head(x, classes)


def _scaled_as_published(body: keras.Model) -> keras.Model:
    """Divide by the root of ImageNet's deviations after the normalisation of an EfficientNetB*, as its weights expect.

    The authors divided by the variance. Keras' normalisation divides by its root, and adds
    this correction only if it downloads the weights itself.
    """
    scale = [1 / math.sqrt(deviation) for deviation in (0.229, 0.224, 0.225)]

    def call(layer, *arguments, **options):
        outputs = layer(*arguments, **options)
        is_last = isinstance(layer, layers.Normalization)
        return layers.Rescaling(scale, name="published_scale")(outputs) if is_last else outputs

    return keras.models.clone_model(body, call_function=call)


def load_weights(classifier: keras.Model, path: Path) -> None:
    """Load pretrained weights into the body: a ``..._notop.h5`` file of Keras, or one written by ``save_weights``.

    Raises:
        UserError: the file does not match the network.
    """
    try:
        # If a file lacks weights of a layer, Keras only warns and leaves them random.
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            classifier.get_layer(BODY).load_weights(path)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} does not match train.model.name {classifier.name}: use weights of exactly that network "
            f"without its top ({reason})"
        ) from None
