"""General knobs of the stage augment; those of a modality are in its own file."""

from typing import Literal

from kiln.params.types import Parted, knob


class Augment(Parted):
    """When training samples are changed, and into how many views."""

    mode: Literal["offline", "online"] = knob(
        "offline", "offline: views written once, reused by every run; online: new views in every epoch, no disk"
    )
    views: int = knob(2, "views of each training sample; offline only", ge=1, le=100)
