"""How results look: tables for people on a terminal, one JSON object for scripts.

Text from runs and constraints is printed with markup off, so that it cannot dress itself up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from memcollab.bank import Bank, Imported, TrialPair, Verification
from memcollab.errors import UsageError
from memcollab.records import Constraint, Effect, EvidenceReport, LearnReport, Recall, Saving

if TYPE_CHECKING:
    from memcollab.bench.collect import CollectReport
    from memcollab.bench.plan import Cell
    from memcollab.bench.run import Asked
    from memcollab.bench.trial import Candidacy, TrialReport
    from memcollab.serve.keys import Key

console = Console(highlight=False)


def emit(value: Any) -> None:
    """One JSON object on standard output."""
    # Keys of counts may be a database's own kind of string.
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    sys.stdout.write(orjson.dumps(value, default=_plain, option=options).decode())
    sys.stdout.write("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Path | BaseException):
        return str(value)
    raise TypeError(f"cannot print {type(value).__name__} as JSON")


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str, int, int | None], None] | None]:
    """A progress bar on standard error, fed by ``(stage, done, total)``; None when ``quiet`` or
    when nobody watches."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        stages: dict[str, Any] = {}

        def tick(stage: str, done: int, total: int | None) -> None:
            if stage not in stages:
                stages[stage] = bar.add_task(stage, total=total)
            bar.update(stages[stage], completed=done, total=total)

        yield tick


def facts(title: str, rows: Sequence[tuple[str, Any]]) -> None:
    """A small two-column table; rows without a value are left out."""
    table = Table(title=title, show_header=False, title_justify="left", box=None, padding=(0, 2))
    for name, value in rows:
        if value not in (None, "", {}, (), []):
            table.add_row(name, escape(_words(value)))
    console.print(table)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def value(result: Any, *, as_json: bool) -> None:
    """A record or mapping, whatever it is."""
    if as_json:
        emit(result)
        return
    plain = _plain(result)
    facts("", list(plain.items()))


def key(token: str, made: Key, *, as_json: bool) -> None:
    """A new key, the only time that it is seen."""
    if as_json:
        emit({"key": token, **asdict(made)})
        return
    console.print(token, markup=False, soft_wrap=True)
    facts("", [("id", made.id), ("scopes", ", ".join(made.scopes)), ("bank", made.bank or "all")])


def keys(found: Sequence[Key], *, as_json: bool) -> None:
    if as_json:
        emit({"keys": [asdict(each) for each in found]})
        return
    table = Table(box=None)
    for head in ("id", "name", "scopes", "bank", "created", "revoked"):
        table.add_column(head)
    for each in found:
        row = (each.id, each.name, " ".join(each.scopes), each.bank or "all", each.created[:16])
        table.add_row(*map(escape, row), (each.revoked or "")[:16])
    console.print(table)


def learn_report(report: LearnReport, *, as_json: bool) -> None:
    if as_json:
        emit(report)
        return
    usage = report.usage
    facts(
        "Runs",
        [
            ("seen", report.seen),
            ("judged", report.judged),
            ("unjudged", report.unjudged_reasons),
            ("rejected", report.rejected),
            ("scrubbed", report.scrubbed),
            ("in the bank already", report.known),
            ("tasks", report.tasks),
            ("agents", report.agents),
            ("tasks with a right and a wrong run", report.tasks_mixed),
            ("contrasts", report.contrasts),
        ],
    )
    for rejection in report.rejections[:10]:
        console.print(f"  {rejection}", style="yellow", markup=False)
    if len(report.rejections) > 10:
        console.print("  … all of them: --json", style="yellow")
    if report.skipped_files:
        named = ", ".join(report.skipped_files[:5])
        console.print(
            f"  {len(report.skipped_files)} files left aside (no source reads them): {named}",
            style="dim",
            markup=False,
        )
    if report.dry_run:
        return
    facts(
        "Constraints",
        [
            ("writer", report.writer),
            ("asked now", report.asked),
            ("read as", report.tiers),
            ("requests waiting for answers", report.pending),
            ("drafts", report.distilled),
            ("accepted", report.accepted),
            ("refused", report.refused),
            ("merged into another", report.merged),
            ("constraints from these runs", report.constraints),
            ("quarantined until trusted", report.quarantined or None),
            ("runs retracted earlier", report.retracted or None),
            ("failed", report.failed),
            ("tokens", usage.tokens),
            ("cost in US dollars", usage.cost_usd),
        ],
    )
    for failure in report.failures[:5]:
        console.print(f"  {failure}", style="red", markup=False)


def recalled(recall: Recall, *, as_json: bool) -> None:
    if as_json:
        emit(
            {
                "category": str(recall.decision.top),
                **recall.model_dump(mode="json"),
            }
        )
        return
    guesses = ", ".join(
        f"{guess.category} {guess.probability:.2f}" for guess in recall.decision.guesses[:2]
    )
    console.print(f"category   {guesses}  (by {recall.decision.method})", markup=False)
    if recall.abstained:
        console.print(f"nothing recalled: {recall.abstained}", style="yellow", markup=False)
    if recall.withheld:
        said = f"withheld by a coin of {recall.holdout:.2f}, as evidence; report the outcome"
        console.print(said, style="yellow", markup=False)
    for entry in recall.entries:
        left_out = "" if entry.shown or recall.withheld else "  (left out by a coin)"
        console.print(f"{entry.score:.2f}  {entry.constraint.text}{left_out}", markup=False)
        console.print(f"      {entry.constraint.id}  {entry.reason}", style="dim", markup=False)
    for name, reason in recall.left.items():
        console.print(f"not shown: {name}, {reason}", style="dim", markup=False)
    total = sum(recall.timings.values())
    console.print(
        f"{recall.guidance_tokens} tokens of guidance in {total:.1f} ms  {recall.id}",
        style="dim",
        markup=False,
    )


def constraints(found: Sequence[Constraint], *, as_json: bool) -> None:
    if as_json:
        emit({"constraints": [{"id": each.id, **_plain(each)} for each in found]})
        return
    for each in found:
        support = each.support.tasks
        place = f" in {each.harness}" if each.scope == "harness" else ""
        console.print(
            f"{each.id[:10]}  {each.category}{place}  {each.status}, "
            f"from {support} task{'s' * (support != 1)}",
            style="dim",
            markup=False,
        )
        console.print(f"  {each.text}", markup=False)
    if not found:
        console.print("no constraint matches")


def verification(found: Verification, *, as_json: bool) -> None:
    if as_json:
        emit(
            {
                "ok": found.ok,
                "checked": found.checked,
                "light": found.light,
                "problems": [str(problem) for problem in found.problems],
            }
        )
        return
    facts("Checked", [*found.checked.items(), ("runs without their steps", found.light or None)])
    for problem in found.problems:
        console.print(str(problem), style="red", markup=False)
    if found.ok:
        console.print("every stored thing matches its id")


def collected(report: CollectReport, following: str, *, as_json: bool) -> None:
    if as_json:
        emit(report)
        return
    for agent in report.agents:
        facts(
            agent.model,
            [
                ("tasks", agent.tasks),
                ("in the logs already", agent.known or None),
                ("solved now", agent.solved),
                ("not solved", agent.failed),
                ("errors", agent.errors or None),
                ("not attempted", agent.unattempted or None),
                ("seconds", agent.usage.seconds),
            ],
        )
    console.print(f"Next: {following}", markup=False, soft_wrap=True)


def planned(cells: Sequence[Cell], asked: Sequence[Asked], *, as_json: bool) -> None:
    """The cells of an experiment, agent by agent, what is left of it, and of the writer's work."""
    if as_json:
        emit({"cells": cells, "writer": asked})
        return
    for agent in dict.fromkeys(cell.agent for cell in cells):
        own = [cell for cell in cells if cell.agent == agent]
        console.print(_cells(agent, own))
        console.print(f"{agent}: {_cost(own)}\n", markup=False, soft_wrap=True)
    for each in asked:
        written = "" if each.output_tokens is None else f" and {each.output_tokens:,.0f} written"
        console.print(
            f"writer: at most {each.requests:,} requests for the memory {each.memory}, each about "
            f"{each.input_tokens:,.0f} tokens read{written}",
            markup=False,
            soft_wrap=True,
        )


def _cells(agent: str, cells: Sequence[Cell]) -> Table:
    table = Table(box=None, header_style="bold", title=escape(agent), title_justify="left")
    table.add_column("arm", no_wrap=True)
    table.add_column("suite", no_wrap=True)
    for name in ("tasks", "done", "shared", "to run", "guided", "guidance", "minutes"):
        table.add_column(name, justify="right", no_wrap=True)
    several = {cell.arm for cell in cells for other in cells if _rivals(cell, other)}
    for cell in cells:
        name = f"{cell.arm} ← {cell.source}" if cell.arm in several else cell.arm
        counts = (cell.attempts, cell.known, cell.shared, cell.to_run, cell.guided)
        table.add_row(
            escape(name),
            escape(cell.suite),
            *map(str, counts),
            f"{cell.guidance_tokens:.0f}",
            "?" if cell.seconds is None else f"{cell.seconds / 60:.0f}",
        )
    return table


def _rivals(one: Cell, other: Cell) -> bool:
    """Whether an arm has two memories: then a cell is named by its source, too."""
    return one.arm == other.arm and one.source != other.source


def _cost(cells: Sequence[Cell]) -> str:
    to_run = sum(cell.to_run for cell in cells)
    if not to_run:
        return "nothing to run"
    if any(cell.tokens is None for cell in cells):
        most = sum(cell.most_output_tokens for cell in cells)
        cost = f"at most {most:,} output tokens; a better figure after the first attempts"
    else:
        tokens = sum(cell.tokens or 0 for cell in cells)
        minutes = sum(cell.seconds or 0 for cell in cells) / 60
        cost = f"about {tokens:,.0f} tokens and {minutes:.0f} minutes, as many at once as so far"
    return f"{to_run} attempts to run, {cost}"


def trial(report: TrialReport, *, as_json: bool) -> None:
    """A trial, planned or as far as it came: candidate by candidate, and the calls."""
    if as_json:
        emit(report)
        return
    agents = ", ".join(report.agents)
    title = f"{'Plan' if report.dry else 'Trial'}: {report.suite} with {agents}"
    table = Table(box=None, header_style="bold", title=escape(title), title_justify="left")
    table.add_column("constraint", no_wrap=True)
    for name in ("tasks", "sources"):
        table.add_column(name, justify="right", no_wrap=True)
    if not report.dry:
        for name in ("tried", "better", "worse", "unjudged"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("now", no_wrap=True)
    for each in report.candidates:
        counts = [each.tasks, each.sources]
        if report.dry:
            table.add_row(each.constraint[:12], *map(str, counts))
        else:
            counts += [each.tried, each.better, each.worse, each.unjudged]
            table.add_row(each.constraint[:12], *map(str, counts), each.status)
    console.print(table)
    for each in report.candidates:
        _said(each)
    for name, why in report.left_out.items():
        console.print(f"{name[:12]} is left out: {why}", markup=False, soft_wrap=True)
    console.print(_calls(report), markup=False, soft_wrap=True)


def _said(candidacy: Candidacy) -> None:
    name = candidacy.constraint[:12]
    if candidacy.says:
        console.print(f"{name} {candidacy.words}", markup=False, soft_wrap=True)
    elif not candidacy.tasks:
        said = f"{name} has no task: none of the suite is filed under {candidacy.category!r}"
        console.print(said, markup=False, soft_wrap=True)


def _calls(report: TrialReport) -> str:
    spent = f"{report.spent:,} of {report.budget:,} calls are spent"
    if report.dry:
        left = max(0, report.budget - report.spent)
        return f"{spent}; at most {min(left, report.most):,} more (all tasks: {report.most:,})"
    return f"{spent}; logs in {report.log_dir}"


def memories(reports: Mapping[str, LearnReport], *, as_json: bool) -> None:
    """What the memories of an experiment were made of, bank by bank and suite by suite."""
    if as_json:
        emit(reports)
        return
    table = Table(box=None, header_style="bold")
    table.add_column("memory", overflow="fold")
    for name in ("runs", "contrasts", "waiting", "drafts", "refused", "constraints"):
        table.add_column(name, justify="right")
    for name, report in reports.items():
        counts = (
            report.judged,
            sum(report.contrasts.values()),
            report.pending,
            report.distilled,
            sum(report.refused.values()),
            report.constraints,
        )
        table.add_row(escape(name), *map(str, counts))
    console.print(table)


def proven(reports: Mapping[str, EvidenceReport]) -> None:
    """What outcomes say of each memory, by category and agent."""
    for memory, report in reports.items():
        console.print(f"{memory}: {report.summary}", markup=False, soft_wrap=True)
        for effect in report.categories:
            said = f"  {effect.agent} in {effect.subject}: {effect.words}"
            console.print(said, markup=False, soft_wrap=True)


def imported(found: Imported, *, as_json: bool) -> None:
    if as_json:
        emit(found)
        return
    facts("Imported", list(asdict(found).items()))


def constraint(bank: Bank, constraint_id: str, effects: Sequence[Effect], *, as_json: bool) -> None:
    """One constraint with its provenance, what contradicts it, what outcomes say of it with each
    agent, and its history."""
    behind = bank.provenance(constraint_id)
    found, history = behind.constraint, bank.history(constraint_id)
    if as_json:
        emit(
            {
                "id": found.id,
                "text": found.text,
                **_plain(found),
                "sources": behind.sources,
                "conflicts": bank.conflicts(found.id),
                "evidence": effects,
                "trial": bank.trial(found.id),
                "history": history,
            }
        )
        return
    support = found.support
    console.print(found.text, style="bold", markup=False)
    facts(
        "",
        [
            ("id", found.id),
            ("category", str(found.category)),
            ("scope", f"{found.scope} {found.harness or ''}".strip()),
            ("status", found.status),
            ("support", f"{support.tasks} tasks, {support.contrasts} contrasts"),
            ("families that were right", ", ".join(support.families_right)),
            ("families that were wrong", ", ".join(support.families_wrong)),
            ("contradicts", bank.conflicts(found.id)),
        ],
    )
    _effects("Evidence", effects)
    _tried(bank.trial(found.id))
    for source in behind.sources[:10]:
        console.print(
            f"\n  {source.task.text[:160]}\n  {source.contrast.kind}: "
            f"{source.preferred.agent.model} ({source.preferred.id}) over "
            f"{source.other.agent.model} ({source.other.id}), "
            f"written by {source.screened.writer}",
            style="dim",
            markup=False,
        )
    for change in history:
        because = f": {change.reason}" if change.reason else ""
        said = f"  {change.at}  {change.action}  by {change.actor}{because}"
        console.print(said, markup=False)


def evidence(report: EvidenceReport, *, as_json: bool) -> None:
    """Does memory help, whom, where, how sure, and does it pay."""
    if as_json:
        emit({**_plain(report), "break_even": report.break_even})
        return
    console.print(report.summary, style="bold", markup=False)
    facts(
        "",
        [
            ("judged outcomes", report.judged),
            ("of them with a coin", report.compared),
            ("unjudged, which count for nothing", report.unjudged or None),
        ],
    )
    _effects("By category and agent", report.categories)
    overall = [each for each in report.constraints if each.agent is None]
    claimed = [each for each in report.constraints if each.says != "not known"]
    _effects("Constraints, over all agents", sorted(overall, key=_most_seen)[:20])
    _effects("Constraints of which something is known", claimed)
    for name, reason in report.retired.items():
        console.print(f"retired {name}: {reason}", style="yellow", markup=False)
    saving = report.saving
    facts(
        "What it costs and saves",
        [
            ("tokens of learning", report.spent.tokens),
            ("US dollars of learning", report.spent.cost_usd),
            ("tokens of a task, shown less withheld", _change(saving.tokens, saving.tokens_error)),
            ("turns of a task, shown less withheld", _change(saving.turns, saving.turns_error)),
            ("US dollars of a task, shown less withheld", _dollars(saving)),
            ("tokens of guidance where it was shown", round(saving.guidance_tokens, 1) or None),
            ("outcomes after which learning is paid", report.break_even),
        ],
    )
    console.print(f"Next: {report.following}", markup=False)


def _most_seen(effect: Effect) -> tuple[int, str]:
    return -effect.shown - effect.withheld, effect.subject


def _change(value: float | None, error: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:+,.1f}" + ("" if error is None else f" ± {error:,.1f}")


def _dollars(saving: Saving) -> str | None:
    if saving.cost_usd is None:
        return None
    error = "" if saving.cost_usd_error is None else f" ± {saving.cost_usd_error:.5f}"
    return f"{saving.cost_usd:+.5f}{error}"


def _effects(title: str, effects: Sequence[Effect]) -> None:
    if not effects:
        return
    confidence = f"{100 * min(each.confidence for each in effects):.2f} %"
    console.print(f"{title} (points; intervals at {confidence}, whenever looked at)")
    table = Table(box=None, header_style="bold")
    for name in ("of", "agent", "says"):
        table.add_column(name, overflow="fold")
    for name in ("uplift", "interval", "shown", "withheld", "unjudged"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in effects:
        known = None not in (each.uplift, each.low, each.high)
        table.add_row(
            escape(each.subject),
            escape(each.agent if each.agent is not None else "all"),
            each.says,
            _points(each.uplift),
            f"{_points(each.low)} to {_points(each.high)}" if known else "",
            *map(str, (each.shown, each.withheld, each.unjudged)),
        )
    console.print(table)


def _tried(pairs: Sequence[TrialPair]) -> None:
    """Attempts of trials, by suite and agent."""
    if not pairs:
        return
    table = Table(box=None, header_style="bold")
    for name in ("suite", "agent"):
        table.add_column(name, overflow="fold")
    for name in ("pairs", "solved with", "without", "better", "worse"):
        table.add_column(name, justify="right", no_wrap=True)
    for suite, agent in dict.fromkeys((each.suite, each.agent) for each in pairs):
        own = [each for each in pairs if (each.suite, each.agent) == (suite, agent)]
        counts = (
            len(own),
            sum(each.solved_with for each in own),
            sum(each.solved_without for each in own),
            sum(each.solved_with > each.solved_without for each in own),
            sum(each.solved_with < each.solved_without for each in own),
        )
        table.add_row(escape(suite), escape(agent), *map(str, counts))
    console.print("Trials (each task with it alone, and without memory)")
    console.print(table)


def _points(share: float | None) -> str:
    return "" if share is None else f"{100 * share:+.1f}"


def contrast(bank: Bank) -> None:
    """A right and a wrong run behind the best supported constraint that has such a pair: both
    shortened, and the words drawn from them."""
    pairs = (
        (source, found)
        for found in bank.constraints()
        for source in bank.provenance(found.id).sources
        if source.contrast.kind == "discordant"
    )
    source, found = next(pairs, (None, None))
    if source is None or found is None:
        console.print("no constraint comes from a right and a wrong run", style="yellow")
        return
    console.print(source.task.text[:500], style="cyan", markup=False)
    for title, colour, run in (
        ("was right", "green", source.preferred),
        ("was wrong", "red", source.other),
    ):
        console.print(f"\n{run.agent.model} {title}", style=colour, markup=False)
        for step in bank.trajectory(run.id).steps[-3:]:
            text = " ".join(step.content.split())[:220]
            console.print(f"  {step.role:9} {text}", style="dim", markup=False)
    console.print(f"\n→ {found.text}", style="bold", markup=False)


def refusals(bank: Bank, limit: int = 20) -> None:
    """Refused drafts: the reason, what gave offence, and the words."""
    for entry in bank.refusals(limit=limit):
        if entry.refusal:
            detail = f" ({entry.refusal.detail})" if entry.refusal.detail else ""
            console.print(f"  {entry.refusal.reason}{detail}", style="yellow", markup=False)
            words = f"When {entry.draft.when}, enforce {entry.draft.enforce}"
            console.print(f"    {words[:200]}", style="dim", markup=False)


def stats(bank: Bank, *, as_json: bool) -> None:
    counted = bank.stats()
    if as_json:
        emit({**asdict(counted), "refusals": bank.refusals(limit=1000)})
        return
    rows = [(name.replace("_", " "), value) for name, value in asdict(counted).items()]
    spent = [(f"spent: {name}", value) for name, value in dict(counted.spent).items()]
    facts("", [row for row in rows if row[0] != "spent"] + spent)
    if counted.refused:
        console.print("\nRefused drafts, the first 20", style="bold")
        refusals(bank)


def preview(path: Path, mapping: Path | None) -> None:
    """What the first run of a file becomes, expression by expression: for whoever writes a
    mapping."""
    from memcollab import sources

    found = sources.preview(path, sources.load_mapping(mapping) if mapping else None)
    if not found:
        raise UsageError(
            f"no file under {str(path)!r} is chosen: {_chosen_by(mapping)}. "
            "Next: memcollab learn PATH --dry-run names the files that were left aside"
        )
    for entry in found:
        emit({"origin": entry.origin, "fields": entry.fields, "result": entry.result})


def _chosen_by(mapping: Path | None) -> str:
    return f"`files` in {str(mapping)!r} matches none" if mapping else "no source claims one"
