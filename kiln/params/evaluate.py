"""General knobs of the stage evaluate; those of a modality are in its own file."""

from kiln.params.types import Parted, knob


class Evaluate(Parted):
    """How to predict, and how many resamples and exhibits."""

    resamples: int = knob(2000, "bootstrap resamples for the intervals", ge=100, le=100_000)
    mistakes: int = knob(24, "most confident mistakes on test to show", ge=0, le=100)
    robustness_samples: int = knob(1000, "test samples to score under corruptions too; 0: none", ge=0)
    out_of_scope: str = knob("", "class whose samples the model should not know: how well they are told from the rest")
