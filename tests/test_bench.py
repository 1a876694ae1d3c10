import re

import pytest
from conftest import ROOT


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests/bench")
    import ledger
    import tables

    return ledger, tables


def test_the_readmes_tables_are_those_of_the_results(bench):
    _, tables = bench
    text = (ROOT / "README.md").read_text()
    assert tables.filled(text) == text
    damaged = re.sub(r"(\| )\d\d\.\d\d %", r"\g<1>99.99 %", text)
    assert damaged != text
    assert tables.filled(damaged) != damaged
    with pytest.raises(SystemExit, match="no place for the table recipes"):
        tables.filled(text.replace("<!-- results: recipes -->", ""))


def test_what_was_measured_is_found_again(bench, monkeypatch, tmp_path):
    ledger, _ = bench
    monkeypatch.setattr(ledger, "RESULTS", tmp_path / "results")
    assert ledger.find("recipes", recipe="a", seed=0) is None
    for seed, test in ((0, 0.5), (1, 0.75)):
        ledger.add("recipes", "python x.py, y", recipe="a", changes="", seed=seed, test=test)
    found = ledger.find("recipes", recipe="a", changes="", seed=1)
    assert found["test"] == "0.75" and found["command"] == "python x.py, y" and "cores of" in found["machine"]
    assert ledger.find("recipes", recipe="a", seed=2) is None
    assert len((tmp_path / "results/recipes.csv").read_text().splitlines()) == 3


def test_the_spread_is_that_of_the_seeds(bench):
    _, tables = bench
    keys = {
        "recipe": "a",
        "changes": "",
        "params": "new",
        "test_flipped": "",
        "train_seconds": "60",
        "train_peak_mb": "900",
        "peak_mb": "1000",
        "all_seconds": "90",
    }
    keys |= {"test_low": "0.8", "test_high": "0.9", "command": "c", "date": "d", "machine": "m"}
    lines = tables.pd.DataFrame([{**keys, "seed": str(n), "test": value} for n, value in enumerate(("0.84", "0.86"))])
    earlier = {**keys, "params": "old", "seed": "0", "test": "0.1"}
    lines = tables.pd.concat([tables.pd.DataFrame([earlier]), lines])
    _, row = tables.recipes(lines)
    assert row[:3] == ("`a`", 2, "85.00 % ± 1.41")
