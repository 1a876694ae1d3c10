"""Write README's tables of results from the files under results/.

python tests/bench/tables.py

Each table stands in README.md between `<!-- results: NAME -->` and `<!-- end -->`.
"""

import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).parent / "results"


def _spread(values: pd.Series) -> str:
    numbers = pd.to_numeric(values) * 100
    return f"{numbers.mean():.2f} %" + (f" ± {numbers.std(ddof=1):.2f}" if len(numbers) > 1 else "")


def recipes(lines: pd.DataFrame) -> list[tuple]:
    """A row a recipe: means over its seeds, the spread as a standard deviation where there are several."""
    rows = [
        (
            "recipe",
            "seeds",
            "test accuracy",
            "95 % interval",
            "with mirror images",
            "training",
            "its peak memory",
            "all stages",
            "how",
        )
    ]
    for (recipe, changes), runs in lines.groupby(["recipe", "changes"], sort=False):
        first = runs.iloc[0]
        low, high = (100 * float(first[name]) for name in ("test_low", "test_high"))
        rows.append(
            (
                f"`{recipe}`" + (f", `{changes}`" if changes else ""),
                len(runs),
                _spread(runs["test"]),
                f"{low:.1f} to {high:.1f} %" + (f" (seed {first['seed']})" if len(runs) > 1 else ""),
                _spread(runs["test_flipped"]) if first["test_flipped"] else "",
                f"{pd.to_numeric(runs['train_seconds']).max():,.0f} s",
                f"{pd.to_numeric(runs['train_peak_mb']).max() / 1000:.2f} GB",
                f"{pd.to_numeric(runs['all_seconds']).max():,.0f} s, "
                f"{pd.to_numeric(runs['peak_mb']).max() / 1000:.2f} GB",
                f"`{first['command']}`; {runs.iloc[-1]['date']}, {first['machine']}",
            )
        )
    return rows


TABLES = {"recipes": recipes}


def filled(text: str) -> str:
    """Give README's text with each table made anew."""
    for name, make in TABLES.items():
        rows = make(pd.read_csv(RESULTS / f"{name}.csv", dtype=str, keep_default_na=False))
        lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
        lines.insert(1, "|---" * len(rows[0]) + "|")
        block = f"<!-- results: {name} -->\n" + "\n".join(lines) + "\n<!-- end -->"
        text, found = re.subn(
            rf"<!-- results: {name} -->.*?<!-- end -->", lambda _, block=block: block, text, flags=re.DOTALL
        )
        if found != 1:
            raise SystemExit(f"README.md: no place for the table {name}: add <!-- results: {name} --> and <!-- end -->")
    return text


def main() -> None:
    """Rewrite README.md."""
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text()))


if __name__ == "__main__":
    main()
