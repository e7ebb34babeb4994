"""The agents of the bench, as Inspect solvers: the paper's code agent (section 3.1), and one that
has a single message.

``python-turns``: turns of thought and Python; the program's output comes back; a final answer ends
the run. ``single-turn``: one message, read in the same way. Everything they say is in this module,
and its text is part of what a run's settings are. Guidance, where the sample's metadata holds it as
``memcollab_guidance``, stands behind the task's text in its user message (`guided.insert`).

What ends a run of turns: a final answer, words that repeat what the program printed, the same
program a second time (where it acts, it is run again, and ends the run if the same comes of it
again), for a code task the function with nothing beside it that would show a result; no turns left;
no context left. A run that ends without a final answer still ends with what can be read from it
(`replies.last_answer`, `replies.last_definition`, `replies.whole_definition`), and its score says
that it did not finish.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    Model,
    ModelOutput,
    get_model,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import sandbox, store
from tenacity import RetryError

from memcollab.bench import replies
from memcollab.bench.confine import Ran
from memcollab.bench.guided import inserted
from memcollab.bench.replies import Reply
from memcollab.bench.sandbox import PROGRAM, Confined, python_command
from memcollab.errors import ModelError

HARNESS = "python-turns"
# Raised when the same messages would go another way, so that a collection does not mix the two.
HARNESS_VERSION = 4
OUTPUT_CHARACTERS = 1000

# Chosen by trials with 0.5B and 1.5B models (design/sandbox.md has them): an example that ends with
# an answer of its own makes them answer without a thought, one worked example in place of rules
# makes them write short programs, and "ANSWER: the result" is copied as it stands.
_SYSTEM = """\
You solve a task with Python, in at most {turns} messages.

A message is a thought of one or two sentences and then one complete program in a ```python block. \
Stop after the program: it is run, and you get its output. Variables are not kept from one program \
to the next; files are.
{finish}

Example:
{example}"""
_FINISH_ANSWER = """\
When an output has shown you the answer, finish with a message that ends with the line ANSWER: and \
the answer."""
_EXAMPLE_ANSWER = """\
Task: How many even numbers are there from 5 to 31?
Thought: I go through the numbers and count the even ones.
```python
print(len([n for n in range(5, 32) if n % 2 == 0]))
```
Output:
13
Thought: The program counted 13 numbers.
ANSWER: 13"""
_FINISH_CODE = """\
When the function works, finish with a message that holds only its complete definition in a \
```python block."""
_EXAMPLE_CODE = """\
Task: Write a function `double(x)` that returns twice x.
Thought: I write the function and try it.
```python
def double(x):
    return 2 * x

print(double(4), double(-1))
```
Output:
8 -2
Thought: Both are right.
```python
def double(x):
    return 2 * x
```"""
_FINISH_ACT = """\
When it is done, finish with a message that ends with the line ANSWER: done"""
_EXAMPLE_ACT = """\
Task: Switch on the lamp in the hall. Use the Python module lamps.
Thought: I call the function and look at what it returns.
```python
import lamps

print(lamps.switch("hall", True))
```
Output:
hall is on
Thought: The lamp is on.
ANSWER: done"""
_ASK_PROGRAM = "Write a Python program that does the task, in a ```python block."
_ASK_ANSWER = "Finish with one line that starts with ANSWER: and then gives your answer."
_ASK_FUNCTION = "Write the function `{function}` in a ```python block."
_CUT = "Your message was too long and was cut off. Be shorter."
_LAST = "This is your last message."
_NOTHING = "(nothing was printed; use print to see values)"
# Where a model goes on to imagine the output of its program. Servers that know stop sequences spare
# the tokens; `replies.until_output` cuts for the others.
STOP = ("\nOutput:", "```output")
_PROMPTS = (
    *(_SYSTEM, _FINISH_ANSWER, _FINISH_ACT, _FINISH_CODE),
    *(_EXAMPLE_ANSWER, _EXAMPLE_ACT, _EXAMPLE_CODE),
    *(_ASK_PROGRAM, _ASK_ANSWER, _ASK_FUNCTION, _CUT, _LAST, _NOTHING),
)
_OUT_OF_CONTEXT = ("exceed_context_size", "exceeds the available context", "maximum context length")
HARNESS_DIGEST = hashlib.sha256("\0".join([str(HARNESS_VERSION), *_PROMPTS]).encode()).hexdigest()[
    :12
]

SINGLE = "single-turn"
SINGLE_VERSION = 1
_SINGLE = "You solve a task in one message. {finish}"
_ONE_ANSWER = "Think step by step, then end with the line ANSWER: and the answer."
_ONE_FUNCTION = "Write only the complete definition of the function in a ```python block."
_ONE_PROGRAM = """\
Write one complete Python program that does the task, in a ```python block. It is run once."""
_ONE_PROMPTS = (_SINGLE, _ONE_ANSWER, _ONE_FUNCTION, _ONE_PROGRAM)
SINGLE_DIGEST = hashlib.sha256(
    "\0".join([str(SINGLE_VERSION), *_ONE_PROMPTS]).encode()
).hexdigest()[:12]


@dataclass(frozen=True)
class Ending:
    """How a run ended: ``answer`` is the final answer, or the source of the function for a code
    task; ``how`` is ``answered``, ``out of turns`` or ``out of context``; ``programs`` counts those
    that were run; ``failed`` says that the last of them raised or was ended."""

    answer: str | None
    how: str
    turns: int
    programs: int = 0
    failed: bool = False


@dataclass(frozen=True)
class _Progress:
    """What the loop remembers from one turn to the next: the messages, the last program, whether it
    ended well, what it printed then, and what the agent was told of it."""

    texts: tuple[str, ...] = ()
    code: str | None = None
    worked: bool = False
    output: str = ""
    seen: str = ""
    programs: int = 0

    def ran(self, code: str, ran: Ran) -> _Progress:
        worked = ran.code == 0
        return replace(
            self,
            code=code,
            worked=worked,
            output=ran.stdout if worked else "",
            seen=observation(ran),
            programs=self.programs + 1,
        )

    def repeats(self, before: _Progress) -> bool:
        """Whether the same program ended the same way again: more turns would go round in it."""
        return (self.code, self.seen) == (before.code, before.seen)

    def end(self, answer: str | None, how: str) -> Ending:
        failed = self.programs > 0 and not self.worked
        return Ending(answer, how, len(self.texts), self.programs, failed)


@dataclass(frozen=True)
class _Asked:
    """What kind of end a task wants: a function of that name, an answer, or (``acts``) a change in
    the working folder."""

    function: str | None
    acts: bool


@solver
def python_turns(turns: int = 5) -> Solver:
    """The agent; the model, its temperature and its token limit are those of the evaluation."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001
        task = _asked(state)
        system = ChatMessageSystem(content=_introduction(task, turns))
        state.messages = [system, *inserted(state)]
        ending = await _run(state, get_model(), turns, task)
        store().set("ending", ending.__dict__)
        state.completed = True
        return state

    return solve


@solver
def single_turn() -> Solver:
    """One message: the final answer, or the function that a code task asks for. Where the task is
    to act, the message's program is run once, and its output is not seen."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001
        task = _asked(state)
        said = _SINGLE.format(finish=_finish(task, _ONE_ANSWER, _ONE_FUNCTION, _ONE_PROGRAM))
        state.messages = [ChatMessageSystem(content=said), *inserted(state)]
        ending = await _one_message(state, get_model(), task)
        store().set("ending", ending.__dict__)
        state.completed = True
        return state

    return solve


async def _one_message(state: TaskState, model: Model, task: _Asked) -> Ending:
    output = await _generate(model, state)
    if output is None:
        return Ending(None, "out of context", 0)
    state.output = output
    # A program that is run ends where its output is imagined. An answer may stand behind that.
    text = replies.until_output(output.completion) if task.acts else output.completion
    state.messages.append(ChatMessageAssistant(content=text, model=output.model))
    reply = replies.read(text)
    if task.acts and reply.code is not None:
        ran = await _execute(reply.code)
        return Ending(reply.answer, "answered", 1, 1, failed=ran.code != 0)
    so_far = _Progress(texts=(text,))
    answer = (None if task.function else reply.answer) or _last(so_far, task)
    done = answer is not None and not task.acts
    return Ending(answer, "answered" if done else "out of turns", 1, int(reply.code is not None))


def _asked(state: TaskState) -> _Asked:
    return _Asked(state.metadata.get("function"), bool(state.metadata.get("acts")))


def _finish(task: _Asked, answer: str, function: str, act: str) -> str:
    if task.function:
        return function
    return act if task.acts else answer


def _introduction(task: _Asked, turns: int) -> str:
    finish = _finish(task, _FINISH_ANSWER, _FINISH_CODE, _FINISH_ACT)
    example = _finish(task, _EXAMPLE_ANSWER, _EXAMPLE_CODE, _EXAMPLE_ACT)
    return _SYSTEM.format(finish=finish, example=example, turns=turns)


async def _run(state: TaskState, model: Model, turns: int, task: _Asked) -> Ending:
    """Turn by turn until something ends the run."""
    so_far = _Progress()
    for left in reversed(range(turns)):
        output = await _generate(model, state)
        if output is None:
            return so_far.end(_last(so_far, task), "out of context")
        state.output = output
        text = replies.until_output(output.completion)
        state.messages.append(ChatMessageAssistant(content=text, model=output.model))
        so_far = replace(so_far, texts=(*so_far.texts, text))
        reply = replies.read(text)
        if final := _final(reply, so_far, task):
            return so_far.end(final, "answered")
        said = ""
        if reply.code is not None:
            ran = await _execute(reply.code)
            before, so_far = so_far, so_far.ran(reply.code, ran)
            if settled := _settled(reply, ran, task):
                return so_far.end(settled, "answered")
            if so_far.repeats(before) and (task.acts or so_far.output):
                how = "answered" if so_far.worked else "out of turns"
                return so_far.end(_last(so_far, task), how)
            said = so_far.seen
        if left:
            cut = reply.cut or output.stop_reason == "max_tokens"
            answer = _told(said, task, so_far, cut=cut, last=left == 1)
            state.messages.append(ChatMessageUser(content=answer))
    return so_far.end(_last(so_far, task), "out of turns")


async def _generate(model: Model, state: TaskState) -> ModelOutput | None:
    """One answer of the model; None where the run no longer fits its context.

    Raises:
        ModelError: the server gave none after every retry; it makes the sample an error.
    """
    try:
        output = await model.generate(state.messages)
    except RetryError as error:
        cause = error.last_attempt.exception()
        raise ModelError(f"the model {model.name!r} gave no answer: {cause!r}") from cause
    except RuntimeError as error:
        # Inspect knows the code that OpenAI gives; llama.cpp and vLLM say it in their own words.
        if any(words in str(error) for words in _OUT_OF_CONTEXT):
            return None
        raise
    return None if output.stop_reason == "model_length" else output


def _final(reply: Reply, so_far: _Progress, task: _Asked) -> str | None:
    """The final answer of a message that needs no run of its code, if it has one."""
    if reply.code is not None and reply.code == so_far.code and not task.acts:
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


def _last(so_far: _Progress, task: _Asked) -> str | None:
    """What a run that did not finish comes to. More is tried here than while it goes on, where a
    message that does not compile is better answered with its error."""
    best = _best(so_far, task)
    if best is None and task.function is not None:
        return replies.whole_definition(so_far.texts, task.function)
    return best


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
    return _ASK_PROGRAM if task.acts and not so_far.worked else _ASK_ANSWER


async def _execute(code: str) -> Ran:
    box = sandbox().as_type(Confined)
    await box.write_file(PROGRAM, code)
    return await box.run(python_command())


def observation(ran: Ran) -> str:
    """What the agent is told of a run: its output, cut in the middle, and the end of its error."""
    failed = ran.stopped or ran.code != 0
    printed = _cut(ran.stdout.strip()) or ("" if failed else _NOTHING)
    parts = [f"Output:\n{printed}"] if printed else []
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
