"""The common shape to which every image is converted."""

import math
from dataclasses import asdict, dataclass

from kiln.modalities.image import levels

MAX_SIDE = 1024  # pixels, as clean.image.size allows
FITS = ("crop", "pad", "stretch")


@dataclass(frozen=True)
class Conversion:
    """How every image is converted to the common shape.

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
        if not all(type(number) is int for number in self.image_shape):
            raise TypeError("shape")  # in JSON, 8.0 and true would equal whole numbers
        if not (1 <= self.height <= MAX_SIDE and 1 <= self.width <= MAX_SIDE and self.channels in (1, 3)):
            raise ValueError("shape")
        if self.fit not in FITS:
            raise ValueError("fit")
        if self.range is not None:
            low, high = self.range  # a list if it comes from JSON
            if bool in (type(low), type(high)) or not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError("range")
            object.__setattr__(self, "range", (low, high))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    def to_json(self) -> dict:
        """Return the fields for a manifest (``range`` only if set); ``Conversion(**fields)`` reads them back."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        return fields | ({"range": list(self.range)} if self.range else {})

    def describe(self) -> str:
        """Describe the shape, such as ``32x32 RGB``."""
        return f"{self.height}x{self.width} {self._colors()}"

    def spell_out(self) -> str:
        """Describe the shape for a sentence, such as ``32 x 32 pixels, RGB``."""
        return f"{self.height} x {self.width} pixels, {self._colors()}"

    def _colors(self) -> str:
        return ("gray" if self.channels == 1 else "RGB") + levels.describe(self.range)
