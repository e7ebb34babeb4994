"""The door of the bank: opening, transactions, and one method per question."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import IO, Self

import sqlalchemy as sa
from pydantic import ValidationError

from memcollab.bank import (
    evidence,
    export,
    importing,
    learning,
    memory,
    migrations,
    runs,
    serving,
    sqlite,
    trials,
)
from memcollab.bank.importing import Admit, Imported, Importer
from memcollab.bank.learning import Merged, Pending, Plan, Screened
from memcollab.bank.lookup import batches, resolve
from memcollab.bank.memory import Change, Filter, IndexRows, Versions
from memcollab.bank.provenance import Provenance, provenance
from memcollab.bank.rows import StoredAnswer, task_row
from memcollab.bank.runs import Added
from memcollab.bank.schema import CONSTRAINTS
from memcollab.bank.serving import Judged, Vectors
from memcollab.bank.stats import Stats, stats
from memcollab.bank.trials import TrialPair
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

IN_MEMORY = ":memory:"


class Bank:
    """The shared memory in one file. Open it with ``Bank.open``; use it as a context manager.

    Any number of threads and processes may use one bank at once: readers never wait, writers wait
    for each other up to 30 seconds. What a method has saved when it returns is on disk, but for
    ``save_recall`` and the caches, of which a power cut may take the last ones.

    Every method raises ``BankError`` where the file cannot be used (full disk, locked, damaged,
    closed, open for reading only), and every one that takes an id takes an unambiguous beginning
    of one, raising ``NotFound`` or ``UsageError``.
    """

    def __init__(self, engine: sa.Engine, path: Path, temporary: TemporaryDirectory[str] | None):
        self._engine = engine
        self._reader = sqlite.in_mode(engine, "read")
        self._writer = sqlite.in_mode(engine, "scratch" if temporary else "write")
        self._quick_writer = sqlite.in_mode(engine, "scratch" if temporary else "quick")
        self._temporary = temporary
        self._closed = False
        self.path = path

    @classmethod
    def open(cls, target: str | Path, *, create: bool = True, read_only: bool = False) -> Self:
        """The bank at a path or a URL (``sqlite:///relative``, ``sqlite:////absolute``).

        ``":memory:"`` is a new bank that vanishes when it is closed; it lives in the folder for
        temporary files, so that it is like any other bank in all else.

        Args:
            create: make a bank where there is none (its folder must exist).
            read_only: refuse every write; works on a file and in a folder that are protected.

        Raises:
            BankError: there is no bank, or something else, or the file cannot be used.
            BankVersionError: the bank was written by a newer memcollab.
        """
        temporary = None
        if str(target) == IN_MEMORY:
            temporary = TemporaryDirectory(prefix="memcollab-", ignore_cleanup_errors=True)
            target = Path(temporary.name) / "bank.db"
        path = _path_of(target)
        _check_place(path, create=create and not read_only)
        bank = cls(sqlite.make_engine(path, read_only=read_only), path, temporary)
        try:
            with sqlite.explained(path):
                migrations.prepare(bank._reader, bank._writer, path, may_write=not read_only)
        except BaseException:  # whatever it was, an interrupt too: no file stays held
            bank.close()
            raise
        return bank

    def close(self) -> None:
        """Let go of the file. Closing twice is closing once."""
        self._closed = True
        self._engine.dispose()
        if self._temporary is not None:
            self._temporary.cleanup()

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
        return f"Bank({str(self.path)!r}{', closed' if self._closed else ''})"

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """A snapshot."""
        self._check_open()
        with sqlite.explained(self.path), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self, *, quick: bool = False) -> Iterator[sa.Connection]:
        """One transaction under the write lock: all of it, or nothing."""
        self._check_open()
        engine = self._quick_writer if quick else self._writer
        with sqlite.explained(self.path), engine.begin() as connection:
            yield connection

    def _check_open(self) -> None:
        if self._closed:
            raise BankError(f"the bank {str(self.path)!r} is closed. Next: Bank.open it again")

    # ---- tasks and runs

    def add_trajectories(self, trajectories: Iterable[Trajectory]) -> Added:
        """Store runs that are not here yet, and their tasks; read as a stream, in transactions of
        500, so that what a killed call had stored stays. The order makes no difference."""
        total = Added(0, 0)
        for batch in batches(trajectories):
            with self._reading() as connection:
                held = runs.complete_ids(connection, [run.id for run in batch])
            packed = runs.pack(batch, held)
            with self._writing() as connection:
                new = runs.add_runs(connection, packed)
            total = total.plus(Added(new, len(batch) - new))
        return total

    def add_labelled_tasks(self, tasks: Iterable[Task]) -> Added:
        """Store tasks that no run need have attempted: examples for the classifier. A known task
        without a category takes the one given; one that has another keeps its own."""
        total = Added(0, 0)
        for batch in batches(tasks):
            with self._writing() as connection:
                new = runs.add_tasks(connection, [task_row(task) for task in batch])
            total = total.plus(Added(new, len(batch) - new))
        return total

    def summaries(self, task_ids: Collection[str] | None = None) -> Iterator[RunSummary]:
        """Every run without its steps, or those on the given tasks."""
        with self._reading() as connection:
            yield from runs.summaries(connection, task_ids)

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
            return learning.save_answer(connection, answer, list(screened))

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

    def merge(self, plan: Plan, *, actor: str = "learn") -> Merged:
        """Turn pending drafts into constraints, in one transaction.

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
            return learning.apply(connection, current, planned, actor=actor, at=_now())

    # ---- constraints

    def constraints(
        self,
        *,
        status: str | None = None,
        category: Category | str | None = None,
        scope: str | None = None,
        harness: str | None = None,
        text: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Constraint]:
        """Constraints that pass every filter given, best supported first, one page of them.

        ``category`` without a subcategory means all of it; ``text`` is looked for in the words,
        ASCII letter case aside.

        Raises:
            UsageError: there is no such status, or the category is no label.
        """
        if isinstance(category, str):
            category = _category(category)
        if status is not None:
            memory.check_status(status)
        wanted = Filter(status, category, scope, harness, text)
        with self._reading() as connection:
            return memory.constraints(connection, wanted, limit, offset)

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

    def history(self, id: str | None = None, *, since: int = 0) -> list[Change]:
        """The change log after sequence number ``since``: of one constraint, or whole."""
        with self._reading() as connection:
            full = None if id is None else _constraint(connection, id).id
            return memory.history(connection, full, since)

    def sequence(self) -> int:
        """The number of the last change of any constraint; 0 when there was none."""
        with self._reading() as connection:
            return memory.sequence(connection)

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

    def recall(self, id: str) -> Recall:
        """A stored recall."""
        with self._reading() as connection:
            return serving.recall(connection, id)

    def save_outcome(self, outcome: Outcome) -> int:
        """Store how the task of a recall ended and count it as evidence; how many outcomes were
        recorded so far, 0 if exactly that is stored already. A verdict may follow an unjudged
        outcome, nothing may follow a verdict.

        Raises:
            NotFound: there is no such recall.
            UsageError: another verdict is stored.
        """
        with self._writing() as connection:
            return serving.save_outcome(connection, outcome, _now())

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
        with self._reading() as connection:
            return memory.versions(connection)

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

    def conclude_trial(self, id: str, status: Status, *, actor: str, reason: str) -> bool:
        """Give a quarantined constraint the status that its trial came to, and log the reason,
        also where it stays quarantined (once for the same words). False, and nothing is changed,
        where it is not quarantined any more: somebody has decided meanwhile."""
        with self._writing() as connection:
            full = resolve(connection, CONSTRAINTS.c.id, id, "constraint")
            return trials.conclude(connection, full, status, actor=actor, reason=reason, at=_now())

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
                bytes_on_disk=sqlite.size_on_disk(self.path),
            )

    def verify(self) -> Verification:
        """Derive every id, reference, support and the change log again; changes nothing."""
        with self._reading() as connection:
            return verify(connection)

    def export(self, stream: IO[bytes], *, runs: bool = True) -> dict[str, int]:
        """Write the bank as JSONL; lines by kind.

        The same knowledge gives the same bytes. ``runs=False`` makes a light share: constraints
        with their provenance, but no message of any run, no raw answer, no refused draft, no
        recall and no outcome.
        """
        with self._reading() as connection:
            return export.export(connection, stream, whole=runs)

    def import_(
        self, stream: IO[bytes], *, admit: Admit | None = None, actor: str = "import"
    ) -> Imported:
        """Add what an export holds and this bank does not.

        ``admit`` is asked about the words of every constraint and accepted draft; a line that gets
        a refusal stays out, and so do the lines that refer to it. Interrupted, it is completed by
        importing again.

        Raises:
            BankError: the stream is no export.
            BankVersionError: the export is of a newer version.
        """
        report = Imported()
        importer = Importer(report, admit, actor=actor, at=_now())
        groups = importing.groups(importing.read_lines(stream, report))
        for group in groups:
            with self._writing() as connection:
                importer.bring(connection, group)
        return report


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _path_of(target: str | Path) -> Path:
    if isinstance(target, Path) or "://" not in target:
        return Path(target)
    try:
        url = sa.make_url(target)
    except sa.exc.ArgumentError:
        url = None
    if url is None or url.get_backend_name() != "sqlite" or not url.database:
        raise BankError(
            f"{target!r} is no bank this version can open. Valid: a path, or sqlite:///PATH. "
            "Next: give --bank a path"
        )
    return Path(url.database)


def _check_place(path: Path, *, create: bool) -> None:
    if path.is_dir():
        raise BankError(f"{str(path)!r} is a folder, not a bank. Next: give a file in it")
    if path.exists():
        return
    if not create:
        raise BankError(
            f"there is no bank at {str(path)!r}. Next: memcollab learn RUNS --bank {path}"
        )
    if not path.parent.is_dir():
        raise BankError(
            f"the folder {str(path.parent)!r} of the bank does not exist. "
            f"Next: mkdir -p {path.parent}"
        )


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
