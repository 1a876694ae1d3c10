"""A report on texts, made up."""

import dataclasses

import numpy as np
import pandas as pd

from kiln.modalities import registry
from kiln.reporting import rendering, sections
from kiln.reporting.evidence import Evidence
from makers.evidence import make_evidence

TEXT = registry.get("text")
SECTIONS = ("summary", "data", "findings", "augmentation", "normalization", "learning", "metrics", "calibration")
SECTIONS += ("confusion", "classes", "slices", "robustness", "mistakes", "successes", "card")


LONG = "It was a long evening, " * 60
VALUES = np.array(["a <b>good</b> film", LONG, "今天天气很好"], object)


class _Good:
    """A network that looks at one word."""

    encoder = None

    def predict(self, row, values):
        yes = np.array([0.9 if "good" in value else 0.2 for value in values])
        return np.stack([1 - yes, yes], axis=1)


def text_evidence() -> Evidence:
    """Evidence of a report on a few texts, of which two are mistakes."""
    made = make_evidence([0, 1, 2] * 10, [0, 1, 2] * 9 + [1, 2, 0])

    def show(row: int) -> list[dict]:
        return [{"part": "text", "title": "sample", **TEXT.show(VALUES[row])._asdict()}]

    explained = TEXT.explain(_Good(), VALUES, np.ones(3, int))
    exhibits = [
        {"id": f"t{row}", "label": "ab"[row % 2], "prediction": "b", "probability": 0.9}
        | {"shown": show(row) + [{"part": "text", "title": title, **one._asdict()} for title, one in shown.items()]}
        | {"neighbours": [{"id": "n", "label": "c", "cosine": 0.5, "shown": show(2 - row)}]}
        for row, shown in enumerate(explained)
    ]
    preview = [{"part": "text", **TEXT.preview(VALUES[0])._asdict()}]
    found = {"id": "i", "label": "a", "split": "train", "suggestion": None, "detail": "", "action": "flag"}
    found |= {"other": "j", "other_label": "b", "other_split": "test", "reason": "near_duplicate", "score": 0.9}
    sheet = TEXT.sheet([VALUES], 8)
    flagged = {**made.clean["flagged"], "near_duplicate": 1}
    clean = {**made.clean, "sampled": ["a"], "near_duplicate_score": {"text": 0.8}, "flagged": flagged}
    clean["parts"] = {"text": {"sentence": "Unicode"}}
    return dataclasses.replace(
        made,
        settings=made.settings.model_copy(update={"inputs": {"text": "text"}}),
        clean=clean,
        samples={"text": sheet},
        views={"text": sheet},
        exhibits=pd.DataFrame(exhibits),
        evidence=pd.DataFrame([{**found, "shown": preview, "other_shown": preview}]),
        normalize={
            "parts": {"text": {"method": "m", "splits": {"train": {key: [0.25] for key in TEXT.described}}}},
        },
    )


def fill_sections(evidence: Evidence) -> str:
    """The HTML of all sections but provenance."""
    return "".join(rendering.fill_html(name, getattr(sections, name)(evidence)) for name in SECTIONS)
