"""The augmentation plan: how views of training samples are created; written by augment, used by train."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from kiln.core import files
from kiln.modalities import registry
from kiln.params.modalities import MODALITIES

FILE = "policy.json"


class _Saved(BaseModel):
    """The schema of policy.json."""

    model_config = ConfigDict(strict=True)
    mode: Literal["offline", "online"]
    views: Annotated[int, Field(ge=1)]
    inputs: Annotated[dict[str, str], Field(min_length=1)]
    settings: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """How training samples are augmented.

    Attributes:
        mode: ``offline`` (augment writes views) or ``online`` (train creates them).
        views: views of each sample; offline only.
        inputs: part -> modality.
        settings: part -> its knobs of augment.
    """

    mode: str
    views: int
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]

    @property
    def active(self) -> bool:
        """Whether any part is changed."""
        return any(registry.get(kind).is_active(self.settings[name]) for name, kind in self.inputs.items())

    @property
    def offline(self) -> bool:
        """Whether augment writes views."""
        return self.active and self.mode == "offline"

    @property
    def online(self) -> bool:
        """Whether train creates views."""
        return self.active and self.mode == "online"

    def apply(self, values: Mapping[str, np.ndarray], keys: np.ndarray, view: int) -> dict[str, np.ndarray]:
        """Create one view of each sample.

        The parts of a sample use the same random numbers, so that two pictures of one object stay consistent.

        Args:
            values: part -> values [N, ...].
            keys: uint64 [N], of the samples; the same key and view give the same result.
            view: number of the view, such as the epoch; from 0.
        """
        return {
            name: registry.get(kind).augment(self.settings[name], values[name], keys, view)
            for name, kind in self.inputs.items()
        }


def save(plan: Plan, folder: Path) -> None:
    """Write policy.json."""
    settings = {name: knobs.model_dump() for name, knobs in plan.settings.items()}
    content = {"mode": plan.mode, "views": plan.views, "inputs": dict(plan.inputs), "settings": settings}
    files.write_json(folder / FILE, content)


def load(folder: Path) -> Plan:
    """Read policy.json.

    Raises:
        UserError: it is missing or damaged.
    """
    content = files.read_json(folder / FILE)
    try:
        saved = _Saved.model_validate(content)
        settings = {name: MODALITIES[kind]["augment"](**saved.settings[name]) for name, kind in saved.inputs.items()}
        if any(set(saved.settings[name]) != set(knobs.model_dump()) for name, knobs in settings.items()):
            raise ValueError("a knob is missing")  # its default would be used silently
        return Plan(saved.mode, saved.views, saved.inputs, settings)
    except (KeyError, TypeError, ValueError):
        raise files.damaged(folder / FILE) from None
