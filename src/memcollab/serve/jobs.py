"""Learning in the background. A job's state is a row of the ledger, so any replica can tell it, and
a stream of it can be taken up again anywhere.

A job that is cut off (its server ended) loses nothing: what a writer had answered is stored, and a
new job goes on from there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal
from uuid import uuid4

import orjson
import sqlalchemy as sa
from pydantic import BaseModel, Field

from memcollab.collab.intake import Progress
from memcollab.errors import MemCollabError, NotFound, TryLater, UsageError
from memcollab.records import LearnReport
from memcollab.serve import problems
from memcollab.serve.banks import Banks
from memcollab.serve.ledger import JOBS, Ledger, ago, now
from memcollab.serve.watch import LOG

_BEAT_SECONDS = 2.0
_SILENT = timedelta(seconds=20)
_RUNNING = JOBS.c.state == "running"
State = Literal["running", "done", "failed", "lost"]


class Job(BaseModel):
    """A learning job. ``lost``: its server ended; start another, which goes on from there."""

    id: str
    state: State
    stage: str | None = Field(default=None, description="what it is at")
    done: int | None = None
    total: int | None = None
    report: LearnReport | None = Field(default=None, description="when it is done")
    error: str | None = Field(default=None, description="why it failed")
    error_kind: str | None = Field(default=None, description="the class of the error")
    started: str

    @property
    def over(self) -> bool:
        return self.state != "running"


class Jobs:
    """The jobs of one server; one at a time for each bank, whichever replica it runs on."""

    def __init__(self, ledger: Ledger, banks: Banks, writer: Mapping[str, Any]) -> None:
        self._ledger = ledger
        self._banks = banks
        self._writer = writer
        self._running: dict[str, str] = {}

    def start(self, bank: str, options: Mapping[str, Any]) -> Job:
        """Begin to learn from the runs that a bank holds.

        Raises:
            UsageError: this server has no writer.
            TryLater: the bank is being learned into.
        """
        if not self._writer.get("writer") and not options.get("dry_run"):
            raise UsageError(
                "this server has no writer, so nothing can be distilled. "
                "Next: memcollab serve --writer PROVIDER:MODEL"
            )
        if (own := self._running.get(bank)) is not None:
            # Whatever the ledger says of it, which may have been away for longer than a beat.
            raise _busy(bank, own)
        id = f"job-{uuid4().hex[:20]}"
        self._forget_silent(bank)
        row = {"id": id, "bank": bank, "state": "running", "started": now(), "beat": now()}
        if not self._ledger.add(JOBS, row):
            raise _busy(bank, self._at_work(bank))
        self._running[bank] = id
        # A daemon: it must not hold up the end of the server, and loses nothing by it.
        threading.Thread(target=self._run, args=(id, bank, options), daemon=True).start()
        return self.job(bank, id)

    def _forget_silent(self, bank: str) -> None:
        """A job whose server ended holds up no other."""
        silent = sa.and_(JOBS.c.bank == bank, _RUNNING, JOBS.c.beat < ago(_SILENT))
        self._ledger.change(JOBS.update().where(silent).values(state="lost"))

    def _at_work(self, bank: str) -> str:
        rows = self._ledger.rows(sa.select(JOBS).where(JOBS.c.bank == bank, _RUNNING))
        return rows[0]["id"] if rows else "it has just ended"

    def job(self, bank: str, id: str) -> Job:
        """A job of that bank. Raises: NotFound."""
        wanted = sa.select(JOBS).where(JOBS.c.id == id, JOBS.c.bank == bank)
        found = self._ledger.rows(wanted)
        if not found:
            raise NotFound(f"the bank {bank!r} has no job {id!r}. Next: POST /v1/learn")
        return _job(found[0])

    def recent(self, bank: str, limit: int) -> list[Job]:
        """The last jobs of that bank, newest first."""
        wanted = sa.select(JOBS).where(JOBS.c.bank == bank)
        wanted = wanted.order_by(JOBS.c.started.desc(), JOBS.c.id).limit(limit)
        return [_job(row) for row in self._ledger.rows(wanted)]

    def close(self) -> None:
        """What still runs is said to be lost at once, not when its silence tells."""
        for id in list(self._running.values()):
            self._set(id, state="lost")

    def _run(self, id: str, bank: str, options: Mapping[str, Any]) -> None:
        last = 0.0

        def progress(stage: str, done: int, total: int | None) -> None:
            nonlocal last
            if time.monotonic() - last > 0.2:
                last = time.monotonic()
                self._noted(id, stage=stage, done=done, total=total)

        over = threading.Event()
        threading.Thread(target=self._beat, args=(id, over), daemon=True).start()
        try:
            self._end(id, self._learned(id, bank, options, progress))
        finally:
            over.set()
            self._running.pop(bank, None)

    def _learned(
        self, id: str, bank: str, options: Mapping[str, Any], progress: Progress
    ) -> dict[str, Any]:
        """What the row of a job says when it is over."""
        try:
            # An object of its own: learning must not hold up the bank's recalls.
            with self._banks.memory(bank) as memory:
                report = memory.learn(**self._writer, **options, progress=progress)
        except MemCollabError as error:
            told = problems.told(error)
            LOG.warning("job failed", extra={"fields": {"job": id, "error": str(error)}})
            return {"state": "failed", "error": f"{told.kind}: {told.detail}"}
        except Exception:  # noqa: BLE001 (a job must not stay "running" for ever; the log has it)
            LOG.exception("job failed", extra={"fields": {"job": id, "bank": bank}})
            said = "the server failed. Next: find the job in its log, and report it"
            return {"state": "failed", "error": f"ServerError: {said}"}
        return {"state": "done", "report": report.model_dump_json()}

    def _end(self, id: str, values: Mapping[str, Any]) -> None:
        """Note how a job ended, for as long as others believe that it runs."""
        given_up = time.monotonic() + _SILENT.total_seconds()
        while not self._noted(id, **values) and time.monotonic() < given_up:
            time.sleep(_BEAT_SECONDS)

    def _beat(self, id: str, over: threading.Event) -> None:
        while not over.wait(_BEAT_SECONDS):
            self._noted(id)

    def _noted(self, id: str, **values: Any) -> bool:
        """Whether the ledger took it; while it cannot be written, a job goes on all the same."""
        try:
            self._set(id, **values)
        except Exception as error:  # noqa: BLE001 (whatever it is, the next beat may pass)
            LOG.warning("job not noted", extra={"fields": {"job": id, "error": str(error)}})
            return False
        return True

    def _set(self, id: str, **values: Any) -> None:
        still = sa.and_(JOBS.c.id == id, _RUNNING)
        self._ledger.change(JOBS.update().where(still).values(beat=now(), **values))


def _busy(bank: str, job: str) -> TryLater:
    return TryLater(
        f"a job learns into {bank!r} already: {job}. Next: follow it at /v1/learn/ID, or wait",
        retry_after=5,
    )


def _job(row: dict[str, Any]) -> Job:
    if row["state"] == "running" and row["beat"] < ago(_SILENT):
        row["state"] = "lost"
    kind, _, error = (row["error"] or "").partition(": ")
    return Job(
        **{name: row[name] for name in ("id", "state", "stage", "done", "total", "started")},
        report=LearnReport.model_validate_json(row["report"]) if row["report"] else None,
        error=error or None,
        error_kind=kind or None,
    )


def event(job: Job) -> bytes:
    """One server-sent event; the last one is named for how the job ended."""
    name = b"event: progress\n" if not job.over else b"event: " + job.state.encode() + b"\n"
    return name + b"data: " + orjson.dumps(job.model_dump(mode="json")) + b"\n\n"
