"""Tables → the sections of the report, in the order of reading."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from memcollab.bench.report import charts, paper
from memcollab.bench.report.blocks import (
    Block,
    Bullets,
    Chart,
    Entry,
    Paragraph,
    Row,
    Section,
    Table,
    Tone,
    table,
)
from memcollab.bench.report.figures import (
    NOT_RUN,
    amount,
    change,
    interval,
    numbered,
    p_value,
    percent,
    plain,
    points,
    signed,
)
from memcollab.bench.statistics import LEVEL, Estimate
from memcollab.bench.tables import OUTCOMES, Balance, Cell, Overall, Plan, Tables

_MAX_ERRORS = 12
_GROUPED = (
    " Over groups: tasks that ask for the same module are one group, and may be won or lost "
    "together; the interval resamples groups whole and is moved outwards for their small number."
)


@dataclass(frozen=True)
class Frame:
    """What stands around the numbers: notes and settings of the run, for the name of a log the
    path from the report to it, if it is there, what was planned, and what the arms are."""

    notes: Sequence[str]
    settings: Mapping[str, str]
    path_of: Callable[[str], str | None]
    plan: Plan
    arms: Sequence[Mapping[str, str]] = ()


def sections(tables: Tables, frame: Frame) -> tuple[Section, ...]:
    """The whole report. Every text in it is plain: whoever writes it out has to escape it."""
    made = (
        Section("What was asked, and how small it is", _asked(tables, frame)),
        Section("Headline", _headline(tables, frame)),
        Section("Accuracy", _accuracy(tables)),
        Section("Accuracy in pictures", _pictures(tables)),
        Section("Turns and tokens", _costs(tables)),
        Section("Whose memory helps whom", _transfer(tables)),
        Section("The number of entries", _entries(tables)),
        Section("How attempts ended", _failures(tables)),
        Section("What it cost and what it saves", _ledger(tables)),
        Section("Negative results", _negative(tables)),
        Section("Where every number comes from", _origins(tables, frame)),
    )
    return tuple(section for section in made if section.blocks)


# ---- what was asked


def _asked(tables: Tables, frame: Frame) -> tuple[Block, ...]:
    arms = _arms(tables)
    compared = plain(arms[0]) if len(arms) == 1 else f"Each of {len(arms)} arms"
    asked = (
        f"Does a memory help an agent, and whose memory? {compared} is compared with "
        f"{plain(tables.baseline)} on the same tasks, attempted by the same agent. "
        f"Suites: {_list(tables.suites)}. Agents: {_list(tables.agents)}."
    )
    settings = [(plain(name), plain(value)) for name, value in frame.settings.items()]
    blocks: list[Block] = [Paragraph(asked), *_part(frame.plan)]
    blocks += [Paragraph(_smallness(tables)), *_missing(tables, frame.plan)]
    if frame.notes:
        blocks.append(Bullets(tuple(plain(note, 2000) for note in frame.notes)))
    if settings:
        blocks.append(table("Settings of the run", ("setting", "value"), settings))
    return tuple(blocks)


def _smallness(tables: Tables) -> str:
    run = [cell for cell in tables.cells if cell.judged]
    if not run:
        return "Nothing has a verdict yet: there is no number to read here."
    sizes = [cell.accuracy.n for cell in run]
    seeds = max(cell.seeds for cell in run)
    text = (
        f"It is small: a cell (one arm, suite and agent) rests on {_range(sizes)} with a verdict, "
        + ("each attempted once (one seed)." if seeds == 1 else f"with up to {seeds} seeds each.")
    )
    reach = [
        f"{_points_from_to(mine)} ({plain(agent)})"
        for agent in tables.agents
        if (mine := [_reach(x.against.difference) for x in tables.compared if x.agent == agent])
    ]
    if reach:
        text += (
            " To either side the interval of a cell's difference reaches, read by each agent, "
            f"{', '.join(reach)}: a smaller effect cannot be told from chance in one cell, and "
            "where no arm solves anything an interval is short for that reason alone."
        )
    return text + (
        " Intervals are at 95 %. Seeds of a task are averaged first, so that n counts tasks."
    )


def _part(plan: Plan) -> tuple[Block, ...]:
    whole = plan.whole
    if whole is None:
        return ()
    kinds = (
        ("arms", plan.arms, whole.arms),
        ("suites", list(plan.suites), list(whole.suites)),
        ("agents", plan.agents, whole.agents),
    )
    shown = "; ".join(
        f"{len(mine)} of {len(of)} {kind} ({_list(mine)})" for kind, mine, of in kinds
    )
    text = (
        "It shows a part of what was planned, and the part was chosen when this report was made: "
        f"{shown}. The whole plan has {whole.attempts:,} attempts."
    )
    return (Paragraph(text),)


def _missing(tables: Tables, plan: Plan) -> tuple[Block, ...]:
    absent = [cell for cell in tables.cells if not cell.attempts]
    begun = [cell for cell in tables.cells if cell.attempts]
    lacking = sum(max(cell.expected - cell.attempts, 0) for cell in begun)
    unjudged = sum(cell.attempts - cell.judged for cell in begun)
    items = []
    here = " of this part" if plan.whole else ""
    if plan.attempts is not None and tables.records < plan.attempts:
        items.append(f"{tables.records:,} of {plan.attempts:,} planned attempts{here} were made.")
    if absent:
        items.append(f"{numbered(len(absent), 'cell')} of {len(tables.cells)} not run.")
    if lacking:
        expected = sum(cell.expected for cell in begun)
        items.append(
            f"{lacking:,} of {expected:,} attempts are missing from cells that were begun."
        )
    if unjudged:
        items.append(
            f"{numbered(unjudged, 'attempt')} without a verdict: counted apart, never as wrong."
        )
    if tables.replaced:
        items.append(f"{numbered(tables.replaced, 'record')} left out: a later one replaces it.")
    if items or not begun:
        return (Bullets(tuple(items)),) if items else ()
    if plan.attempts is None:
        return (Paragraph("No cell lacks an attempt that another has; all have a verdict."),)
    made = f"{tables.records:,} of {plan.attempts:,} planned attempts{here} were made"
    return (Paragraph(f"{made}; all have a verdict."),)


# ---- headline


def _headline(tables: Tables, frame: Frame) -> tuple[Block, ...]:
    claim = Paragraph(_claim(tables), strong=True)
    return (claim, _arms_table(tables), *_what_arms_are(frame))


def _what_arms_are(frame: Frame) -> tuple[Block, ...]:
    if not frame.arms:
        return ()
    rows = [[plain(value) for value in arm.values()] for arm in frame.arms]
    caption = (
        "What each arm is: whose runs its memory was made of and by which recipe, what of it is "
        "shown, how many entries and tokens at most, where it stands to the task, and in what else "
        "it is not the recipe as it comes."
    )
    return (table(caption, list(map(plain, frame.arms[0])), rows),)


def _claim(tables: Tables) -> str:
    if tables.focus not in tables.labels:
        return f"The arm {plain(tables.focus)} was not run: there is no headline."
    over = tables.over(tables.focus)
    if not over.difference.known:
        return f"The arm {plain(tables.focus)} has no pair with {plain(tables.baseline)} yet."
    mine = [cell for cell in tables.compared if cell.label == tables.focus]
    worse = sum(cell in tables.worse for cell in mine)
    better = sum(cell in tables.better for cell in mine)
    return (
        f"{plain(tables.focus)} against {plain(tables.baseline)}: {points(over.difference)} "
        f"points, the mean of {len(mine)} of {over.planned} cells ({over.difference.n:,} pairs). "
        f"{_verdict(over.difference)} {_over_groups(over)}"
        f"Of its cells {better} are better than {plain(tables.baseline)} "
        f"and {worse} worse, beyond interval and exact test. "
        f"Turns per attempt: {change(over.changes['turns'], 2)}; "
        f"tokens: {change(over.changes['tokens'], 0)}."
    )


def _over_groups(over: Overall) -> str:
    if not over.grouped.known:
        return ""
    return f"With groups of tasks resampled whole: {points(over.grouped)}. "


def _verdict(difference: Estimate) -> str:
    if difference.above_zero:
        return "The interval lies above 0: it helped."
    if difference.below_zero:
        return "The interval lies below 0: it did harm."
    if difference.low > 0 or difference.high < 0:
        return f"The exact test says that this may be chance (p {p_value(difference.p)})."
    return "The interval holds 0: help and harm cannot be told apart here."


def _arms_table(tables: Tables) -> Table:
    heads = ["arm", "accuracy", "difference, points", "cells", "better", "worse", "turns", "tokens"]
    grouped = any(each.grouped.known for each in tables.overall)
    if grouped:
        heads.insert(3, "over groups")
    rows: list[Sequence[str | Entry]] = []
    for label in tables.labels:
        over = tables.over(label)
        mine = [cell for cell in tables.compared if cell.label == label]
        memory = label != tables.baseline
        rows.append(
            (
                plain(label),
                percent(over.accuracy),
                _difference(over.difference) if memory else "–",
                *([_grouped(over.grouped)] if grouped else []),
                f"{over.cells} of {over.planned}",
                str(sum(cell in tables.better for cell in mine)) if memory else "–",
                str(sum(cell in tables.worse for cell in mine)) if memory else "–",
                change(over.changes["turns"], 2) if memory else "–",
                change(over.changes["tokens"], 0) if memory else "–",
            )
        )
    return table(
        "Every arm over its suites and agents, each cell of equal weight: accuracies of arms with "
        "other cells cannot be compared, differences can. These are paired, to "
        f"{plain(tables.baseline)}; turns and tokens are differences per attempt. Better and "
        "worse: cells whose interval lies wholly on that side of 0 and whose exact McNemar p is "
        f"below {LEVEL}; among 40 cells without any effect, one on either side is expected by "
        "chance. Intervals over several cells resample tasks with all their agents (those of "
        "accuracies with two won and two lost pseudo-tasks a suite): two agents at 60 tasks are 60 "
        f"tasks.{_GROUPED if grouped else ''}",
        heads,
        rows,
    )


# ---- accuracy


def _accuracy(tables: Tables) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for agent in tables.agents:
        blocks.append(_accuracy_table(tables, agent))
        idle = [label for label in tables.labels if not tables.over(label, agent).cells]
        if idle:
            blocks.append(Paragraph(f"Not run for {plain(agent)}: {_list(idle)}."))
    return (*blocks, *_beside_the_paper(tables))


def _accuracy_table(tables: Tables, agent: str) -> Table:
    rows: list[Sequence[str | Entry]] = []
    grouped = any(cell.grouped.known for cell in tables.cells if cell.agent == agent)
    for label in tables.labels:
        over = tables.over(label, agent)
        if not over.cells:
            continue
        cells = [tables.cell(label, suite, agent) for suite in tables.suites]
        mean = percent(over.accuracy)
        if label != tables.baseline:
            mean += f"\n{points(over.difference)}"
        whole = Entry(mean, tone=_tone(over.difference))
        rows.append((plain(label), *(_accuracy_entry(cell) for cell in cells), whole))
    return table(
        f"{plain(agent)}: share solved with its interval (Wilson) and n tasks; below, the paired "
        f"difference to {plain(tables.baseline)} in points with its interval (bootstrap over "
        "tasks), tasks won and lost, and the p of the exact McNemar test, raw and (in brackets) "
        "after Holm's correction over the cells of the arm. The mean gives each suite equal "
        f"weight. A cell links to its logs.{_GROUPED if grouped else ''}",
        ("arm", *map(plain, tables.suites), "mean"),
        rows,
    )


def _accuracy_entry(cell: Cell) -> Entry:
    if not cell.judged:
        return Entry(NOT_RUN, tone="missing")
    lines = [percent(cell.accuracy), f"n {cell.accuracy.n}"]
    if cell.against.difference.known:
        pair = cell.against
        lines += [
            points(pair.difference),
            f"won {pair.won}, lost {pair.lost}",
            f"p {p_value(pair.p)} ({p_value(cell.corrected)})",
        ]
        if cell.grouped.known:
            lines.append(
                f"over {numbered(cell.groups, 'group')} {interval(cell.grouped.times(100))}"
            )
    tone = _tone(cell.against.difference)
    return Entry("\n".join(lines), link=f"#{_anchor(cell)}", tone=tone)


def _beside_the_paper(tables: Tables) -> tuple[Block, ...]:
    here = {paper.suite_of(suite): suite for suite in tables.suites}
    shared = [suite for suite in paper.SUITES if suite in here]
    if not shared:
        return ()
    rows: list[Sequence[str | Entry]] = []
    for name in dict.fromkeys(paper.ARMS.values()):
        arms = [x for x in tables.labels if paper.ARMS.get(x) == name and x != tables.baseline]
        for arm in arms:
            for agent in tables.agents:
                cells = [tables.cell(arm, here[suite], agent) for suite in shared]
                rows.append((plain(arm), f"here: {plain(agent)}", *map(_beside, cells)))
        if not arms:
            continue
        for agent, figures in paper.ACCURACY[name].items():
            before = paper.ACCURACY["no memory"][agent]
            places = [paper.SUITES.index(suite) for suite in shared]
            beside = (f"{figures[x]:.1f} ({signed(figures[x] - before[x], 1)})" for x in places)
            rows.append((f"{name} (paper)", f"paper: {agent}", *beside))
    if not rows:
        return ()
    caption = (
        f"Beside the paper's own figures: {paper.CITATION}. Accuracy in % and, in brackets, the "
        "difference to no memory in points; the paper prints no intervals. Models, numbers of "
        "tasks and writers differ: compare the directions, not the sizes."
    )
    return (table(caption, ("arm", "agent", *shared), rows),)


def _beside(cell: Cell) -> str:
    if not cell.against.difference.known:
        return NOT_RUN
    difference = 100 * cell.against.difference.value
    return f"{100 * cell.accuracy.value:.1f} ({signed(difference, 1)})"


def _pictures(tables: Tables) -> tuple[Block, ...]:
    if not any(cell.judged for cell in tables.cells):
        return ()
    described = charts.describe(tables.cells, _share, "{:.0f} %".format)
    accuracy = Chart(
        "accuracy",
        charts.accuracy(tables),
        f"Share solved per arm, suite and agent; {described}.",
        "Share solved with 95 % intervals, a panel per suite.",
    )
    if not tables.compared:
        return (accuracy,)
    described = charts.describe(tables.compared, _difference_points, _signed_points)
    differences = Chart(
        "differences",
        charts.differences(tables),
        f"Paired difference to {plain(tables.baseline)} per arm, suite and agent; {described}.",
        f"Paired difference to {plain(tables.baseline)} with 95 % intervals. Right of the line at "
        "0 a memory helped, left of it it did harm.",
    )
    return accuracy, differences


# ---- costs


def _costs(tables: Tables) -> tuple[Block, ...]:
    if not any(cell.judged for cell in tables.cells):
        return ()
    described = charts.describe(tables.cells, lambda cell: cell.costs["turns"], "{:.2f}".format)
    chart = Chart(
        "turns",
        charts.turns(tables),
        f"Turns per attempt by arm, suite and agent; {described}.",
        "Turns (model calls) per attempt with 95 % intervals, a panel per suite.",
    )
    by_agent = [_cost_table(tables, agent) for agent in tables.agents]
    return (chart, *_paper_turns(tables), *by_agent, Paragraph(_seconds(tables)))


def _seconds(tables: Tables) -> str:
    taken = ", ".join(
        f"{tables.seconds[agent]:,.1f} ({plain(agent)})"
        for agent in tables.agents
        if agent in tables.seconds
    )
    return (
        f"The median attempt took so many seconds of working time: {taken}. Cells are run one "
        "after the other on a machine that other work may share, at loads that differ: seconds "
        "tell what a run takes here, and arms are not compared by them."
    )


def _cost_table(tables: Tables, agent: str) -> Table:
    measures = (("turns", 1), ("input_tokens", 0), ("output_tokens", 0))
    rows: list[Sequence[str | Entry]] = []
    for suite in tables.suites:
        for label in tables.labels:
            cell = tables.cell(label, suite, agent)
            if not cell.judged:
                continue
            values = [_cost(cell, measure, digits) for measure, digits in measures]
            guidance = amount(cell.costs["guidance_tokens"], 0)
            guided = f"{cell.guided} of {cell.judged}"
            head = Entry(plain(suite), link=f"#{_anchor(cell)}")
            rows.append((head, plain(label), *values, guidance, guided))
    return table(
        f"{plain(agent)}: means per attempt, and below each the paired difference to "
        f"{plain(tables.baseline)} with its interval. Input tokens include the guidance; guidance "
        "tokens count it once; guided: attempts that were shown anything.",
        ("suite", "arm", "turns", "input", "output", "guidance", "guided"),
        rows,
        folded=True,
    )


def _cost(cell: Cell, measure: str, digits: int) -> str:
    text = amount(cell.costs[measure], digits)
    if cell.changes[measure].known:
        text += f"\n{change(cell.changes[measure], digits)}"
    return text


def _paper_turns(tables: Tables) -> tuple[Block, ...]:
    shared = {paper.suite_of(suite) for suite in tables.suites}
    said = [
        f"{suite} {before} → {after}"
        for suite, (before, after) in zip(paper.SUITES, paper.TURNS, strict=True)
        if suite in shared
    ]
    if not said:
        return ()
    text = f"Mean turns without → with in the paper ({paper.TURNS_AGENT}; {paper.CITATION}): "
    return (Paragraph(text + ", ".join(said) + "."),)


# ---- transfer and entries


def _transfer(tables: Tables) -> tuple[Block, ...]:
    known = [each for each in tables.transfer if each.difference.known]
    if not known:
        return ()
    rows: list[Sequence[str | Entry]] = []
    for row in dict.fromkeys(each.row for each in tables.transfer):
        mine = [each.difference for each in tables.transfer if each.row == row]
        rows.append((plain(row), *map(_difference, mine)))
    caption = (
        f"Mean paired difference to {plain(tables.baseline)} over suites, in points, with its "
        "interval: rows are whose runs made the memory, columns who read it. A row with a model's "
        "name alone is memory of that model's own runs (arms own and other)."
    )
    ranked = sorted(known, key=lambda each: -each.difference.value)
    ends = list(zip(("Best", "Worst"), (ranked[0], ranked[-1]), strict=True))
    said = (
        f"{name}: {plain(x.row)} read by {plain(x.agent)}, {points(x.difference)} points."
        for name, x in (ends if len(ranked) > 1 else [("Alone", ranked[0])])
    )
    alt = " ".join(["Heat map of memories by reading agents.", *said])
    legend = "Rows: memories, by the models whose runs made them. Blue helped, orange did harm."
    chart = Chart("transfer", charts.transfer(tables), alt, legend)
    return chart, table(caption, ("memory", *map(plain, tables.agents)), rows)


def _entries(tables: Tables) -> tuple[Block, ...]:
    known = [each for each in tables.entries if each.difference.known]
    if not known:
        return ()
    rows = [
        (
            plain(x.suite),
            plain(x.agent),
            plain(x.arm),
            plain(x.label),
            _difference(x.difference),
            change(x.turns, 2),
        )
        for x in tables.entries
    ]
    chart = Chart(
        "entries",
        charts.entries(tables),
        "Difference by the number of entries, per suite and agent; the table below has the values.",
        f"Paired difference to {plain(tables.baseline)} by the number of entries shown at most; a "
        "panel holds arms that differ in nothing else.",
    )
    heads = ("suite", "agent", "arm", "entries", "difference, points", "turns")
    return chart, table("The same in numbers; turns are differences, too.", heads, rows)


# ---- failures


def _failures(tables: Tables) -> tuple[Block, ...]:
    if not any(cell.attempts for cell in tables.cells):
        return ()
    chart = Chart(
        "failures",
        charts.failures(tables),
        "How attempts ended per arm and agent; the tables below have the counts.",
        "Shares of all attempts over all suites.",
    )
    blocks: list[Block] = [chart, _outcomes_overall(tables), _outcomes_by_cell(tables)]
    if tables.looked:
        opened = (
            f"Of {tables.looked:,} attempts at tasks with a tool {tables.opened:,} have a program "
            "that names the file of the tool or of its state: whoever reads these need not find "
            "out by calling. Logs from before this was looked at are not among them."
        )
        blocks.append(Paragraph(opened))
    if tables.errors:
        rows = [(plain(text), f"{count:,}") for text, count in tables.errors[:_MAX_ERRORS]]
        more = len(tables.errors) - _MAX_ERRORS
        caption = "Why attempts have no verdict" + (f" ({more} rarer reasons)" if more > 0 else "")
        blocks.append(table(caption, ("reason", "attempts"), rows))
    return tuple(blocks)


def _outcomes_overall(tables: Tables) -> Table:
    rows = []
    for label in tables.labels:
        for agent in tables.agents:
            counts: Counter[str] = Counter()
            for cell in tables.cells:
                if (cell.label, cell.agent) == (label, agent):
                    counts.update(cell.outcomes)
            if counts.total():
                rows.append((plain(label), plain(agent), *_counts(counts)))
    heads = ("arm", "agent", *OUTCOMES, "attempts")
    return table("Attempts over all suites by how they ended.", heads, rows)


def _outcomes_by_cell(tables: Tables) -> Table:
    rows = [
        (plain(cell.suite), plain(cell.agent), plain(cell.label), *_counts(cell.outcomes))
        for cell in sorted(
            tables.cells,
            key=lambda cell: (tables.suites.index(cell.suite), tables.agents.index(cell.agent)),
        )
        if cell.attempts
    ]
    heads = ("suite", "agent", "arm", *OUTCOMES, "attempts")
    return table("The same, cell by cell.", heads, rows, folded=True)


def _counts(outcomes: Mapping[str, int]) -> list[str]:
    counts = [outcomes[name] for name in OUTCOMES]
    return [f"{count:,}" for count in (*counts, sum(counts))]


# ---- ledger


def _ledger(tables: Tables) -> tuple[Block, ...]:
    if not tables.balances:
        return ()
    heads = (
        "arm",
        "writer's requests",
        "constraints",
        "minutes",
        "tokens spent (in + out)",
        "tokens saved per attempt",
        "turns saved per attempt",
        "tokens saved per 1,000 attempts",
        "turns saved per 1,000 attempts",
        "break-even, attempts",
    )
    caption = (
        "Spent once on learning, and saved in every later attempt (negative: it costs more). The "
        "writer's tokens are its own tokens and an agent's are an agent's: prices differ. "
        "Break-even: attempts until the tokens spent are saved, in brackets at the limits of the "
        "interval. Requests about build tasks of the suites shown are counted. The runs that were "
        "learned from are not: they existed."
    )
    if any(each.spent.recorded for each in tables.balances if each.spent):
        caption += (
            " Answers of a recorded writer came from a file: its tokens are estimates, as the file "
            "has them."
        )
    return (table(caption, heads, [_balance(each) for each in tables.balances]),)


def _balance(balance: Balance) -> tuple[str, ...]:
    spent = balance.spent
    cost = ("not recorded",) * 4
    if spent:
        tokens = f"{spent.input_tokens:,} + {spent.output_tokens:,}"
        minutes = "not recorded" if spent.minutes is None else f"{spent.minutes:,.0f}"
        cost = (f"{spent.requests:,}", f"{spent.constraints:,}", minutes, tokens)
    return (
        plain(balance.arm),
        *cost,
        change(balance.tokens, 0),
        change(balance.turns, 2),
        _thousand(balance.tokens),
        _thousand(balance.turns),
        _break_even(balance),
    )


def _thousand(saved: Estimate) -> str:
    return signed(1000 * saved.value, 0) if saved.known else NOT_RUN


def _break_even(balance: Balance) -> str:
    if balance.spent is None:
        return "not recorded"
    if not balance.tokens.known:
        return NOT_RUN
    value, best, worst = (
        "never" if each is None else f"{each:,}"
        for each in (balance.break_even, balance.best, balance.worst)
    )
    return value if value == best == worst else f"{value} [{best}, {worst}]"


# ---- what did not work


def _negative(tables: Tables) -> tuple[Block, ...]:
    if not tables.compared:
        return ()
    none = plain(tables.baseline)
    items = []
    for label in _arms(tables):
        over = tables.over(label).difference
        if over.known and over.below_zero:
            items.append(
                f"{plain(label)} is worse than {none} over all cells: {points(over)} points."
            )
        elif over.known and not over.above_zero:
            items.append(
                f"{plain(label)} cannot be told from {none} over all cells: {points(over)}."
            )
    items += [
        f"Worse than {none}: {plain(cell.label)} on {plain(cell.suite)}, read by "
        f"{plain(cell.agent)}: {points(cell.against.difference)} points (won {cell.against.won}, "
        f"lost {cell.against.lost}; p {p_value(cell.against.p)}, Holm {p_value(cell.corrected)})."
        for cell in tables.worse
    ]
    items += [
        f"{plain(each.arm)} costs more tokens per attempt than {none}: {change(-each.tokens, 0)}."
        for each in tables.balances
        if each.tokens.below_zero
    ]
    if not items:
        return (Paragraph(f"No arm and no cell is worse than {none} beyond its interval."),)
    return (Bullets(tuple(items)),)


# ---- where numbers come from


def _origins(tables: Tables, frame: Frame) -> tuple[Block, ...]:
    text = (
        f"All {tables.records:,} records, one a line, are in attempts.jsonl beside this page; each "
        "names its log and sample. Below, the logs of every cell. Intervals: Wilson for shares; "
        "bootstrap over tasks for differences, means and shares over several cells (10,000 "
        "resamples, seed 0), with one won and one lost pseudo-task added where values are "
        "differences of shares (so that an interval's centre lies nearer to 0 than the value); "
        "over several cells, tasks are resampled within their suite with all their agents together."
    )
    heads = ("arm", "suite", "agent", "attempts", "log", "samples")
    rows = tuple(
        row for cell in tables.cells if cell.attempts for row in _log_rows(cell, frame.path_of)
    )
    return Paragraph(text), Table("Logs and samples of every cell", heads, rows, folded=True)


def _log_rows(cell: Cell, path_of: Callable[[str], str | None]) -> list[Row]:
    names = tuple(Entry(plain(each)) for each in (cell.label, cell.suite, cell.agent))
    if not cell.logs:
        entries = (*names, Entry(str(cell.attempts)), Entry("no log named"), Entry("–"))
        return [Row(entries, anchor=_anchor(cell))]
    rows = []
    for place, use in enumerate(cell.logs):
        log = Entry(plain(use.log), link=path_of(use.log))
        samples = Entry(", ".join(map(plain, use.samples)))
        entries = (*names, Entry(str(len(use.samples))), log, samples)
        rows.append(Row(entries, anchor=_anchor(cell) if place == 0 else None))
    return rows


# ---- small parts


def _anchor(cell: Cell) -> str:
    """Names are of any characters; an anchor is not."""
    name = "\n".join((cell.label, cell.suite, cell.agent))
    return f"cell-{hashlib.sha256(name.encode()).hexdigest()[:10]}"


def _arms(tables: Tables) -> list[str]:
    return [label for label in tables.labels if label != tables.baseline]


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(plain, names)) or "none"


def _range(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return numbered(high, "task") if low == high else f"{low} to {high} tasks"


def _points_from_to(reach: Sequence[float]) -> str:
    low, high = (f"{100 * each:.0f}" for each in (min(reach), max(reach)))
    return f"{low} points" if low == high else f"{low} to {high} points"


def _reach(difference: Estimate) -> float:
    return (difference.high - difference.low) / 2


def _share(cell: Cell) -> Estimate:
    return cell.accuracy.times(100)


def _difference_points(cell: Cell) -> Estimate:
    return cell.against.difference.times(100)


def _signed_points(difference: float) -> str:
    return f"{signed(difference, 1)} points"


def _difference(estimate: Estimate) -> Entry:
    return Entry(points(estimate), tone=_tone(estimate) if estimate.known else "missing")


def _grouped(difference: Estimate) -> Entry:
    """Its interval alone: the value stands beside it."""
    if not difference.known:
        return Entry("–")
    return Entry(interval(difference.times(100)), tone=_tone(difference))


def _tone(difference: Estimate) -> Tone | None:
    if math.isnan(difference.value):
        return None
    return "better" if difference.above_zero else "worse" if difference.below_zero else None
