"""The evidence that the report shows: the stages' outputs, read once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from kiln import params
from kiln.core import files
from kiln.modalities import registry as modalities
from kiln.modalities.base import Exhibit, read_exhibits

# What the report reads of each folder; the rest need not be in this clone.
READ = {
    "raw": ("manifest.json", "summary.json"),
    "clean": ("evidence.parquet", "manifest.json", "set_aside.parquet", "summary.json"),
    "augmented": ("summary.json",),
    "normalized": ("summary.json",),
    "model": ("history.csv", "model.json", "summary.json"),
    "evaluation": (
        *(f"{name}.csv" for name in ("confusion", "per_class", "precision_recall", "reliability")),
        *(f"{name}.csv" for name in ("robustness", "roc", "slices")),
        "exhibits.parquet",
        "summary.json",
    ),
}


@dataclass(frozen=True)
class Evidence:
    """Everything that the report shows, as the stages left it."""

    settings: params.Params
    params_text: str
    fetch: dict
    clean: dict
    set_aside: pd.DataFrame
    evidence: pd.DataFrame
    samples: dict[str, Exhibit]
    augment: dict
    views: dict[str, Exhibit]
    normalize: dict
    train: dict
    history: pd.DataFrame
    scores: dict
    per_class: pd.DataFrame
    confusion: pd.DataFrame
    exhibits: pd.DataFrame
    reliability: pd.DataFrame
    slices: pd.DataFrame
    robustness: pd.DataFrame
    digests: dict[str, str]

    @property
    def noun(self) -> str:
        """The noun for a sample, such as ``image``."""
        return modalities.name_samples(self.settings.inputs)


def load_evidence(data: Path = Path("data")) -> Evidence:
    """Read the evidence from the stages' outputs.

    Raises:
        UserError: a file is missing or damaged.
    """
    for folder, names in READ.items():
        files.verify(data / folder, *names)

    def frame(path: str) -> pd.DataFrame:
        return pd.read_csv(data / path, dtype={"class": str, "label": str, "prediction": str}, keep_default_na=False)

    settings = params.load()
    noun = modalities.name_samples(settings.inputs)
    samples, shown_views = (read_exhibits(data / folder / "samples") for folder in ("clean", "augmented"))
    return Evidence(
        settings=settings,
        params_text=params.PATH.read_text(),
        fetch=files.read_json(data / "raw/summary.json"),
        clean=files.read_json(data / "clean/summary.json"),
        set_aside=pq.read_table(data / "clean/set_aside.parquet").to_pandas(),
        evidence=pq.read_table(data / "clean/evidence.parquet").to_pandas().astype(object).replace({np.nan: None}),
        samples={part: samples[part] for part in settings.inputs},
        augment=files.read_json(data / "augmented/summary.json"),
        views={part: shown_views[part] for part in settings.inputs},
        normalize=files.read_json(data / "normalized/summary.json"),
        train=files.read_json(data / "model/summary.json"),
        history=frame("model/history.csv"),
        scores=files.read_json(data / "evaluation/summary.json"),
        per_class=frame("evaluation/per_class.csv"),
        confusion=frame("evaluation/confusion.csv"),
        reliability=frame("evaluation/reliability.csv"),
        slices=frame("evaluation/slices.csv"),
        robustness=frame("evaluation/robustness.csv"),
        exhibits=pq.read_table(data / "evaluation/exhibits.parquet").to_pandas(),
        digests={
            f"{noun}s as fetched": files.sha256(data / "raw/manifest.json"),
            f"{noun}s as cleaned": files.sha256(data / "clean/manifest.json"),
            "model": files.sha256(data / "model/model.json"),
        },
    )
