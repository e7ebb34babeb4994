"""Sections → one HTML page that needs nothing from elsewhere: no script, no font, no picture."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from memcollab.bench.report.blocks import (
    Block,
    Bullets,
    Chart,
    Entry,
    Paragraph,
    Row,
    Section,
    Table,
)

# Nothing is loaded and nothing runs, whatever a name of a task or an error may hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
# A table cell of more characters breaks its lines.
_LONG = 32


def html(title: str, sections: Sequence[Section]) -> str:
    """The page, with every text escaped."""
    style = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    contents = "\n".join(
        f'<li><a href="#part-{number}">{escape(each.title)}</a></li>'
        for number, each in enumerate(sections, 1)
    )
    body = "\n".join(_section(number, each) for number, each in enumerate(sections, 1))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<nav aria-label="Contents"><ol>
{contents}
</ol></nav>
{body}
</main>
</body>
</html>
"""


def _section(number: int, section: Section) -> str:
    blocks = "\n".join(map(_block, section.blocks))
    heading = f"part-{number}"
    return (
        f'<section aria-labelledby="{heading}">\n'
        f'<h2 id="{heading}">{escape(section.title)}</h2>\n{blocks}\n</section>'
    )


def _block(block: Block) -> str:
    match block:
        case Paragraph(text, strong):
            return f"<p{' class=headline' if strong else ''}>{escape(text)}</p>"
        case Bullets(items):
            return "<ul>\n" + "\n".join(f"<li>{escape(each)}</li>" for each in items) + "\n</ul>"
        case Chart():
            return _chart(block)
        case Table():
            return _table(block)


def _chart(chart: Chart) -> str:
    # The SVG is ours; what it quotes was escaped by the library that drew it.
    return (
        f'<figure>\n<div class="chart" role="img" aria-label="{escape(chart.alt)}">{chart.svg}'
        f"</div>\n<figcaption>{escape(chart.caption)}</figcaption>\n</figure>"
    )


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in table.heads)
    rows = "\n".join(map(_row, table.rows))
    made = (
        f'<div class="wide"><table>\n<caption>{escape(table.caption)}</caption>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>"
    )
    if not table.folded:
        return made
    named = f"{table.caption.partition(':')[0]} ({len(table.rows)} rows)"
    return f"<details>\n<summary>{escape(named)}</summary>\n{made}\n</details>"


def _row(row: Row) -> str:
    anchor = f' id="{escape(row.anchor)}"' if row.anchor else ""
    head, *rest = row.entries
    cells = "".join(f"<td{_class(each)}>{_entry(each)}</td>" for each in rest)
    return f'<tr{anchor}><th scope="row">{_entry(head)}</th>{cells}</tr>'


def _class(entry: Entry) -> str:
    long = "long" if len(entry.text) > _LONG and "\n" not in entry.text else None
    names = " ".join(name for name in (entry.tone, long) if name)
    return f' class="{names}"' if names else ""


def _entry(entry: Entry) -> str:
    first, *more = escape(entry.text).split("\n")
    if entry.link:
        first = f'<a href="{escape(entry.link)}">{first}</a>'
    return "<br>".join([first, *more])
