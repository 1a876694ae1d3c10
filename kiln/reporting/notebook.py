"""Run the report's notebook and keep what its cells show."""

import os
import tempfile
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from papermill import execute_notebook
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from kiln.core.errors import UserError

OPEN_FILES = 70  # of a kernel and its sockets at most; with fewer they fail without a message


def run_notebook(template: Path) -> str:
    """Run a notebook and return what its cells show as HTML, without the cells.

    Args:
        template: a notebook whose cells show HTML.

    Raises:
        UserError: a cell failed; the sentence names it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        executed = _execute(template, Path(scratch))
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True)
    return exporter.from_notebook_node(executed)[0]


def _execute(template: Path, scratch: Path) -> nbformat.NotebookNode:
    # The kernel and nbconvert's templates read and write nothing of the user's Jupyter set-up.
    folders = dict.fromkeys((f"JUPYTER_{name}_DIR" for name in ("CONFIG", "DATA", "RUNTIME")), str(scratch))
    os.environ.update({**folders, "IPYTHONDIR": str(scratch), "JUPYTER_PREFER_ENV_PATH": "1"})
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"
    try:
        execute_notebook(
            template,
            scratch / "report.ipynb",
            cwd=".",
            kernel_name="python3",
            progress_bar=False,
            config=_choose_transport(scratch),
            # A slow kernel would log that it was interrupted when it is told to end.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
    except PapermillExecutionError as error:
        first = error.source.strip().splitlines()[0]
        raise UserError(
            f"{template}: the cell `{first}` failed with {error.ename}: {error.evalue}: fix it or delete it"
        ) from None
    return nbformat.read(scratch / "report.ipynb", as_version=4)


def _choose_transport(scratch: Path) -> Config:
    # Sockets in a private folder, where their path (its name and 60 characters)
    # fits into the 104 bytes that every system grants; else TCP on loopback.
    return Config(KernelManager={"transport": "ipc" if len(str(scratch)) < 44 else "tcp"})
