"""`memcollab.bench.guided` and `.hook`: memory in Inspect tasks, seen by the model's own server."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, EvalSample, read_eval_log_sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    Content,
    ContentImage,
    ContentText,
    get_model,
)
from inspect_ai.scorer import CORRECT, Score, Scorer, Target, accuracy, includes, scorer
from inspect_ai.solver import Generate, Solver, TaskState, chain, generate, solver, use_tools
from inspect_ai.tool import Tool, tool

from memcollab import MemCollab, ScriptedModel, Trajectory
from memcollab.bench import guided as guided_module
from memcollab.bench.agent import python_turns
from memcollab.bench.guided import GUIDANCE, Guide, guided, insert
from memcollab.bench.hook import GuideHook, GuideSettings
from memcollab.bench.scripted import Answer, ScriptedServer
from memcollab.collab import without_guidance
from memcollab.errors import BankError, TaxonomyError, UsageError
from memcollab.guide import strip_guidance
from memcollab.sources import read_runs

# Inspect calls tenacity by a parameter that tenacity has renamed.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]

BLOCK = "<memcollab-guidance>\nAdvice.\n1. When it rains, take a coat.\n</memcollab-guidance>"
LEARNED = [f"Book the {thing} for Monday with the tool desk." for thing in ("room", "boat", "van")]
TASK = "Book the hall for Friday with the tool desk."
ELSEWHERE = "Which bird is the smallest?"
IMAGE = "data:image/png;base64,iVBORw0KGgo="
LESSON = {
    "when": "a booking tool takes a date",
    "enforce": "the date format that its listing shows",
    "avoid": "sending the weekday as it was said",
    "scope": "reasoning",
}
Requests = list[dict[str, Any]]
Script = Callable[[Any], str | Answer]
Evaluate = Callable[..., tuple[EvalLog, Requests]]


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank that learned one lesson about bookings; copied by whoever writes to it."""
    folder = tmp_path_factory.mktemp("bank")
    lines = [
        json.dumps(
            {
                "task": task,
                "category": "tool_use/units_and_formats",
                "agent": {"model": model, "harness": "loop"},
                "messages": [
                    {"role": "user", "content": task},
                    {"role": "assistant", "content": model},
                ],
                "solved": solved,
            }
        )
        for task in LEARNED
        for model, solved in (("owl-7b", True), ("crow-7b", False))
    ]
    (folder / "runs.jsonl").write_text("\n".join(lines))
    writer = ScriptedModel(lambda _: json.dumps({"constraints": [LESSON]}), "scribe")
    with MemCollab(folder / "team.db") as memory:
        report = memory.learn(folder / "runs.jsonl", writer=writer)
    assert report.constraints == 1, report
    return folder / "team.db"


@pytest.fixture
def bank(learned: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "team.db"
    copy.write_bytes(learned.read_bytes())
    return copy


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Evaluate]:
    """Run an Inspect task against a scripted server: its log, and what the server was asked."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    def run(
        task: Task,
        script: Script = lambda _: "done",
        server: type[ScriptedServer] = ScriptedServer,
        **options: Any,
    ) -> tuple[EvalLog, Requests]:
        with server(script) as served:
            (log,) = inspect_eval(
                task,
                model=get_model(
                    "openai-api/lab/m", base_url=served.url, api_key="none", memoize=False
                ),
                log_dir=str(tmp_path / "logs"),
                display="none",
                log_realtime=False,
                ctl_server=False,
                **options,
            )
        return log, served.requests

    yield run
    assert not guided_module.any_open()  # an evaluation lets go of its banks
    gc.collect()  # Inspect leaves streams behind; their warnings belong to this test


def only(log: EvalLog) -> EvalSample:
    assert log.samples is not None
    (sample,) = log.samples
    assert sample.error is None, sample.error
    return sample


def said(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Role and text of what the server was sent."""
    return [(each["role"], text(each["content"])) for each in request["messages"]]


def text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(part.get("text", f"[{part['type']}]") for part in content)
    return str(content)


def guidance_in(request: Mapping[str, Any]) -> int:
    return sum(words.count("<memcollab-guidance>") for _, words in said(request))


def runs_of(log: EvalLog) -> list[Trajectory]:
    found = [*read_runs([Path(log.location.removeprefix("file://"))])]
    assert all(isinstance(run, Trajectory) for run in found), found
    return [run for run in found if isinstance(run, Trajectory)]


# ---- where guidance enters a prompt

WORDS = st.text(max_size=40)
MESSAGES = st.lists(
    st.one_of(
        WORDS.map(lambda words: ChatMessageUser(content=words)),
        WORDS.map(lambda words: ChatMessageAssistant(content=words)),
        WORDS.map(lambda words: ChatMessageSystem(content=words)),
        WORDS.map(lambda words: ChatMessageUser(content=[ContentText(text=words)])),
    ),
    max_size=5,
)


@given(MESSAGES, WORDS)
def test_guidance_stands_last_in_the_last_user_message(
    before: list[ChatMessage], words: str
) -> None:
    """One message grows at its end, all others stay, and nothing that was given is changed."""
    messages = [*before, ChatMessageUser(content=words), ChatMessageAssistant(content="Well,")]
    copies = [message.model_copy(deep=True) for message in messages]
    found = insert(messages, BLOCK)
    assert messages == copies
    assert found[:-2] == before
    assert found[-1] == messages[-1]
    assert found[-2].text == (f"{words}\n\n{BLOCK}" if words else BLOCK)
    assert found[-2].id == messages[-2].id
    assert strip_guidance(found[-2].text).rstrip("\n") == words.rstrip("\n")


@given(MESSAGES)
def test_without_guidance_nothing_changes(messages: list[ChatMessage]) -> None:
    """The same messages, not copies of them."""
    found = insert(messages, "")
    assert all(one is other for one, other in zip(found, messages, strict=True))


def test_of_parts_the_last_text_grows() -> None:
    """Images stay what and where they are; a message of images alone gets a text."""
    image = ContentImage(image=IMAGE)
    parts: list[Content] = [ContentText(text="Look:"), ContentText(text="what is it?"), image]
    (found,) = insert([ChatMessageUser(content=parts)], BLOCK)
    assert found.content == [parts[0], ContentText(text=f"what is it?\n\n{BLOCK}"), image]
    (alone,) = insert([ChatMessageUser(content=[image])], BLOCK)
    assert alone.content == [image, ContentText(text=BLOCK)]


@given(st.text(max_size=40))
def test_guidance_may_stand_before_the_task(words: str) -> None:
    """Then the task is what is read last; of parts, the guidance is the first."""
    messages = [ChatMessageSystem(content="Be brief."), ChatMessageUser(content=words)]
    found = insert(messages, BLOCK, place="before")
    assert found[0] is messages[0]
    assert found[1].text == (f"{BLOCK}\n\n{words}" if words else BLOCK)
    assert strip_guidance(found[1].text).lstrip("\n") == words.lstrip("\n")

    image = ContentImage(image=IMAGE)
    (parted,) = insert([ChatMessageUser(content=[image])], BLOCK, place="before")
    assert parted.content == [ContentText(text=f"{BLOCK}\n\n"), image]


def test_a_place_that_there_is_not_is_refused(bank: Path) -> None:
    """Before any sample costs."""
    with pytest.raises(UsageError, match=r"'beside'. Valid: after, before"):
        guided(bank=str(bank), place="beside")  # type: ignore[arg-type]


def test_guidance_needs_a_user_message() -> None:
    """It is not put into another's mouth, and not lost without a word."""
    with pytest.raises(UsageError, match="no user message"):
        insert([ChatMessageSystem(content="Be brief.")], BLOCK)


# ---- the solver memcollab/guided


def test_the_solver_can_put_guidance_first(evaluate: Evaluate, bank: Path) -> None:
    """With -S place=before."""
    _, (request,) = evaluate(Task([Sample(TASK)], solver=guided(bank=str(bank), place="before")))
    ((_, words),) = said(request)
    assert words.startswith("<memcollab-guidance>\n")
    assert words.endswith(f"</memcollab-guidance>\n\n{TASK}")


def test_the_solver_recalls_inserts_and_generates(evaluate: Evaluate, bank: Path) -> None:
    """The model reads the task, a blank line and the guidance; the log names what was shown."""
    log, (request,) = evaluate(Task([Sample(TASK)], solver=guided(bank=str(bank))))
    ((role, words),) = said(request)
    assert role == "user"
    assert words.startswith(f"{TASK}\n\n<memcollab-guidance>\n")
    assert words.endswith("</memcollab-guidance>")
    assert LESSON["enforce"] in words
    about = only(log).metadata
    assert len(about["memcollab_shown"]) == 1
    assert about["memcollab_guidance_tokens"] > 20
    assert about["memcollab_abstained"] is None
    with MemCollab(bank) as memory:
        recall = memory.bank.recall(about["memcollab_recall"])
    assert recall.agent.model == "openai-api/lab/m"
    assert [entry.constraint.id for entry in recall.entries] == about["memcollab_shown"]


def test_a_guided_run_reads_back_without_its_guidance(evaluate: Evaluate, bank: Path) -> None:
    """Learning from its log sees the task and the run, and knows which constraints were shown."""
    task = Task([Sample(TASK, target="done")], solver=guided(bank=str(bank)), scorer=includes())
    log, _ = evaluate(task)
    (run,) = map(without_guidance, runs_of(log))
    assert run.task.text == TASK
    assert "memcollab-guidance" not in run.model_dump_json(exclude={"agent"})
    assert LESSON["enforce"] not in run.model_dump_json()
    assert list(run.shown) == only(log).metadata["memcollab_shown"]
    assert run.verdict.solved is True


def test_the_solver_takes_the_options_of_recall(evaluate: Evaluate, bank: Path) -> None:
    """Who reads, in which harness, filed where, by which recipe, and how many at most."""
    options = {
        "agent": "owl-7b",
        "harness": "loop",
        "category": "tool_use",
        "limit": 1,
        "recipe": "paper-v1",
    }
    log, _ = evaluate(Task([Sample(TASK)], solver=guided(bank=str(bank), **options)))
    with MemCollab(bank) as memory:
        recall = memory.bank.recall(only(log).metadata["memcollab_recall"])
    assert (recall.agent.model, recall.agent.harness) == ("owl-7b", "loop")
    assert recall.decision.method == "label"
    assert recall.recipe == "paper-v1"
    assert len(recall.entries) <= 1


def test_a_recall_that_abstains_leaves_the_prompt_as_it_is(evaluate: Evaluate, bank: Path) -> None:
    """The reason is in the log, and the run goes on."""
    solving = guided(bank=str(bank), category="programming", recipe="paper-v1")
    log, (request,) = evaluate(Task([Sample(ELSEWHERE)], solver=solving))
    assert said(request) == [("user", ELSEWHERE)]
    about = only(log).metadata
    assert about["memcollab_shown"] == []
    assert about["memcollab_abstained"]
    assert about["memcollab_recall"]


@pytest.mark.parametrize(
    "empty", ["", " \n", [ChatMessageUser(content=[ContentImage(image=IMAGE)])]]
)
def test_an_input_without_words_is_not_guided(
    evaluate: Evaluate, bank: Path, empty: str | list[ChatMessage]
) -> None:
    """There is nothing to recall for; that is no error of the sample."""
    log, (request,) = evaluate(Task([Sample(empty)], solver=guided(bank=str(bank))))
    assert guidance_in(request) == 0
    assert only(log).metadata["memcollab_abstained"] == "the input has no words"
    assert only(log).metadata["memcollab_recall"] is None


def test_of_many_messages_the_last_user_message_is_guided(evaluate: Evaluate, bank: Path) -> None:
    """Examples before it stay as they are; an image beside its text does, too."""
    asked: list[Content] = [ContentText(text=TASK), ContentImage(image=IMAGE)]
    messages: list[ChatMessage] = [
        ChatMessageSystem(content="You book."),
        ChatMessageUser(content="Book the attic for Tuesday."),
        ChatMessageAssistant(content="Booked."),
        ChatMessageUser(content=asked),
    ]
    task = Task([Sample(messages, target="done")], solver=guided(bank=str(bank)), scorer=includes())
    log, (request,) = evaluate(task)
    assert said(request)[:3] == [
        ("system", "You book."),
        ("user", "Book the attic for Tuesday."),
        ("assistant", "Booked."),
    ]
    first, image = request["messages"][3]["content"]
    assert first["text"].startswith(f"{TASK}\n\n<memcollab-guidance>")
    assert image["image_url"]["url"] == IMAGE
    (run,) = map(without_guidance, runs_of(log))
    assert "memcollab-guidance" not in run.model_dump_json()


def test_a_task_is_filed_by_the_words_by_which_it_is_learned(
    evaluate: Evaluate, bank: Path
) -> None:
    """Recall and the reader of logs agree on what the task's text is, choices included."""
    messages: list[ChatMessage] = [
        ChatMessageSystem(content="You book."),
        ChatMessageUser(content="The desk is open."),
        ChatMessageUser(content=TASK),
    ]
    samples = [
        Sample(TASK, target="done", id="plain"),
        Sample(TASK, choices=["the 3rd", "the 4th"], target="done", id="choices"),
        Sample(messages, target="done", id="messages"),
    ]
    log, _ = evaluate(Task(samples, solver=guided(bank=str(bank)), scorer=includes()))
    with MemCollab(bank) as memory:
        recalled = {
            sample.id: memory.bank.recall(sample.metadata["memcollab_recall"]).task.text
            for sample in log.samples or []
        }
    assert recalled == {run.task.key: run.task.text for run in runs_of(log)}


def test_each_epoch_has_a_recall_of_its_own(evaluate: Evaluate, bank: Path) -> None:
    """One verdict belongs to one recall, so attempts do not share one."""
    samples = [Sample(f"{TASK} Number {n}.", id=n) for n in range(1, 5)]
    log, requests = evaluate(Task(samples, solver=guided(bank=str(bank)), epochs=2))
    assert len(requests) == 8
    assert all(guidance_in(request) == 1 for request in requests)
    recalls = {sample.metadata["memcollab_recall"] for sample in log.samples or []}
    assert len(recalls) == 8


class ToolServer(ScriptedServer):
    """Calls a tool first: an answer ``CALL name`` becomes a call of it."""

    def _answer(self, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        status, content = super()._answer(body)
        (choice,) = content["choices"]
        words = choice["message"]["content"]
        if words.startswith("CALL "):
            call = {"name": words.removeprefix("CALL "), "arguments": "{}"}
            choice["message"] = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": call}],
            }
            choice["finish_reason"] = "tool_calls"
        return status, content


@tool
def desk() -> Tool:
    async def execute() -> str:
        """List what can be booked."""
        return "hall"

    return execute


def calls_the_desk(messages: Any) -> str:
    return "done" if any(each["role"] == "tool" for each in messages) else "CALL desk"


def test_tools_are_called_in_a_loop(evaluate: Evaluate, bank: Path) -> None:
    """As with Inspect's own generate(): the tools that the task gives, until none is called."""
    solving = chain(use_tools(desk()), guided(bank=str(bank)))
    log, requests = evaluate(Task([Sample(TASK)], solver=solving), calls_the_desk, ToolServer)
    assert [guidance_in(request) for request in requests] == [1, 1]
    assert [message.role for message in only(log).messages] == [
        *("user", "assistant", "tool", "assistant")
    ]


def test_a_bank_that_is_not_there_is_said_before_anything_runs(tmp_path: Path) -> None:
    """The error names the bank and the next command; nothing was asked of a model."""
    with pytest.raises(BankError, match=r"absent\.db.*memcollab"):
        guided(bank=str(tmp_path / "absent.db"))
    assert not (tmp_path / "absent.db").exists()


def test_options_are_checked_before_anything_runs(bank: Path) -> None:
    """A limit of none, a category and a recipe that do not exist."""
    with pytest.raises(UsageError, match="limit is 0"):
        Guide(str(bank), limit=0)
    with pytest.raises(TaxonomyError, match="'cooking'"):
        Guide(str(bank), category="cooking")
    with pytest.raises(UsageError, match="'best'"):
        Guide(str(bank), recipe="best")
    guided_module.close_all()


# ---- the hook


@pytest.fixture
def hooked(bank: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hook is on."""
    monkeypatch.setenv("MEMCOLLAB_GUIDE_BANK", str(bank))
    return bank


def test_a_task_that_knows_nothing_of_memory_is_guided(evaluate: Evaluate, hooked: Path) -> None:
    """Its solver is Inspect's own; the model reads the guidance, and the log says so."""
    task = Task([Sample(TASK, target="done")], scorer=includes())
    log, (request,) = evaluate(task)
    ((_, words),) = said(request)
    assert words.startswith(f"{TASK}\n\n<memcollab-guidance>\n")
    assert words.endswith("</memcollab-guidance>")
    about = only(log).metadata
    assert len(about["memcollab_shown"]) == 1
    assert about["memcollab_recall"]
    (run,) = map(without_guidance, runs_of(log))
    assert "memcollab-guidance" not in run.model_dump_json()
    assert list(run.shown) == about["memcollab_shown"]


def test_without_the_variable_the_hook_does_nothing(evaluate: Evaluate) -> None:
    """Not a byte of the prompt and not a word of the log."""
    log, (request,) = evaluate(Task([Sample(TASK)]))
    assert said(request) == [("user", TASK)]
    assert only(log).metadata == {}


def test_the_transcript_shows_what_the_model_read(evaluate: Evaluate, hooked: Path) -> None:
    """A hook that changed a prompt unseen could not be trusted."""
    log, _ = evaluate(Task([Sample(TASK)]))
    sample = read_eval_log_sample(log.location, 1, resolve_attachments=True)
    calls = [event for event in sample.events if event.event == "model"]
    assert [strip_guidance(event.input[-1].text) for event in calls] == [f"{TASK}\n\n"]


def test_every_call_of_a_conversation_holds_the_guidance_once(
    evaluate: Evaluate, hooked: Path
) -> None:
    """A tool loop goes on with the task as it was put first."""
    task = Task([Sample(TASK)], solver=chain(use_tools(desk()), generate()))
    _, requests = evaluate(task, calls_the_desk, ToolServer)
    assert [guidance_in(request) for request in requests] == [1, 1]
    assert said(requests[0])[0] == said(requests[1])[0]


def test_the_agent_of_turns_is_guided_by_the_hook_too(evaluate: Evaluate, hooked: Path) -> None:
    """An agent that talks to the model itself, with a system message before the task."""
    programs = iter(["```python\nprint(6 * 7)\n```", "ANSWER: 42"])
    task = Task([Sample(TASK)], solver=python_turns(3), sandbox="unconfined")
    log, requests = evaluate(task, lambda _: next(programs))
    assert [guidance_in(request) for request in requests] == [1, 1]
    assert "<memcollab-guidance>" in said(requests[1])[1][1]
    assert len(only(log).metadata["memcollab_shown"]) == 1


def test_a_sample_is_guided_once(evaluate: Evaluate, hooked: Path) -> None:
    """Where a solver of this package does it, the hook leaves the sample alone."""
    log, (request,) = evaluate(Task([Sample(TASK)], solver=guided(bank=str(hooked))))
    assert guidance_in(request) == 1
    given = Sample(TASK, metadata={GUIDANCE: BLOCK})
    other, (turn,) = evaluate(
        Task([given], solver=python_turns(1), sandbox="unconfined"), lambda _: "ANSWER: 1"
    )
    assert said(turn)[1] == ("user", f"{TASK}\n\n{BLOCK}")
    assert "memcollab_recall" not in only(other).metadata
    with MemCollab(hooked) as memory:
        assert memory.bank.stats().recalls == 1
    assert only(log).metadata["memcollab_recall"]


def test_the_arms_of_the_bench_stay_what_they_are(evaluate: Evaluate, hooked: Path) -> None:
    """A control without memory would be none if the environment could guide it."""
    log, (request,) = evaluate(Task([Sample(TASK, metadata={"memcollab_digest": "d"})]))
    assert guidance_in(request) == 0
    assert only(log).metadata == {"memcollab_digest": "d"}


@scorer(metrics=[accuracy()])
def graded() -> Scorer:
    """Asks the evaluated model itself, about the task itself."""

    async def score(state: TaskState, target: Target) -> Score:
        verdict = await get_model().generate(TASK)
        return Score(value=CORRECT, explanation=verdict.completion)

    return score


@solver
def with_another(url: str) -> Solver:
    """Asks another model about the task before the evaluated one."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        other = get_model("openai-api/lab/other", base_url=url, api_key="none", memoize=False)
        await other.generate(state.input_text)
        return await generate(state)

    return solve


def test_calls_that_do_not_solve_the_task_are_not_guided(evaluate: Evaluate, hooked: Path) -> None:
    """Neither the grader, nor another model that the solver asks."""
    _, requests = evaluate(Task([Sample(TASK)], scorer=graded()))
    assert [guidance_in(request) for request in requests] == [1, 0]
    with ScriptedServer(lambda _: "fine") as other:
        _, requests = evaluate(Task([Sample(TASK)], solver=with_another(other.url)))
    assert [guidance_in(request) for request in (*other.requests, *requests)] == [0, 1]


def test_parallel_samples_and_epochs_do_not_mix(evaluate: Evaluate, hooked: Path) -> None:
    """Each sample has its own recall, whoever else is under way."""
    samples = [Sample(f"{TASK} Number {n}.", id=n) for n in range(1, 6)]
    log, requests = evaluate(Task(samples, epochs=2))
    assert sorted(words.split("\n")[0] for ((_, words),) in map(said, requests)) == sorted(
        2 * [f"{TASK} Number {n}." for n in range(1, 6)]
    )
    assert all(guidance_in(request) == 1 for request in requests)
    with MemCollab(hooked) as memory:
        for sample in log.samples or []:
            recall = memory.bank.recall(sample.metadata["memcollab_recall"])
            assert recall.task.text == sample.input


def test_a_call_that_is_tried_again_is_guided_once(evaluate: Evaluate, hooked: Path) -> None:
    """Inspect asks the hook before each try of a call."""
    tries = iter([Answer("busy", 500), "done"])
    _, requests = evaluate(Task([Sample(TASK)]), lambda _: next(tries))
    assert [guidance_in(request) for request in requests] == [1, 1]


@solver
def fails_once() -> Solver:
    failed = []

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state = await generate(state)
        if not failed:
            failed.append(True)
            raise RuntimeError("lost")
        return state

    return solve


def test_a_sample_that_is_tried_again_keeps_its_recall(evaluate: Evaluate, hooked: Path) -> None:
    """A retry is the same attempt in the eyes of the bank; its messages are new, and guided."""
    task = Task([Sample(TASK)], solver=fails_once())
    log, requests = evaluate(task, retry_on_error=1)
    assert [guidance_in(request) for request in requests] == [1, 1]
    assert len(only(log).metadata["memcollab_shown"]) == 1
    with MemCollab(hooked) as memory:
        assert memory.bank.stats().recalls == 1


def test_a_solver_may_make_its_messages_anew(evaluate: Evaluate, hooked: Path) -> None:
    """The message that puts the task is known by its words, too; other prompts stay as they are."""
    log, requests = evaluate(Task([Sample(TASK)], solver=asks_in_its_own_words()))
    assert [guidance_in(request) for request in requests] == [1, 1, 0]
    assert only(log).metadata["memcollab_shown"]


@solver
def asks_in_its_own_words() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        for words in (TASK, TASK, "Was that right?"):
            await get_model().generate(words)
        return state

    return solve


@scorer(metrics=[accuracy()])
def valued(value: Any) -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=value)

    return score


@solver
def breaks() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        await generate(state)
        raise RuntimeError("the server room is on fire")

    return solve


@pytest.mark.parametrize(
    ("value", "solved"),
    [("C", True), ("I", False), (1, True), (0.0, False), (True, True), ("P", None), (0.5, None)],
)
def test_outcomes_are_recorded_where_that_is_asked_for(
    evaluate: Evaluate, hooked: Path, monkeypatch: pytest.MonkeyPatch, value: Any, solved: bool
) -> None:
    """Right and wrong are recorded; what is neither is unjudged, and its reason is kept."""
    monkeypatch.setenv("MEMCOLLAB_GUIDE_RECORD", "true")
    log, _ = evaluate(Task([Sample(TASK)], scorer=valued(value)))
    with MemCollab(hooked) as memory:
        (judged,) = memory.bank.outcomes()
    assert judged.recall.id == only(log).metadata["memcollab_recall"]
    assert judged.outcome.solved is solved
    assert (judged.outcome.detail is None) == (solved is not None)
    assert judged.outcome.usage.turns == 1
    assert judged.outcome.usage.output_tokens == 1


def test_a_crash_is_recorded_as_unjudged(
    evaluate: Evaluate, hooked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample that failed is no wrong answer."""
    monkeypatch.setenv("MEMCOLLAB_GUIDE_RECORD", "true")
    evaluate(Task([Sample(TASK)], solver=breaks(), scorer=includes(), fail_on_error=False))
    with MemCollab(hooked) as memory:
        (judged,) = memory.bank.outcomes()
    assert judged.outcome.solved is None
    assert "on fire" in str(judged.outcome.detail)


def test_outcomes_are_not_recorded_unasked(evaluate: Evaluate, hooked: Path) -> None:
    """Whoever looks on does not write verdicts."""
    evaluate(Task([Sample(TASK, target="done")], scorer=includes()))
    with MemCollab(hooked) as memory:
        assert [*memory.bank.outcomes()] == []


def test_a_recall_that_fails_leaves_the_run_alone_and_is_named(
    evaluate: Evaluate, hooked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample goes on without guidance; its metadata says that it had none, and why."""

    def lost(*_: object) -> None:
        raise BankError("the bank was moved")

    monkeypatch.setattr(Guide, "recall", lost)
    log, (request,) = evaluate(Task([Sample(TASK)]))
    assert said(request) == [("user", TASK)]
    assert only(log).metadata["memcollab_abstained"] == "the recall failed: the bank was moved"
    assert only(log).metadata["memcollab_shown"] == []


# ---- from an installed package

UNCHANGED = f"""
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes

@task
def booking():
    return Task([Sample({TASK!r}, target="done")], scorer=includes())
"""


def inspect(
    folder: Path, server: ScriptedServer, *arguments: str, **given: str
) -> subprocess.CompletedProcess[str]:
    """``inspect eval`` on the unchanged task, as a process of its own."""
    (folder / "tasks").mkdir(exist_ok=True)
    (folder / "tasks" / "booking.py").write_text(UNCHANGED)
    command = [sys.executable, "-m", "inspect_ai", "eval", "tasks/booking.py", *arguments]
    command += ["--model", "openai-api/lab/m", "--display", "plain", "--log-dir", "logs"]
    environment = {
        **os.environ,
        "LAB_BASE_URL": server.url,
        "LAB_API_KEY": "none",
        "XDG_DATA_HOME": str(folder),
        "PYTHONWARNINGS": "ignore",
        **given,
    }
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_inspect_finds_the_solver_by_its_name(bank: Path, tmp_path: Path) -> None:
    """--solver memcollab/guided -S bank=…, from the package's entry point; the path is the
    caller's, though Inspect runs in the folder of the task."""
    with ScriptedServer(lambda _: "done") as server:
        ran = inspect(tmp_path, server, "--solver", "memcollab/guided", "-S", "bank=team.db")
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [guidance_in(request) for request in server.requests] == [1]


def test_inspect_is_hooked_by_the_environment(bank: Path, tmp_path: Path) -> None:
    """The same command on the same task, with the variable and without."""
    with ScriptedServer(lambda _: "done") as server:
        for given in ({}, {"MEMCOLLAB_GUIDE_BANK": "team.db", "MEMCOLLAB_GUIDE_RECORD": "true"}):
            ran = inspect(tmp_path, server, **given)
            assert ran.returncode == 0, ran.stdout + ran.stderr
    without, guided_ = server.requests
    assert said(without) == [("user", TASK)]
    assert guidance_in(guided_) == 1
    with MemCollab(bank) as memory:
        assert [judged.outcome.solved for judged in memory.bank.outcomes()] == [True]


def test_inspect_stops_at_a_bank_that_is_not_there(tmp_path: Path) -> None:
    """Both ways say it before the first sample, and no call is made."""
    with ScriptedServer(lambda _: "done") as server:
        hooked = inspect(tmp_path, server, MEMCOLLAB_GUIDE_BANK="absent.db")
        solving = inspect(tmp_path, server, "--solver", "memcollab/guided", "-S", "bank=absent.db")
    for ran in (hooked, solving):
        assert ran.returncode != 0
        assert "absent.db" in ran.stdout + ran.stderr
    assert server.requests == []


def test_every_option_is_on_the_page() -> None:
    """The how-to names each variable of the hook and each option of the solver."""
    page = Path(__file__).parent.parent / "docs" / "how-to" / "guide-an-inspect-task.md"
    told = page.read_text("utf-8")
    for name in GuideSettings.model_fields:
        assert f"`{name.upper()}`" in told
        assert name == "record" or f"`{name}`" in told or f"-S {name}=" in told


def test_a_setting_of_the_hook_that_cannot_be_is_named(
    hooked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Inspect asks whether it is on, which is before anything runs."""
    monkeypatch.setenv("MEMCOLLAB_GUIDE_LIMIT", "few")
    with pytest.raises(UsageError, match=r"MEMCOLLAB_GUIDE_LIMIT.*'few'"):
        GuideHook().enabled()
