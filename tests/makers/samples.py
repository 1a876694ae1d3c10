"""Samples as clean sees them: raw datasets of image files, facts of good samples, and what is found about them."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from kiln.modalities.base import Part, qualify
from kiln.modalities.image import copies
from kiln.quality.examination import Examined, examine
from kiln.sources.records import Content, Record
from kiln.store import dataset
from makers.datasets import image_parts
from makers.settings import clean_settings

NO_VERDICTS = pd.DataFrame({"id": [], "label": []}, dtype=object)
GOOD = {
    "notes": None, "short_side": 32.0, "aspect": 1.0, "contrast": 50.0, "brightness": 100.0, "highlight": 200.0,
    "shadow": 10.0, "sharpness": 1.0, "entropy": 5.0,
}  # fmt: skip


def parts_of(*names: str, shape=(8, 8, 1)) -> dict[str, Part]:
    """Parts of modality image, all of one shape."""
    return {name: dataclasses.replace(image_parts(shape)["image"], name=name) for name in names}


def write_raw(folder, samples: Sequence, names: Sequence[str] = ("image",), label="ab") -> dataset.Dataset:
    """Write a raw dataset: each sample a file's bytes or, of several parts, a list of them; labels in turn."""
    records = []
    for row, sample in enumerate(samples):
        files = [sample] if isinstance(sample, bytes) else sample
        contents = {name: Content(file) for name, file in zip(names, files, strict=True)}
        records.append(Record(str(row), label[row % len(label)], None, None, contents))
    dataset.write(folder, [(None, dataset.raw_table(records, names))], "raw", parts=list(names))
    return dataset.open_dataset(folder, "raw")


def facts_of(rows, names: Sequence[str] = ("image",)) -> pd.DataFrame:
    """Facts of good samples, from (label, split, digest, group)."""
    facts = pd.DataFrame(rows, columns=["label", "split", "digest", "group"], dtype=object)
    facts = facts.astype(object).where(facts.notna(), None)
    facts = facts.assign(id=[str(row) for row in facts.index], failure=None, detail=None)
    return facts.assign(**{qualify(dict.fromkeys(names), name, fact): GOOD[fact] for name in names for fact in GOOD})


def examined(facts: pd.DataFrame, near, monkeypatch, verdicts=NO_VERDICTS, **policy) -> Examined:
    """Examine with made-up pairs of near-duplicates, without judging labels.

    What is near one image is near its exact copies too, as any search on pixels has it.
    """
    digest = facts["digest"]
    near = {frozenset((digest[first], digest[second])) for first, second in near}
    rows = ((a, b) for a, b in itertools.combinations(facts.index, 2) if frozenset((digest[a], digest[b])) in near)
    pairs = pd.DataFrame(rows, columns=["first", "second"], dtype=int).assign(score=0.9)

    def find(pixels, usable, seed, border):
        return copies.Copies(pairs[pairs["first"].isin(usable) & pairs["second"].isin(usable)], 0.65)

    monkeypatch.setattr(copies, "find", find)
    settings = clean_settings(**{"label_error": "keep", "outlier": "keep", **policy})
    values = {"image": np.zeros((len(facts), 32, 32, 3))}
    return examine(facts, parts_of("image", shape=(32, 32, 3)), values, verdicts, settings, 0)
