"""The modalities by name. To add one: its folder, a line here, and its knobs in ``kiln/params/``."""

import functools
import importlib
from collections.abc import Mapping

from kiln.modalities.base import Modality, Part

# Imported on first use, so that a dataset of texts loads nothing for images.
_CLASSES = {
    "image": "kiln.modalities.image.modality:Image",
    "text": "kiln.modalities.text.modality:Text",
}


@functools.cache
def get(name: str) -> Modality:
    """Return a modality by its name.

    Raises:
        KeyError: there is no modality of that name.
    """
    module, _, kind = _CLASSES[name].partition(":")
    return getattr(importlib.import_module(module), kind)()


def name_samples(inputs: Mapping[str, str]) -> str:
    """Return the noun for a sample of these parts: ``image`` if that is its only part, else ``sample``."""
    return get(next(iter(inputs.values()))).noun if len(inputs) == 1 else "sample"


def known() -> list[str]:
    """List the names."""
    return list(_CLASSES)


def read_parts(listed: Mapping[str, Mapping]) -> dict[str, Part]:
    """Read the output of ``Part.to_json`` of each part.

    Raises:
        KeyError, TypeError, ValueError: a modality is unknown or a conversion is damaged.
    """
    parts = {}
    for name, about in listed.items():
        modality = get(about["modality"])
        parts[name] = Part(name, modality, modality.read_conversion(about["conversion"]))
    return parts
