"""The schema of params.yaml, and the only place that reads it.

A file per section declares its general knobs, a file per modality (image.py)
those of a part; each knob has its type, range, unit, default and comment there
and nowhere else. ``params.yaml`` and its recipes are written from that.
"""

from kiln.params.augment import Augment
from kiln.params.clean import Clean
from kiln.params.evaluate import Evaluate
from kiln.params.fetch import Fetch
from kiln.params.loading import PATH, load, merge_mark
from kiln.params.normalize import Normalize
from kiln.params.schema import DEFAULT_INPUTS, Params, knobs, known_keys, resolved
from kiln.params.train import Train

__all__ = [
    "DEFAULT_INPUTS",
    "PATH",
    "Augment",
    "Clean",
    "Evaluate",
    "Fetch",
    "Normalize",
    "Params",
    "Train",
    "knobs",
    "known_keys",
    "load",
    "merge_mark",
    "resolved",
]
