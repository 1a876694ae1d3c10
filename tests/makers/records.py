"""What sources give: records of one part, image."""

from kiln.modalities import registry
from kiln.sources.records import Content, Record

IMAGE = registry.get("image")
PARTS = {"image": IMAGE}


def record(identity: str, label: str, split: str | None, group: str | None, content: bytes, path=None) -> Record:
    """Make a record of one image."""
    return Record(identity, label, split, group, {"image": Content(content, path)})
