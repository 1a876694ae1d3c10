"""Publish metrics, plot files and the model card, and render the report from its notebook."""

from pathlib import Path

import pandas as pd

from kiln import params
from kiln.core import entry, files
from kiln.reporting import card, notebook, publication, rendering
from kiln.reporting.evidence import load_evidence

TEMPLATE = Path("stages/report.ipynb")
OUTPUT = Path("metrics")
TABLES = ("confusion", "per_class", "precision_recall", "reliability", "robustness", "roc", "slices")
PLOTS = ("model/history.csv", *(f"evaluation/{name}.csv" for name in TABLES))


def main() -> None:
    """Write metrics/."""
    settings = params.load()
    evidence = load_evidence()
    entry.need_files(notebook.OPEN_FILES)
    html = rendering.make_page(settings.report.title, notebook.run_notebook(TEMPLATE))
    files.write_json(OUTPUT / "metrics.json", publication.gather_metrics(evidence))
    for name in PLOTS:
        source = Path("data") / name
        table = pd.read_csv(source, dtype=str, keep_default_na=False)
        files.write_csv(OUTPUT / "plots" / source.name, publication.prepare_plot_table(table))
    files.write_bytes(OUTPUT / "model_card.md", rendering.fill_markdown("card", card.gather(evidence)).encode())
    files.write_bytes(OUTPUT / "report.html", html.encode())
    print(f"report: {OUTPUT / 'report.html'}, {len(html.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    entry.run(main, "report", OUTPUT)
