"""The same object over a bank that a server serves: ``MemCollab("https://memory.example/team")``.

Every method asks the server's ``/v1``, gives back the same records and raises the same errors. What
is lost on the way is sent again: writes carry an idempotency key, so once too often is once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

import orjson
from pydantic import TypeAdapter

from memcollab import errors
from memcollab.bank import (
    LOCAL,
    Change,
    Decided,
    Decision,
    Difference,
    Imported,
    Point,
    Provenance,
    RefusedLine,
    RolledBack,
    Screened,
    Snapshot,
    Stats,
    Trust,
    Waiting,
)
from memcollab.bank.cursor import Place, cursor_of
from memcollab.collab import MemCollab
from memcollab.collab.intake import Progress
from memcollab.errors import MemCollabError, ServerError, TryLater, UsageError
from memcollab.recipe import DEFAULT
from memcollab.records import (
    Agent,
    Category,
    Constraint,
    Effect,
    EvidenceReport,
    LearnReport,
    Outcome,
    Recall,
    Rejected,
    Status,
    Task,
    Trajectory,
    Usage,
)
from memcollab.taxonomy import Taxonomy

if TYPE_CHECKING:
    import httpx

# Entries that are asked for at once.
_PAGE = 1000
_PROVENANCE: TypeAdapter[Provenance] = TypeAdapter(Provenance)
_CHANGES: TypeAdapter[list[Change]] = TypeAdapter(list[Change])
_SCREENED: TypeAdapter[list[Screened]] = TypeAdapter(list[Screened])
_STATS: TypeAdapter[Stats] = TypeAdapter(Stats)
_DECIDED: TypeAdapter[Decided] = TypeAdapter(Decided)
_DECISIONS: TypeAdapter[list[Decision]] = TypeAdapter(list[Decision])
_SNAPSHOT: TypeAdapter[Snapshot] = TypeAdapter(Snapshot)
_SNAPSHOTS: TypeAdapter[list[Snapshot]] = TypeAdapter(list[Snapshot])
_DIFFERENCES: TypeAdapter[list[Difference]] = TypeAdapter(list[Difference])
_ROLLED_BACK: TypeAdapter[RolledBack] = TypeAdapter(RolledBack)
_EFFECTS: TypeAdapter[tuple[Effect, ...]] = TypeAdapter(tuple[Effect, ...])
_TRIES = 4
_LONGEST_WAIT = 5.0
_BATCH = 500
# For how long a server that runs a job may be away, and the time between two looks at it; seconds.
_PATIENCE = 60.0
_BREATH = 0.5
# What a report says of runs as they came in.
_CAME_IN = (
    "seen judged unjudged unjudged_reasons rejected rejections skipped_files scrubbed known tasks "
    "agents"
).split()


class Connection:
    """Requests to one bank of one server."""

    def __init__(self, url: str, key: str | None, transport: Any = None) -> None:
        import httpx  # 60 ms that a bank at a path does not need

        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # Learning and moving banks take what they take; connecting does not.
        timeout = httpx.Timeout(600, connect=10)
        self._client = httpx.Client(headers=headers, timeout=timeout, transport=transport)
        self._lost: type[Exception] = httpx.TransportError

    def close(self) -> None:
        self._client.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        once: bool = False,
        again: bool = False,
        rewind: Callable[[], None] | None = None,
        **given: Any,
    ) -> httpx.Response:
        """The answer to a request. ``once`` makes it safe to be sent again, ``again`` says that it
        is so anyhow.

        Raises:
            MemCollabError: what the server raised.
            ServerError: it cannot be reached, or is no memcollab server.
        """
        headers = dict(given.pop("headers", {}))
        if json is not None:
            given["content"] = orjson.dumps(json, default=_plain)
            headers["Content-Type"] = "application/json"
        if once:
            headers["Idempotency-Key"] = uuid4().hex
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            try:
                answer = self._client.request(
                    method, f"{self.url}/v1{path}", headers=headers, **given
                )
            except self._lost as error:
                if last or not (once or again or method == "GET"):
                    raise self._unreachable(error) from error
                time.sleep(0.1 * 2**attempt)
            else:
                if answer.is_success:
                    return answer
                wait = _wait(answer)
                if last or answer.status_code != 429 or wait > _LONGEST_WAIT:
                    raise raised(answer)
                time.sleep(wait)
            if rewind:
                rewind()
        raise AssertionError("unreachable: the last try returns or raises")

    @contextmanager
    def stream(self, path: str, **given: Any) -> Iterator[httpx.Response]:
        """A long answer, read as it comes; errors as ``ask``."""
        try:
            with self._client.stream("GET", f"{self.url}/v1{path}", **given) as answer:
                if not answer.is_success:
                    answer.read()
                    raise raised(answer)
                yield answer
        except self._lost as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> ServerError:
        return ServerError(
            f"the server of {self.url!r} cannot be reached: {error or type(error).__name__}. "
            "Valid: the address that `memcollab serve` printed, with /NAME of the bank. "
            "Next: see whether it runs"
        )


def _wait(answer: httpx.Response) -> float:
    said = answer.headers.get("Retry-After", "1")
    return float(said) if said.isdigit() else 1.0


def raised(answer: httpx.Response) -> MemCollabError:
    """The error that a problem (RFC 9457) stands for."""
    try:
        problem = answer.json()
        name, detail = problem["type"].rpartition(":")[2], problem["detail"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return ServerError(
            f"{str(answer.url)!r} answers {answer.status_code}, and not as memcollab does. "
            "Next: give the address that `memcollab serve` printed, with /NAME of the bank"
        )
    return _error(name, detail, _wait(answer))


def _error(name: str, detail: str, wait: float = 1.0) -> MemCollabError:
    """The error of a class that a server names; what it lacks itself is an error of the server."""
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, MemCollabError)):
        kind = ServerError
    if issubclass(kind, TryLater):
        return kind(detail, retry_after=wait)
    if issubclass(kind, errors.MissingExtra):
        return ServerError(detail)
    return kind(detail)


def _out_of_sight(id: str, error: MemCollabError) -> ServerError:
    why = str(error).partition(" Next: ")[0]
    return ServerError(
        f"nothing was heard of {id!r} for {_PATIENCE:g} seconds: {why} If its server runs, it goes "
        "on; what it distils is stored. Next: learn again, which goes on from there"
    )


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json")


def _constraint(value: dict[str, Any]) -> Constraint:
    """A constraint from its JSON, which also has what can be derived."""
    return Constraint.model_validate({k: v for k, v in value.items() if k not in ("id", "text")})


def _recall(content: bytes) -> Recall:
    value = orjson.loads(content)
    for entry in value["entries"]:
        entry["constraint"] = _constraint(entry["constraint"])
    return Recall.model_validate(value)


class RemoteBank:
    """What can be asked of a bank behind a URL, as of ``Bank``: the same names and answers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __repr__(self) -> str:
        return f"RemoteBank({self._connection.url!r})"

    def __enter__(self) -> RemoteBank:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

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
        after: Place | None = None,
    ) -> list[Constraint]:
        """Constraints that pass every filter, best supported first, behind ``after``."""
        given = {
            "status": status,
            "category": None if category is None else str(category),
            "scope": scope,
            "harness": harness,
            "text": text,
            "support": support,
            "agent": agent,
            "cursor": None if after is None else cursor_of(after),
        }
        asked: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        return [
            _constraint(one) for one in self._paged("/constraints", "constraints", asked, limit)
        ]

    def _paged(
        self, path: str, name: str, asked: Mapping[str, Any], limit: int | None = None
    ) -> Iterator[Any]:
        """What the pages behind ``path`` hold under ``name``, ``limit`` at most."""
        asked, left = dict(asked), limit
        while left is None or left > 0:
            asked["limit"] = _PAGE if left is None else min(_PAGE, left)
            page = self._connection.ask("GET", path, params=asked).json()
            yield from page[name]
            if page["next"] is None:
                return
            asked["cursor"] = page["next"]
            left = None if left is None else left - len(page[name])

    def _logged(self, path: str, number: str, asked: Mapping[str, Any]) -> Iterator[Any]:
        """The entries of a log behind ``asked["since"]``, each with its ``number``."""
        asked = {**asked, "limit": _PAGE}
        while True:
            page = self._connection.ask("GET", path, params=asked).json()
            yield from page
            if len(page) < _PAGE:
                return
            asked["since"] = page[-1][number]

    def constraint(self, id: str) -> Constraint:
        """One constraint."""
        return _constraint(self._detail(id)["constraint"])

    def provenance(self, id: str) -> Provenance:
        """A constraint with every draft, contrast, task and run behind it."""
        found = self._detail(id)
        behind = {"constraint": _constraint(found["constraint"]), "sources": found["sources"]}
        return _PROVENANCE.validate_python(behind)

    def conflicts(self, id: str) -> list[tuple[str, str]]:
        """Pairs of ids of constraints that contradict each other, of one constraint."""
        found = self._detail(id)
        mine = found["constraint"]["id"]
        pairs = [sorted((mine, other)) for other in found["conflicts"]]
        return sorted((first, second) for first, second in pairs)

    def history(self, id: str | None = None, *, since: int = 0) -> list[Change]:
        """The change log after ``since``: of one constraint, or whole."""
        if id is None:
            found = list(self._logged("/changes", "sequence", {"since": since}))
        else:
            found = [each for each in self._detail(id)["history"] if each["sequence"] > since]
        return _CHANGES.validate_python(found)

    def _detail(self, id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._connection.ask("GET", f"/constraints/{_part(id)}").json()
        return found

    def set_status(
        self, id: str, status: Status, *, actor: str | None = None, reason: str | None = None
    ) -> Constraint:
        """Change the status of a constraint. The log names the key's owner, not ``actor``."""
        del actor
        body = {"status": status, "reason": reason}
        path = f"/constraints/{_part(id)}/status"
        return _constraint(self._connection.ask("POST", path, json=body, once=True).json())

    def approve(self, id: str, *, actor: str | None = None, reason: str) -> Constraint:
        """Let a quarantined constraint be recalled. The log names the key's owner, not
        ``actor``."""
        del actor
        path = f"/constraints/{_part(id)}/approve"
        answer = self._connection.ask("POST", path, json={"reason": reason}, once=True)
        return _constraint(answer.json())

    def edit(
        self,
        id: str,
        *,
        when: str | None = None,
        enforce: str | None = None,
        avoid: str | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> Constraint:
        """Say a constraint in other words, which the server screens; the successor. The log names
        the key's owner, not ``actor``."""
        del actor
        body = {"when": when, "enforce": enforce, "avoid": avoid, "reason": reason}
        path = f"/constraints/{_part(id)}/edit"
        return _constraint(self._connection.ask("POST", path, json=body, once=True).json())

    def lineage(self, id: str) -> list[str]:
        """Ids of the constraints that edits lead to this one from, its own, and those that they
        lead to from it."""
        found: list[str] = self._detail(id)["lineage"]
        return found

    def quarantine(self, *, needed: int | None = None) -> list[Waiting]:
        """Quarantined constraints: who stands behind each, and why it waits. How many sources are
        ``needed`` the server's recipe says, here and below."""
        del needed
        return [
            Waiting(
                constraint=_constraint(one["constraint"]),
                sources=one["sources"],
                families=tuple(one["families"]),
                why=one["why"],
            )
            for one in self._paged("/quarantine", "waiting", {})
        ]

    def sources(self) -> dict[str, str]:
        """Whoever brought anything, and how far each is trusted."""
        found = self._connection.ask("GET", "/sources").json()
        return {one["name"]: one["trust"] for one in found}

    def set_trust(
        self,
        source: str,
        value: Trust,
        *,
        actor: str | None = None,
        reason: str | None = None,
        needed: int | None = None,
        dry_run: bool = False,
    ) -> Decided:
        """Trust a source, distrust it, or retract everything that only it brought."""
        del actor, needed
        body = {"source": source, "trust": value, "reason": reason, "dry_run": dry_run}
        answer = self._connection.ask("POST", "/sources/trust", json=body, once=True)
        return _DECIDED.validate_json(answer.content)

    def retract(
        self,
        *ids: str,
        actor: str | None = None,
        reason: str | None = None,
        restore: bool = False,
        needed: int | None = None,
        dry_run: bool = False,
    ) -> Decided:
        """Learn nothing more from these runs and contrasts, and undo what was; or restore them."""
        del actor, needed
        body = {"ids": ids, "reason": reason, "restore": restore, "dry_run": dry_run}
        answer = self._connection.ask("POST", "/retract", json=body, once=True)
        return _DECIDED.validate_json(answer.content)

    def decisions(self, target: str | None = None) -> list[Decision]:
        """The log of trust and retractions: whole, or of one source, run or contrast."""
        asked = {} if target is None else {"target": target}
        return _DECISIONS.validate_python(list(self._logged("/decisions", "number", asked)))

    def snapshot(self, name: str | None = None, *, dry_run: bool = False) -> Snapshot:
        """Give the present a name to come back to."""
        body = {"name": name, "dry_run": dry_run}
        answer = self._connection.ask("POST", "/snapshots", json=body, once=True)
        return _SNAPSHOT.validate_json(answer.content)

    def snapshots(self) -> list[Snapshot]:
        """Snapshots, oldest first."""
        return _SNAPSHOTS.validate_json(self._connection.ask("GET", "/snapshots").content)

    def diff(self, first: str, second: str = "now") -> list[Difference]:
        """Constraints whose state differs between two points."""
        asked = {"first": first, "second": second}
        return _DIFFERENCES.validate_json(
            self._connection.ask("GET", "/diff", params=asked).content
        )

    def rollback(
        self, to: str, *, actor: str | None = None, reason: str | None = None, dry_run: bool = False
    ) -> RolledBack:
        """Make the state as of a point the present one."""
        del actor
        body = {"to": to, "reason": reason, "dry_run": dry_run}
        found = self._connection.ask("POST", "/rollback", json=body, once=True).json()
        return _ROLLED_BACK.validate_python({**found, "to": Point(**found["to"])})

    def trajectory(self, id: str) -> Trajectory:
        """One run, whole."""
        found = self._connection.ask("GET", f"/trajectories/{_part(id)}")
        return Trajectory.model_validate_json(found.content)

    def recall(self, id: str) -> Recall:
        """A stored recall."""
        return _recall(self._connection.ask("GET", f"/recalls/{_part(id)}").content)

    def stats(self) -> Stats:
        """What is in the bank, counted."""
        return _STATS.validate_json(self._connection.ask("GET", "/stats").content)

    def refusals(self, reason: str | None = None, *, limit: int | None = None) -> list[Screened]:
        """Refused drafts by reason and id."""
        asked = {"reason": reason} if reason is not None else {}
        found = list(self._paged("/refusals", "refusals", asked, limit))
        return _SCREENED.validate_python(found)

    def sequence(self) -> int:
        """The number of the last change of any constraint."""
        return self.stats().sequence

    def export(self, stream: IO[bytes], *, runs: bool = True) -> dict[str, int]:
        """Write the bank as JSONL; lines by kind."""
        counts: dict[str, int] = {}
        rest = b""
        with self._connection.stream("/export", params={"runs": runs}) as answer:
            for chunk in answer.iter_bytes():
                stream.write(chunk)
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    kind = orjson.loads(line)["type"]
                    counts[kind] = counts.get(kind, 0) + 1
        counts.pop("header", None)
        return counts


def _part(id: str) -> str:
    from urllib.parse import quote

    return quote(id, safe="") or "-"


class RemoteMemCollab(MemCollab):
    """``MemCollab`` with a URL in place of a path."""

    def __init__(
        self,
        bank: str | Path,
        *,
        key: str | None = None,
        recipe: Any = "default",
        taxonomy: Path | None = None,
        embedder: Any = None,
        create: bool = True,
        **given: Any,
    ) -> None:
        del create  # a server's banks are made by its owner
        own = {"taxonomy": taxonomy, "embedder": embedder, **given}
        named = sorted(name for name, value in own.items() if value is not None)
        if recipe not in ("default", DEFAULT):
            named.append("recipe")
        if named:
            raise UsageError(
                f"{', '.join(named)}: the server's own are used for the bank {str(bank)!r}. "
                "Next: leave them out here, and give them to `memcollab serve`"
            )
        self.recipe = DEFAULT
        self._path = bank
        self._key = key

    @cached_property
    def _connection(self) -> Connection:
        return Connection(str(self._path), self._key)

    @cached_property
    def bank(self) -> RemoteBank:  # type: ignore[override]
        """The bank behind the URL."""
        return RemoteBank(self._connection)

    @cached_property
    def taxonomy(self) -> Taxonomy:  # type: ignore[override]
        """The server has its own."""
        raise UsageError(f"the taxonomy of {str(self._path)!r} is the server's. Next: ask there")

    def __repr__(self) -> str:
        return f"MemCollab({str(self._path)!r}{', key=(hidden)' if self._key else ''})"

    def close(self) -> None:
        """Let go of the connection."""
        if "_connection" in self.__dict__:
            self._connection.close()
        self.__dict__.pop("_connection", None)
        self.__dict__.pop("bank", None)

    def recall(
        self,
        task: str | Task,
        *,
        agent: str | Agent = "any",
        harness: str | None = None,
        category: str | Category | None = None,
        limit: int | None = None,
        store: bool = True,
        keep: Callable[[Recall], None] | None = None,
    ) -> Recall:
        """As ``MemCollab.recall``, by the server."""
        del keep
        if isinstance(task, str) and not task.strip():
            raise UsageError("the task is empty. Next: say in words what the agent is to do")
        body = {
            "task": task,
            "agent": agent,
            "harness": harness,
            "category": None if category is None else str(category),
            "limit": limit,
            "store": store,
        }
        # Another recall of the same task does no harm, so a lost answer is asked for again.
        return _recall(self._connection.ask("POST", "/recall", json=body, again=True).content)

    def record_outcome(
        self,
        recall: Recall | str,
        solved: bool | None,
        *,
        usage: Usage | None = None,
        detail: str | None = None,
        source: str = "",
    ) -> Outcome:
        """As ``MemCollab.record_outcome``, by the server, which takes the source from the key."""
        _only_here("a source", source)
        body = {
            "recall_id": recall if isinstance(recall, str) else recall.id,
            "solved": solved,
            "usage": usage or Usage(),
            "detail": detail,
        }
        answer = self._connection.ask("POST", "/outcomes", json=body, once=True)
        return Outcome.model_validate_json(answer.content)

    def learn(
        self,
        *paths: str | Path,
        mapping: str | Path | None = None,
        strongest_first: Sequence[str] = (),
        exclude_agents: Iterable[str] = (),
        max_contrasts: int | None = None,
        dry_run: bool = False,
        strict: bool = False,
        progress: Progress | None = None,
        **own: Any,
    ) -> LearnReport:
        """As ``MemCollab.learn``: the runs are sent, the server distils with its own writer, from
        all the runs that its bank holds."""
        named = sorted(name for name, value in own.items() if value is not None)
        if named or (dry_run and paths):
            raise UsageError(
                f"{', '.join(named) or 'dry_run with paths'} cannot be used with a bank behind a "
                "URL: the server's writer distils. Next: leave it out, or learn into a path"
            )
        sent = self.add_runs(*paths, mapping=mapping, strict=strict) if paths else LearnReport()
        body = {
            "strongest_first": list(strongest_first),
            "exclude_agents": list(exclude_agents),
            "max_contrasts": max_contrasts,
            "dry_run": dry_run,
        }
        job = self._connection.ask("POST", "/learn", json=body, once=True).json()
        came = {name: getattr(sent, name) for name in _CAME_IN}
        return self._follow(job, progress).model_copy(update=came if paths else {})

    def _follow(self, job: Mapping[str, Any], progress: Progress | None) -> LearnReport:
        job = self._ended(job, progress)
        if job["state"] == "done":
            return LearnReport.model_validate(job["report"])
        if job["state"] == "lost":
            raise ServerError(
                f"the server ended while {job['id']!r} ran; what was distilled is stored. "
                "Next: learn again, which goes on from there"
            )
        raise _error(job["error_kind"] or "", job["error"])

    def _ended(self, job: Mapping[str, Any], progress: Progress | None) -> Mapping[str, Any]:
        """The job when it is over. A stream that breaks is taken up again: the job goes on."""
        lost_at: float | None = None
        while job["state"] == "running":
            try:
                for told in self._events(job["id"]):
                    job, lost_at = told, None
                    if progress and job["stage"]:
                        progress(job["stage"], job["done"], job["total"])
            except (ServerError, errors.BankError) as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at >= _PATIENCE:
                    raise _out_of_sight(job["id"], error) from error
            if job["state"] == "running":
                time.sleep(_BREATH)
        return job

    def _events(self, id: str) -> Iterator[dict[str, Any]]:
        """A job each time that it is told of, until its stream ends."""
        data = ""
        with self._connection.stream(f"/learn/{id}/events") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    data = line[6:]
                elif data and not line:  # an event without its end was cut off
                    yield orjson.loads(data)
                    data = ""

    def add_runs(
        self,
        *paths: str | Path,
        mapping: str | Path | None = None,
        strict: bool = False,
        source: str = LOCAL,
        trusted: bool = True,
    ) -> LearnReport:
        """As ``MemCollab.add_runs``: the files are sent; folders, file by file. The server takes
        the source from the key, and what to believe from its scopes."""
        _only_here("a source, or what to believe,", source != LOCAL or not trusted)
        if strict:
            raise UsageError(
                "strict cannot be used with a bank behind a URL. Next: look at `rejections`"
            )
        with ExitStack() as stack:
            found = [each for path in paths for each in _files(Path(path))]
            opened = [stack.enter_context(path.open("rb")) for path in found]
            parts: list[tuple[str, Any]] = [
                ("file", (path.name, file)) for path, file in zip(found, opened, strict=True)
            ]
            data = {} if mapping is None else {"mapping": Path(mapping).read_text("utf-8")}

            def rewind() -> None:
                for file in opened:
                    file.seek(0)

            # Sent again it must be the same to the byte, so httpx may choose no other boundary.
            kind = f"multipart/form-data; boundary={uuid4().hex}"
            answer = self._connection.ask(
                "POST",
                "/trajectories/files",
                files=parts,
                data=data,
                headers={"Content-Type": kind},
                rewind=rewind,
                once=True,
            )
        return LearnReport.model_validate_json(answer.content)

    def add_trajectories(
        self,
        runs: Iterable[Trajectory | Rejected],
        *,
        source: str = LOCAL,
        trusted: bool = True,
    ) -> LearnReport:
        """As ``MemCollab.add_trajectories``, at most 500 in one request; source and trust are as
        for ``add_runs``."""
        _only_here("a source, or what to believe,", source != LOCAL or not trusted)
        given = list(runs)
        rejected = [run for run in given if isinstance(run, Rejected)]
        if rejected:
            raise UsageError(f"{rejected[0]} is no run. Next: send only runs, or files by add_runs")
        reports = []
        for start in range(0, len(given), _BATCH):
            body = {"trajectories": given[start : start + _BATCH]}
            answer = self._connection.ask("POST", "/trajectories", json=body, once=True)
            reports.append(LearnReport.model_validate_json(answer.content))
        return _sum(reports)

    def import_(
        self,
        stream: IO[bytes],
        *,
        trust_keys: Collection[str] = (),
        trusted: bool = False,
        source: str | None = None,
        origin: str = "import",
    ) -> Imported:
        """As ``MemCollab.import_``, by the server, which believes no export: what it holds waits in
        quarantine."""
        del origin
        _only_here("trust in an export", trust_keys or trusted or source)
        start = stream.tell()
        found = self._connection.ask(
            "POST",
            "/import",
            content=_Chunks(stream),
            headers={"Content-Type": "application/x-ndjson"},
            rewind=lambda: _rewind(stream, start),
            once=True,
        ).json()
        report = Imported(refused_count=found["refused_count"])
        report.new.update(found["new"])
        report.known.update(found["known"])
        report.kept.update(found["kept"])
        report.refused.extend(RefusedLine(**line) for line in found["refused"])
        return report

    def evidence(self) -> EvidenceReport:
        """As ``MemCollab.evidence``, by the server's recipe."""
        return EvidenceReport.model_validate_json(self._connection.ask("GET", "/evidence").content)

    def effects(self, constraint: str) -> tuple[Effect, ...]:
        """As ``MemCollab.effects``, by the server's recipe."""
        path = f"/constraints/{_part(constraint)}/effects"
        return _EFFECTS.validate_json(self._connection.ask("GET", path).content)

    def edit(
        self,
        constraint: str,
        *,
        when: str | None = None,
        enforce: str | None = None,
        avoid: str | None = None,
        actor: str | None = None,
        reason: str | None = None,
    ) -> Constraint:
        """As ``MemCollab.edit``; the log names the key's owner, not ``actor``."""
        words = {"when": when, "enforce": enforce, "avoid": avoid}
        return self.bank.edit(constraint, **words, actor=actor, reason=reason)

    def warm(self) -> int:
        """The server does; how many constraints there are."""
        return self.bank.stats().constraints

    def reindex(self) -> dict[str, int]:
        """Raises: UsageError: only on the server's own machine."""
        raise UsageError(
            f"{str(self._path)!r} cannot be reindexed from here. "
            "Next: memcollab bank reindex, where the server runs"
        )


def _rewind(stream: IO[bytes], start: int) -> None:
    stream.seek(start)


class _Chunks:
    """A stream as httpx takes one: to be read again when it is sent again."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        while chunk := self._stream.read(2**18):
            yield chunk


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise UsageError(f"there is nothing at {str(path)!r}. Next: give a file or folder of runs")
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.is_file())
    return [path]


def _only_here(what: str, given: object) -> None:
    if given:
        raise UsageError(
            f"{what} cannot be given with a bank behind a URL. Valid: its operator decides. "
            "Next: leave it out, or open the bank by its path on the server"
        )


def _sum(reports: Sequence[LearnReport]) -> LearnReport:
    """The counts of several requests together."""
    if not reports:
        return LearnReport()
    total = reports[0].model_dump()
    for report in reports[1:]:
        for name in ("seen", "judged", "unjudged", "known", "tasks", "agents"):
            total[name] += getattr(report, name)
        for name in ("unjudged_reasons", "rejected", "scrubbed"):
            for reason, count in getattr(report, name).items():
                total[name][reason] = total[name].get(reason, 0) + count
    return LearnReport.model_validate(total)
