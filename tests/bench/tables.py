"""Write the tables of docs/benchmarks.md from the files under results/.

python tests/bench/tables.py

Each table stands in docs/benchmarks.md between `<!-- results: NAME -->` and `<!-- end -->`.
"""

import re
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/benchmarks.md"
RESULTS = Path(__file__).parent / "results"
TARGET = 0.692


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
        runs = runs[runs["params"] == runs.iloc[-1]["params"]]  # what the recipe was before is history
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


def target(lines: pd.DataFrame) -> list[tuple]:
    """A row a side: medians over its seeds, and the ratio of the article's time to it."""
    rows = [("who", "seeds", "time to 69.2 %", "test accuracy then", "peak memory", "how")]
    numbers = lines.assign(**{name: pd.to_numeric(lines[name]) for name in ("seconds", "test", "mb")})
    median = numbers.groupby("side", sort=False)[["seconds", "test", "mb"]].median()
    names = {"article": "the article's network and loop", "kiln": "Kiln"}
    for side, (seconds, test, megabytes) in median.iterrows():
        short = "more than " if test < TARGET else ""
        least = "at least " if median.loc["article", "test"] < TARGET else ""
        ratio = f", {least}{median.loc['article', 'seconds'] / seconds:.1f} times as fast" if side == "kiln" else ""
        own = lines[lines["side"] == side]
        last = own.iloc[-1]
        how = f"`{last['command']}`; {last['date']}, {last['machine']}"
        rows.append(
            (names[side], len(own), f"{short}{seconds:.0f} s{ratio}", f"{test:.1%}", f"{megabytes / 1000:.2f} GB", how)
        )
    return rows


def families(lines: pd.DataFrame) -> list[tuple]:
    """A row a family, the most accurate first."""
    rows = [
        (
            "model",
            "parameters",
            "multiply-adds",
            "validation accuracy",
            "images seen",
            "an epoch of 45,000",
            "peak memory",
        )
    ]
    for line in (
        lines.assign(order=pd.to_numeric(lines["validation"])).sort_values("order", ascending=False).itertuples()
    ):
        rows.append(
            (
                f"`{line.family}`",
                f"{int(line.parameters):,}",
                f"{int(line.multiply_adds) / 1e6:,.1f} M",
                f"{line.order:.1%}",
                f"{int(line.epochs) * int(line.images):,}",
                f"{float(line.epoch_seconds):,.0f} s",
                f"{int(line.peak_mb) / 1000:.2f} GB",
            )
        )
    return rows


def growth(lines: pd.DataFrame) -> list[tuple]:
    """A row a size of images, a column a number of them."""
    counts = sorted(lines["images"].unique(), key=int)
    rows = [("pixels a side", *(f"{int(count):,} images" for count in counts))]
    for side in sorted(lines["side"].unique(), key=int):
        cells = []
        for count in counts:
            found = lines[(lines["side"] == side) & (lines["images"] == count)].iloc[-1]
            cells.append(
                f"{int(found['images_a_second']):,} a second, {int(found['peak_mb']) / 1000:.2f} GB, {found['fed']}"
            )
        rows.append((side, *cells))
    return rows


TABLES = {"recipes": recipes, "target": target, "families": families, "growth": growth}


def filled(text: str) -> str:
    """Give the page's text with each table made anew."""
    for name, make in TABLES.items():
        rows = make(pd.read_csv(RESULTS / f"{name}.csv", dtype=str, keep_default_na=False))
        lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
        lines.insert(1, "|---" * len(rows[0]) + "|")
        block = f"<!-- results: {name} -->\n" + "\n".join(lines) + "\n<!-- end -->"
        text, found = re.subn(
            rf"<!-- results: {name} -->.*?<!-- end -->", lambda _, block=block: block, text, flags=re.DOTALL
        )
        if found != 1:
            raise SystemExit(
                f"{PAGE.name}: no place for the table {name}: add <!-- results: {name} --> and <!-- end -->"
            )
    return text


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(filled(PAGE.read_text()))


if __name__ == "__main__":
    main()
