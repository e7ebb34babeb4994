"""Whether a run solved its task, and if not, how it failed.

Verdicts come from programs, never from a model: math-verify, tests, or a check of what is left.
Every check runs in the sandbox, so that an answer that is hostile to the checker (``9**9**9``, a
function that ends the process) meets the same walls as the agent's code. A check that cannot be
carried out raises: the sample has an error then, and no verdict.

Failures: ``wrong`` · ``crashed`` (the code raises where no test asserts, or passes a limit; where a
task acts, the last program did) · ``unreadable`` (a final answer that cannot be read as one; code,
and none that defines the function; never where a task acts, as nothing of it is read) ·
``out-of-turns`` (something was there when the turns ended, and it is wrong; where a task acts, its
programs ran) · ``never-finished`` (nothing was there; where a task acts, no program was run).
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import TaskState
from inspect_ai.util import sandbox, store

from memcollab.bench import replies
from memcollab.bench.agent import Ending
from memcollab.bench.confine import PACKAGES, TOOLS
from memcollab.bench.sandbox import Confined
from memcollab.bench.tasks import BenchTask, Code, Exact, Maths, State
from memcollab.errors import SandboxError

Failure = Literal["wrong", "crashed", "unreadable", "out-of-turns", "never-finished"]
_CHECKED: tuple[Failure, ...] = ("wrong", "crashed", "unreadable")
CHECK_SECONDS = 60.0
_MATHS_PACKAGES = ("math_verify", "latex2sympy2_extended", "antlr4", "sympy", "mpmath")

# Each check reads one JSON object from standard input and writes its verdict as a last line that
# starts with the token, which the code under test never gets to see by honest means. "begun" tells
# a check that was ended by what it looks at from one that never came to look.
_HEAD = """
import json, sys
given = json.loads(sys.stdin.readline())
sys.path[:0] = sys.argv[1:]
token = given.pop("token")
def verdict(name, detail=""):
    sys.stdout.flush()
    print("\\n" + token + json.dumps([name, str(detail)[:500]]), flush=True)
def told(error):
    return f"{type(error).__name__}: {error}"
def begin():
    verdict("begun")
"""
_CODE = (
    _HEAD
    + """
import ast
def run(given, verdict, told):
    begin()
    space = {"__name__": "solution"}
    exec(compile(given["setup"], "setup.py", "exec"), space)
    stub = space.get(given["entry_point"])
    failed = None
    # Statement by statement: an example below the function that raises does not take it away.
    for node in ast.parse(given["source"]).body:
        try:
            exec(compile(ast.Module([node], []), "solution.py", "exec"), space)
        except BaseException as error:
            failed = failed or told(error)
    if space.get(given["entry_point"]) is stub:
        return verdict("crashed", failed)
    try:
        exec(compile(given["tests"], "tests.py", "exec"), space)
    except AssertionError as error:
        return verdict("wrong", told(error))
    except BaseException as error:
        return verdict("crashed", told(error))
    verdict("solved")
run(given, verdict, told)
"""
)
_STATE = (
    _HEAD
    + """
begin()
try:
    space = {"__name__": "check", "answer": given["answer"]}
    exec(compile(given["check"], "check.py", "exec"), space)
except BaseException as error:
    verdict("wrong", told(error))
else:
    verdict("solved")
"""
)
_MATHS = (
    _HEAD
    + """
from math_verify import parse, verify
begin()
def forms(text):
    power = text.replace("**", "^")  # an answer that Python printed
    found = [parse(form) for form in (f"${text}$", text, f"${power}$")]
    return [form for form in found if form]
gold, said = forms(given["gold"]), forms(given["answer"])
if not gold:
    verdict("no gold", given["gold"])
elif not said:
    verdict("unreadable", given["answer"])
elif any(verify(one, other) for one in gold for other in said):
    verdict("solved")
else:
    verdict("wrong", given["answer"])
"""
)


@dataclass(frozen=True)
class Judgement:
    """``failure`` is None when the task was solved."""

    failure: Failure | None
    detail: str = ""


def judge(tasks: dict[str, BenchTask], done: Callable[[str, bool], None] | None = None) -> Scorer:
    """A scorer over these tasks (by id); ``done`` is told of each verdict."""

    @scorer(metrics=[accuracy()], name="solved")
    def solved() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001 - Inspect's
            ending = Ending(**store().get("ending"))
            task, box = tasks[str(state.sample_id)], sandbox().as_type(Confined)
            judgement = await judge_ending(task, ending, box)
            if done is not None:
                done(str(state.sample_id), judgement.failure is None)
            said = [each.text for each in state.messages if each.role == "assistant"]
            return Score(
                value=CORRECT if judgement.failure is None else INCORRECT,
                answer=ending.answer,
                explanation=judgement.detail or None,
                metadata={
                    "failure": judgement.failure,
                    "ended": ending.how,
                    "turns": ending.turns,
                    "programs": ending.programs,
                    "failed": ending.failed,
                    "opened": looks_behind(task, said) if task.module else None,
                },
            )

        return score

    return solved()


def looks_behind(task: BenchTask, said: Iterable[str]) -> bool:
    """Whether programs in an agent's messages name, in quotes, the file of the task's tool or one
    that lies beside it (its state), or ask Python for source: then it may have read what it was to
    find out by calling."""
    files = "|".join(map(re.escape, [f"{task.module_name}.py", *task.files]))
    behind = re.compile(rf"""['"/](?:{files})['"]|getsource|__file__|linecache""")
    return any(behind.search(each) for each in said)


async def judge_ending(task: BenchTask, ending: Ending, box: Confined) -> Judgement:
    """The verdict on how a run ended, its failure named; ``box`` holds what the run left.

    Raises:
        SandboxError: the check itself could not be carried out.
    """
    acts = isinstance(task.checker, State)
    if ending.answer is None and not acts:
        return Judgement("unreadable" if task.function and ending.programs else "never-finished")
    judgement = await _check(task, ending.answer or "", box)
    if judgement.failure is not None and acts and ending.failed:
        return Judgement("crashed", judgement.detail)
    if judgement.failure in ("wrong", "unreadable") and ending.how != "answered":
        idle = acts and not ending.programs
        return Judgement("never-finished" if idle else "out-of-turns", judgement.detail)
    return judgement


async def _check(task: BenchTask, answer: str, box: Confined) -> Judgement:
    match task.checker:
        case Exact(answer=gold):
            same = _plain(gold) == _plain(answer)
            return Judgement(None if same else "wrong", answer)
        case Maths(answer=gold):
            # The same words are the same answer, and most right answers are.
            if _plain(gold) == _plain(replies.clean(answer) or ""):
                return Judgement(None)
            given = {"gold": gold, "answer": answer}
            return await _checked(_MATHS, given, task, box, _MATHS_PACKAGES)
        case Code(entry_point=name, tests=tests, setup=setup):
            given = {"source": answer, "entry_point": name, "tests": tests, "setup": setup}
            return await _checked(_CODE, given, task, box, None)
        case State(check=check):
            return await _checked(_STATE, {"check": check, "answer": answer}, task, box, ())


async def _checked(
    program: str,
    given: dict[str, str],
    task: BenchTask,
    box: Confined,
    packages: tuple[str, ...] | None,
) -> Judgement:
    """Run a check in the sandbox and read its verdict."""
    token = secrets.token_hex(16)
    ran = await box.run(
        ["python", "-P", "-s", "-B", "-c", program, f"{TOOLS}/", f"{PACKAGES}/"],
        stdin=json.dumps(given | {"token": token}) + "\n",
        seconds=CHECK_SECONDS,
        packages=packages,
    )
    lines = [line for line in ran.stdout.splitlines() if line.startswith(token)]
    name, detail = json.loads(lines[-1].removeprefix(token)) if lines else ("no verdict", "")
    if name == "solved":
        return Judgement(None)
    for failure in _CHECKED:
        if name == failure:
            return Judgement(failure, detail)
    ended = f"it passed the {ran.stopped}" if ran.stopped else f"exit code {ran.code}"
    if name == "begun" and isinstance(task.checker, Code):
        return Judgement("crashed", ended)
    if name == "begun" and isinstance(task.checker, Maths):
        return Judgement("unreadable", f"comparing it did not end: {ended}")
    raise SandboxError(
        f"the check of {task.task_id!r} gave no verdict ({name}{detail and f': {detail!r}'}): "
        f"{ended}, {ran.stderr.strip()[-400:]!r}"
    )


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".").replace("$", "").strip()
