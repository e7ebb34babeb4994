"""Tables → pictures: SVG texts, drawn by altair and vl-convert without network or browser.

Colours are those of Okabe and Ito, told apart with colour-blind eyes; agents differ in shape, too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import vl_convert

from memcollab.bench.report.figures import NOT_RUN, plain, points
from memcollab.bench.statistics import Estimate
from memcollab.bench.tables import OUTCOMES, Cell, EntryPoint, Tables

_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]
_SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down"]
# Solved, wrong, crashed, unreadable, out of turns, never finished, no verdict.
_OUTCOMES = ["#0072B2", "#D55E00", "#E69F00", "#F0E442", "#CC79A7", "#56B4E9", "#BBBBBB"]
_HARM, _NOTHING, _HELP = "#E08A4A", "#FFFFFF", "#6AAED6"
_FONT = "Helvetica, Arial, sans-serif"
_INK, _GREY, _FAINT = "#222222", "#767676", "#DDDDDD"
_ROW = 13

Rows = list[dict[str, Any]]


def accuracy(tables: Tables) -> str:
    """Share solved per arm, a panel per suite, with intervals."""
    rows = _points(tables, tables.labels, lambda cell: cell.accuracy, 100)
    scale = alt.Scale(domain=[0, 100])
    panels = _Panels("accuracy", "solved, %", scale)
    return panels.draw(tables, tables.labels, rows)


def differences(tables: Tables) -> str:
    """Paired difference to the baseline per arm, a panel per suite; a line at 0."""
    labels = [label for label in tables.labels if label != tables.baseline]
    rows = _points(tables, labels, lambda cell: cell.against.difference, 100)
    title = f"difference to {plain(tables.baseline)}, points"
    panels = _Panels("differences", title, alt.Scale(nice=True), zero=True)
    return panels.draw(tables, labels, rows)


def turns(tables: Tables) -> str:
    """Model calls per attempt and arm, a panel per suite."""
    rows = _points(tables, tables.labels, lambda cell: cell.costs["turns"], 1)
    scale = alt.Scale(zero=True, nice=True)
    panels = _Panels("turns", "turns per attempt", scale)
    return panels.draw(tables, tables.labels, rows)


def transfer(tables: Tables) -> str:
    """Whose memory helps whom, as a heat map: rows are memories, columns the reading agents."""
    rows: Rows = [
        {
            "source": plain(each.row),
            "agent": plain(each.agent),
            "points": 100 * each.difference.value,
            "text": points(each.difference).replace(" [", "\n["),
        }
        for each in tables.transfer
        if each.difference.known
    ]
    names = list(dict.fromkeys(plain(each.row) for each in tables.transfer))
    agents = list(map(plain, tables.agents))
    reach = max([5.0, *(abs(row["points"]) for row in rows)])
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X(
            "agent:N",
            title="read by",
            scale=alt.Scale(domain=agents),
            axis=alt.Axis(orient="top", labelAngle=0, grid=False),
        ),
        y=alt.Y(
            "source:N",
            title=None,
            scale=alt.Scale(domain=names),
            axis=alt.Axis(grid=False),
        ),
    )
    boxes = base.mark_rect(stroke=_FAINT).encode(
        color=alt.Color(
            "points:Q",
            title="points",
            scale=alt.Scale(
                domain=[-reach, 0, reach], range=[_HARM, _NOTHING, _HELP], interpolate="rgb"
            ),
        )
    )
    words = base.mark_text(lineBreak="\n", dy=-6, fontSize=11, color=_INK).encode(text="text:N")
    chart = alt.layer(boxes, words).properties(width=150 * len(agents), height=44 * len(names))
    return _svg(chart, "transfer")


def entries(tables: Tables) -> str:
    """Difference to the baseline by the number of entries, a panel per suite and series; a line at
    0."""
    found = [each for each in tables.entries if each.difference.known]
    labels = list(dict.fromkeys(each.label for each in tables.entries))
    several = len({each.series for each in tables.entries}) > 1
    rows = [_entry(each) | {"panel": _panel(each, several)} for each in found]
    panels = list(dict.fromkeys(_panel(each, several) for each in tables.entries))
    base = alt.Chart().encode(
        x=alt.X(
            "label:O",
            title="entries",
            scale=alt.Scale(domain=list(map(plain, labels))),
            axis=alt.Axis(labelAngle=0),
        ),
        xOffset=alt.XOffset("agent:N", scale=alt.Scale(domain=list(map(plain, tables.agents)))),
        color=_agents(tables),
    )
    bars = base.mark_rule(strokeWidth=1.6).encode(
        y=alt.Y("low:Q", title="difference, points"), y2="high:Q"
    )
    dots = base.mark_point(filled=True, size=46, opacity=1).encode(
        y="value:Q", shape=_shapes(tables)
    )
    data = alt.InlineData(values=rows)
    layers = alt.layer(_line_at_zero("y"), bars, dots, data=data).properties(width=250, height=190)
    return _svg(layers.facet(facet=_facet("panel", panels), columns=2), "entries")


def failures(tables: Tables) -> str:
    """How attempts ended, as shares of all attempts of an arm, a panel per agent."""
    rows: Rows = [
        {
            "label": plain(label),
            "agent": plain(agent),
            "outcome": outcome,
            "rank": OUTCOMES.index(outcome),
            "attempts": sum(
                cell.outcomes[outcome]
                for cell in tables.cells
                if (cell.label, cell.agent) == (label, agent)
            ),
        }
        for label in tables.labels
        for agent in tables.agents
        for outcome in OUTCOMES
    ]
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(stroke="#FFFFFF", strokeWidth=0.6)
        .encode(
            x=alt.X(
                "attempts:Q",
                stack="normalize",
                title="share of attempts",
                axis=alt.Axis(format="%", tickCount=5),
            ),
            y=alt.Y("label:N", title=None, scale=alt.Scale(domain=list(map(plain, tables.labels)))),
            color=alt.Color(
                "outcome:N",
                title=None,
                scale=alt.Scale(domain=list(OUTCOMES), range=_OUTCOMES),
                legend=alt.Legend(columns=7),
            ),
            order=alt.Order("rank:Q"),
        )
        .properties(width=250, height=20 * len(tables.labels))
    )
    agents = list(map(plain, tables.agents))
    return _svg(bars.facet(facet=_facet("agent", agents), columns=2), "failures")


# ---- panels of intervals


def _points(
    tables: Tables, labels: Sequence[str], of: Callable[[Cell], Estimate], scale: float
) -> Rows:
    """A row for every cell; ``run`` is false where it has no value."""
    rows: Rows = []
    for cell in tables.cells:
        if cell.label in labels:
            names = {"label": cell.label, "suite": cell.suite, "agent": cell.agent}
            row = {key: plain(text) for key, text in names.items()} | {"run": of(cell).known}
            rows.append(row | (_scaled(of(cell), scale) if of(cell).known else {}))
    return rows


def _scaled(estimate: Estimate, scale: float) -> dict[str, float]:
    """One task has no interval: its limits are drawn where it stands, for a nan is no JSON."""
    value = estimate.value
    limits = {"low": estimate.low, "high": estimate.high}
    return {"value": scale * value} | {
        name: scale * (value if math.isnan(limit) else limit) for name, limit in limits.items()
    }


def _panel(point: EntryPoint, several: bool) -> str:
    return plain(f"{point.suite}: {point.series}" if several else point.suite)


def _entry(point: EntryPoint) -> dict[str, Any]:
    name = {"label": point.label, "suite": point.suite, "agent": point.agent}
    return {key: plain(text) for key, text in name.items()} | _scaled(point.difference, 100)


@dataclass(frozen=True)
class _Panels:
    """A panel per suite, a line per label, a point and an interval per agent."""

    name: str
    title: str
    scale: alt.Scale
    zero: bool = False

    def draw(self, tables: Tables, labels: Sequence[str], rows: Rows) -> str:
        data = alt.InlineData(values=rows)
        lines = self._lines(tables, labels)
        layers = [_line_at_zero("x")] if self.zero else []
        layers += self._intervals(tables, lines.transform_filter("datum.run"))
        if not all(row["run"] for row in rows):
            absent = lines.transform_filter("!datum.run").encode(x=alt.value(2))
            layers.append(absent.mark_text(text=NOT_RUN, align="left", fontSize=8, color=_GREY))
        height = max(len(labels) * (_ROW * len(tables.agents) + 4), 40)
        suites = list(map(plain, tables.suites))
        # A row that is not full shows the axes of panels that are not there.
        columns, width = (2, 265) if len(suites) in (2, 4) else (3, 170)
        chart = alt.layer(*layers, data=data).properties(width=width, height=height)
        return _svg(chart.facet(facet=_facet("suite", suites), columns=columns), self.name)

    def _intervals(self, tables: Tables, lines: alt.Chart) -> list[alt.Chart]:
        coloured = lines.encode(color=_agents(tables))
        low = alt.X("low:Q", title=self.title, scale=self.scale)
        return [
            coloured.mark_rule(strokeWidth=1.6).encode(x=low, x2="high:Q"),
            coloured.mark_point(filled=True, size=36, opacity=1).encode(
                x="value:Q", shape=_shapes(tables)
            ),
        ]

    @staticmethod
    def _lines(tables: Tables, labels: Sequence[str]) -> alt.Chart:
        names, agents = list(map(plain, labels)), list(map(plain, tables.agents))
        lines: alt.Chart = alt.Chart().encode(
            y=alt.Y("label:N", title=None, scale=alt.Scale(domain=names, paddingInner=0.25)),
            yOffset=alt.YOffset("agent:N", scale=alt.Scale(domain=agents)),
        )
        return lines


def _line_at_zero(axis: Literal["x", "y"]) -> alt.Chart:
    line = alt.Chart().mark_rule(color=_INK, strokeWidth=1.2)
    drawn: alt.Chart = line.encode(**{axis: alt.datum(0)})
    return drawn


def _agents(tables: Tables) -> alt.Color:
    agents = list(map(plain, tables.agents))
    colours = [_COLOURS[place % len(_COLOURS)] for place in range(len(agents))]
    return alt.Color("agent:N", title=None, scale=alt.Scale(domain=agents, range=colours))


def _shapes(tables: Tables) -> alt.Shape:
    agents = list(map(plain, tables.agents))
    shapes = [_SHAPES[place % len(_SHAPES)] for place in range(len(agents))]
    return alt.Shape("agent:N", title=None, scale=alt.Scale(domain=agents, range=shapes))


def _facet(field: str, order: list[str]) -> alt.Facet:
    return alt.Facet(f"{field}:N", sort=order, title=None)


def _svg(chart: alt.LayerChart | alt.FacetChart, name: str) -> str:
    """The picture as SVG."""
    spec = (
        chart.configure(font=_FONT, background="#FFFFFF", padding=6)
        .configure_view(stroke=_FAINT)
        .configure_axis(
            labelColor=_INK,
            titleColor=_INK,
            gridColor="#EEEEEE",
            domainColor=_GREY,
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
            labelLimit=260,
        )
        .configure_header(labelFontSize=12, labelFontWeight="bold", labelColor=_INK)
        .configure_legend(orient="bottom", labelFontSize=11, symbolSize=70, labelLimit=300)
        .configure_facet(spacing=16)
        .to_dict()
    )
    drawn: str = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    return _own_ids(drawn, name)


def _own_ids(drawn: str, name: str) -> str:
    """Ids that begin with ``name``, counted from 0: the library counts on from picture to picture,
    and two pictures of one page must not share any."""
    found = list(dict.fromkeys(re.findall(r'\bid="([^"]+)"', drawn)))
    own = {each: f"{name}-{place}" for place, each in enumerate(found)}
    return re.sub(
        r'(\bid="|url\(#|href="#)([^")]+)',
        lambda match: match[1] + own.get(match[2], match[2]),
        drawn,
    )


def describe(
    cells: Sequence[Cell], of: Callable[[Cell], Estimate], show: Callable[[float], str]
) -> str:
    """The range of a picture's values in words, for those who do not see it."""
    values = [of(cell).value for cell in cells if of(cell).known]
    if not values:
        return "nothing was run yet"
    return f"values from {show(min(values))} to {show(max(values))}"
