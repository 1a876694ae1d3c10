"""The modalities by name. To add one: its folder, a line here, and its knobs in ``kiln/params/``."""

import functools
import importlib

from kiln.modalities.base import Modality

# Imported when first asked for, so that a data set of texts loads nothing for images.
_CLASSES = {"image": "kiln.modalities.image.modality:Image"}


@functools.cache
def get(name: str) -> Modality:
    """Give a modality by its name.

    Raises:
        KeyError: there is none of that name.
    """
    module, _, kind = _CLASSES[name].partition(":")
    return getattr(importlib.import_module(module), kind)()


def known() -> list[str]:
    """List the names."""
    return list(_CLASSES)
