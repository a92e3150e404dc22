"""The comparison as lines for a terminal, and as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mole_jax.report import html, style
from mole_jax.report.comparison import contents, interval_rows, plain_text
from mole_jax.report.comparison.contents import Section
from mole_jax.report.comparison.paired_differences import Paired, Unpaired
from mole_jax.report.comparison.recorded_run import Run
from mole_jax.report.comparison.side_by_side import Table

FIGURE = "intervals"
TITLE = "Score by split and run"


def text(runs: Sequence[Run], pairs: Sequence[Paired | Unpaired]) -> Iterator[str]:
    """Yield the lines of the comparison."""
    yield from plain_text.paragraph(contents.opening(runs, pairs))
    for section in contents.sections(runs, pairs):
        yield from ("", section.heading.upper())
        yield from plain_text.paragraph(section.words)
        for table in section.tables:
            yield ""
            yield from plain_text.lines(table)
        yield from [""] * bool(section.lines)
        for line in section.lines:
            yield from plain_text.paragraph(line)


def page(runs: Sequence[Run], pairs: Sequence[Paired | Unpaired]) -> str:
    """Return the whole document: the same, and a figure."""
    names = ", ".join(run.name for run in runs)
    body = [
        "<header>",
        f"<h1>MOLE: {len(runs)} runs side by side</h1>",
        html.paragraph(contents.opening(runs, pairs), "lead"),
        "</header>",
        _figure(runs),
        *(_section(section) for section in contents.sections(runs, pairs)),
    ]
    return html.page(f"MOLE: {names}", "\n".join(body))


def _figure(runs: Sequence[Run]) -> str:
    caption = interval_rows.caption(runs)
    svg = style.to_svg(interval_rows.render(runs))
    label = html.escape(f"{TITLE}. {caption}")
    return html.figure(style.inline_svg(svg, FIGURE, label), TITLE, caption)


def _section(section: Section) -> str:
    parts = [html.paragraph(section.words)] if section.words else []
    parts += [_table(table) for table in section.tables]
    parts += [html.paragraph(line, "muted") for line in section.lines]
    if section.every_key is not None:
        parts.append(html.fold("Key by key", _table(section.every_key)))
    return html.section(section.heading, *parts)


def _table(table: Table) -> str:
    look = "texts" if table.of_texts else "wide"
    return html.table(table.heads, table.rows, None, table.caption, look=look)
