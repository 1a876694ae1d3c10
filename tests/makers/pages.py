"""What the tests of HTML pages look for."""

import html
import re
from html.parser import HTMLParser

from kiln.reporting import rendering


class Tags(HTMLParser):
    """Collects the tags of a page and what they may load or run."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.sources, self.handlers, self.alts, self.texts = [], [], [], [], []
        self.feed(text)

    def handle_data(self, data):
        self.texts.append(data)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                self.sources.append(value)
            if name.startswith("on"):
                self.handlers.append(name)
            if name == "alt":
                self.alts.append(value)


EVIL = "<img src=x onerror=alert(1)>"


def read(html_: str) -> str:
    """The text of a piece of HTML."""
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", html_)).split())


def fill_macro(name: str, *arguments) -> str:
    """Call a macro of macros.html."""
    template = '{% import "macros.html" as macros %}{{ macros[name](*arguments) }}'
    return rendering._HTML.from_string(template).render(name=name, arguments=arguments)
