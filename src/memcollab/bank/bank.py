"""The door of the bank: opening, transactions, and one method per question."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

import sqlalchemy as sa
from pydantic import ValidationError

from memcollab.bank import (
    browse,
    copying,
    decisions,
    editing,
    evidence,
    export,
    importing,
    learning,
    memory,
    migrations,
    open_runs,
    rewind,
    runs,
    serving,
    signing,
    succession,
    trials,
    trust,
)
from memcollab.bank.address import database_at
from memcollab.bank.browse import Paired, Refused, Taught
from memcollab.bank.cursor import Place
from memcollab.bank.database import Database, Pause
from memcollab.bank.decisions import Decided, Decision, Who
from memcollab.bank.importing import Admit, Imported, Importer
from memcollab.bank.learning import Merged, Pending, Plan, Screened
from memcollab.bank.lookup import batches, resolve
from memcollab.bank.memory import Change, Filter, IndexRows, Versions
from memcollab.bank.open_runs import OpenRun
from memcollab.bank.provenance import Provenance, provenance
from memcollab.bank.rewind import Difference, RolledBack, Snapshot
from memcollab.bank.rows import StoredAnswer, task_row
from memcollab.bank.runs import Added
from memcollab.bank.schema import CONSTRAINTS
from memcollab.bank.serving import Judged, Vectors
from memcollab.bank.stats import Stats, stats
from memcollab.bank.trials import TrialPair
from memcollab.bank.trust import INDEPENDENT_SOURCES, LOCAL, Waiting
from memcollab.bank.verify import Verification, verify
from memcollab.errors import BankError, UsageError
from memcollab.evidence import Evidence
from memcollab.records import (
    Category,
    Constraint,
    Contrast,
    Outcome,
    Recall,
    RunSummary,
    Status,
    Task,
    Trajectory,
)

T = TypeVar("T")


class Bank:
    """The shared memory in one file, or in a schema of PostgreSQL. Open it with ``Bank.open``; use
    it as a context manager.

    Any number of threads and processes may use one bank at once: readers never wait, writers wait
    for each other up to 30 seconds. What a method has saved when it returns is on disk, but for
    ``save_recall`` and the caches, of which a power cut may take the last ones.

    Every method raises ``BankError`` where the bank cannot be used (full disk, locked, damaged,
    closed, open for reading only, server away), and every one that takes an id takes an
    unambiguous beginning of one, raising ``NotFound`` or ``UsageError``.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closed = False

    @classmethod
    def open(cls, target: str | Path, *, create: bool = True, read_only: bool = False) -> Self:
        """The bank at a path or a URL: ``sqlite:///relative``, ``sqlite:////absolute``,
        ``postgresql://user:password@host/database`` (design/bank.md).

        ``":memory:"`` is a new bank that vanishes when it is closed; it lives in the folder for
        temporary files, so that it is like any other bank in all else.

        Args:
            create: make a bank where there is none (its folder or database must exist).
            read_only: refuse every write; works on a file and in a folder that are protected.

        Raises:
            BankError: there is no bank, or something else, or it cannot be reached or used.
            BankVersionError: the bank was written by a newer memcollab.
            MissingExtra: a URL of PostgreSQL, without the extra ``postgres``.
        """
        bank = cls(database_at(target, create=create, read_only=read_only))
        try:
            with bank._database.explained():
                migrations.prepare(bank._database)
        except BaseException:  # whatever it was, an interrupt too: no file stays held
            bank.close()
            raise
        return bank

    @property
    def name(self) -> str:
        """Where the bank is: its path, or its URL without the password."""
        return self._database.name

    @property
    def path(self) -> Path | None:
        """The file of the bank; None where a server keeps it."""
        return self._database.path

    def close(self) -> None:
        """Let go of the file or the server. Closing twice is closing once."""
        self._closed = True
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Bank({self.name!r}{', closed' if self._closed else ''})"

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """A snapshot."""
        self._check_open()
        with self._database.explained(), self._database.reader.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self, *, quick: bool = False) -> Iterator[sa.Connection]:
        """One transaction under the write lock: all of it, or nothing."""
        self._check_open()
        with self._database.explained(), self._database.writing(quick=quick) as connection:
            yield connection

    def _check_open(self) -> None:
        if self._closed:
            raise BankError(f"the bank {self.name!r} is closed. Next: Bank.open it again")

    # ---- tasks and runs

    def add_trajectories(
        self, trajectories: Iterable[Trajectory], *, source: str = LOCAL, trusted: bool = True
    ) -> Added:
        """Store runs that are not here yet, and their tasks; read as a stream, in transactions of
        500, so that what a killed call had stored stays. The order makes no difference.

        ``source`` is who brought them; what the bank thinks of one that it knows, it goes on
        thinking, unless it is now called untrusted (``set_trust``).

        Raises:
            UsageError: the source was retracted, or cannot be called so.
        """
        self._meet(source, trusted=trusted)
        total = Added(0, 0)
        for batch in batches(trajectories):
            with self._reading() as connection:
                held = runs.complete_ids(connection, [run.id for run in batch])
            packed = runs.pack(batch, held)
            with self._writing() as connection:
                new = runs.add_runs(connection, packed)
                ids = [run.id for run in batch]
                trust.bring(connection, ids, source, _now(), "trusted" if trusted else "untrusted")
            total = total.plus(Added(new, len(batch) - new))
        return total

    def _meet(self, source: str, *, trusted: bool) -> None:
        trust.check_source(source)
        if source == LOCAL and not trusted:
            raise UsageError(
                f"{source!r} stands for the operator's own runs, which are not untrusted. "
                "Next: name who brings these: --source NAME --untrusted"
            )
        with self._reading() as connection:
            held = trust.trust_of(connection, source)
        if held == "retracted":
            raise UsageError(
                f"the source {source!r} was retracted; nothing is taken from it. "
                f"Next: memcollab bank trust {source!r}, if that was wrong"
            )
        # A server calls each reporter untrusted, every time: no decision against one of a person.
        if held == "trusted" and not trusted and not trust.is_reporter(source):
            self.set_trust(source, "untrusted", actor="learn", reason="brought as untrusted")

    def add_labelled_tasks(self, tasks: Iterable[Task]) -> Added:
        """Store tasks that no run need have attempted: examples for the classifier. A known task
        without a category takes the one given; one that has another keeps its own."""
        total = Added(0, 0)
        for batch in batches(tasks):
            with self._writing() as connection:
                new = runs.add_tasks(connection, [task_row(task) for task in batch])
            total = total.plus(Added(new, len(batch) - new))
        return total

    def summaries(
        self, task_ids: Collection[str] | None = None, *, retracted: bool = True
    ) -> Iterator[RunSummary]:
        """Every run without its steps, or those on the given tasks; ``retracted=False``: only those
        that may be learned from."""
        with self._reading() as connection:
            yield from runs.summaries(connection, task_ids, retracted=retracted)

    def trajectory(self, id: str) -> Trajectory:
        """One run, whole.

        Raises:
            BankCorrupt: its content no longer has that id.
            NotFound: it is not here, or without its steps.
        """
        with self._reading() as connection:
            return runs.trajectory(connection, id)

    def task(self, id: str) -> Task:
        """One task."""
        with self._reading() as connection:
            return runs.task(connection, id)

    def tasks(
        self, ids: Collection[str] | None = None, *, labelled: bool = False
    ) -> Iterator[Task]:
        """Tasks by id: all, or those of ``ids`` that are here; ``labelled``: only with category."""
        with self._reading() as connection:
            yield from runs.tasks(connection, ids, labelled=labelled)

    # ---- learning

    def save_contrasts(self, contrasts: Iterable[Contrast]) -> Added:
        """Store contrasts of stored runs, in one transaction."""
        with self._writing() as connection:
            return learning.save_contrasts(connection, list(contrasts))

    def contrasts(self, *, unanswered: tuple[str, Collection[str]] | None = None) -> list[Contrast]:
        """Contrasts by id; with ``unanswered=(writer, prompt_hashes)`` those to which this writer
        has given no answer under any of these prompts."""
        with self._reading() as connection:
            return list(learning.contrasts(connection, unanswered))

    def save_answer(self, answer: StoredAnswer, screened: Iterable[Screened] = ()) -> Added:
        """Store what a writer answered together with the drafts in it, in one transaction; drafts
        new and known. The first answer to a request by a writer stays, and so does the first
        verdict on the same words about the same contrast."""
        with self._writing() as connection:
            return learning.save_answer(connection, answer, list(screened), _now())

    def answers(
        self, *, writer: str | None = None, request_ids: Collection[str] | None = None
    ) -> list[StoredAnswer]:
        """Stored answers by request id, optionally of one writer and to some requests only."""
        with self._reading() as connection:
            return list(learning.answers(connection, writer, request_ids))

    def drafts(
        self, contrast_ids: Collection[str] | None = None, *, writer: str | None = None
    ) -> list[tuple[Screened, str | None]]:
        """Drafts by contrast, accepted and refused, each with the id of the constraint it is in;
        optionally about some contrasts or by one writer only."""
        with self._reading() as connection:
            return list(learning.drafts(connection, contrast_ids, writer))

    def refusals(self, reason: str | None = None, *, limit: int | None = None) -> list[Screened]:
        """Refused drafts by reason and id."""
        with self._reading() as connection:
            return learning.refusals(connection, reason, limit)

    def pending(self) -> list[Pending]:
        """Accepted drafts that are in no constraint yet, by draft id."""
        with self._reading() as connection:
            return list(learning.pending(connection))

    def merge(
        self, plan: Plan, *, actor: str = "learn", needed: int = INDEPENDENT_SOURCES
    ) -> Merged:
        """Turn pending drafts into constraints, in one transaction. Those that only untrusted
        sources support are quarantined, until ``needed`` independent ones do.

        ``plan(pending, existing)`` gets both sorted by id, must be a pure function of them, and may
        read the bank's caches. It is asked without holding the lock (embedding thousands of
        constraints takes seconds), and once more under it if the bank has changed meanwhile.
        """
        with self._reading() as connection:
            found = learning.situation(connection)
        if not found.pending:
            return Merged()
        planned = plan(found.pending, found.existing)
        with self._writing() as connection:
            current = learning.situation(connection)
            if current != found:
                planned = plan(current.pending, current.existing)
            return learning.apply(
                connection, current, planned, actor=actor, at=_now(), needed=needed
            )

    # ---- constraints

    def constraints(
        self,
        *,
        status: str | None = None,
        category: Category | str | None = None,
        scope: str | None = None,
        harness: str | None = None,
        text: str | None = None,
        support: int | None = None,
        agent: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        after: Place | None = None,
    ) -> list[Constraint]:
        """Constraints that pass every filter given, best supported first, one page of them.

        ``category`` without a subcategory means all of it; ``text`` is looked for in the words,
        ASCII letter case aside; ``support`` is the least number of tasks; ``agent`` is a model
        whose runs are behind it, or whose outcomes speak of it. A page goes on behind ``after``:
        the support (tasks, contrasts) and the id of the last one of the page before; unlike an
        ``offset`` that place does not move.

        Raises:
            UsageError: there is no such status, or the category is no label.
        """
        wanted = _filter(status, category, scope, harness, text, support, agent)
        with self._reading() as connection:
            return memory.constraints(connection, wanted, limit, offset, after)

    def count_constraints(
        self,
        *,
        status: str | None = None,
        category: Category | str | None = None,
        text: str | None = None,
        support: int | None = None,
        agent: str | None = None,
    ) -> int:
        """How many constraints pass every filter given, as in ``constraints``."""
        wanted = _filter(status, category, None, None, text, support, agent)
        with self._reading() as connection:
            return browse.count(connection, wanted)

    def constraint(self, id: str) -> Constraint:
        """One constraint."""
        with self._reading() as connection:
            return _constraint(connection, id)

    def provenance(self, id: str) -> Provenance:
        """A constraint with every draft, contrast, task and run behind it."""
        with self._reading() as connection:
            return provenance(connection, _constraint(connection, id))

    def conflicts(self, id: str | None = None) -> list[tuple[str, str]]:
        """Pairs of ids of constraints that contradict each other: all, or those of one."""
        with self._reading() as connection:
            full = None if id is None else _constraint(connection, id).id
            return memory.conflicts(connection, full)

    def set_status(
        self, id: str, status: Status, *, actor: str, reason: str | None = None
    ) -> Constraint:
        """Change the status of a constraint; the log keeps who did and why."""
        memory.check_status(status)
        with self._writing() as connection:
            full = resolve(connection, CONSTRAINTS.c.id, id, "constraint")
            return memory.set_status(
                connection, full, status, actor=actor, reason=reason, at=_now()
            )

    def approve(self, id: str, *, actor: str, reason: str) -> Constraint:
        """Let a quarantined constraint be recalled, whoever it came from.

        Raises:
            UsageError: it is not quarantined.
        """
        with self._writing() as connection:
            found = _constraint(connection, id)
            if found.status != "quarantined":
                raise UsageError(
                    f"constraint {found.id!r} is {found.status}; only a quarantined one can be "
                    "approved. Next: memcollab bank quarantine lists those"
                )
            return memory.set_status(
                connection,
                found.id,
                "active",
                actor=actor,
                reason=reason,
                at=_now(),
                action="approved",
            )

    def edit(
        self,
        id: str,
        *,
        when: str | None = None,
        enforce: str | None = None,
        avoid: str | None = None,
        actor: str,
        reason: str | None = None,
        needed: int = INDEPENDENT_SOURCES,
    ) -> Constraint:
        """Say a constraint in other words. The edited one is superseded: it is retired and stays
        as it was; what stands behind it stands behind the successor, which is returned. The words
        are stored as they are given: ``MemCollab.edit`` screens them.

        Raises:
            UsageError: nothing changes, or it is retired.
        """
        given = {"when": when, "enforce": enforce, "avoid": avoid}
        words = {name: value for name, value in given.items() if value is not None}
        with self._writing() as connection:
            before = _constraint(connection, id)
            return editing.edit(connection, before, words, Who(actor, reason, _now(), needed))

    def lineage(self, id: str) -> list[str]:
        """Ids of the constraints that edits lead to this one from, its own, and those that they
        lead to from it."""
        with self._reading() as connection:
            return succession.lineage(connection, _constraint(connection, id).id)

    def decided(self, status: Status) -> frozenset[str]:
        """Ids of the constraints of that status to whom it was given on purpose."""
        with self._reading() as connection:
            found = memory.constraints(connection, Filter(status=status), None, 0)
            return frozenset(memory.decided_ids(connection, [one.id for one in found]))

    def quarantine(
        self,
        *,
        needed: int = INDEPENDENT_SOURCES,
        limit: int | None = None,
        after: Place | None = None,
    ) -> list[Waiting]:
        """Quarantined constraints, best supported first: who stands behind each, and why it
        waits. One page of them, as of ``constraints``."""
        with self._reading() as connection:
            found = memory.constraints(connection, Filter(status="quarantined"), limit, 0, after)
            decided = memory.decided_ids(connection, [one.id for one in found])
            return trust.waiting(connection, found, decided, needed)

    # ---- leafing through it

    def agents(self) -> tuple[str, ...]:
        """Models whose runs or whose outcomes are here, by name."""
        with self._reading() as connection:
            return browse.agents(connection)

    def paired(
        self,
        *,
        kind: str | None = None,
        learned: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> list[Paired]:
        """Contrasts by id with their tasks, runs (without steps) and constraints, one page behind
        the id ``after``; ``learned``: only those that a constraint was drawn from."""
        with self._reading() as connection:
            return browse.paired(connection, kind=kind, learned=learned, after=after, limit=limit)

    def contrast(self, id: str) -> Paired:
        """One contrast with its task, runs (without steps) and constraints."""
        with self._reading() as connection:
            return browse.one_paired(connection, id)

    def refused(
        self, reason: str | None = None, *, after: tuple[str, str] | None = None, limit: int = 50
    ) -> list[Refused]:
        """Refused drafts by reason and id, one page behind the (reason, id) ``after``."""
        with self._reading() as connection:
            return browse.refused(connection, reason=reason, after=after, limit=limit)

    def taught(self) -> list[Taught]:
        """Whose runs were set against whose, and how many constraints came of it."""
        with self._reading() as connection:
            return browse.taught(connection)

    def teachers(self) -> Mapping[str, frozenset[str]]:
        """Of the constraints that outcomes speak of: whose preferred runs they came from."""
        with self._reading() as connection:
            return browse.teachers(connection)

    # ---- sources, retracting, going back

    def sources(self) -> dict[str, str]:
        """Whoever brought anything, and how far each is trusted: name → trusted, untrusted,
        retracted."""
        with self._reading() as connection:
            return decisions.sources(connection)

    def set_trust(
        self,
        source: str,
        value: trust.Trust,
        *,
        actor: str,
        reason: str | None = None,
        needed: int = INDEPENDENT_SOURCES,
        dry_run: bool = False,
    ) -> Decided:
        """Trust a source, distrust it, or retract everything that only it brought; what it supports
        follows, in the same transaction.

        Raises:
            NotFound: nothing came from a source of that name.
        """
        with self._deciding(dry_run) as connection:
            who = Who(actor, reason, _now(), needed)
            return decisions.set_trust(connection, source, value, who)

    def retract(
        self,
        *ids: str,
        actor: str,
        reason: str | None = None,
        restore: bool = False,
        needed: int = INDEPENDENT_SOURCES,
        dry_run: bool = False,
    ) -> Decided:
        """Learn nothing more from these runs and contrasts, and undo what was: drafts about them
        cease to count, constraints without support are retired. Nothing is deleted; ``restore``
        takes it back. One transaction; ``dry_run`` says what it would do.

        Raises:
            NotFound: no run or contrast has such an id.
        """
        with self._deciding(dry_run) as connection:
            who = Who(actor, reason, _now(), needed)
            value: decisions.Value = "restored" if restore else "retracted"
            return decisions.retract(connection, ids, value, who)

    def decisions(
        self, target: str | None = None, *, since: int = 0, limit: int | None = None
    ) -> list[Decision]:
        """The log of trust and retractions after number ``since``: whole, or of one source, run or
        contrast, the first ``limit`` of it."""
        with self._reading() as connection:
            return decisions.decisions(connection, target, since, limit)

    def last_decisions(self, limit: int) -> list[Decision]:
        """The last ``limit`` entries of that log, oldest first."""
        with self._reading() as connection:
            return decisions.last_decisions(connection, limit)

    def snapshot(self, name: str | None = None, *, dry_run: bool = False) -> Snapshot:
        """Give the present a name to come back to. It costs one row: the log holds the rest."""
        with self._deciding(dry_run) as connection:
            return rewind.snapshot(connection, name, _now())

    def snapshots(self) -> list[Snapshot]:
        """Snapshots, oldest first."""
        with self._reading() as connection:
            return rewind.snapshots(connection)

    def diff(self, first: str, second: str = rewind.NOW) -> list[Difference]:
        """Constraints whose state differs between two points: names of snapshots, numbers of the
        log, times (ISO 8601), or ``now``.

        Raises:
            NotFound: there is no such point.
        """
        with self._reading() as connection:
            return rewind.diff(connection, first, second)

    def rollback(
        self, to: str, *, actor: str, reason: str | None = None, dry_run: bool = False
    ) -> RolledBack:
        """Make the state as of a point the present one; design/bank.md says what that means. The
        log only grows: a rollback is a change, and can be rolled back. One transaction.

        Raises:
            NotFound: there is no such point.
            UsageError: the log does not reach back so far.
        """
        with self._deciding(dry_run) as connection:
            return rewind.rollback(connection, to, Who(actor, reason, _now(), INDEPENDENT_SOURCES))

    @contextmanager
    def _deciding(self, dry_run: bool) -> Iterator[sa.Connection]:
        """A write transaction that a dry run takes back: what it reports is what would be."""
        with self._writing() as connection:
            yield connection
            transaction = connection.get_transaction()
            if dry_run and transaction is not None:
                transaction.rollback()

    def history(
        self,
        id: str | None = None,
        *,
        since: int = 0,
        actor: str | None = None,
        limit: int | None = None,
    ) -> list[Change]:
        """The change log after sequence number ``since``: of one constraint or all, by one actor
        or all, the first ``limit`` of it."""
        with self._reading() as connection:
            full = None if id is None else _constraint(connection, id).id
            return memory.history(connection, full, since, actor, limit)

    def last_changes(self, limit: int, *, since: int = 0) -> list[Change]:
        """The last ``limit`` entries of the change log after ``since``, oldest first."""
        with self._reading() as connection:
            return memory.last_changes(connection, since, limit)

    def sequence(self) -> int:
        """The number of the last change of any constraint; 0 when there was none."""
        self._check_open()
        with self._database.explained():
            return int(self._database.glance(memory.SEQUENCE)[0])

    def wait_for_change(self, since: int, *, timeout: float) -> int:
        """Return as soon as ``sequence()`` is another than ``since``, whoever made the change, or
        after ``timeout`` seconds; what it is then."""
        self._check_open()
        with self._database.explained(), self._database.listening() as pause:
            return _asked_until_not(since, self.sequence, pause, timeout)

    @contextmanager
    def following(self) -> Iterator[Callable[[Versions, float], Versions]]:
        """While it is open: a function that returns as soon as ``versions()`` are others than
        those given, or after so many seconds; what they are then. It keeps one connection."""
        self._check_open()
        with self._database.explained(), self._database.listening() as pause:
            yield lambda since, timeout: _asked_until_not(since, self.versions, pause, timeout)

    def index_rows(self, since: int = 0) -> IndexRows:
        """Constraints of every status with the ids of their source tasks, and the sequence number
        this is as of; with ``since``, only those that changed after it."""
        with self._reading() as connection:
            return memory.index_rows(connection, since)

    # ---- recalls and outcomes

    def save_recall(self, recall: Recall) -> None:
        """Store a recall as it was given."""
        content, at = recall.model_dump_json(), _now()
        with self._writing(quick=True) as connection:
            serving.save_recall(connection, recall, content, at)

    def save_recalls(self, recalls: Iterable[Recall]) -> None:
        """Store many in one transaction: all of them, or none."""
        rows = [(recall, recall.model_dump_json()) for recall in recalls]
        with self._writing(quick=True) as connection:
            at = _now()
            for recall, content in rows:
                serving.save_recall(connection, recall, content, at)

    def recall(self, id: str) -> Recall:
        """A stored recall."""
        with self._reading() as connection:
            return serving.recall(connection, id)

    def save_outcome(self, outcome: Outcome) -> int:
        """Store how the task of a recall ended and count it as evidence; how many outcomes were
        recorded so far, 0 if exactly that is stored already. A verdict may follow an unjudged
        outcome, nothing may follow a verdict. A verdict makes the open run of that recall a
        trajectory.

        Raises:
            NotFound: there is no such recall.
            UsageError: another verdict is stored.
        """
        at = _now()
        with self._writing() as connection:
            count = serving.save_outcome(connection, outcome, at)
            open_runs.conclude(connection, outcome, at)
        return count

    def save_open_runs(self, turns: Iterable[OpenRun]) -> set[str]:
        """Store runs as far as they are known, in one transaction; each takes the place of the
        earlier turns of its run, and becomes a trajectory with the verdict on its recall. The ids
        of the recalls whose run is here for the first time.

        Raises:
            BankError: the recall of one of them is not here.
        """
        with self._writing() as connection:
            return open_runs.save(connection, list(turns), _now())

    def open_run(self, recall_id: str) -> Trajectory | None:
        """The run of a recall that nobody has judged yet; None: there is none, or it has ended."""
        with self._reading() as connection:
            return open_runs.open_run(connection, recall_id)

    def outcomes(self) -> Iterator[Judged]:
        """Recalls with their outcome, in the order in which outcomes were reported."""
        with self._reading() as connection:
            yield from serving.outcomes(connection)

    def add_outcomes(self, ended: Iterable[tuple[Recall, Outcome]]) -> Added:
        """Store recalls that are not here yet with their outcomes, in transactions of 500."""
        total = Added(0, 0)
        for batch in batches(ended):
            at = _now()
            rows = [serving.outcome_row(outcome, at) for _, outcome in batch]
            with self._writing() as connection:
                serving.add_recalls(connection, [recall for recall, _ in batch], at)
                new = serving.add_outcomes(connection, rows)
            total = total.plus(Added(new, len(batch) - new))
        return total

    # ---- evidence

    def versions(self) -> Versions:
        """What readers refresh by: ``sequence`` and how often an outcome was recorded."""
        self._check_open()
        with self._database.explained():
            return memory.Versions(*self._database.glance(memory.VERSIONS))

    def evidence(self) -> Evidence:
        """The counts that outcomes came to."""
        with self._reading() as connection:
            return evidence.load(connection)

    def retire(self, reasons: Mapping[str, str], *, actor: str) -> list[str]:
        """Retire those constraints that are active, in one transaction, each with its reason in the
        change log; ids of what was. One that ``actor`` retired before, and that somebody has made
        active again, stays active."""
        with self._writing() as connection:
            return memory.retire(connection, reasons, actor=actor, at=_now())

    # ---- trials

    def awaiting(self) -> list[Constraint]:
        """Constraints that are quarantined until a trial admits them, by id."""
        with self._reading() as connection:
            return trials.awaiting(connection)

    def add_trial(self, pairs: Iterable[TrialPair]) -> Added:
        """Store attempts with and without constraints that are on trial; pairs new and known."""
        at = _now()
        with self._writing() as connection:
            return trials.add(connection, list(pairs), at)

    def trial(self, id: str) -> list[TrialPair]:
        """The attempts with and without one constraint, of every trial that it had."""
        with self._reading() as connection:
            return trials.pairs(connection, _constraint(connection, id).id)

    def conclude_trial(
        self,
        id: str,
        status: Status,
        *,
        actor: str,
        reason: str,
        needed: int = INDEPENDENT_SOURCES,
    ) -> bool:
        """Give a quarantined constraint the status that its trial came to, and log the reason,
        also where it stays quarantined (once for the same words). What only untrusted sources
        support stays quarantined after a trial that it passed, until ``needed`` independent ones
        do or somebody approves it. False, and nothing is changed, where it is not quarantined any
        more: somebody has decided meanwhile."""
        with self._writing() as connection:
            full = resolve(connection, CONSTRAINTS.c.id, id, "constraint")
            return trials.conclude(
                connection,
                full,
                status,
                actor=actor,
                reason=reason,
                at=_now(),
                needed=needed,
            )

    # ---- caches

    def vectors(self, embedder: str, texts: Collection[str]) -> dict[str, Vectors]:
        """Cached vectors of those texts that have one: text → float32 array of shape (dim,)."""
        with self._reading() as connection:
            return serving.vectors(connection, embedder, list(texts))

    def save_vectors(self, embedder: str, vectors: Mapping[str, Vectors]) -> None:
        """Cache vectors by the name of the embedder that made them."""
        for batch in batches(vectors.items()):
            with self._writing(quick=True) as connection:
                serving.save_vectors(connection, embedder, dict(batch))

    def cached(self, name: str, key: str) -> bytes | None:
        """The derived data of that name, if it was saved under exactly this key.

        A bank may come from a stranger: read it with a format that runs no code (no pickle).
        """
        with self._reading() as connection:
            return serving.cached(connection, name, key)

    def save_cache(self, name: str, key: str, content: bytes) -> None:
        """Keep derived data; ``key`` names what it was derived from. One per name is kept."""
        with self._writing(quick=True) as connection:
            serving.save_cache(connection, name, key, content)

    def reindex(self) -> int:
        """Drop every cache, to be derived again on next use; rows dropped. The counts of the
        evidence are derived again at once."""
        with self._writing() as connection:
            evidence.rebuild(connection, serving.observations(connection))
            return serving.drop_caches(connection)

    # ---- the bank as a whole

    def stats(self) -> Stats:
        """What is in the bank, counted."""
        with self._reading() as connection:
            return stats(
                connection,
                sequence=memory.sequence(connection),
                bytes_on_disk=self._database.size(connection),
            )

    def verify(self) -> Verification:
        """Derive every id, reference, support and the change log again; changes nothing."""
        with self._reading() as connection:
            return verify(connection, self._database.damage)

    def copy_to(self, target: Bank) -> dict[str, int]:
        """Copy everything into an empty bank, its change log and times too; rows by table.

        All or nothing: what was written is verified and its export compared with this bank's before
        it counts. Vectors and caches stay behind; they are derived again when they are needed.

        Raises:
            UsageError: the target is not empty.
            BankCorrupt: this bank is damaged, so that a copy of it could not be verified.
        """
        with self._reading() as source, target._writing() as connection:
            copied = copying.copy(source, connection, names=(self.name, target.name))
            target._database.after_copy(connection)
            return copied

    def export(
        self, stream: IO[bytes], *, runs: bool = True, sign: Path | None = None
    ) -> dict[str, int]:
        """Write the bank as JSONL; lines by kind. ``sign``: a file with a private key (see
        ``memcollab bank key new``), whose signature becomes the last line.

        The same knowledge gives the same bytes. ``runs=False`` makes a light share: constraints
        with their provenance, but no message of any run, no raw answer, no refused draft, no
        recall and no outcome.
        """
        signer = signing.Signer(stream, signing.private_key(sign)) if sign else None
        with self._reading() as connection:
            counts = export.export(connection, signer or stream, whole=runs)
        if signer:
            signer.sign()
        return counts

    def import_(
        self,
        stream: IO[bytes],
        *,
        admit: Admit | None = None,
        actor: str = "import",
        source: str = "import",
        trusted: bool = False,
        needed: int = INDEPENDENT_SOURCES,
    ) -> Imported:
        """Add what an export holds and this bank does not.

        ``source`` is who brings it. Unless it is ``trusted``, constraints that nothing else here
        stands behind are quarantined.

        ``admit`` is asked about the words of every constraint and accepted draft; a line that gets
        a refusal stays out, and so do the lines that refer to it. Interrupted, it is completed by
        importing again.

        Raises:
            BankError: the stream is no export.
            BankVersionError: the export is of a newer version.
        """
        self._meet(source, trusted=trusted)
        if trusted and self.sources().get(source) == "untrusted":
            self.set_trust(source, "trusted", actor=actor, reason="imported as trusted")
        report = Imported()
        importer = Importer(
            report, admit, actor=actor, source=source, trusted=trusted, needed=needed
        )
        groups = importing.groups(importing.read_lines(stream, report))
        for group in groups:
            with self._writing() as connection:
                importer.bring(connection, group, _now())
        return report


def _asked_until_not(since: T, ask: Callable[[], T], pause: Pause, timeout: float) -> T:
    """What ``ask`` says as soon as that is not ``since``, or after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while (now := ask()) == since:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        pause(left)
    return now


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _filter(
    status: str | None,
    category: Category | str | None,
    scope: str | None,
    harness: str | None,
    text: str | None,
    support: int | None,
    agent: str | None,
) -> Filter:
    if status is not None:
        memory.check_status(status)
    if isinstance(category, str):
        category = _category(category)
    return Filter(status, category, scope, harness, text, support, agent)


def _category(label: str) -> Category:
    try:
        return Category.parse(label)
    except ValidationError:
        raise UsageError(
            f"{label!r} is no category. Valid: NAME or NAME/SUBCATEGORY. "
            "Next: memcollab bank stats lists them"
        ) from None


def _constraint(connection: sa.Connection, wanted: str) -> Constraint:
    full = resolve(connection, CONSTRAINTS.c.id, wanted, "constraint")
    (found,) = memory.all_constraints(connection, [full])
    return found
