"""Building blocks of the report: HTML in which everything that comes from data is escaped."""

import base64
import io
import logging
from collections.abc import Callable, Iterable, Sequence
from html import escape
from string import Template

from kiln.core.figures import number

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #566070; --ground: #fff; --line: #d8dde4;
  --card: #f5f7f9; --bar: #2f6fb2; --cell: 47, 111, 178; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf0; --soft: #a5afbd; --ground: #14181e; --line: #38414d; --card: #1d232b;
    --bar: #6aa5e0; --cell: 106, 165, 224; }
  .plot img { filter: invert(.91) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 1rem; }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; border-top: 1px solid var(--line); padding-top: 1.2rem; }
p, figcaption, .note { max-width: 46rem; } figcaption, .note { color: var(--soft); font-size: .9rem; }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: .8rem 0; }
.figures > div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .6rem .9rem;
  flex: 1 1 11rem; } .figures b { display: block; font-size: 1.5rem; } .figures small { color: var(--soft); }
.side { display: flex; flex-wrap: wrap; gap: 1rem; } .side > * { margin: 0; flex: 0 1 27rem; min-width: 0; }
figure { margin: .8rem 0; } figure img { max-width: 100%; height: auto; display: block; border-radius: 4px; }
.sheet { display: grid; grid-template-columns: minmax(2rem, max-content) minmax(0, max-content); gap: 0 .6rem; }
.sheet figure { margin: 0; }
.sheet ul { list-style: none; margin: 0; padding: 0; display: flex; flex-direction: column; max-width: 9rem; }
.sheet li { flex: 1 1 0; display: flex; align-items: center; font-size: .8rem; line-height: 1.1; min-height: 0;
  overflow: hidden; }
.strip { display: flex; flex-wrap: wrap; gap: .8rem; } .strip figure { width: 8.5rem; margin: 0; }
.strip figcaption { margin-top: .3rem; line-height: 1.3; }
.strip img { width: 100%; image-rendering: pixelated; outline: 1px solid var(--line);
  outline-offset: -1px; } .strip .pair { width: 13rem; }
.pair img { width: calc(50% - .2rem); display: inline-block; vertical-align: top; }
.pair img + img { margin-left: .4rem; }
.exhibits { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1.2rem; }
.exhibits figure { margin: 0; break-inside: avoid; } .exhibits div { display: flex; gap: .3rem; margin-bottom: .3rem; }
.exhibits img { width: 5rem; image-rendering: pixelated; outline: 1px solid var(--line);
  outline-offset: -1px; }
.exhibits div + div img { width: 3.2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .88rem; margin: .6rem 0; }
th, td { padding: .2rem .55rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, .text { text-align: left; } thead th { vertical-align: bottom; }
th, td { overflow-wrap: normal; } td.text { overflow-wrap: anywhere; min-width: 5.5rem; }
.matrix td, .matrix thead th { text-align: center; padding: .2rem .3rem; min-width: 1.9rem;
  border: 1px solid var(--line); }
.matrix td.many { color: #fff; text-shadow: 0 0 2px #000; }
.bars { display: grid; grid-template-columns: fit-content(10rem) 1fr 4rem; gap: .2rem .6rem; align-items: center;
  font-size: .88rem; max-width: 40rem; } .bars i { display: block; height: .8rem; background: var(--bar);
  border-radius: 2px; } .bars span:nth-child(3n) { text-align: right; }
pre { background: var(--card); padding: .8rem; overflow-x: auto; font-size: .8rem; }
@media (max-width: 30rem) { table { font-size: .76rem; } th, td { padding: .2rem .25rem; }
  td.text { min-width: 4.7rem; } }
summary { cursor: pointer; }
@page { margin: 15mm; }
@media print { :root { color-scheme: light; font-size: 10pt; } * { print-color-adjust: exact; }
  body { max-width: none; padding: 0; font-size: 1rem; } p { orphans: 3; widows: 3; } summary { list-style: none; }
  details::details-content { content-visibility: visible; display: block; block-size: auto; }
  h2, h3, summary, caption, thead, p:has(+ :is(.scroll, .side, .bars, .strip, figure)) { break-after: avoid; }
  figure, tr, .figures, .bars, .matrix, .sheet { break-inside: avoid; }
  .side > * { flex-basis: 24rem; } .scroll { overflow: visible; } pre { white-space: pre-wrap; } }
"""

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
$body
</main>
</body>
</html>
""")


def page(title: str, body: str) -> str:
    """Wrap HTML into a page that loads nothing and runs nothing."""
    return _PAGE.substitute(title=escape(title), style=_STYLE, body=body)


def section(title: str, *parts: str) -> str:
    """Head some HTML with a title."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def text(sentence: str, kind: str = "p") -> str:
    """Make a paragraph of plain text; ``note`` sets it small."""
    return f'<p class="note">{escape(sentence)}</p>' if kind == "note" else f"<p>{escape(sentence)}</p>"


def headline(figures: Iterable[tuple[str, str, str]]) -> str:
    """Show large figures: (what, value, remark) each."""
    cards = (
        f"<div><small>{escape(what)}</small><b>{escape(value)}</b><small>{escape(remark)}</small></div>"
        for what, value, remark in figures
    )
    return f'<div class="figures">{"".join(cards)}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """Make a table; strings are set left, numbers right, None is left out."""
    rows = [list(row) for row in rows]
    left = [bool(rows) and isinstance(value, str) for value in (rows[0] if rows else header)]
    head = "".join(
        f'<th scope="col"{" class=text" if to_left else ""}>{escape(name)}</th>'
        for name, to_left in zip(header, left, strict=True)
    )
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return _scrolled(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def _scrolled(table_: str) -> str:
    # What scrolls must be reached without a mouse.
    return f'<div class="scroll" tabindex="0" role="group" aria-label="table">{table_}</div>'


def _cell(value) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, str):
        return f'<td class="text">{escape(value)}</td>'
    if isinstance(value, float):
        return f"<td>{number(value) if abs(value) < 10 else f'{value:,.1f}'}</td>"
    return f"<td>{value:,}</td>"


def image(png: bytes, alt: str) -> str:
    """Embed a PNG with a text for those who do not see it."""
    return f"<figure>{_img(png, alt)}</figure>"


def _img(png: bytes, alt: str, width: int | None = None) -> str:
    size = f' width="{width}"' if width else ""
    return f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{escape(alt)}"{size}>'


def sheet(png: bytes, rows: Sequence[str], alt: str) -> str:
    """Embed a contact sheet with a name at each of its rows."""
    names = "".join(f"<li>{escape(name)}</li>" for name in rows)
    return f'<div class="sheet"><ul>{names}</ul>{image(png, alt)}</div>'


def strip(pictures: Iterable[tuple[Sequence[tuple[bytes, str]], str]]) -> str:
    """Show small pictures side by side: (one or two of (PNG, alternative text), caption) each."""
    figures = (
        f"<figure{' class=pair' if len(shown) > 1 else ''}>{''.join(_img(png, alt) for png, alt in shown)}"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for shown, caption in pictures
    )
    return f'<div class="strip">{"".join(figures)}</div>'


def exhibits(shown: Iterable[tuple[Sequence[Sequence[tuple[bytes, str]]], str]]) -> str:
    """Show figures side by side: (rows of (PNG, alternative text), caption) each."""
    figures = []
    for rows, caption in shown:
        lines = "".join(f"<div>{''.join(_img(png, alt) for png, alt in row)}</div>" for row in rows)
        figures.append(f"<figure>{lines}<figcaption>{escape(caption)}</figcaption></figure>")
    return f'<div class="exhibits">{"".join(figures)}</div>'


def bars(values: Iterable[tuple[str, float, str]]) -> str:
    """Show shares from 0 to 1 as bars: (name, share, figure as text) each."""
    cells = (
        f"<span>{escape(name)}</span><span><i style='width:{share:.1%}'></i></span><span>{escape(figure)}</span>"
        for name, share, figure in values
    )
    return f'<div class="bars">{"".join(cells)}</div>'


def matrix(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Show a confusion matrix, a row a label, shaded by the share of its row."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = max(sum(row), 1)
        cells = "".join(_shaded(int(count), count / total) for count in row)
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return _scrolled(
        '<table class="matrix"><caption class="note">Rows: label. Columns: prediction.</caption>'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _shaded(count: int, share: float) -> str:
    kind = ' class="many"' if share > 0.5 else ""
    shade = 0.12 + 0.88 * share if count else 0
    return f'<td{kind} style="background:rgba(var(--cell),{shade:.3f})">{count or ""}</td>'


def curves(x: Sequence, lines: dict[str, Sequence[float]], title: str) -> str:
    """Plot lines over epochs.

    Args:
        x: epochs.
        lines: name -> values.
        title: of the figure.
    """

    def draw(axes):
        for (name, values), color, style in zip(lines.items(), ("#2f6fb2", "#d1730c"), ("-", "--"), strict=False):
            axes.plot(x, values, style, label=name, color=color, marker="." if len(x) < 40 else None)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)

    final = ", ".join(f"{name} ends at {values[-1]:.4g}" for name, values in lines.items())
    return _plot(draw, f"{title} by epoch: {final}")


def diagonal(x: Sequence[float], y: Sequence[float], title: str) -> str:
    """Plot accuracy (y) over confidence (x), both from 0 to 1, beside the diagonal where they are equal."""

    def draw(axes):
        axes.plot((0, 1), (0, 1), ":", color="#777777")
        axes.plot(x, y, "o-", color="#2f6fb2", markersize=4)
        axes.set(title=title, xlabel="confidence", ylabel="accuracy")

    confidence, accuracy = max(zip(x, y, strict=True), key=lambda point: abs(point[0] - point[1]))
    apart = "they are alike in every bin"
    if f"{confidence:.2f}" != f"{accuracy:.2f}":
        apart = f"they differ most at confidence {confidence:.2f}, accuracy {accuracy:.2f}"
    return _plot(draw, f"{title}: accuracy by confidence; {apart}")


def _plot(draw: Callable, alt: str) -> str:
    # Of its folders and its user's settings it says on standard error what nobody need know.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib import rc_context, rcdefaults, rcParams
    from matplotlib.figure import Figure

    with rc_context():
        rcdefaults()  # whatever a matplotlibrc says
        # Class names may hold dollars: no mathematics in any text.
        rcParams.update({"text.parse_math": False, "font.size": 10})
        figure = Figure(figsize=(4.2, 2.9), layout="constrained", dpi=200)
        axes = figure.add_subplot()
        draw(axes)
        axes.grid(alpha=0.3)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return f'<figure class="plot">{_img(buffer.getvalue(), alt, 420)}</figure>'
