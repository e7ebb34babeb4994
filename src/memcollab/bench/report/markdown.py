"""Sections → one Markdown page (GitHub's kind); its charts are SVG files beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from memcollab.bench.report.blocks import Block, Bullets, Chart, Entry, Paragraph, Section, Table


def markdown(title: str, sections: Sequence[Section], file_of: Callable[[Chart], str]) -> str:
    """The page, with every text escaped. ``file_of`` names the file of a chart."""
    parts = [f"# {text(title)}"]
    for section in sections:
        parts.append(f"## {text(section.title)}")
        parts += [_block(block, file_of) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def text(plain: str) -> str:
    """Plain text that Markdown shows as it is: no markup, no HTML, no link made of an address, and
    nobody is called by name."""
    safe = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = re.sub(r"([\\`*_\[\]#!|~$])", r"\\\1", safe)
    return safe.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;")


def line(plain: str) -> str:
    """``text`` at the start of a line, where a dash or a number would open a list."""
    return re.sub(r"^(\s*)([-+=]|\d+[.)])", r"\1&#8203;\2", text(plain))


def _block(block: Block, file_of: Callable[[Chart], str]) -> str:
    match block:
        case Paragraph(words, strong):
            return f"**{text(words)}**" if strong else line(words)
        case Bullets(items):
            return "\n".join(f"- {line(each)}" for each in items)
        case Chart():
            return f"![{text(block.alt)}]({file_of(block)})\n\n*{text(block.caption)}*"
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    lines = [
        "| " + " | ".join(map(text, table.heads)) + " |",
        "|" + " --- |" * len(table.heads),
        *("| " + " | ".join(map(_entry, row.entries)) + " |" for row in table.rows),
    ]
    if not table.folded:
        return f"*{text(table.caption)}*\n\n" + "\n".join(lines)
    # A blank line on either side: Markdown within HTML.
    return "\n".join(
        [f"<details><summary>{text(table.caption)}</summary>", "", *lines, "", "</details>"]
    )


def _entry(entry: Entry) -> str:
    shown = "<br>".join(map(text, entry.text.split("\n")))
    if entry.tone == "worse":
        return f"**{shown}** ▼"
    if entry.tone == "better":
        return f"**{shown}** ▲"
    # Anchors are those of the HTML page; paths hold in both.
    if entry.link and not entry.link.startswith("#"):
        return f"[{shown}](<{entry.link}>)"
    return shown
