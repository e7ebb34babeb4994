"""Attempts → a report: one HTML page that needs nothing else, and the same as Markdown.

    paper.py     the paper's own figures
    blocks.py    what a report is made of (values)
    figures.py   numbers and unknown text as a report writes them
    charts.py    pictures, by altair
    words.py     tables → sections: what is said, and in which order
    page.py      sections → HTML (page.css)
    markdown.py  sections → Markdown

Names, errors and notes are text of unknown origin: they are plain text until they are written, and
whoever writes escapes them. The same input gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from memcollab.bench.attempts import Attempt
from memcollab.bench.report.blocks import Chart, Section
from memcollab.bench.report.figures import plain
from memcollab.bench.report.markdown import markdown
from memcollab.bench.report.page import html
from memcollab.bench.report.words import Frame, sections
from memcollab.bench.tables import BASELINE, FOCUS, Ledger, Plan, Series, tabulate
from memcollab.errors import UsageError

__all__ = ["write_report"]


def write_report(
    attempts: Sequence[Attempt],
    ledgers: Iterable[Ledger],
    out: Path,
    *,
    title: str,
    notes: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
    arms: Sequence[Mapping[str, str]] = (),
    entries: Sequence[Series] = (),
    logs_root: Path | None = None,
    plan: Plan | None = None,
    baseline: str = BASELINE,
    focus: str = FOCUS,
) -> tuple[Path, Path]:
    """Write the report and return its two pages, HTML and Markdown.

    ``out`` is the HTML file if it ends in ``.html``, else a folder for ``report.html``. Beside it
    stand the Markdown, its charts as SVG, and ``attempts.jsonl`` with every record.

    ``arms`` says what each arm is: values by the name of their column, which all arms share.
    ``entries`` lists series of arms that differ in the number of entries alone. ``logs_root`` is
    the folder that the attempts' ``log`` is relative to: a log that is there becomes a link.
    ``plan`` is what was to be run; without it, what is missing is measured against what any arm
    has.

    Raises:
        UsageError: the folder cannot be written.
    """
    title = plain(title)
    page = out if out.suffix == ".html" else out / "report.html"
    tables = tabulate(attempts, ledgers, plan=plan, baseline=baseline, focus=focus, entries=entries)
    frame = Frame(notes, settings or {}, _paths(page.parent, logs_root), plan or Plan(), arms)
    made = sections(tables, frame)
    texts = {page: html(title, made), page.with_suffix(".md"): _markdown(page, title, made)}
    texts |= {page.with_name(_file(page, chart)): chart.svg for chart in _charts(made)}
    texts[page.with_name("attempts.jsonl")] = _lines(attempts)
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(
            f"the report cannot be written to {str(page.parent)!r}: {error.strerror}. "
            "Next: name a folder that can be written"
        ) from None
    return page, page.with_suffix(".md")


def _markdown(page: Path, title: str, made: Sequence[Section]) -> str:
    return markdown(title, made, lambda chart: quote(_file(page, chart)))


def _charts(made: Sequence[Section]) -> list[Chart]:
    return [block for section in made for block in section.blocks if isinstance(block, Chart)]


def _file(page: Path, chart: Chart) -> str:
    return f"{page.stem}-{chart.name}.svg"


def _lines(attempts: Sequence[Attempt]) -> str:
    """Every record, in an order that does not depend on who finished first."""
    return "".join(sorted(f"{attempt.model_dump_json()}\n" for attempt in attempts))


def _paths(folder: Path, logs_root: Path | None) -> Callable[[str], str | None]:
    """From the name of a log to the path from ``folder`` to it, where it lies below its root."""

    def path_of(log: str) -> str | None:
        if logs_root is None or "\0" in log:
            return None
        root = logs_root.resolve()
        found = (root / log).resolve()
        if not found.is_relative_to(root) or not found.is_file():
            return None
        return quote(Path(os.path.relpath(found, folder.resolve())).as_posix())

    return path_of
