"""Knobs of the stage normalize: all belong to a modality."""

from kiln.params.types import Parted


class Normalize(Parted):
    """How each part is brought to a common scale, fitted on train."""
