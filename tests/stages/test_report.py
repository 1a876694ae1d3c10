import json
import math
import shutil

import pandas as pd
import pytest
from makers.datasets import image_parts
from makers.pages import Tags
from makers.projects import Project

from kiln.evaluation import metrics
from kiln.modalities.base import STRENGTHS
from kiln.modalities.image import corruptions
from kiln.quality import findings


@pytest.fixture(scope="module")
def html(small):
    return (small.folder / "metrics/report.html").read_text()


def test_the_page_needs_and_runs_nothing(html):
    found = Tags(html)
    assert "script" not in found.tags and not found.handlers
    assert found.sources and all(source.startswith("data:image/png;base64,") for source in found.sources)
    assert "default-src 'none'" in html
    assert all(found.alts) and len(found.alts) == found.tags.count("img")


def test_the_page_shows_every_section_without_code(html):
    for title in (
        "The data",
        "What cleaning found",
        "Augmentation",
        "Normalisation",
        "Learning curves",
        "Metrics",
        "Confusion on test",
        "Classes on test",
        "Surest mistakes",
        "How it was made",
    ):
        assert f"<h2>{title}</h2>" in html
    assert "sections.summary(evidence)" not in html


def test_the_metrics_are_finite_scalars_under_fixed_keys(small):
    published = json.loads((small.folder / "metrics/metrics.json").read_text())
    flat = pd.json_normalize(published).iloc[0]
    names = ("samples", *metrics.SPLIT_METRICS)  # ten classes have every figure
    keys = {f"{split}.{name}" for split in ("train", "validation", "test") for name in names}
    keys |= {f"test.{name}_ci95.{end}" for name in names[1:] for end in ("low", "high")}
    keys |= {f"clean.{name}" for name in ("samples", "kept", "corrected", "leaks", "leaks_kept")}
    keys |= {f"clean.classes_{what}.{split}" for what in ("absent", "off_share") for split in ("validation", "test")}
    keys |= {
        f"clean.{what}.{reason}" for what in ("set_aside", "flagged") for reason in findings.list_reasons(image_parts())
    }
    keys |= {f"model.{name}" for name in ("parameters", "multiply_adds", "megabytes", "epochs")}
    keys |= {f"test_calibrated.{name}" for name in ("temperature", "log_loss", "brier", "ece")}
    keys |= {"test.units", "test_calibrated.temperature_ci95.low", "test_calibrated.temperature_ci95.high"}
    keys |= {f"gap.{name}" for name in ("accuracy", "f1", "log_loss")}
    keys |= {f"robustness.{name}" for name in ("samples", "none", "mean")}
    keys |= {f"robustness.{name}.{how}" for name in corruptions.CORRUPTIONS for how in STRENGTHS}
    assert set(flat.index) == keys
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in flat)


def test_the_files_for_git_are_small(small):
    for path in (small.folder / "metrics").rglob("*"):
        assert path.is_dir() or path.name == "report.html" or path.stat().st_size < 100_000


def test_a_failing_cell_fails_the_stage_and_publishes_nothing(small, tmp_path):
    folder = tmp_path / "copy"
    project = Project(folder)
    shutil.rmtree(folder / "metrics")
    shutil.copytree(small.folder / "data", folder / "data", dirs_exist_ok=True)
    notebook = folder / "stages/report.ipynb"
    content = json.loads(notebook.read_text())
    content["cells"][3]["source"] = ["1 / 0"]
    notebook.write_text(json.dumps(content))
    failed = project.stage("report", check=False)
    assert failed.returncode == 1
    assert "the cell `1 / 0` failed with ZeroDivisionError" in failed.stderr
    assert not (folder / "metrics").exists()
