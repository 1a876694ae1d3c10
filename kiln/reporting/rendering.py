"""Fill the templates: HTML and Markdown in which everything that comes from data is escaped."""

import base64
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from kiln.core import markdown, phrases
from kiln.reporting import texts


def _trust(text: str) -> Markup:
    """Mark text in which what comes from data is escaped already."""
    return Markup(text)  # noqa: S704


TEMPLATES = Path(__file__).parent / "templates"
FILTERS = {
    **texts.FILTERS,
    "base64": lambda content: base64.b64encode(content).decode(),
    "cell": lambda value: _trust(markdown.plain(value)),
    "grouped": lambda test, noun: phrases.grouped(test["units"], test["samples"], noun),
    "joined": phrases.joined,
    "markdown_table": lambda header, rows: _trust(markdown.table(header, rows)),
    "number": phrases.number,
    "one_line": lambda text: _trust(" ".join(text.split())),
    "percent": phrases.percent,
    "plural": phrases.plural,
    "span": lambda ends: phrases.span(ends["low"], ends["high"]),
    "thousands": "{:,}".format,
}


def _make_environment(**options) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    environment.filters |= FILTERS
    return environment


def _escape_markdown(value: object) -> Markup:
    return value if isinstance(value, Markup) else _trust(markdown.escape(str(value)))


_HTML = _make_environment()
# What Markdown escapes is safe in HTML too, so Jinja need not escape it again.
_MARKDOWN = _make_environment(finalize=_escape_markdown)


def fill_html(template: str, facts: dict) -> str:
    """Fill a template of HTML.

    Args:
        template: name of a file in templates/, without ``.html``.
        facts: plain data by the names that the template uses.

    Raises:
        jinja2.UndefinedError: the template uses a name that ``facts`` lack.
    """
    return _HTML.get_template(f"{template}.html").render(facts)


def fill_markdown(template: str, facts: dict) -> str:
    """Fill a template of Markdown, as ``fill_html``; blank lines of a template count as one."""
    filled = _MARKDOWN.get_template(f"{template}.md").render(facts)
    return re.sub(r"\n{3,}", "\n\n", filled).strip() + "\n"


def make_page(title: str, body: str) -> str:
    """Frame HTML, which must be escaped already, as a page that loads nothing and runs nothing."""
    return fill_html("page", {"title": title, "body": _trust(body)})
