"""Markdown in which everything that comes from data is escaped."""

import re
from collections.abc import Iterable, Sequence

# Anywhere: HTML, tables, code, emphasis, links, mentions, headings, mathematics. At the start: lists and rules.
# Quotes have no meaning in Markdown.
_MARKUP = re.compile(r"[&<>|`*_~\[\]\\@#!{}$]|^[-+](?=[ -]|$)|^\d(?=\d*[.)](?: |$))")


def plain(value: object, limit: int | None = 80) -> str:
    """Format a value as text that is safe anywhere in Markdown: no markup, no line break, at most ``limit`` letters."""
    text = " ".join(f"{value:.6g}".split() if isinstance(value, float) else str(value).split())
    text = text if limit is None or len(text) <= limit else f"{text[: limit - 3]}..."
    return escape(text)


def escape(text: str) -> str:
    """Escape what Markdown would take for markup, in text within a line."""
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", text)


def table(header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """Lay out a Markdown table; every cell is escaped."""
    lines = [header, ["---" for _ in header], *([plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
