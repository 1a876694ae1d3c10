"""Knobs of the stage report."""

from kiln.params.types import Section, knob


class Report(Section):
    """What the report is called, and what the model is for."""

    title: str = knob("Kiln report", "heading of the report", min_length=1, max_length=200)
    intended_use: str = knob(
        "Not stated: say in params.yaml, report.intended_use, for what and for whom the model is, and for what it is "
        "not.",
        "for the model card: what the model is for, and what not",
        min_length=1,
        max_length=2000,
    )
