"""The pages as a browser shows them; needs Chromium, and axe-core for accessibility (.ci/run gets both)."""

import html
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest
from makers.comparisons import hostile
from makers.projects import ROOT
from makers.text_reports import fill_sections, text_evidence

from kiln.core import files
from kiln.reporting import publication, rendering, verdict

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
AXE = ROOT / ".axe/axe.min.js"
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
SERIOUS = ("serious", "critical")

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]


def asked(page: str, script: str, folder, width: int = 1280, dark: bool = False):
    """Open a page without its policy, which forbids scripts; run one in it that calls told(value); give the value."""
    assert POLICY.search(page)
    probe = "<script>const told = v => {const p = document.createElement('pre'); p.id = 'told'; "
    probe += f"p.textContent = JSON.stringify(v); document.body.append(p)}};\n{script}</script>"
    path = folder / "page.html"
    path.write_text(POLICY.sub("", page).replace("</body>", f"{probe}</body>"))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command += ["--virtual-time-budget=30000", f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    command += ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1]))


@pytest.fixture(scope="module")
def pages(trained):
    return {
        "report": (trained.folder / "metrics/report.html").read_text(),
        "comparison": verdict.side_by_side(hostile()),
        "texts": rendering.make_page("Texts", fill_sections(text_evidence())),
    }


LOADED = "told(performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('data:')));"


@pytest.mark.parametrize("name", ["report", "comparison", "texts"])
def test_a_page_asks_the_network_for_nothing(pages, name, tmp_path):
    assert asked(pages[name], LOADED, tmp_path) == []


def test_a_request_would_be_seen(pages, tmp_path):
    page = pages["report"].replace("</body>", '<img src="http://127.0.0.1:9/x.png" alt="x"></body>')
    script = f"window.addEventListener('load', () => {{{LOADED}}});"
    assert asked(page, script, tmp_path) == ["http://127.0.0.1:9/x.png"]


@pytest.mark.parametrize("name", ["report", "comparison", "texts"])
def test_a_page_fits_a_telephone(pages, name, tmp_path):
    script = "told([document.documentElement.scrollWidth, document.documentElement.clientWidth]);"
    wide, window = asked(pages[name], script, tmp_path, width=500)  # Chromium's windows are not narrower
    assert wide <= window


@pytest.mark.parametrize("dark", [False, True])
def test_dark_is_dark(pages, dark, tmp_path):
    script = "told([matchMedia('(prefers-color-scheme: dark)').matches, getComputedStyle(document.body).color]);"
    matches, color = asked(pages["report"], script, tmp_path, dark=dark)
    assert matches == dark
    assert color == ("rgb(230, 234, 240)" if dark else "rgb(28, 36, 48)")


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="no pdftotext: apt-get install poppler-utils")
def test_a_printed_page_shows_what_is_folded(pages, tmp_path):
    (tmp_path / "page.html").write_text(pages["report"])
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={tmp_path / 'page.pdf'}"]
    subprocess.run([*command, (tmp_path / "page.html").as_uri()], capture_output=True, timeout=120, check=True)
    done = subprocess.run(["pdftotext", tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True)
    assert "robustness_samples: 1000" in done.stdout  # of params.yaml, in a fold


def test_the_page_of_dvc_plots_runs_nothing_from_class_names(trained, tmp_path):
    project = trained.copy(tmp_path / "project")
    path = project.folder / "metrics/plots/per_class.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[0, "class"] = "</script><script>document.documentElement.lang = 'run'</script>"
    table.loc[1, "class"] = "<img src=x onerror=\"document.documentElement.lang = 'run'\">"
    files.write_csv(path, publication.prepare_plot_table(table))
    project.dvc("plots", "show")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    page = (project.folder / "dvc_plots/index.html").as_uri()
    done = subprocess.run([*command, "--dump-dom", page], capture_output=True, text=True, timeout=120, check=True)
    assert "document.documentElement" in done.stdout  # the names are there,
    assert 'lang="run"' not in done.stdout  # as text


@pytest.mark.skipif(not AXE.is_file(), reason="no .axe/axe.min.js: .ci/run gets it where npm is")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["report", "comparison", "texts"])
def test_axe_finds_nothing_serious(pages, name, dark, tmp_path):
    script = f"{AXE.read_text()}\naxe.run().then(r => told(r.violations.map(v => [v.impact, v.id, v.nodes[0].html])));"
    found = asked(pages[name], script.replace("</script", "<\\/script"), tmp_path, dark=dark)
    assert [violation for violation in found if violation[0] in SERIOUS] == []


@pytest.mark.skipif(not AXE.is_file(), reason="no .axe/axe.min.js: .ci/run gets it where npm is")
def test_axe_would_find_something_serious(pages, tmp_path):
    page = pages["report"].replace("</body>", '<p style="color:#aaa;background:#fff">faint</p></body>')
    script = f"{AXE.read_text()}\naxe.run().then(r => told(r.violations.map(v => [v.impact, v.id])));"
    assert ["serious", "color-contrast"] in asked(page, script.replace("</script", "<\\/script"), tmp_path)
