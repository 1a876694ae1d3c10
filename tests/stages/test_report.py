import json
import math
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from makers.projects import Project

from kiln.core import figures, files, markdown
from kiln.modalities.image import corruptions
from kiln.quality import findings
from kiln.reporting import page, sections
from stages import evaluate, report


class Tags(HTMLParser):
    """Collects the tags of a page and what they may load or run."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.sources, self.handlers, self.alts, self.texts = [], [], [], [], []
        self.feed(text)

    def handle_data(self, data):
        self.texts.append(data)

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
    assert "sections.answer(evidence)" not in html


def test_the_metrics_are_finite_scalars_under_fixed_keys(small):
    metrics = json.loads((small.folder / "metrics/metrics.json").read_text())
    flat = pd.json_normalize(metrics).iloc[0]
    names = ("images", *figures.FIGURES)  # ten classes have every figure
    keys = {f"{split}.{name}" for split in ("train", "validation", "test") for name in names}
    keys |= {f"test.{name}_ci95.{end}" for name in names[1:] for end in ("low", "high")}
    keys |= {f"clean.{name}" for name in ("images", "kept", "corrected", "leaks", "leaks_kept")}
    keys |= {f"clean.classes_{what}.{split}" for what in ("absent", "off_share") for split in ("validation", "test")}
    keys |= {f"clean.{what}.{reason}" for what in ("set_aside", "flagged") for reason in findings.REASONS}
    keys |= {f"model.{name}" for name in ("parameters", "multiply_adds", "megabytes", "epochs")}
    keys |= {f"test_calibrated.{name}" for name in ("temperature", "log_loss", "brier", "ece")}
    keys |= {"test.units", "test_calibrated.temperature_ci95.low", "test_calibrated.temperature_ci95.high"}
    keys |= {f"gap.{name}" for name in ("accuracy", "f1", "log_loss")}
    keys |= {f"robustness.{name}" for name in ("images", "none", "mean")}
    keys |= {f"robustness.{name}.{how}" for name in corruptions.CORRUPTIONS for how in corruptions.STRENGTHS}
    assert set(flat.index) == keys
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in flat)


UNEVEN = [
    {"split": "validation", "class": "ill", "images": 0, "expected": 0.9},
    {"split": "test", "class": "ill", "images": 0, "expected": 2.4},
    {"split": "test", "class": EVIL, "images": 30, "expected": 12.1},
]


def evidence(uneven=(), accuracy=(0.9, 0.9), effective=(1000.0, 1000.0), given="test") -> SimpleNamespace:
    """As much of the evidence as the data section and the metrics of clean need."""
    sides = ("validation", "test")
    makers = {name: "given by the source" if name == given else "drawn by Kiln from train" for name in sides}
    clean = {
        "conversion": {"height": 8, "width": 8, "channels": 1},
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
        samples=b"",
        scores={side: {"accuracy": share} for side, share in zip(sides, accuracy, strict=True)},
        train=dict.fromkeys(("parameters", "multiply_adds", "megabytes", "epochs"), 1),
    )


def test_the_data_section_says_who_made_the_splits_and_what_they_lack():
    html = sections.data(evidence(UNEVEN))
    assert "Validation: drawn by Kiln from train. Test: given by the source." in html
    assert re.search("validation</td><td[^>]*>ill</td><td>0</td>", html) and ">12.1</td>" in html and EVIL not in html
    assert "Classes that a split lacks" not in sections.data(evidence())


def test_absent_classes_are_finite_metrics():
    assert report.metrics(evidence(UNEVEN))["clean"]["classes_absent"] == {"validation": 1, "test": 1}
    assert report.metrics(evidence(UNEVEN))["clean"]["classes_off_share"] == {"validation": 0, "test": 1}
    assert report.metrics(evidence())["clean"]["classes_absent"] == {"validation": 0, "test": 0}


def test_two_proportions_are_compared_as_in_the_textbook():
    # 60 of 100 and 75 of 150: z = 0.1 / sqrt(0.54 * 0.46 * (1 / 100 + 1 / 150)) = 1.554, two-sided 0.12.
    assert sections.two_proportions((0.6, 100), (0.5, 150)) == pytest.approx(0.1202, abs=1e-4)
    assert sections.two_proportions((0.9, 100), (0.9, 50)) == 1
    assert sections.two_proportions((1.0, 20), (0.8, 20)) == 1  # too few wrong ones to say


def test_two_proportions_are_as_often_wrong_as_they_say():
    generator = np.random.default_rng(0)
    pairs = generator.binomial([400, 900], 0.85, (4000, 2)) / [400, 900]
    wrong = np.mean([sections.two_proportions((a, 400), (b, 900)) < 0.05 for a, b in pairs])
    assert 0.04 < wrong < 0.06


def test_validation_and_test_that_differ_by_more_than_chance_are_told():
    def said(**changes):
        return re.findall(r"<p>(Accuracy differs[^<]*)</p>", sections.data(evidence(accuracy=(0.95, 0.85), **changes)))

    (sentence,) = said()
    assert sentence.startswith("Accuracy differs between validation, 95.0%, and test, 85.0%, by more than chance (p = ")
    assert "do not come from one draw" in sentence
    assert "Both were drawn from the same images" in said(given=None)[0]
    # As many images, but of a few patients: nothing is claimed.
    assert said(effective=(60.0, 60.0)) == []
    assert "Accuracy differs" not in sections.data(evidence(accuracy=(0.91, 0.90)))


def test_the_files_for_git_are_small(small):
    for path in (small.folder / "metrics").rglob("*"):
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


def test_the_kernel_logs_nothing(tmp_path, capfd):
    code = "get_ipython().kernel.log.error('interrupted')"
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": code}
    template = tmp_path / "report.ipynb"
    template.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    assert "<main>" in report.render(template, "x") and capfd.readouterr().err == ""


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


NAMES = [
    "bird's nest",
    '"cats" & dogs',
    "&amp; &#39;",
    EVIL,
    "a|b",
    "`c`",
    "_d_ **e** ~~f~~",
    "\\*g",
    "[h](i) ![j](k)",
]
NAMES += ["l\nm\r\n\tn\u2028o", "# p", "- q", "1. r", "+", "---", "> s", "$t$ {u}", "日本語", "-0.5", "1.5"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_out_of_markdown_and_html_as_it_is(name):
    import mistune  # of nbconvert

    render = mistune.create_markdown(escape=False, plugins=["table", "strikethrough"])
    one_line = " ".join(name.split())
    shown = render(markdown.plain(name))
    assert shown.count("<") == 2 and unescape(shown) == f"<p>{one_line}</p>\n"
    cell = re.search("<td>(.*)</td>", render(markdown.table(["class"], [[name]])))[1]
    assert "<" not in cell and unescape(cell) == one_line
    for part in (page.text(name), page.table(["class"], [[name]]), page.matrix([name], [[1]]), page.image(b"", name)):
        shown = Tags(part)
        assert " ".join(name.split()) in (" ".join(text.split()) for text in (*shown.texts, *shown.alts))
    assert Tags(page.page(name, "")).texts.count(name) == 1


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
        page.exhibits([([[(b"", EVIL)], [(b"", EVIL)]], EVIL)]),
        page.diagonal([0.5], [0.4], EVIL),
        page.curves([1, 2], {EVIL: [1.0, 2.0]}, f"{EVIL} $x^"),
    ]
    for part in parts:
        assert EVIL not in part
        assert not Tags(part).handlers
        assert "x" not in Tags(part).sources


@pytest.mark.parametrize("cam", [None, b"png"])
def test_the_report_says_where_there_is_no_grad_cam(cam):
    wrong = {"id": "i", "label": "a", "prediction": "b", "probability": 0.9, "image": b"", "occlusion": b""}
    exhibits = pd.DataFrame([{**wrong, "grad_cam": cam, "neighbours": []}])
    text = sections.mistakes(SimpleNamespace(exhibits=exhibits))
    assert ("There is no Grad-CAM: this network has no feature maps near its end." in text) == (cam is None)
    assert ("in the last feature maps" in text) == (cam is not None)


def test_a_matrix_shows_rows_as_labels():
    text = page.matrix(["a", "b"], np.array([[3, 1], [0, 2]]).tolist())
    cells = re.findall(r"<td[^>]*>(\d*)</td>", text)
    assert cells == ["", "3", "1", "", "2"]
