"""Settings of the default params, with changes."""

from kiln import params
from makers.projects import ROOT

BASE = params.load(ROOT / "params.yaml").train


def settings(**changes) -> params.Train:
    return params.Train(**{**BASE.model_dump(), **changes})


OFF = {"rotate": 0, "scale": 0, "crop": 0, "flip": 0, "brightness": 0, "contrast": 0, "cutout": 0}
