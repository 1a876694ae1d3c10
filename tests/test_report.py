import json
import math
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from conftest import Project

from stages import evaluate, report
from stages.lib import corruptions, figures, files, findings, page


class Tags(HTMLParser):
    """Collects the tags of a page and what they may load or run."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.sources, self.handlers, self.alts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                self.sources.append(value)
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "alt":
                self.alts.append(value)


EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def html(trained):
    return (trained.folder / "metrics/report.html").read_text()


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
    assert "sections.answer(evidence)" not in html


def test_the_metrics_are_finite_scalars_under_fixed_keys(trained):
    metrics = json.loads((trained.folder / "metrics/metrics.json").read_text())
    flat = pd.json_normalize(metrics).iloc[0]
    names = ("images", *figures.FIGURES)  # ten classes have every figure
    keys = {f"{split}.{name}" for split in ("train", "validation", "test") for name in names}
    keys |= {f"test.{name}_ci95.{end}" for name in names[1:] for end in ("low", "high")}
    keys |= {f"clean.{name}" for name in ("images", "kept", "corrected", "leaks")}
    keys |= {f"clean.{what}.{reason}" for what in ("set_aside", "flagged") for reason in findings.REASONS}
    keys |= {f"model.{name}" for name in ("parameters", "multiply_adds", "megabytes", "epochs")}
    keys |= {f"test_calibrated.{name}" for name in ("temperature", "log_loss", "brier", "ece")}
    keys |= {"test.units", "test_calibrated.temperature_ci95.low", "test_calibrated.temperature_ci95.high"}
    keys |= {f"gap.{name}" for name in ("accuracy", "f1", "log_loss")}
    keys |= {f"robustness.{name}" for name in ("images", "none", "mean")}
    keys |= {f"robustness.{name}.{how}" for name in corruptions.CORRUPTIONS for how in corruptions.STRENGTHS}
    assert set(flat.index) == keys
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in flat)


def test_the_files_for_git_are_small(trained):
    for path in (trained.folder / "metrics").rglob("*"):
        assert path.is_dir() or path.name == "report.html" or path.stat().st_size < 100_000


def test_plot_files_hold_nothing_that_ends_a_script():
    names = ["</script><script>alert(1)</script>", EVIL, "a|b", "日本語", "NA"]
    table = report.plotted(pd.DataFrame({"class": names, "f1": ["1", "0.5", "0", "", "1"]}))
    assert not table["class"].str.contains("<").any()
    assert table["class"].tolist()[2:] == names[2:]
    assert table["f1"].tolist() == ["1", "0.5", "0", "", "1"]


def test_confusion_of_many_classes_stays_small_and_keeps_the_frequent_pairs(tmp_path):
    counts = np.random.default_rng(0).integers(1, 9, (100, 100)) + 90 * np.eye(100, dtype=int)
    counts[3, 7] = 50
    labels, predictions = (np.repeat(side.ravel(), counts.ravel()) for side in np.indices((100, 100)))
    names = [f'"{number}", {"n" * 50}' for number in range(100)]
    table = evaluate.confusion_table(labels, predictions, names).astype(str)
    kept = report.plotted(table)
    files.write_csv(tmp_path / "confusion.csv", kept)
    assert (tmp_path / "confusion.csv").stat().st_size < 100_000
    # The diagonal and the frequent mistake; of the pairs with one count all or none.
    assert list(kept.index) == sorted({number * 101 for number in range(100)} | {307})
    few = table[table["images"].astype(int) > 7]
    assert report.plotted(few.head(200)).equals(few.head(200))


def test_a_failing_cell_fails_the_stage_and_publishes_nothing(trained, tmp_path):
    folder = tmp_path / "copy"
    project = Project(folder)
    shutil.rmtree(folder / "metrics")
    shutil.copytree(trained.folder / "data", folder / "data", dirs_exist_ok=True)
    notebook = folder / "stages/report.ipynb"
    content = json.loads(notebook.read_text())
    content["cells"][3]["source"] = ["1 / 0"]
    notebook.write_text(json.dumps(content))
    failed = project.stage("report", check=False)
    assert failed.returncode == 1
    assert "the cell `1 / 0` failed with ZeroDivisionError" in failed.stderr
    assert not (folder / "metrics").exists()


def test_everything_from_data_is_escaped():
    parts = [
        page.page(EVIL, ""),
        page.section(EVIL),
        page.text(EVIL),
        page.headline([(EVIL, EVIL, EVIL)]),
        page.table([EVIL], [[EVIL]]),
        page.image(b"", EVIL),
        page.sheet(b"", [EVIL], EVIL),
        page.strip([([(b"", EVIL), (b"", EVIL)], EVIL)]),
        page.bars([(EVIL, 0.5, EVIL)]),
        page.matrix([EVIL], [[1]]),
        page.curves([1, 2], {EVIL: [1.0, 2.0]}, f"{EVIL} $x^"),
    ]
    for part in parts:
        assert EVIL not in part
        assert not Tags(part).handlers
        assert "x" not in Tags(part).sources


def test_a_matrix_shows_rows_as_labels():
    text = page.matrix(["a", "b"], np.array([[3, 1], [0, 2]]).tolist())
    cells = re.findall(r"<td[^>]*>(\d*)</td>", text)
    assert cells == ["", "3", "1", "", "2"]
