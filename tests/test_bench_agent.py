"""`memcollab.bench.agent`: thought, program and output, played by a scripted model."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspect_ai import Task
from inspect_ai import eval as inspect_eval
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalSample
from inspect_ai.model import get_model
from inspect_ai.solver import Solver

from memcollab.bench import agent as agent_module
from memcollab.bench.agent import OUTPUT_CHARACTERS, observation, python_turns, single_turn
from memcollab.bench.confine import Ran
from memcollab.bench.judge import judge
from memcollab.bench.scripted import Answer, ScriptedServer
from memcollab.bench.tasks import BenchTask

# Inspect calls tenacity by a parameter that tenacity has renamed.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]

Play = Callable[..., EvalSample]


@pytest.fixture
def requests() -> list[dict[str, Any]]:
    """What the server was asked, in order."""
    return []


@pytest.fixture
def play(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requests: list[dict[str, Any]]
) -> Iterator[Play]:
    """Let a scripted model attempt a task; the sample as the log has it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))

    def run(
        checker: dict[str, Any],
        *messages: str | Answer,
        solver: Solver | None = None,
        known: dict[str, Any] | None = None,
        **task: Any,
    ) -> EvalSample:
        given = BenchTask.model_validate(
            {"task_id": "t", "task": "Do it.", "checker": checker, **task}
        )
        sample = Sample(
            id="t",
            input=given.task,
            metadata={
                "function": given.function,
                "acts": given.checker.kind == "state",
                **(known or {}),
            },
            files=dict(given.files),
        )
        rest = iter(messages)
        with ScriptedServer(lambda _: next(rest)) as server:
            (log,) = inspect_eval(
                Task(
                    [sample],
                    solver or python_turns(4),
                    scorer=judge({"t": given}),
                    sandbox="unconfined",
                ),
                model=get_model(
                    "openai-api/memcollab/m", base_url=server.url, api_key="none", memoize=False
                ),
                log_dir=str(tmp_path / "logs"),
                display="none",
                log_realtime=False,
                ctl_server=False,
            )
            requests.extend(server.requests)
        assert log.samples is not None
        assert log.samples[0].error is None, log.samples[0].error
        return log.samples[0]

    yield run
    gc.collect()  # Inspect leaves streams behind; their warnings belong to this test


def score(sample: EvalSample) -> tuple[Any, Any, Any, Any]:
    """Verdict, failure, how it ended, turns."""
    assert sample.scores is not None
    found = sample.scores["solved"]
    about = found.metadata or {}
    return found.value, about["failure"], about["ended"], about["turns"]


MATHS = {"kind": "math", "answer": "42"}
CODE = {"kind": "code", "entry_point": "twice", "tests": "assert twice(3) == 6"}
STATE = {"kind": "state", "check": "assert open('done').read() == 'x', answer"}
TWICE = "```python\ndef twice(x):\n    return 2 * x\n```"


def test_a_program_is_run_and_its_output_comes_back(play: Play) -> None:
    """The log reads as a run: task, thought and program, output, answer."""
    sample = play(MATHS, "I multiply.\n```python\nprint(6 * 7)\n```", "ANSWER: 42")
    assert score(sample) == ("C", None, "answered", 2)
    assert [message.role for message in sample.messages] == [
        *("system", "user", "assistant", "user", "assistant")
    ]
    assert sample.messages[3].text == "Output:\n42"


def test_an_answer_beside_its_program_waits_for_the_output(play: Play) -> None:
    """A guess is put to the output; one that the output bears out ends the run."""
    guess = "```python\nprint(6 * 7)\n```\nANSWER: 41"
    assert score(play(MATHS, guess, "ANSWER: 42")) == ("C", None, "answered", 2)
    right = "```python\nprint(6 * 7)\n```\nANSWER: 42"
    assert score(play(MATHS, right)) == ("C", None, "answered", 1)


def test_an_imagined_output_is_no_part_of_the_run(play: Play) -> None:
    """The model sees the real output only."""
    sample = play(MATHS, "```python\nprint(6 * 7)\n```\nOutput:\n41\nANSWER: 41", "ANSWER: 42")
    assert sample.messages[2].text.endswith("```")
    assert score(sample)[0] == "C"


def test_a_program_may_print_the_final_answer(play: Play) -> None:
    """What it prints in the asked form is the final answer."""
    assert score(play(MATHS, "```python\nprint('ANSWER:', 6 * 7)\n```")) == (
        *("C", None, "answered"),
        1,
    )


def test_the_same_program_twice_ends_the_run(play: Play) -> None:
    """It is not run again; the run comes to its output."""
    program = "```python\nprint(6 * 7)\n```"
    assert score(play(MATHS, program, program)) == ("C", None, "answered", 2)


def test_a_program_that_acts_may_be_run_again(play: Play) -> None:
    """Trying again is a way to act; it ends the run once it changes nothing any more."""
    act = "```python\nopen('done', 'a').write('x')\nprint(open('done').read()[:2])\n```"
    twice = {"kind": "state", "check": "assert open('done').read() == 'xxx', answer"}
    assert score(play(twice, act, act, act)) == ("C", None, "answered", 3)


def test_an_error_is_shown_without_the_frames_of_the_harness(play: Play) -> None:
    """The agent sees its own line and the error."""
    sample = play(MATHS, "```python\nx = 1\nprint(x / 0)\n```", "ANSWER: 42")
    told = sample.messages[3].text
    assert "ZeroDivisionError" in told
    assert "print(x / 0)" in told
    assert "<string>" not in told


def test_a_function_with_nothing_beside_it_is_final(play: Play) -> None:
    """A trial is run first; the bare definition ends the run."""
    trial = TWICE.replace("\n```", "\n\nprint(twice(4))\n```")
    sample = play(CODE, trial, TWICE)
    assert score(sample) == ("C", None, "answered", 2)
    assert sample.messages[3].text == "Output:\n8"


def test_words_after_a_function_close_the_run(play: Play) -> None:
    """A model that is content with its trial need not repeat it."""
    trial = TWICE.replace("\n```", "\n\nprint(twice(4))\n```")
    assert score(play(CODE, trial, "It works.")) == ("C", None, "answered", 2)


def test_a_state_is_judged_by_what_is_left(play: Play) -> None:
    """Words do not count, whether the right thing was done or not."""
    acted = "```python\nopen('done', 'w').write('x')\n```"
    assert score(play(STATE, acted, "ANSWER: done"))[:2] == ("C", None)
    assert score(play(STATE, acted + "\nANSWER: done")) == ("C", None, "answered", 1)
    words = ["ANSWER: done"] * 4
    assert score(play(STATE, *words))[:2] == ("I", "never-finished")
    broken = [f"```python\nraise SystemExit({n})\n```" for n in (1, 2, 3, 4)]
    assert score(play(STATE, *broken)) == ("I", "crashed", "out of turns", 4)
    assert score(play(STATE, broken[0], acted.replace("'x'", "'y'"), "ANSWER: done"))[1] == "wrong"
    idle = [f"```python\nprint({n})\n```" for n in (1, 2, 3, 4)]
    assert score(play(STATE, *idle))[1] == "out-of-turns"


def test_files_are_there_and_live_on_from_turn_to_turn(play: Play) -> None:
    """The working folder is the run's memory."""
    sample = play(
        MATHS,
        "```python\nopen('b', 'w').write(open('a').read() * 2)\n```",
        "```python\nprint(open('b').read())\n```",
        "ANSWER: 42",
        files={"a": "xy"},
    )
    assert sample.messages[5].text == "Output:\nxyxy"


def test_out_of_turns_still_counts_what_can_be_read(play: Play) -> None:
    """A harness that wants its form would call these failures; what is right is right."""
    programs = [f"```python\nprint({n} * 7)\n```" for n in (3, 4, 5, 6)]
    assert score(play(MATHS, *programs)) == ("C", None, "out of turns", 4)
    assert score(play(MATHS, *reversed(programs)))[1] == "out-of-turns"


def test_failures_are_told_apart(play: Play) -> None:
    """Never finished, unreadable, wrong and crashed are not the same failure."""
    assert score(play(MATHS, *["Let me think."] * 4))[1] == "never-finished"
    assert score(play(MATHS, "ANSWER: 41"))[1] == "wrong"
    broken = "```python\ndef twice(x)\n    return x\n```"
    assert score(play(CODE, *[broken + "#" * n for n in range(4)]))[1] == "unreadable"
    raising = TWICE.replace("2 * x", "x / 0")
    assert score(play(CODE, raising))[1] == "crashed"
    assert score(play(CODE, TWICE.replace("2 *", "3 *")))[1] == "wrong"


def test_a_full_context_ends_the_run(play: Play) -> None:
    """It is out of context, and judged by what it had."""
    full = Answer("the request exceeds the available context size", 400)
    sample = play(MATHS, "```python\nprint(42)\n```", full)
    assert score(sample) == ("C", None, "out of context", 1)


def test_the_last_turn_is_announced(play: Play) -> None:
    """The agent knows when to finish."""
    programs = [f"```python\nprint({n})\n```" for n in range(4)]
    sample = play(MATHS, *programs)
    users = [message.text for message in sample.messages if message.role == "user"]
    assert "last message" in users[-1]
    assert not any("last message" in text for text in users[:-1])


def test_a_function_that_was_cut_off_behind_its_end_counts_when_the_run_ends(play: Play) -> None:
    """The agent is told that it was cut off; if it never gets shorter, the function is judged."""
    long = TWICE.removesuffix("\n```") + "\n\nassert twice(2) == 4\nassert twice("
    sample = play(CODE, *[long + str(n) for n in range(4)])
    assert score(sample) == ("C", None, "out of turns", 4)
    assert "too long" in sample.messages[3].text


BLOCK = "<memcollab-guidance>\nAdvice.\n1. When it rains, take a coat.\n</memcollab-guidance>"


@pytest.mark.parametrize("solver", [python_turns, single_turn])
def test_guidance_stands_behind_the_task(play: Play, solver: Any) -> None:
    """In the user message that puts the task, after its text, a blank line between."""
    sample = play(MATHS, "ANSWER: 42", solver=solver(), known={"memcollab_guidance": BLOCK})
    assert sample.messages[1].text == f"Do it.\n\n{BLOCK}"
    without = play(MATHS, "ANSWER: 42", solver=solver())
    assert sample.messages[0].text == without.messages[0].text
    assert score(sample) == ("C", None, "answered", 1)


@pytest.mark.parametrize("known", [{}, {"memcollab_guidance": ""}, {"memcollab_guidance": None}])
def test_without_guidance_the_prompt_is_what_it_always_was(
    play: Play, requests: list[dict[str, Any]], known: dict[str, Any]
) -> None:
    """Not a byte differs, so runs from before guidance and runs of the arm without it compare."""
    play(MATHS, "ANSWER: 42", known=known)
    sent = json.dumps(requests[0]["messages"], sort_keys=True).encode()
    assert hashlib.sha256(sent).hexdigest() == PROMPT_BEFORE


# Of the first request for a maths task "Do it." in four turns, as harness version 3 was made.
PROMPT_BEFORE = "eb4261ec8053d49eaafdfc09d96afeef882e21a3970e491384b3d40d99adda05"


def one(play: Play, checker: dict[str, Any], message: str | Answer) -> tuple[Any, ...]:
    """What a single message comes to."""
    return score(play(checker, message, solver=single_turn()))


def test_one_message_is_read_as_generously(play: Play) -> None:
    """An answer in any form, also behind an imagined output; nothing is run for it."""
    assert one(play, MATHS, "6 * 7.\nANSWER: 42") == ("C", None, "answered", 1)
    assert one(play, MATHS, "So the result is 42.") == ("C", None, "answered", 1)
    imagined = "```python\nprint(6 * 7)\n```\nOutput:\n42\n\nANSWER: 42"
    assert one(play, MATHS, imagined) == ("C", None, "answered", 1)
    assert one(play, MATHS, "ANSWER: 41") == ("I", "wrong", "answered", 1)
    assert one(play, MATHS, "Let me think.") == ("I", "never-finished", "out of turns", 1)


def test_one_message_holds_the_function(play: Play) -> None:
    """With or without examples beside it; broken code is unreadable."""
    assert one(play, CODE, TWICE) == ("C", None, "answered", 1)
    assert one(play, CODE, f"```python\n{TWICE}\n```")[0] == "C"
    assert one(play, CODE, TWICE.replace("\n```", "\n\nprint(twice(4))\n```\nDone."))[0] == "C"
    broken = TWICE.replace("(x):", "(x)")
    assert one(play, CODE, broken) == ("I", "unreadable", "out of turns", 1)
    assert one(play, CODE, "I would double it.")[1] == "never-finished"


def test_one_message_acts_by_one_program(play: Play) -> None:
    """It is run once, and what it leaves is judged."""
    acted = "```python\nopen('done', 'w').write('x')\n```"
    assert one(play, STATE, acted) == ("C", None, "answered", 1)
    assert one(play, STATE, acted.replace("'x'", "'y'"))[1] == "wrong"
    assert one(play, STATE, acted.replace("open", "close"))[1] == "crashed"
    assert one(play, STATE, "ANSWER: done") == ("I", "never-finished", "out of turns", 1)


def test_one_message_may_not_fit(play: Play) -> None:
    """A full context is no answer."""
    full = Answer("the request exceeds the available context size", 400)
    assert one(play, MATHS, full) == ("I", "never-finished", "out of context", 0)


@given(st.text(max_size=5000), st.text(max_size=2000), st.integers(0, 255))
def test_an_observation_is_short(stdout: str, stderr: str, code: int) -> None:
    """Whatever a program prints, the agent's context survives it."""
    told = observation(Ran(code, stdout, stderr, {}))
    assert told.startswith(("Output:\n", "Error:\n"))
    assert len(told) < 2 * OUTPUT_CHARACTERS


def test_the_prompt_gives_nothing_away() -> None:
    """The example of the prompt is none of the bundled tasks."""
    tasks = Path(__file__).parent.parent / "examples" / "tasks" / "tasks.jsonl"
    if not tasks.exists():
        pytest.skip("no bundled tasks")
    texts = [json.loads(line)["task"] for line in tasks.read_text("utf-8").splitlines()]
    for example in (
        agent_module._EXAMPLE_ANSWER,
        agent_module._EXAMPLE_CODE,
        agent_module._EXAMPLE_ACT,
    ):
        asked = example.splitlines()[0].removeprefix("Task: ")
        assert not any(asked in text for text in texts)
