"""The runs that pass the proxy, stored behind the requests' back.

No request waits for this, and none fails by it. What passes is kept as bytes and read in a thread
of its own. What cannot be stored is counted by why, and logged: ``memcollab_proxied_turns`` with
the results

``recorded``    stored
``declined``    the caller, the key or the server's setting wants no record
``unanswered``  upstream refused, or its answer broke off
``unreadable``  the messages or the answer are in no form that is known, or too large
``dropped``     more came than could be stored: the queue was full
``failed``      the bank could not store it
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add

import orjson

from memcollab.bank import Bank, OpenRun
from memcollab.collab.open_runs import Unreadable, open_run
from memcollab.errors import MemCollabError
from memcollab.records import Recall, Usage
from memcollab.serve.answers import Answered, answered
from memcollab.serve.keys import Caller
from memcollab.serve.ledger import now
from memcollab.spans import Chat

MOST_TURNS = 1000
MOST_BYTES = 64 * 2**20
LONGEST_ANSWER = 16 * 2**20
_GROUP = 256
# How long turns wait for others. Reading one takes as long as passing it did, and whoever is being
# answered now would wait for that.
_MOMENT = 0.25
# The bank that a run is kept in, and the recall that it began with. The id alone is no name of it:
# anybody may say it, about another bank.
Run = tuple[Bank, str]
LOG = logging.getLogger("memcollab.serve.proxy")


@dataclass(frozen=True)
class Sender:
    """Who sends a turn: to the bank of which name, in the request of which id."""

    caller: Caller
    bank: str
    request: str


@dataclass
class Turn:
    """One request of a conversation and the answer to it, as they pass.

    Attributes:
        recall: what the conversation was guided by.
        bank: where the run is kept.
        body: the request as it came, without the guidance.
        chat: the span of the call, which ends with what it cost.
    """

    recall: Recall
    bank: Bank
    body: bytes
    sender: Sender
    asked_at: str = field(default_factory=now)
    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    seconds: float = 0.0
    chat: Chat | None = None
    _began: float = field(default_factory=time.monotonic)

    @property
    def run(self) -> Run:
        """What it is a turn of."""
        return self.bank, self.recall.id

    def take(self, part: bytes) -> None:
        """A piece of the answer passes."""
        self.size += len(part)
        if self.size <= LONGEST_ANSWER:
            self.parts.append(part)
        else:
            self.parts.clear()

    def end(self) -> None:
        """Nothing more comes."""
        self.seconds = round(time.monotonic() - self._began, 3)

    def answer(self) -> Answered | None:
        """What came, with what it cost. Raises: ValueError: it is in no form that is known."""
        if self.size > LONGEST_ANSWER:
            raise ValueError(f"an answer of more than {LONGEST_ANSWER} bytes")
        found = answered(self.headers, b"".join(self.parts))
        spent = Usage(seconds=self.seconds)
        return found and Answered(found.message, found.usage + spent)

    def over(self, usage: Usage | None = None) -> None:
        """Nothing more is found out about it. Again changes nothing."""
        if self.chat is not None:
            counted = usage or Usage()
            self.chat.end(input_tokens=counted.input_tokens, output_tokens=counted.output_tokens)


class Recorder:
    """Stores turns in the order in which they ended, those of a moment in one transaction; of a run
    that had several in it, only the last one is read whole.

    Args:
        count: told the result of each turn.
        audit: told the first turn that is stored of each run, in the thread.
        most_turns, most_bytes: how much may wait; what comes on top is dropped.
    """

    def __init__(
        self,
        count: Callable[[str], None],
        audit: Callable[[Turn], None],
        most_turns: int = MOST_TURNS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._count = count
        self._audit = audit
        self._most = (most_turns, most_bytes)
        self._waiting: deque[Turn] = deque()
        self._bytes = 0
        self._under_way: Counter[Run] = Counter()
        self._closed = False
        self._asked_for = 0
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="memcollab-recorder", daemon=True)
        self._thread.start()

    def begin(self, turn: Turn) -> None:
        """The request of that turn goes upstream; ``put`` has to follow."""
        with self._changed:
            self._under_way[turn.run] += 1

    def put(self, turn: Turn) -> None:
        """The answer has passed, or broke off. Never waits."""
        turn.end()
        why = None if 200 <= turn.status < 300 else "unanswered"
        with self._changed:
            size = len(turn.body) + turn.size
            most_turns, most_bytes = self._most
            full = len(self._waiting) >= most_turns or self._bytes + size > most_bytes
            if why is None and (full or self._closed):
                why = "dropped"
            if why is None:
                self._waiting.append(turn)
                self._bytes += size
            else:
                self._passed([turn])
            self._changed.notify_all()
        if why is not None:
            turn.over()
            self._note(why, turn, "the queue is full" if why == "dropped" else "")

    def decline(self) -> None:
        """A turn passes that is not to be recorded."""
        self._count("declined")

    def settle(self, run: Run, timeout: float = 2.0) -> bool:
        """Wait until all that passed of a run is stored; False if that took longer. A client may
        report an outcome when it has read its answer, a moment before the answer has ended here."""
        with self._changed:
            self._asked_for += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._under_way[run], timeout)
            finally:
                self._asked_for -= 1

    def close(self) -> None:
        """Store what waits, and end."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    # ---- in the thread

    def _run(self) -> None:
        while group := self._next():
            try:
                self._record(group)
            finally:
                for turn in group:
                    turn.over()
                with self._changed:
                    self._bytes -= sum(len(turn.body) + turn.size for turn in group)
                    self._passed(group)
                    self._changed.notify_all()

    def _next(self) -> list[Turn]:
        """What waits, of one bank; empty: there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(self._is_urgent, _MOMENT)
            group: list[Turn] = []
            while self._waiting and len(group) < _GROUP:
                if group and self._waiting[0].bank is not group[0].bank:
                    break
                group.append(self._waiting.popleft())
            return group

    def _is_urgent(self) -> bool:
        return self._closed or self._asked_for > 0 or len(self._waiting) >= _GROUP

    def _passed(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            self._under_way[turn.run] -= 1
            if self._under_way[turn.run] <= 0:
                del self._under_way[turn.run]

    def _record(self, group: Sequence[Turn]) -> None:
        runs: dict[str, list[Turn]] = {}
        for turn in group:
            runs.setdefault(turn.recall.id, []).append(turn)
        read = [found for turns in runs.values() if (found := self._read(turns)) is not None]
        if len(read) > 1 and self._save(read) is None:
            self._note_all("recorded", read)
            return
        # One by one, so that one that cannot be stored does not keep the others out.
        for one in read:
            failure = self._save([one])
            self._note_all("failed" if failure else "recorded", [one], failure or "")

    def _save(self, read: Sequence[tuple[list[Turn], OpenRun]]) -> str | None:
        """What went wrong, if it did."""
        bank = read[0][0][0].bank
        try:
            first = bank.save_open_runs([run for _, run in read])
        except MemCollabError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - counted and logged; the requests were answered
            return type(error).__name__
        for turns, run in read:
            if run.recall_id in first:
                self._tell(turns[0])
        return None

    def _tell(self, turn: Turn) -> None:
        try:
            self._audit(turn)
        except Exception as error:  # noqa: BLE001 - the run is stored, whatever the audit is
            sent = turn.sender
            fields = {
                "recall": turn.recall.id,
                "bank": sent.bank,
                "key": sent.caller.key,
                "request": sent.request,
                "error": type(error).__name__,
            }
            LOG.error("a run was recorded that is not in the audit", extra={"fields": fields})

    def _read(self, turns: Sequence[Turn]) -> tuple[list[Turn], OpenRun] | None:
        """One run from its turns, with those that are in it: the last says all that was said, the
        others what they cost."""
        answers = [(turn, found) for turn in turns if (found := self._answer(turn)) is not None]
        answers.sort(key=lambda each: each[0].asked_at)
        while answers:
            spent = reduce(add, (answer.usage for _, answer in answers))
            run = self._run_of(*answers[-1], spent)
            if run is not None:
                return [turn for turn, _ in answers], run
            answers.pop()
        return None

    def _run_of(self, turn: Turn, answer: Answered, spent: Usage) -> OpenRun | None:
        try:
            messages = [*orjson.loads(turn.body)["messages"], answer.message]
            run = open_run(
                turn.recall,
                messages,
                spent,
                asked_at=turn.asked_at,
                source=turn.sender.caller.source,
            )
        except Exception as error:  # noqa: BLE001 - what strangers send must not end the thread
            known = isinstance(error, Unreadable)
            self._note("unreadable", turn, str(error) if known else type(error).__name__)
            return None
        if run is None:
            self._note("unreadable", turn, "nothing was said")
        return run

    def _answer(self, turn: Turn) -> Answered | None:
        try:
            answer = turn.answer()
        except Exception as error:  # noqa: BLE001 - as above
            self._note("unreadable", turn, type(error).__name__)
            return None
        if answer is None:
            self._note("unanswered", turn, "the answer broke off")
        else:
            turn.over(answer.usage)
        return answer

    def _note_all(
        self, why: str, read: Sequence[tuple[list[Turn], OpenRun]], detail: str = ""
    ) -> None:
        for turns, _ in read:
            for turn in turns:
                self._note(why, turn, detail)

    def _note(self, why: str, turn: Turn, detail: str = "") -> None:
        self._count(why)
        if why != "recorded":
            fields = {"recall": turn.recall.id, "result": why, "why": detail}
            LOG.log(
                logging.INFO if why == "unanswered" else logging.WARNING,
                "a run that passed was not recorded",
                extra={"fields": fields},
            )
