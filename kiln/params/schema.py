"""The whole of params.yaml as one model, built for the parts that its ``inputs`` name."""

import functools
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, create_model
from pydantic.fields import FieldInfo

from kiln.params.augment import Augment
from kiln.params.clean import Clean
from kiln.params.compare import Compare
from kiln.params.evaluate import Evaluate
from kiln.params.fetch import Fetch
from kiln.params.modalities import MODALITIES
from kiln.params.normalize import Normalize
from kiln.params.report import Report
from kiln.params.train import Train
from kiln.params.types import Parted, Section, Seed, knob

DEFAULT_INPUTS = {"image": "image"}
# Columns that every dataset has beside those of the parts.
COLUMNS = ("id", "label", "split", "group", "unit")


def check_inputs(value: Any) -> dict[str, str]:
    """Check part names and modalities: a part's knobs stand beside the general ones, so no name may be both.

    Raises:
        ValueError: says what should be there.
    """
    if not isinstance(value, dict) or not value:
        raise ValueError("should name one or several parts of a sample, such as {image: image}")
    for name, modality in value.items():
        if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError("should have part names of small letters, digits and _, a letter first")
        if name in _TAKEN or name in COLUMNS:
            where = "a key of a section" if name in _TAKEN else "a column of every dataset"
            raise ValueError(f"should have other part names than {name}, which is {where}")
        if not isinstance(modality, str) or modality not in MODALITIES:
            raise ValueError(f"should have a modality for each part: {', '.join(MODALITIES)}")
    return value


class Params(Section):
    """The whole of params.yaml: ``seed``, ``inputs``, one section per stage, and that of the command compare."""

    seed: Seed = knob(0, "splits, views and resampling depend on it")
    inputs: Annotated[dict[str, str], BeforeValidator(check_inputs)] = knob(
        DEFAULT_INPUTS, "the parts of a sample, each with its modality"
    )
    fetch: Fetch
    clean: Clean
    augment: Augment
    normalize: Normalize
    train: Train
    evaluate: Evaluate
    report: Report
    compare: Compare


SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Params.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}
_TAKEN = {key for section in SECTIONS.values() for key in section.model_fields}


def model_for(inputs: Mapping[str, str]) -> type[Params]:
    """Build the model of a params.yaml with these parts; the same parts give the same class.

    Args:
        inputs: part name -> modality, as ``Params.inputs`` allows.
    """
    return _model_for(tuple(inputs.items()))


@functools.cache
def _model_for(inputs: tuple[tuple[str, str], ...]) -> type[Params]:
    fields = {}
    for name, section in SECTIONS.items():
        # Named by an alias, so that a part may be called as a method of pydantic is, such as copy.
        parts = {
            f"part_{part}": (MODALITIES[modality][name], Field(MODALITIES[modality][name](), alias=part))
            for part, modality in inputs
            if name in MODALITIES[modality] and issubclass(section, Parted)
        }
        # A section without knobs below a part's name has those of its modality among its own.
        kinds = () if issubclass(section, Parted) else dict.fromkeys(modality for _, modality in inputs)
        bases = (*(MODALITIES[kind][name] for kind in kinds if name in MODALITIES[kind]), section)
        fields[name] = (create_model(section.__name__, __base__=bases, __doc__=section.__doc__, **parts), ...)
    return create_model("Params", __base__=Params, **fields)


def knobs(inputs: Mapping[str, str] = DEFAULT_INPUTS) -> dict[str, FieldInfo]:
    """List every key that holds a value, such as ``train.optimizer.name``, with its field of the schema."""
    return dict(_knobs(model_for(inputs), ""))


def _knobs(model: type[Section], prefix: str):
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _knobs(field.annotation, f"{key}.")
        else:
            yield key, field


def known_keys(inputs: Mapping[str, str] = DEFAULT_INPUTS) -> list[str]:
    """List every section, group and key."""
    prefixes = {}
    for key in knobs(inputs):
        steps = key.split(".")
        prefixes |= dict.fromkeys(".".join(steps[: end + 1]) for end in range(len(steps)))
    return list(prefixes)


def resolved(settings: Section) -> dict:
    """Give what a run uses, as JSON: every value as checked, without knobs that have no effect."""
    return settings.model_dump(mode="json", by_alias=True)
