"""Evidence of a report, made up."""

from types import SimpleNamespace

from makers.pages import EVIL

UNEVEN = [
    {"split": "validation", "class": "ill", "images": 0, "expected": 0.9},
    {"split": "test", "class": "ill", "images": 0, "expected": 2.4},
    {"split": "test", "class": EVIL, "images": 30, "expected": 12.1},
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
        **dict.fromkeys(("images", "kept", "corrected", "leaks", "leaks_kept"), 1),
        "set_aside": {},
        "flagged": {},
    }
    return SimpleNamespace(
        clean=clean,
        fetch={"images": 9, "skipped": {}, "notes": {}},
        samples={},
        scores={side: {"accuracy": share} for side, share in zip(sides, accuracy, strict=True)},
        train=dict.fromkeys(("parameters", "multiply_adds", "megabytes", "epochs"), 1),
    )
