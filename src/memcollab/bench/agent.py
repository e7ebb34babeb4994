"""The agent of ``bench collect``, as an Inspect solver: the paper's code agent (section 3.1).

Turns of thought and Python; the program's output comes back; a final answer ends the run. The
harness is called ``python-turns``. Everything it says is in this module, and its text is part of
what a run's settings are.

What ends a run: a final answer, words that repeat what the program printed, the same program a
second time (it is not run again: it may act), for a code task the function with nothing beside it
that would show a result; no turns left; no context left. A run that ends without a final answer
still ends with what can be read from it (`replies.last_answer`, `replies.last_definition`), and its
score says that it did not finish.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from inspect_ai.model import (
    ChatMessageSystem,
    ChatMessageUser,
    Model,
    get_model,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import sandbox, store

from memcollab.bench import replies
from memcollab.bench.confine import Ran
from memcollab.bench.replies import Reply
from memcollab.bench.sandbox import PROGRAM, Confined, python_command

HARNESS = "python-turns"
OUTPUT_CHARACTERS = 1000

_SYSTEM = """\
You solve a task step by step with Python. You have at most {turns} messages.

In a message, think in one or two sentences, then write one complete program:
```python
print(17 + 25)
```
Stop after the program. It is run, and you get its output:
Output:
42
Variables are not kept from one program to the next; files are.
{module}
{finish}"""
_FINISH_ANSWER = """\
When you know the answer, finish with one line that starts with ANSWER:, for example
ANSWER: 42"""
_FINISH_ACT = """\
When it is done, finish with one line that starts with ANSWER:, for example
ANSWER: done"""
_MODULE = "Your programs can import the module `{module}`: begin them with `import {module}`.\n"
_FINISH_CODE = """\
When the function works, finish with a message that holds only its complete definition in a \
```python block, without tests and without examples."""
_ASK_PROGRAM = "Write a Python program that does the task, in a ```python block."
_ASK_ANSWER = "Finish with one line that starts with ANSWER: and then gives your answer."
_ASK_FUNCTION = "Write the function `{function}` in a ```python block."
_CUT = "Your message was too long and was cut off. Be shorter."
_LAST = "This is your last message."
_PROMPTS = (
    *(_SYSTEM, _FINISH_ANSWER, _FINISH_ACT, _FINISH_CODE, _MODULE),
    *(_ASK_PROGRAM, _ASK_ANSWER, _ASK_FUNCTION, _CUT, _LAST),
)
HARNESS_DIGEST = hashlib.sha256("\0".join(_PROMPTS).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Ending:
    """How a run ended: ``answer`` is the final answer, or the source of the function for a code
    task; ``how`` is ``answered``, ``out of turns`` or ``out of context``."""

    answer: str | None
    how: str
    turns: int


@dataclass(frozen=True)
class _Progress:
    """What the loop remembers from one turn to the next; ``code`` ran, and printed ``output``."""

    texts: tuple[str, ...] = ()
    code: str | None = None
    output: str = ""


@dataclass(frozen=True)
class _Asked:
    """What kind of end a task wants: a function of that name, an answer, or (``acts``) a change in
    the working folder; and the module it brings."""

    function: str | None
    acts: bool
    module: str | None


@solver
def python_turns(turns: int = 5) -> Solver:
    """The agent; the model, its temperature and its token limit are those of the evaluation."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001
        known = state.metadata
        task = _Asked(known.get("function"), bool(known.get("acts")), known.get("module"))
        system = ChatMessageSystem(content=_introduction(task, turns))
        state.messages = [system, *state.messages]
        ending = await _run(state, get_model(), turns, task)
        store().set("ending", ending.__dict__)
        state.completed = True
        return state

    return solve


def _introduction(task: _Asked, turns: int) -> str:
    finish = _FINISH_CODE if task.function else _FINISH_ACT if task.acts else _FINISH_ANSWER
    module = _MODULE.format(module=task.module) if task.module else ""
    return _SYSTEM.format(finish=finish, module=module, turns=turns)


async def _run(state: TaskState, model: Model, turns: int, task: _Asked) -> Ending:
    """Turn by turn until something ends the run."""
    so_far = _Progress()
    for turn in range(1, turns + 1):
        state.output = await model.generate(state.messages)
        state.messages.append(state.output.message)
        so_far = replace(so_far, texts=(*so_far.texts, state.output.completion))
        reply = replies.read(so_far.texts[-1])
        if final := _final(reply, so_far, task):
            return Ending(final, "answered", turn)
        if state.output.stop_reason == "model_length":
            return Ending(_best(so_far, task), "out of context", turn)
        said = ""
        if reply.code is not None:
            ran = await _execute(reply.code)
            so_far = replace(so_far, code=reply.code, output=ran.stdout)
            if settled := _settled(reply, ran, task):
                return Ending(settled, "answered", turn)
            said = observation(ran)
        if turn < turns:
            cut = reply.cut or state.output.stop_reason == "max_tokens"
            answer = _told(said, task, so_far, cut=cut, last=turn == turns - 1)
            state.messages.append(ChatMessageUser(content=answer))
    return Ending(_best(so_far, task), "out of turns", turns)


def _final(reply: Reply, so_far: _Progress, task: _Asked) -> str | None:
    """The final answer of a message that needs no run of its code, if it has one."""
    if reply.code is not None and reply.code == so_far.code:
        return _best(so_far, task)
    if task.function is not None and reply.code is None:
        # Words about a function that was written before: they close the run.
        return _best(so_far, task)
    if task.function is not None and reply.code is not None:
        return reply.code if reply.bare and replies.defines(reply.code, task.function) else None
    if reply.code is not None or (task.acts and so_far.code is None):
        # Nothing was done yet: a word that it is done is none.
        return None
    text = so_far.texts[-1]
    return reply.answer or replies.repeated(text, so_far.output) or replies.concluded(text)


def _settled(reply: Reply, ran: Ran, task: _Asked) -> str | None:
    """The final answer of a message that states it beside a program, now that the program ran.

    An answer written before its output is a guess, unless the output bears it out. A task that
    acts on the world must not act twice: a closing word without a number ("done") is taken.
    """
    if task.function is not None or ran.code != 0:
        return None
    printed = replies.stated_answer(ran.stdout)
    if printed:
        return printed
    if reply.answer is None:
        return None
    borne_out = reply.answer in ran.stdout
    closing = task.acts and not any(character.isdigit() for character in reply.answer)
    return reply.answer if borne_out or closing else None


def _best(so_far: _Progress, task: _Asked) -> str | None:
    if task.function is not None:
        return replies.last_definition(so_far.texts, task.function)
    return replies.last_answer(so_far.texts, so_far.output)


def _told(said: str, task: _Asked, so_far: _Progress, *, cut: bool, last: bool) -> str:
    """What the agent hears after a message that did not end the run: one request at a time, as
    small models repeat a choice where they should make it."""
    parts = [said] if said else []
    if cut:
        parts.append(_CUT)
    if last:
        parts.append(_LAST)
    if not said or last:
        parts.append(_request(task, so_far))
    return "\n".join(parts)


def _request(task: _Asked, so_far: _Progress) -> str:
    if task.function is not None:
        return _ASK_FUNCTION.format(function=task.function)
    return _ASK_PROGRAM if task.acts and so_far.code is None else _ASK_ANSWER


async def _execute(code: str) -> Ran:
    box = sandbox().as_type(Confined)
    await box.write_file(PROGRAM, code)
    return await box.run(python_command())


def observation(ran: Ran) -> str:
    """What the agent is told of a run: its output, cut in the middle, and the end of its error."""
    parts = [f"Output:\n{_cut(ran.stdout.strip()) or '(nothing was printed)'}"]
    if ran.stopped:
        parts.append(f"The program was ended: it passed the {ran.stopped}.")
    elif ran.code != 0:
        parts.append(f"Error:\n{_cut(_error(ran.stderr), OUTPUT_CHARACTERS // 2)}")
    return "\n".join(parts)


def _error(stderr: str) -> str:
    """A traceback without the frames of the harness; its last lines say the most."""
    lines = stderr.strip().splitlines()
    own = [n for n, line in enumerate(lines) if PROGRAM.rsplit("/", 1)[-1] in line]
    return "\n".join(lines[own[0] :] if own else lines[-3:]).replace(f"{PROGRAM}", "program.py")


def _cut(text: str, most: int = OUTPUT_CHARACTERS) -> str:
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]}\n… ({len(text) - 2 * half} characters left out) …\n{text[-half:]}"
