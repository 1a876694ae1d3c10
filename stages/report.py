"""Publish the metrics and plot files, and make the report from its notebook."""

import os
import tempfile
from collections import Counter
from pathlib import Path

import nbformat
import pandas as pd
from nbconvert import HTMLExporter
from papermill import execute_notebook
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from kiln import params
from kiln.core import entry, files
from kiln.core.errors import UserError
from kiln.reporting import card, page, sections

TEMPLATE = Path("stages/report.ipynb")
OUTPUT = Path("metrics")
TABLES = ("confusion", "per_class", "precision_recall", "reliability", "robustness", "roc", "slices")
MOST = 90_000  # bytes of a table for git
KERNEL_FILES = 70  # that a notebook's kernel and its sockets open at most, of which they say nothing where they cannot
PLOTS = ("model/history.csv", *(f"evaluation/{name}.csv" for name in TABLES))


def metrics(evidence: sections.Evidence) -> dict:
    """Gather the figures that are compared between commits: nested, every leaf a finite number.

    Returns:
        train, validation, test (figures, and intervals on test), test_calibrated,
        gap, robustness, clean (counts, set_aside and flagged by reason, classes
        that validation and test lack or that are far off their share) and model
        (parameters, multiply_adds, megabytes, epochs).
    """
    clean, train = evidence.clean, evidence.train
    uneven = Counter((about["split"], about["images"] > 0) for about in clean["uneven"])
    return {
        **evidence.scores,
        "clean": {
            **{name: clean[name] for name in ("images", "kept", "corrected", "leaks", "leaks_kept")},
            **{name: clean[name] for name in ("set_aside", "flagged")},
            "classes_absent": {split: uneven[split, False] for split in ("validation", "test")},
            "classes_off_share": {split: uneven[split, True] for split in ("validation", "test")},
        },
        "model": {name: train[name] for name in ("parameters", "multiply_adds", "megabytes", "epochs")},
    }


def plotted(table: pd.DataFrame) -> pd.DataFrame:
    """Make a table fit for git and for the page of ``dvc plots``.

    DVC writes values into a script of that page as they are, where ``</script>`` in
    a class name would end it. And with many classes, pairs that are rarely
    confused are left out, the rarest first.

    Args:
        table: of strings; confusion counts have a column ``prediction``.
    """
    table = table.apply(lambda column: column.str.replace("<", "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}"))
    if "prediction" not in table:
        return table
    images = table["images"].astype(int)
    sizes = table.map(lambda value: len(value.encode()) + len(",''")).sum(axis=1)
    order = images.sort_values(ascending=False, kind="stable").index
    beyond = sizes[order].cumsum() >= MOST
    # All of a count or none, else some labels would look better than others.
    return table[images > images[order][beyond].max()] if beyond.any() else table


def render(template: Path, title: str) -> str:
    """Run the notebook and return its output as one HTML page that needs nothing else.

    Args:
        template: a notebook whose cells show HTML.
        title: of the page.

    Raises:
        UserError: a cell failed; the sentence names it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # The kernel and nbconvert's templates read and write nothing of the user's own Jupyter set-up.
        own = dict.fromkeys((f"JUPYTER_{name}_DIR" for name in ("CONFIG", "DATA", "RUNTIME")), scratch)
        os.environ.update({**own, "IPYTHONDIR": scratch, "JUPYTER_PREFER_ENV_PATH": "1"})
        os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
        executed = Path(scratch) / "report.ipynb"
        try:
            execute_notebook(
                template,
                executed,
                cwd=".",
                kernel_name="python3",
                progress_bar=False,
                config=_transport(scratch),
                # A slow kernel would log that it was interrupted when it is told to end.
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
            )
        except PapermillExecutionError as error:
            first = error.source.strip().splitlines()[0]
            raise UserError(
                f"{template}: the cell `{first}` failed with {error.ename}: {error.evalue}: mend it or delete it"
            ) from None
        notebook = nbformat.read(executed, as_version=4)
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(notebook)
    return page.page(title, body)


def _transport(scratch: str) -> Config:
    # Sockets in a private folder, where their path (its name and 60 characters)
    # fits into the 104 bytes that every system grants; else TCP on loopback.
    return Config(KernelManager={"transport": "ipc" if len(scratch) < 44 else "tcp"})


def main() -> None:
    """Write metrics/."""
    settings = params.load()
    evidence = sections.load()
    entry.need_files(KERNEL_FILES)
    html = render(TEMPLATE, settings.report.title)
    files.write_json(OUTPUT / "metrics.json", metrics(evidence))
    for name in PLOTS:
        source = Path("data") / name
        table = pd.read_csv(source, dtype=str, keep_default_na=False)
        files.write_csv(OUTPUT / "plots" / source.name, plotted(table))
    files.write_bytes(OUTPUT / "model_card.md", card.as_markdown(evidence).encode())
    files.write_bytes(OUTPUT / "report.html", html.encode())
    print(f"report: {OUTPUT / 'report.html'}, {len(html.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    entry.run(main, "report", OUTPUT)
