"""Modality -> its knobs. To add one, write its file beside image.py and name it here."""

from kiln.params import image, text
from kiln.params.types import Knobs

MODALITIES: dict[str, Knobs] = {"image": image.KNOBS, "text": text.KNOBS}
