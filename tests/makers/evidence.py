"""Evidence of a report, made up."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from kiln import params
from kiln.evaluation import calibration, curves, metrics, scoring, slices
from kiln.quality import findings
from kiln.reporting.evidence import Evidence
from makers.datasets import image_parts
from makers.pages import EVIL
from makers.projects import ROOT

CLASSES = ["a", "b", "c"]
UNEVEN = [
    {"split": "validation", "class": "ill", "samples": 0, "expected": 0.9},
    {"split": "test", "class": "ill", "samples": 0, "expected": 2.4},
    {"split": "test", "class": EVIL, "samples": 30, "expected": 12.1},
]


def some_evidence(uneven=(), accuracy=(0.9, 0.9), effective=(1000.0, 1000.0), given="test") -> SimpleNamespace:
    """As much of the evidence as the data section and the metrics of clean need."""
    sides = ("validation", "test")
    makers = {name: "given by the source" if name == given else "drawn by Kiln from train" for name in sides}
    clean = {
        "parts": {"image": {"sentence": "8 x 8 pixels, gray"}},
        "splits": {split: {"ill": 2, EVIL: 5} for split in ("train", *sides)},
        "split_makers": {"train": "given by the source, less what Kiln drew", **makers},
        "effective": dict(zip(sides, effective, strict=True)),
        "uneven": list(uneven),
        "sampled": ["ill"],
        **dict.fromkeys(("samples", "kept", "corrected", "leaks", "leaks_kept"), 1),
        "set_aside": {},
        "flagged": {},
    }
    return SimpleNamespace(
        clean=clean,
        fetch={"samples": 9, "skipped": {}, "notes": {}},
        samples={},
        noun="image",
        scores={side: {"accuracy": share} for side, share in zip(sides, accuracy, strict=True)},
        train=dict.fromkeys(("parameters", "multiply_adds", "megabytes", "epochs"), 1),
    )


def show(*titles: str, part: str = "image") -> list[dict]:
    """Exhibits of a part, empty pictures."""
    return [{"part": part, "title": title, "kind": "picture", "content": b""} for title in titles]


def make_evidence(labels, predictions, units=None, confidence: float = 0.9, **changes) -> Evidence:
    """Evidence of a test split of these labels and predictions; ``changes`` replace parts of it."""
    labels, predictions = np.array(labels), np.array(predictions)
    count, classes = len(labels), len(CLASSES)
    probabilities = np.full((count, classes), (1 - confidence) / (classes - 1), np.float32)
    probabilities[np.arange(count), predictions] = confidence
    units = np.arange(count) if units is None else np.array(units)
    test, table = scoring.score(labels, probabilities, CLASSES, 200, 0, units)
    seen = {"labels": labels, "units": units, "probabilities": probabilities}
    seen["logits"] = calibration.logarithms(probabilities)
    right = predictions == labels
    measures = slices.list_measures(image_parts())
    facts = pd.DataFrame({**dict.fromkeys(measures, np.full(count, 3024.0)), "label doubted": np.arange(count) < 1})
    reasons = dict.fromkeys(findings.list_reasons(image_parts()), 0)
    shown = [
        {"id": str(row), "label": CLASSES[labels[row]], "prediction": CLASSES[predictions[row]], "probability": 0.99999}
        | {"shown": show("sample", "occlusion"), "neighbours": []}
        for row in np.flatnonzero(~right)
    ]
    columns = ["id", "label", "prediction", "probability", "shown", "neighbours"]
    train = {name: test[name] for name in ("samples", *metrics.SPLIT_METRICS) if name in test}
    robust = [("none", "none", *([right.mean()] * 3)), ("noise", "medium", *([right.mean()] * 3))]
    parts = {
        "settings": params.load(ROOT / "params.yaml"),
        "params_text": "",
        "fetch": {"samples": 1, "skipped": {}, "notes": {}},
        "clean": {
            "samples": count,
            "kept": count,
            "corrected": 1,
            "leaks": 3,
            "leaks_kept": 0,
            "near_duplicate_score": {"image": 0.65},
            "uneven": [],
            "split_makers": dict.fromkeys(("train", "validation", "test"), "given by the source"),
            "effective": dict.fromkeys(("train", "validation", "test"), 1.0),
            "set_aside": reasons,
            "flagged": {**reasons, "label_error": 1},
            "parts": {"image": {"sentence": "8 x 8 pixels, gray"}},
            "splits": {split: dict.fromkeys(CLASSES, 1) for split in ("train", "validation", "test")},
            "sampled": [],
        },
        "set_aside": pd.DataFrame({"reason": []}),
        "evidence": pd.DataFrame({"reason": []}),
        "samples": {},
        "augment": {"active": True, "mode": "offline", "views": 1},
        "views": {},
        "normalize": {"parts": {}},
        "train": {
            "model": "m", "parameters": 1, "multiply_adds": 1, "megabytes": 1.0,
            "epochs": 1, "samples": 1, "epoch_kept": 1, "seed": 0,
        },
        "history": pd.DataFrame(
            {name: [0.5] for name in ("epoch", "loss", "accuracy", "validation_loss", "validation_accuracy")}
        ),
        "scores": {
            "train": train,
            "validation": train,
            "test": test,
            "test_calibrated": scoring.score_calibrated(seen, seen),
            "robustness": {"samples": count, "none": right.mean(), "mean": right.mean()},
        },
        "per_class": table.astype(object).where(table.notna(), ""),
        "confusion": scoring.confusion_table(labels, predictions, CLASSES),
        "exhibits": pd.DataFrame(shown, columns=columns),
        "reliability": curves.reliability(labels, probabilities),
        "slices": slices.table(facts, measures, right, units),
        "robustness": pd.DataFrame(robust, columns=["corruption", "strength", "accuracy", "low", "high"]),
        "digests": {},
    }  # fmt: skip
    for name in ("support", "precision", "recall", "f1"):
        parts["per_class"][name] = table[name]
    return Evidence(**{**parts, **changes})
