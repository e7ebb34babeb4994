"""`memcollab.bench.suites.house_rules`: tasks can be done, traps catch, nothing tells."""

from __future__ import annotations

import ast
import importlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import combinations, product
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memcollab.bench import confine
from memcollab.bench.agent import Ending
from memcollab.bench.judge import Judgement, judge_ending
from memcollab.bench.sandbox import PROGRAM, Bubblewrap, Confined, Unconfined, python_command
from memcollab.bench.suites import house_rules
from memcollab.bench.suites.house_rules import CONVENTIONS, HouseTask, as_tested, generate
from memcollab.bench.suites.house_rules.situations import TOOLS as TOOLS_OF
from memcollab.bench.tasks import State
from memcollab.errors import SandboxError
from memcollab.recall import same_task

SEEDS = range(3)
TOOLS = Path(house_rules.__file__).parent / "tools"
# What a tool's task texts, signatures, docstrings and errors must not say.
SECRETS = {
    "kiosk": r"\bcents?\b|whole number|hundred|\bbefore|each time|every payment",
    "halls": r"DD|MM|YYYY|HHMM|24-hour|dots?\b|digits|colon|month",
    "parcels": r"capital|upper|\bgrams?\b|again|retry|until",
    "timesheet": r"(in|of) minutes|HHMM|24-hour|digits|colon|first|before",
    "stockroom": r"negative|minus|capital|upper|dash|digits|before",
    "loans": r"surname|last name|comma|DD|MM|YYYY|dots?\b|first|before",
    "sprinkler": r"three|MON|capital|upper|HHMM|digits|colon|before|first",
    "messenger": r"@|handle|lower|\b5 is|most urgent|retry|until|busy",
    "members": r"digits|zero|pad|DD|MM|YYYY|dots?\b|empty|from 0",
    "vault": r"twice|second|capital|upper|dash|digits|before|first",
}
# Hints that are meant to be there: an example of the form, never the rule. "Sending again
# replaces" says that a repetition is harmless.
HINTS = re.compile(
    r"sending again|number from 1 to 5|until a day|large letters only|today is MON", re.I
)


def run(made: HouseTask, program: str) -> str | None:
    """Run a program of ours and the task's check in this process, in the working folder.

    Returns what the check says against it, None where the task is solved. A program may raise: what
    it left is what counts."""
    for name, text in made.task.files.items():
        Path(name).write_text(text, encoding="utf-8")
    with suppress(LookupError, ValueError, RuntimeError):
        exec(program, {})
    assert isinstance(made.task.checker, State)
    try:
        exec(made.task.checker.check, {})
    except AssertionError as error:
        return str(error)
    return None


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working folder of its own, in which the tools can be imported by their own names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    importlib.invalidate_caches()
    yield
    for name in CONVENTIONS:
        sys.modules.pop(name, None)


def every(seeds: range = SEEDS) -> Iterator[HouseTask]:
    """The tasks of several seeds."""
    for seed in seeds:
        yield from generate(seed)


@given(seed=st.integers(0, 10**9))
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_reference_solves_and_nothing_else_does(seed: int) -> None:
    """In every task the reference leaves what is asked for; doing nothing and each program that the
    signatures suggest do not, and the check says what is wrong."""
    for made in generate(seed):
        assert run(made, made.reference) is None, (made.task.task_id, made.reference)
        for program in ("", *made.naive):
            said = run(made, program)
            assert said, (made.task.task_id, program)
            assert re.match(r"\w+: .+ (is .+ and not .+|should not be there)$", said)


def test_doing_it_again_or_after_failing_is_harmless() -> None:
    """The reference solves a task that was done already, and one in which the naive programs of the
    first two levels were tried before."""
    for made in every():
        tried = made.naive if made.level < 3 else ()
        assert run(made, "\n".join([made.reference, made.reference])) is None
        assert run(made, _forgiving([*tried, made.reference])) is None, made.task.task_id


def _forgiving(programs: list[str]) -> str:
    return f"""
for program in {programs!r}:
    try:
        exec(program, {{}})
    except (LookupError, ValueError):
        pass
"""


def test_every_tool_has_sixteen_tasks_on_four_levels() -> None:
    """Ten tools; a part has two tasks of level 0, three of level 1, two of level 2 and one of
    level 3 of each."""
    counts = Counter((made.tool, made.part, made.level) for made in generate(3))
    parts = product(CONVENTIONS, ("build", "test"), ((0, 2), (1, 3), (2, 2), (3, 1)))
    assert len(CONVENTIONS) == 10
    assert counts == {(tool, part, level): number for tool, part, (level, number) in parts}


def test_load_gives_the_two_parts() -> None:
    """Eighty tasks each; an id names tool, part and level; the tool comes as a module."""
    build, test = house_rules.load()

    assert len(build) == len(test) == 80
    assert [each.task for each in generate(0) if each.part == "test"] == test
    ids = [task.task_id for task in [*build, *test]]
    assert len(set(ids)) == 160
    assert all(
        re.fullmatch(r"house-rules-[a-z]+-(build|test)-l[0123]-0[1-3]", each) for each in ids
    )
    for task in [*build, *test]:
        assert task.module == f"{task.module_name}.py"
        assert task.module_text == (TOOLS / task.module).read_text(encoding="utf-8")
        assert task.category is None
    assert all(list(task.files) == [f"{task.module_name}.json"] for task in test)


def test_another_test_seed_draws_tasks_that_nobody_saw() -> None:
    """To confirm a result: the build part stays, no test task is one of seed 0's, and each is put
    in a sentence of the test part, with an id of its own."""
    build, test = house_rules.load()
    same, fresh = house_rules.load(test_seed=1)
    assert same == build
    assert len(fresh) >= 70
    assert not {task.task_id for task in fresh} & {task.task_id for task in test}
    assert all(task.task_id.endswith("-s1") for task in fresh)
    for task in fresh:
        assert not any(same_task(task.task, known.task) for known in [*build, *test])
    dealt = [
        {(made.tool, made.part, _sentence(made)) for made in generate(seed)} for seed in (0, 1)
    ]
    assert dealt[0] == dealt[1]


def _sentence(made: HouseTask) -> str:
    """The sentence that a task was put in, with its blanks."""
    level = TOOLS_OF[made.tool][made.level]
    (found,) = (
        sentence
        for sentence in level.sentences
        if re.match(re.sub(r"\\{\w+\\}", ".+", re.escape(sentence)), made.task.task)
    )
    return found


def test_only_who_builds_finds_a_notice_on_the_door() -> None:
    """With every build task lie its tool's conventions, printed when the tool is imported; with no
    test task does anything of the kind."""
    build, test = house_rules.load()
    for task in build:
        hung = task.files["notice.txt"].casefold()
        assert all(each.casefold() in hung for each in CONVENTIONS[str(task.module_name)])
        assert "notice.txt" in str(task.module_text)
        met = as_tested(task)
        assert "notice.txt" not in met.files
        assert met.task == task.task
    assert not [task.task_id for task in test if "notice.txt" in task.files]
    assert [as_tested(task) for task in test] == test


def test_a_seed_decides_everything() -> None:
    """The same seed gives the same tasks, another one other tasks of the same kinds."""
    assert generate(7) == generate(7)
    one, other = ({made.task.task for made in generate(seed)} for seed in (7, 8))
    assert len(one & other) <= len(one) // 30


def test_no_task_is_put_twice() -> None:
    """Neither in the two parts nor within one, near-duplicates included."""
    for seed in SEEDS:
        for (_, ours), (_, theirs) in combinations(_texts(seed), 2):
            assert not same_task(ours, theirs), (ours, theirs)


def _texts(seed: int) -> list[tuple[str, str]]:
    return [(made.task.task_id, made.task.task) for made in generate(seed)]


def test_both_parts_need_the_same_conventions() -> None:
    """Each level has as many traps in a build task as in a test task of the tool."""
    for tool, level in product(CONVENTIONS, (0, 1, 2, 3)):
        made = [each for each in generate(0) if (each.tool, each.level) == (tool, level)]
        traps = {
            part: {len(each.naive) for each in made if each.part == part}
            for part in ("build", "test")
        }
        assert traps["build"] == traps["test"], (tool, level)


@pytest.mark.parametrize("tool", CONVENTIONS)
def test_nothing_tells_the_convention(tool: str) -> None:
    """No task says how it is done, nor do the tool's signatures, docstrings and errors; the spoken
    form of the convention is not even in the tool's comments."""
    source = (TOOLS / f"{tool}.py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    names = [ast.unparse(node.args) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    texts = {made.task.task for made in every() if made.tool == tool}

    for text in [*texts, *(each for each in [*strings, *names] if not _is_form(each))]:
        assert not re.search(SECRETS[tool], HINTS.sub("", text)), text
    for convention, text in product(CONVENTIONS[tool], [source, *texts]):
        assert convention.casefold() not in " ".join(text.casefold().split())


def _is_form(text: str) -> bool:
    """Whether a string of a tool is a pattern or a name, which no agent is shown."""
    return "\\d" in text or text.isupper() or text.replace("_", "").isalnum()


@pytest.mark.parametrize("tool", CONVENTIONS)
def test_a_tool_has_a_short_word_for_what_it_does(tool: str) -> None:
    """Each public function has a docstring of one line; the calls that tasks name exist."""
    tree = ast.parse((TOOLS / f"{tool}.py").read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    public = {node.name: node for node in functions if not node.name.startswith("_")}
    for node in public.values():
        assert "\n" not in (ast.get_docstring(node) or "\n")
    for made in generate(0):
        if made.tool == tool:
            for name, given_ in re.findall(r"(\w+)\(([^)]*)\)", made.task.task):
                assert ", ".join(each.arg for each in public[name].args.args) == given_


@pytest.fixture(scope="module")
def box_type() -> type[Confined]:
    """The real confinement where there is one."""
    try:
        confine.check("bubblewrap")
    except SandboxError:
        return Unconfined
    return Bubblewrap


@pytest.mark.filterwarnings("ignore:model-written code runs unconfined:UserWarning")
@pytest.mark.parametrize("tool", CONVENTIONS)
def test_an_agents_programs_are_judged_in_the_sandbox(box_type: type[Confined], tool: str) -> None:
    """The same verdicts by the judge of a run: one task of each tool, done and done naively."""
    made = next(
        each for each in generate(0) if each.tool == tool and each.level == 2 - (len(tool) % 2)
    )

    async def go(program: str) -> Judgement:
        box = box_type()
        box.files = {name: text.encode() for name, text in made.task.files.items()}
        await box.write_file(f"{confine.TOOLS}/{tool}.py", made.task.module_text or "")
        await box.write_file(PROGRAM, program)
        await box.run(python_command())
        return await judge_ending(made.task, Ending("done", "answered", 1, 1), box)

    assert anyio.run(go, made.reference) == Judgement(None)
    failed = anyio.run(go, made.naive[0])
    assert failed.failure == "wrong"
    assert failed.detail.startswith("AssertionError: ")


def test_the_tools_are_data_that_a_wheel_carries() -> None:
    """Every tool of the suite is a file of the package, and every file is a tool of the suite."""
    files = {path.stem for path in TOOLS.glob("*.py")} - {"__init__"}
    assert files == set(CONVENTIONS)
    assert all(json.loads(made.task.files[f"{made.tool}.json"]) for made in generate(0))
