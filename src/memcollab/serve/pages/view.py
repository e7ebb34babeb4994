"""Records → what a page shows (pure). Templates lay out; what is decided is decided here.

Nothing here is markup: texts stay as they are, and the templates escape them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from memcollab.bank import Change, Refused, Stats, Taught, Waiting
from memcollab.bank.cursor import Place
from memcollab.errors import UsageError
from memcollab.records import Constraint, Effect, EvidenceReport, LearnReport, Recall
from memcollab.serve.jobs import Job
from memcollab.serve.pages import chart
from memcollab.serve.pages.chart import Axis, Interval

# Rows and columns of a heat map: more of them nobody can read.
_MOST_AGENTS = 24
# An uplift below this gets no deep shade, even where it is the largest.
_DEEP = 0.2
STATUSES = ("active", "quarantined", "retired")
# What an action gives, as the button calls it and as the page says when it is done.
DONE = {
    "active": "The constraint is active: it may be recalled again.",
    "approved": "The constraint is approved: it may be recalled from now on.",
    "quarantined": "The constraint is quarantined: it is not recalled until somebody approves it.",
    "retired": "The constraint is retired: it is not recalled any more.",
    "edited": "The constraint has new words. The old ones are retired, and stay in the history.",
    "started": "Learning has begun.",
    "signed-out": "You are signed out.",
}


# ---- what is common to pages


@dataclass(frozen=True)
class Option:
    """A choice of a filter: what it sends, how it reads, how many there are."""

    value: str
    label: str
    count: int | None = None


def words(label: str) -> str:
    """A name of the code as words: ``counting_and_probability`` → counting and probability."""
    return label.replace("_", " ").replace("/", " / ")


def category_options(by_category: Mapping[str, int]) -> list[Option]:
    """Each category with all of it, and below it its subcategories."""
    totals: defaultdict[str, int] = defaultdict(int)
    below: defaultdict[str, list[Option]] = defaultdict(list)
    for label, count in by_category.items():
        name, _, sub = label.partition("/")
        totals[name] += count
        if sub:
            below[name].append(Option(label, f"– {words(sub)}", count))
    found = []
    for name, count in sorted(totals.items()):
        found += [Option(name, words(name), count), *sorted(below[name], key=lambda o: o.value)]
    return found


@dataclass(frozen=True)
class Bar:
    """A counted thing and its share of the longest bar, from 0 to 100."""

    label: str
    count: int
    share: float


def bars(counts: Mapping[str, int]) -> list[Bar]:
    """Counts, most first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    lengths = chart.shares([count for _, count in ordered])
    return [
        Bar(str(label), count, share)
        for (label, count), share in zip(ordered, lengths, strict=True)
    ]


# ---- places in a list


def place_of(constraint: Constraint) -> str:
    """Where a page ends: what the next one begins behind."""
    support = constraint.support
    return f"{support.tasks}.{support.contrasts}.{constraint.id}"


def place_from(text: str | None) -> Place | None:
    """Read what ``place_of`` wrote. Raises: UsageError: it did not write this."""
    if not text:
        return None
    parts = text.split(".", 2)
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts[:2]):
        raise UsageError(f"{text[:80]!r} is no place in the list. Next: begin at the first page")
    tasks, contrasts = (min(int(part[:10]), 2**31 - 1) for part in parts[:2])
    return tasks, contrasts, parts[2]


def draft_place_of(draft: Refused) -> str:
    """Where a page of refused drafts ends."""
    refusal = draft.screened.refusal
    return f"{refusal.reason if refusal else ''} {draft.id}"


def draft_place_from(text: str | None) -> tuple[str, str] | None:
    """Read what ``draft_place_of`` wrote."""
    if not text:
        return None
    reason, _, id = text.partition(" ")
    return reason, id


# ---- overview


@dataclass(frozen=True)
class EffectRow:
    """An effect as a row: whose it is, with its interval on the axis of the table."""

    subject: str
    agent: str | None
    effect: Effect
    interval: Interval | None


@dataclass(frozen=True)
class Effects:
    """Effects as a table with one axis."""

    axis: Axis
    rows: tuple[EffectRow, ...]


def effects(found: Sequence[Effect]) -> Effects:
    """A table of effects on one axis, in their order."""
    axis = chart.axis(found)
    rows = (EffectRow(each.subject, each.agent, each, axis.interval(each)) for each in found)
    return Effects(axis, tuple(rows))


@dataclass(frozen=True)
class Ledger:
    """What learning cost and what each task costs since. Tokens of a task are those shown less
    those withheld; below 0 is saved."""

    spent_tokens: int | None
    spent_usd: float | None
    answers: int
    task_tokens: float | None
    task_tokens_error: float | None
    task_turns: float | None
    guidance_tokens: float
    compared: int
    break_even: int | None

    @property
    def says(self) -> str:
        """The balance in words."""
        if self.task_tokens is None:
            return (
                "Whether it pays is not known: no outcomes with and without guidance told what "
                "they cost."
            )
        if self.break_even is not None:
            return f"What learning cost is saved again after {self.break_even:,} outcomes."
        if self.task_tokens < 0:
            return "Tasks cost less with guidance; what learning cost is not recorded."
        return "Tasks cost no fewer tokens with guidance than without."


def ledger(stats: Stats, evidence: EvidenceReport) -> Ledger:
    """The balance of a bank."""
    saving = evidence.saving
    return Ledger(
        spent_tokens=evidence.spent.tokens,
        spent_usd=evidence.spent.cost_usd,
        answers=sum(stats.answers_by_writer.values()),
        task_tokens=saving.tokens,
        task_tokens_error=saving.tokens_error,
        task_turns=saving.turns,
        guidance_tokens=saving.guidance_tokens,
        compared=saving.shown + saving.withheld,
        break_even=evidence.break_even,
    )


@dataclass(frozen=True)
class Figure:
    """A number of the overview, what it counts, and what it is made of."""

    label: str
    value: int
    detail: str = ""
    target: str = ""


def figures(stats: Stats) -> list[Figure]:
    """What is in the bank, at a glance."""
    return [
        Figure("constraints", stats.constraints, _told(stats.by_status), "constraints"),
        Figure("runs", stats.trajectories, _told(stats.by_verdict)),
        Figure("contrasts", sum(stats.contrasts.values()), _told(stats.contrasts), "contrasts"),
        Figure("recalls", stats.recalls, "", "recall"),
        Figure("outcomes", sum(stats.outcomes.values()), _told(stats.outcomes)),
        Figure("refused drafts", sum(stats.refused.values()), f"of {stats.drafts:,}", "learn"),
    ]


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {words(str(name))}" for name, count in counts.items())


# ---- constraints


@dataclass(frozen=True)
class ConstraintRow:
    """A constraint in a list: its support as a share of the longest bar, and what outcomes say."""

    constraint: Constraint
    share: float
    effect: Effect | None
    interval: Interval | None

    @property
    def families(self) -> str:
        """Who was right, over whom."""
        support = self.constraint.support
        return " ".join(
            part
            for part in (
                ", ".join(support.families_right),
                "over" if support.families_wrong else "",
                ", ".join(support.families_wrong),
            )
            if part
        )


@dataclass(frozen=True)
class ConstraintRows:
    """One page of constraints, their axis of evidence, and the place behind the last."""

    rows: tuple[ConstraintRow, ...]
    axis: Axis
    following: str | None

    @property
    def has_evidence(self) -> bool:
        """Whether any interval is drawn."""
        return any(row.interval for row in self.rows)


def constraint_rows(
    found: Sequence[Constraint], evidence: EvidenceReport, agent: str | None, limit: int
) -> ConstraintRows:
    """A page of at most ``limit``, of which ``found`` may hold one more: then there is another."""
    page = found[:limit]
    told = {each.subject: each for each in evidence.constraints if each.agent == agent}
    effects = [told.get(each.id) for each in page]
    axis = chart.axis([each for each in effects if each])
    lengths = chart.shares([each.support.tasks for each in page])
    rows = (
        ConstraintRow(each, share, effect, axis.interval(effect) if effect else None)
        for each, share, effect in zip(page, lengths, effects, strict=True)
    )
    following = place_of(page[-1]) if len(found) > limit else None
    return ConstraintRows(tuple(rows), axis, following)


@dataclass(frozen=True)
class HistoryRow:
    """A change: when, who, what, why, and which parts were what before."""

    change: Change
    altered: tuple[tuple[str, str, str], ...]


def history(changes: Sequence[Change]) -> list[HistoryRow]:
    """The change log of a constraint, newest first."""
    return [HistoryRow(change, _altered(change)) for change in reversed(changes)]


def _altered(change: Change) -> tuple[tuple[str, str, str], ...]:
    before, after = change.before, change.after
    if before is None:
        return ()
    return tuple(
        (words(name), _plain(before.get(name)), _plain(value))
        for name, value in after.items()
        if before.get(name) != value
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{words(name)} {_plain(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "–"
    return "–" if value is None else str(value)


def altered(constraint: Constraint, given: Mapping[str, str]) -> dict[str, str]:
    """Those of the words given in a form that say something else than now; space aside, which a
    form's line breaks are, too."""
    found = {name: " ".join(text.split()) for name, text in given.items()}
    return {
        name: text
        for name, text in found.items()
        if text != " ".join(str(getattr(constraint, name)).split())
    }


def actions(status: str) -> list[Option]:
    """What can be done with a constraint of that status: the status that it gets, and the word."""
    offered = {
        "active": [("quarantined", "Quarantine"), ("retired", "Retire")],
        "quarantined": [("active", "Approve"), ("retired", "Retire")],
        "retired": [("active", "Make active"), ("quarantined", "Quarantine")],
    }
    return [Option(value, label) for value, label in offered[status]]


# ---- recall


@dataclass(frozen=True)
class Part:
    """One part of a score: its name, its value (0 to 1), and its weight, if that is fixed."""

    name: str
    value: float
    weight: float | None


@dataclass(frozen=True)
class EntryRow:
    """A recalled constraint with the parts of its score."""

    rank: int
    constraint: Constraint
    score: float
    reason: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Guess:
    """A category that the task may be of, and how probable that is, in words and percent."""

    label: str
    percent: float


@dataclass(frozen=True)
class Timing:
    """A stage, its milliseconds, and their share of the longest stage, from 0 to 100."""

    stage: str
    spent: float
    share: float


@dataclass(frozen=True)
class Recalled:
    """A recall as it is shown."""

    recall: Recall
    guesses: tuple[Guess, ...]
    entries: tuple[EntryRow, ...]
    timings: tuple[Timing, ...]
    total: float


def recalled(recall: Recall, weights: Mapping[str, float]) -> Recalled:
    """A recall with its decision, entries and timings laid out."""
    guesses = (
        Guess(words(str(guess.category)), round(100 * guess.probability, 1))
        for guess in recall.decision.guesses[:5]
    )
    entries = (
        EntryRow(
            rank=rank,
            constraint=entry.constraint,
            score=entry.score,
            reason=entry.reason,
            parts=tuple(
                Part(words(name), value, weights.get(name)) for name, value in entry.parts.items()
            ),
        )
        for rank, entry in enumerate(recall.entries, 1)
    )
    lengths = chart.shares(list(recall.timings.values()))
    timings = (
        Timing(words(name), spent, share)
        for (name, spent), share in zip(recall.timings.items(), lengths, strict=True)
    )
    total = sum(recall.timings.values())
    return Recalled(recall, tuple(guesses), tuple(entries), tuple(timings), total)


# ---- transfer


@dataclass(frozen=True)
class Square:
    """A cell of a heat map: what it says, its shade (0 to 5; below 0 for what hurts), and what it
    is made of."""

    said: str
    shade: int
    detail: str = ""


@dataclass(frozen=True)
class HeatMap:
    """Whose runs (rows) and whom they met (columns). ``left_out``: agents that have no place."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    squares: tuple[tuple[Square, ...], ...]
    left_out: int = 0


_NOTHING = Square("", 0)


def taught_map(taught: Sequence[Taught]) -> HeatMap:
    """Constraints by whose runs were preferred, and whose were set against them."""
    rows = _largest((each.preferred, each.constraints) for each in taught)
    columns = _largest((each.other, each.constraints) for each in taught)
    counts = {(each.preferred, each.other): each.constraints for each in taught}
    most = max(counts.values(), default=0)

    def square(row: str, column: str) -> Square:
        count = counts.get((row, column), 0)
        if not count:
            return _NOTHING
        return Square(f"{count:,}", chart.heat(count, most))

    return _map(rows, columns, square, {each for pair in counts for each in pair})


@dataclass
class _Mean:
    """Uplifts of constraints, weighted as outcomes of two sides are (n₁·n₀/(n₁+n₀))."""

    weighted: float = 0.0
    weight: float = 0.0
    constraints: int = 0
    outcomes: int = 0

    def add(self, effect: Effect) -> None:
        assert effect.uplift is not None
        weight = effect.shown * effect.withheld / (effect.shown + effect.withheld)
        self.weighted += weight * effect.uplift
        self.weight += weight
        self.constraints += 1
        self.outcomes += effect.shown + effect.withheld


def helped_map(evidence: EvidenceReport, teachers: Mapping[str, frozenset[str]]) -> HeatMap:
    """Mean uplift by whose preferred runs a constraint came from, and for whose tasks it was shown.

    An outcome counts for each constraint of its recall, so these means claim nothing: claims are
    made per constraint and per category.
    """
    means: defaultdict[tuple[str, str], _Mean] = defaultdict(_Mean)
    for effect in evidence.constraints:
        if effect.agent is None or effect.uplift is None or not effect.shown * effect.withheld:
            continue
        for teacher in teachers.get(effect.subject, ()):
            means[teacher, effect.agent].add(effect)
    rows = _largest((teacher, mean.outcomes) for (teacher, _), mean in means.items())
    columns = _largest((agent, mean.outcomes) for (_, agent), mean in means.items())
    most = max((abs(mean.weighted / mean.weight) for mean in means.values()), default=0.0)

    def square(row: str, column: str) -> Square:
        mean = means.get((row, column))
        if mean is None:
            return _NOTHING
        uplift = mean.weighted / mean.weight
        shade = chart.heat(abs(uplift), max(most, _DEEP))
        said = f"{100 * uplift:+.1f}".replace("-", "−")
        detail = f"{mean.constraints:,} constraints, {mean.outcomes:,} outcomes"
        return Square(said, shade if uplift >= 0 else -shade, detail)

    return _map(rows, columns, square, {each for pair in means for each in pair})


def _map(
    rows: tuple[str, ...], columns: tuple[str, ...], square: Any, everybody: set[str]
) -> HeatMap:
    squares = tuple(tuple(square(row, column) for column in columns) for row in rows)
    return HeatMap(rows, columns, squares, len(everybody - set(rows) - set(columns)))


def _largest(weights: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """The agents of most weight, by name."""
    totals: defaultdict[str, int] = defaultdict(int)
    for agent, weight in weights:
        totals[agent] += weight
    ordered = sorted(totals, key=lambda agent: (-totals[agent], agent))
    return tuple(sorted(ordered[:_MOST_AGENTS]))


# ---- learning


@dataclass(frozen=True)
class JobRow:
    """A learning job: how far it is (percent, None where that is not known), and what came of
    it."""

    job: Job
    percent: int | None
    says: str


def job_rows(jobs: Sequence[Job]) -> list[JobRow]:
    """Jobs as they stand."""
    return [JobRow(job, _percent(job), _came_of(job)) for job in jobs]


def _percent(job: Job) -> int | None:
    if job.total is None or job.done is None or not job.total:
        return None
    return min(100, 100 * job.done // job.total)


def _came_of(job: Job) -> str:
    if job.state == "running":
        done = "" if job.done is None else f" {job.done:,}"
        of = "" if job.total is None else f" of {job.total:,}"
        return f"{words(job.stage or 'reading')}{done}{of}"
    if job.state == "lost":
        return "its server ended; start another, which goes on from there"
    if job.report is None:
        return job.error or ""
    return learned(job.report)


def learned(report: LearnReport) -> str:
    """What a learn came to, in words."""
    runs = f"{report.judged:,} runs, " if report.judged else ""  # else it was of those held already
    said = (
        f"{runs}{sum(report.contrasts.values()):,} contrasts, "
        f"{report.asked:,} asked, {report.accepted:,} drafts accepted, "
        f"{sum(report.refused.values()):,} refused, {report.constraints:,} constraints"
    )
    return f"{said}. {report.why_nothing}" if report.why_nothing else said


# ---- red flags


@dataclass(frozen=True)
class WaitingRow:
    """A quarantined constraint, who stands behind it in words, and why it waits."""

    constraint: Constraint
    sources: str
    families: str
    why: str


def waiting_rows(found: Sequence[Waiting]) -> list[WaitingRow]:
    return [
        WaitingRow(
            each.constraint,
            ", ".join(f"{name} ({trust})" for name, trust in each.sources.items()) or "nobody",
            ", ".join(each.families) or "none",
            each.why,
        )
        for each in found
    ]
