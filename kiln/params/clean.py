"""General knobs of the stage clean; those of a modality are in its own file."""

from typing import Literal

from kiln.params.types import Action, Fraction, Parted, knob


class Clean(Parted):
    """The splits, and faults: drop (set aside) | flag (keep, but list in the report) | keep (say nothing)."""

    test: float = knob(0.2, "fraction of all samples; not used if the source has a test split", gt=0, lt=1)
    validation: float = knob(0.1, "fraction of train; not used if the source has a validation split", gt=0, lt=1)
    max_set_aside: Fraction = knob(0.2, "fraction of all samples; if more would be dropped, the stage stops")
    undecodable: Literal["drop", "stop"] = knob("drop", "broken or truncated file; stop: end the stage")
    conflicting_labels: Action = knob("drop", "same content under two labels: all copies")
    exact_duplicate: Action = knob("drop", "same content: all copies but one")
    near_duplicate: Literal["drop", "leaks", "flag", "keep"] = knob(
        "leaks", "almost the same; leaks: drop copies of samples in given test or validation splits, flag others"
    )
    label_error: Action = knob("flag", "label that the other samples contradict; drop never applies to test")
    min_label_quality: Fraction = knob(0.7, "probability, by a model that has not seen the sample, for label_error")
    outlier: Action = knob("flag", "unlike all others of its class; drop never applies to test")
    max_isolation: float = knob(
        3.5, "distance to ten nearest in robust deviations above its class's median, for outlier", gt=0
    )
