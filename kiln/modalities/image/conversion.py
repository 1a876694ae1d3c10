"""The one shape to which every image is brought."""

import math
from dataclasses import asdict, dataclass

from kiln.modalities.image import levels


@dataclass(frozen=True)
class Conversion:
    """How every image is brought to one shape.

    Attributes:
        height, width: pixels.
        channels: 1 (gray) or 3 (RGB).
        fit: ``crop`` (centre), ``pad`` (black borders) or ``stretch``.
        range: (low, high): the values of deep images that become 0 and 255; None: all 16 bits.
    """

    height: int
    width: int
    channels: int
    fit: str
    range: levels.Range | None = None

    def __post_init__(self):
        if self.range is not None:
            low, high = self.range  # a list where it comes from JSON
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError("range")
            object.__setattr__(self, "range", (low, high))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    def to_json(self) -> dict:
        """The fields, for a manifest; ``Conversion(**fields)`` reads them back. No range is no field."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        return fields | ({"range": list(self.range)} if self.range else {})
