import json

from kiln.reporting import notebook


def test_the_kernel_logs_nothing(tmp_path, capfd):
    code = "get_ipython().kernel.log.error('interrupted')"
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": code}
    template = tmp_path / "report.ipynb"
    template.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    assert "code_cell" in notebook.run_notebook(template) and capfd.readouterr().err == ""
