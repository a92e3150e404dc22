"""Pieces of the page: escaping, tables, tiles and the frame with its style. No evaluation words in
here.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from mole_jax.report import style

# The roles of style.CSS_VARIABLES, in colours for a dark background.
_DARK = {
    style.INK: "#e8eaed",
    style.MUTED: "#9aa3ad",
    style.GRID: "#31363d",
    style.PAPER: "#1b1e23",
    style.GENERATED: "#56b4e9",
    style.BASELINE: "#ff8a3d",
    style.SECOND: "#2fc79a",
}


def _variables(colours: Iterable[tuple[str, str]]) -> str:
    return " ".join(f"{name}: {colour};" for name, colour in colours)


_LIGHT_VARIABLES = _variables((name, colour) for colour, name in style.CSS_VARIABLES.items())
_DARK_VARIABLES = _variables((name, _DARK[c]) for c, name in style.CSS_VARIABLES.items())


def _blocks(table: str) -> str:
    """Return the style of a table whose rows are too wide for the screen.

    Each row becomes a block: its name, then its cells under their heads.
    """
    return f"""
  {table} td {{ overflow-wrap: anywhere; }}
  {table} th {{ display: none; }}
  {table} th:first-child:not(:empty) {{ display: block; padding: 9px 5px; }}
  {table} tbody tr {{ display: grid; grid-template-columns: repeat(3, minmax(0, 1fr));
    gap: 4px 8px; align-items: end; padding: 9px 5px; border-bottom: 1px solid var(--grid); }}
  {table} tbody tr:has(td:nth-child(5):last-child) {{
    grid-template-columns: repeat(4, minmax(0, 1fr)); }}
  {table} tbody tr:last-child {{ border-bottom: 0; }}
  {table} tr td {{ display: block; padding: 0; border: 0; text-align: left; font-weight: 400;
    white-space: normal; }}
  {table} tr td:first-child {{ grid-column: 1 / -1; font-weight: 600; }}
  {table} td:not(:first-child)::before {{ content: attr(data-head); display: block;
    color: var(--muted); font-size: .78rem; font-weight: 400; }}
"""


_CSS = f"""
:root {{ color-scheme: light dark; --ground: #f4f5f7; {_LIGHT_VARIABLES} }}
@media (prefers-color-scheme: dark) {{ :root {{ --ground: #121418; {_DARK_VARIABLES} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }}
main {{ max-width: 1180px; margin: 0 auto; padding: 28px 20px 64px; }}
h1 {{ font-size: clamp(1.5rem, 4vw, 2.2rem); line-height: 1.2; margin: 0 0 12px;
    text-wrap: balance; }}
h2 {{ font-size: 1.3rem; margin: 48px 0 8px; }}
h3 {{ font-size: 1rem; margin: 0 0 8px; }}
p {{ margin: 8px 0; max-width: 72ch; }}
.lead {{ font-size: 1.06rem; max-width: 84ch; }}
.muted, figcaption {{ color: var(--muted); }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px;
    margin: 20px 0; }}
.card {{ background: var(--paper); border: 1px solid var(--grid); border-radius: 10px;
    padding: 14px 16px; }}
.tile b {{ display: block; font-size: 1.6rem; line-height: 1.2; font-weight: 650; }}
.tile span {{ color: var(--muted); font-size: .86rem; }}
.tile.ours b {{ color: var(--generated); }}
.tile.rival b {{ color: var(--baseline); }}
.flow {{ display: flex; flex-wrap: wrap; align-items: stretch; gap: 8px; margin: 16px 0; }}
.flow .card {{ flex: 1 1 180px; }}
.flow .arrow {{ align-self: center; color: var(--muted); font-size: 1.4rem; }}
.flow p {{ font-size: .9rem; margin: 2px 0 0; color: var(--muted); }}
.figures {{ display: grid;
    grid-template-columns: repeat(auto-fill, minmax(min(100%, 460px), 1fr)); gap: 16px;
  margin: 16px 0; align-items: start; }}
figure, .figures .sheet {{ margin: 0; }}
figure svg {{ display: block; width: 100%; max-width: 600px; height: auto; margin: 0 auto 8px; }}
figcaption {{ font-size: .9rem; }}
.sheet {{ margin: 12px 0; padding: 4px 8px; }}
.sheet p {{ padding: 0 8px; }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; font-size: .92rem;
    font-variant-numeric: tabular-nums; }}
th, td {{ text-align: right; padding: 7px 8px; border-bottom: 1px solid var(--grid);
    white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; white-space: normal; min-width: 8em; }}
th {{ color: var(--muted); font-weight: 600; }}
tr:last-child td {{ border-bottom: 0; }}
tr.ours td {{ color: var(--generated); font-weight: 600; }}
tr.rival td {{ color: var(--baseline); }}
dl {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr));
    gap: 12px 28px; }}
dt {{ font-weight: 600; }}
dd {{ margin: 0; color: var(--muted); font-size: .92rem; }}
details {{ margin: 12px 0; }}
summary {{ cursor: pointer; }}
details.section {{ margin: 24px 0; border-top: 1px solid var(--grid); }}
details.section > summary {{ padding: 12px 0; }}
details.section > summary h2 {{ display: inline; margin: 0; font-size: 1.1rem; }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; }}
table:not(.many) td {{ white-space: normal; overflow-wrap: anywhere; }}
.wide th, .wide td, .texts th, .texts td {{ white-space: normal; }}
.wide td:first-child, .texts th, .texts td {{ overflow-wrap: anywhere; }}
@media (max-width: 760px) {{ {_blocks(".many")} }}
@media (max-width: 900px) {{ {_blocks(".wide")} }}
@media (max-width: 520px) {{
  main {{ padding: 18px 12px 48px; }}
  .tiles {{ grid-template-columns: 1fr 1fr; gap: 8px; }}
  .card {{ padding: 10px 12px; }}
  .flow {{ flex-direction: column; }}
  .flow .card {{ flex: none; }}
  .flow .arrow {{ transform: rotate(90deg); }}
  th, td {{ padding: 6px 5px; }}
  th {{ white-space: normal; }}
  th:first-child, td:first-child {{ min-width: 5.5em; }}
  figure.card {{ padding: 10px 6px; }}
  figure h3, figcaption {{ padding: 0 6px; }}
  table {{ font-size: .84rem; }}
}}
"""

MANY = 4  # columns, the first included: more than a narrow screen has room for


def escape(value: object) -> str:
    """Escape text for HTML content and attributes."""
    return html.escape(str(value), quote=True)


def page(title: str, body: str) -> str:
    """Return the whole document around a body: self-contained, no scripts, light or dark."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    mark = f' class="{kind}"' if kind else ""
    return f"<p{mark}>{escape(text)}</p>"


def section(heading: str, *parts: str) -> str:
    """Return a heading with its parts; empty parts are left out."""
    content = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{escape(heading)}</h2>\n{content}\n</section>"


def folded(section: str) -> str:
    """Return a closed section: its heading shows, the rest opens on a click."""
    head, _, content = section.removeprefix("<section>\n").partition("</h2>\n")
    content = content.removesuffix("\n</section>")
    return (
        f'<details class="section"><summary>{head}</h2></summary>\n{content}\n</details>'
        if content
        else section
    )


def tile(value: str, label: str, kind: str = "") -> str:
    """Return a large number with its name."""
    return f'<div class="card tile {kind}"><b>{escape(value)}</b><span>{escape(label)}</span></div>'


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[object]],
    kinds: Sequence[str] | None = None,
    caption: str = "",
    *,
    look: str = "",
) -> str:
    """Return a table; with MANY columns or more, rows become blocks on narrow screens.

    kinds: a row's class, '' for none. look: '' if all columns fit, "wide" if cells are wrapped
    between words where they do not, "texts" for long cells.
    """
    kinds = kinds if kinds is not None else [""] * len(rows)
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in heads)
    lines = []
    for kind, row in zip(kinds, rows, strict=True):
        mark = f' class="{kind}"' if kind else ""
        cells = "".join(
            f'<td data-head="{escape(h)}">{escape(c)}</td>' for h, c in zip(heads, row, strict=True)
        )
        lines.append(f"<tr{mark}>{cells}</tr>")
    label = paragraph(caption, "muted") if caption else ""
    name = f' aria-label="{escape(caption)}"' if caption else ""
    classes = ["many"] * (len(heads) >= MANY) + [look] * bool(look)
    many = f' class="{" ".join(classes)}"' if classes else ""
    body = "\n".join(lines)
    return (
        f'<div class="card sheet">{label}<div class="scroll"><table{many}{name}>\n'
        f"<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table></div></div>"
    )


def figure(svg: str, title: str, caption: str) -> str:
    """Return a drawn figure with its heading and the sentence that says what it shows."""
    return (
        f'<figure class="card"><h3>{escape(title)}</h3>\n{svg}\n'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def absent(title: str, reason: str) -> str:
    """Return a placeholder for a figure that could not be drawn, with the reason."""
    return f'<div class="card"><h3>{escape(title)}</h3>\n{paragraph(reason, "muted")}</div>'


def definitions(words: Iterable[tuple[str, str]]) -> str:
    """Return a list of words and their meaning."""
    rows = "".join(
        f"<div><dt>{escape(word)}</dt><dd>{escape(meaning)}</dd></div>" for word, meaning in words
    )
    return f"<dl>{rows}</dl>"


def fold(summary: str, content: str) -> str:
    """Return content that is hidden until it is opened."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"
