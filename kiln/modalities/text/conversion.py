"""The common form to which every text is converted."""

import codecs
from dataclasses import asdict, dataclass

_COUNTS, _SWITCHES, _NAMES = ("bytes",), ("repair", "mask"), ("encoding", "script")


@dataclass(frozen=True)
class Conversion:
    """How bytes become a string, and what is usual among the texts.

    Attributes:
        bytes: mean length of a text in UTF-8, at least 1; memory is estimated by it.
        repair: whether text that was decoded wrongly before (mojibake) is repaired.
        mask: whether personal data is replaced by its kind, such as ``<email>``.
        encoding: of texts that are not UTF-8; None: found out for each by itself.
        script: of nearly all texts, such as ``Latin``; None where they use several.
    """

    bytes: int
    repair: bool = True
    mask: bool = False
    encoding: str | None = None
    script: str | None = None

    def __post_init__(self):
        if not all(type(getattr(self, name)) is int for name in _COUNTS):
            raise TypeError("bytes")  # in JSON, 8.0 and true would equal whole numbers
        if not all(type(getattr(self, name)) is bool for name in _SWITCHES):
            raise TypeError("repair or mask")
        if not all(isinstance(getattr(self, name), str | None) for name in _NAMES):
            raise TypeError("encoding or script")
        if self.bytes < 1:
            raise ValueError("bytes")
        if self.encoding is not None and not is_encoding(self.encoding):
            raise ValueError("encoding")

    def to_json(self) -> dict:
        """Return the fields for a manifest, without those that are None; ``Conversion(**fields)`` reads them back."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def describe(self) -> str:
        """Describe the form, such as ``Unicode of 80 bytes on average``."""
        return f"Unicode of {self.bytes:,} bytes on average"

    def spell_out(self) -> str:
        """Describe the form for a sentence, such as ``Unicode (NFC), 80 bytes on average, mostly Latin script``."""
        masked = ", personal data masked" if self.mask else ""
        script = f", mostly {self.script} script" if self.script else ""
        return f"Unicode (NFC), {self.bytes:,} bytes on average{script}{masked}"


def is_encoding(name: str) -> bool:
    """Check whether Python knows an encoding of text by this name."""
    try:
        return codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):  # a NUL in the name is a ValueError
        return False
