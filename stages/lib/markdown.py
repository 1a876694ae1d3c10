"""Markdown in which everything that comes from data is escaped."""

import html
from collections.abc import Iterable, Sequence


def plain(value: object, limit: int | None = 80) -> str:
    """Make text of any value that is safe anywhere in Markdown: no markup, no line break, cut at so many letters."""
    text = " ".join(f"{value:.6g}".split() if isinstance(value, float) else str(value).split())
    text = text if limit is None or len(text) <= limit else f"{text[: limit - 3]}..."
    escaped = html.escape(text)
    return "".join(f"&#{ord(letter)};" if letter in "|`*_~[]\\@#!{}" else letter for letter in escaped)


def table(header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """Lay out a Markdown table; every cell is escaped."""
    lines = [header, ["---" for _ in header], *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
