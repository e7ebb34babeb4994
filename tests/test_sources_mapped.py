"""Mapping files: formats nobody here has seen come in with TOML and no code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import jmespath.functions
import orjson
import pytest

from memcollab.errors import MappingError
from memcollab.records import Rejected, Step, ToolCall, Trajectory
from memcollab.sources import REASONS, load_mapping, parse_mapping, preview, read_runs
from memcollab.sources.expressions import Expression, Functions
from memcollab.sources.rejections import Unfit

BASE = """
[task]
text = "question"
[agent]
model = "model"
[run]
text = "answer"
"""
RECORD = {"question": "1 + 1?", "model": "m-7b", "answer": "2"}


def run_of(mapping: str, record: Any, tmp_path: Path) -> list[Trajectory | Rejected]:
    """What a mapping makes of one JSON document."""
    path = tmp_path / "records.json"
    path.write_bytes(orjson.dumps(record))
    return list(read_runs([path], mapping=parse_mapping(mapping)))


def one(mapping: str, record: Any, tmp_path: Path) -> Trajectory:
    """The one run it makes."""
    (run,) = run_of(mapping, record, tmp_path)
    assert isinstance(run, Trajectory), run
    return run


# --- formats of others, each with the mapping a newcomer would write -------------------------


def test_react_steps_of_three_fields_become_messages(tmp_path: Path) -> None:
    """A list of thought, action and observation becomes assistant and tool messages."""
    mapping = """
        [task]
        text = "problem_statement"
        key = "instance_id"
        [agent]
        model = "info.model"
        harness = "'swe'"
        [run]
        messages = '''trajectory[].[
            {role: 'assistant', content: lines([thought, action, plan])},
            {role: 'tool', content: observation}][]'''
        [verdict]
        solved = "info.status"
        solved_values = ["resolved"]
        [usage]
        turns = "length(trajectory)"
        cost_usd = "info.cost"
        """
    record = {
        "problem_statement": "Fix it.",
        "instance_id": "django-1",
        "info": {"model": "claude-4", "status": "resolved", "cost": 0.25},
        "trajectory": [{"thought": "look", "action": "ls", "observation": "a.py"}],
    }
    run = one(mapping, record, tmp_path)
    assert run.steps == (
        Step(role="assistant", content="look\nls"),
        Step(role="tool", content="a.py"),
    )
    assert (run.verdict.solved, run.usage.turns, run.usage.cost_usd) == (True, 1, 0.25)
    record["info"]["status"] = "patch failed"  # type: ignore[index]
    assert one(mapping, record, tmp_path).verdict.solved is False


def test_one_document_of_many_results_by_task_and_trial(tmp_path: Path) -> None:
    """Results nested by task under one header, each with several trials, in one document."""
    mapping = """
        each = "results[]"
        [task]
        text = "prompt"
        key = "to_string(task_id)"
        [agent]
        model = "record.config.model"
        harness = "record.config.agent"
        [run]
        messages = "traj"
        name = "to_string(trial)"
        [verdict]
        solved = "reward >= `1`"
        score = "reward"
        crashed = "error"
        [usage]
        seconds = "divide(ms, `1000`)"
        """
    trial = {
        "prompt": "Book a flight.",
        "task_id": 4,
        "trial": 1,
        "reward": 1.0,
        "error": None,
        "ms": 2500,
        "traj": [{"role": "assistant", "content": "Done."}],
    }
    record = {
        "config": {"model": "gpt-4o", "agent": "tool-calling"},
        "results": [[trial, {**trial, "trial": 2, "reward": 0.5}], [{**trial, "error": "503"}]],
    }
    runs = run_of(mapping, record, tmp_path)
    assert [run.origin for run in runs] == [f"records.json:1[{index}]" for index in range(3)]
    first, second, third = (run for run in runs if isinstance(run, Trajectory))
    assert (first.agent.model, first.agent.harness, first.task.key) == (
        "gpt-4o",
        "tool-calling",
        "4",
    )
    assert (first.run, first.usage.seconds) == ("1", 2.5)
    assert [run.verdict.solved for run in (first, second, third)] == [True, False, None]
    assert third.verdict.reason == "crashed"


def test_sharegpt_with_the_answer_inside_the_text(tmp_path: Path) -> None:
    """Conversations of from/value, and a verdict by comparing numbers drawn from texts."""
    mapping = r"""
        [task]
        text = "conversations[0].value"
        [agent]
        model = "file.folder"
        family = "'llama'"
        [run]
        messages = "conversations"
        [verdict]
        solved = '''same_number(
            capture(conversations[-1].value, 'answer is \$?([\d,.]+\d)'), gold)'''
        """
    record = {
        "conversations": [
            {"from": "human", "value": "How much?"},
            {"from": "gpt", "value": "So the answer is $1,200."},
        ],
        "gold": "1200.0",
    }
    (tmp_path / "vicuna").mkdir()
    run = one(mapping, record, tmp_path / "vicuna")
    assert (run.agent.model, run.agent.family, run.verdict.solved) == ("vicuna", "llama", True)
    assert run.steps == (Step(role="assistant", content="So the answer is $1,200."),)


def test_messages_kept_as_json_text_in_a_field(tmp_path: Path) -> None:
    """A field that holds messages as JSON text, as data sets with flat columns do, is parsed."""
    mapping = BASE.replace('text = "answer"', 'messages = "parse_json(answer)"')
    messages = [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "tool_calls": [{"name": "add", "arguments": {"x": 1}}]},
    ]
    run = one(mapping, {**RECORD, "answer": orjson.dumps(messages).decode()}, tmp_path)
    assert run.steps == (
        Step(role="assistant", tool_calls=(ToolCall(name="add", arguments='{"x":1}'),)),
    )


def test_records_of_another_kind_are_left_out_by_each(tmp_path: Path) -> None:
    """``each`` with a filter chooses among records; those it leaves out are no runs."""
    mapping = """each = "[record][?kind == 'run']"\n""" + BASE
    (tmp_path / "x.jsonl").write_bytes(
        orjson.dumps({"kind": "header"}) + b"\n" + orjson.dumps({"kind": "run", **RECORD})
    )
    runs = list(read_runs([tmp_path], mapping=parse_mapping(mapping)))
    assert [run.origin for run in runs] == ["x.jsonl:2[0]"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"n":1}\n{"n":2}'),
        ("a.ndjson", b'{"n":1}\r\n\r\n{"n":2}\r\n'),
        ("a.json", b'[{"n":1},\n {"n":2}]'),
        ("a.json", b'\xef\xbb\xbf[{"n":1}, {"n":2}]'),
        ("a.json", b'{"n":1}\n{"n":2}\n'),
    ],
)
def test_the_form_of_a_file_is_found(name: str, content: bytes, tmp_path: Path) -> None:
    """Lines, arrays, and lines under a name of .json are told apart without being told."""
    mapping = BASE.replace('"question"', '"to_string(n)"').replace('"model"', "\"'m'\"")
    mapping = mapping.replace('"answer"', "\"'x'\"")
    (tmp_path / name).write_bytes(content)
    runs = list(read_runs([tmp_path], mapping=parse_mapping(mapping)))
    assert [run.task.text for run in runs if isinstance(run, Trajectory)] == ["1", "2"]


def test_files_are_chosen_by_globs_from_the_right(tmp_path: Path) -> None:
    """Globs match whole parts from the right; one with ``!`` leaves out; the rest are named."""
    for name in ("a/runs/x.jsonl", "a/y.jsonl", "a/runs/index.jsonl", "a/runs/z.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps({**RECORD, "answer": name}) + b"\n")
    mapping = parse_mapping('files = ["runs/*.jsonl", "!index.*"]\n' + BASE)
    skipped: list[str] = []
    runs = list(read_runs([tmp_path], mapping=mapping, on_skip=skipped.append))
    assert [run.origin for run in runs] == ["a/runs/x.jsonl:1"]
    assert skipped == ["a/runs/index.jsonl", "a/runs/z.txt", "a/y.jsonl"]


def test_the_files_own_names_are_fields(tmp_path: Path) -> None:
    """Every name of the file and its folders can be used, from the folder that was given on."""
    names = (
        "[file.name, file.stem, file.folder, file.folders[-2], file.path, to_string(file.archive)]"
    )
    mapping = BASE.replace('"question"', f"\"join('|', {names})\"")
    path = tmp_path / "root" / "set" / "model-1.0.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(orjson.dumps(RECORD))
    (run,) = read_runs([tmp_path / "root"], mapping=parse_mapping(mapping))
    assert isinstance(run, Trajectory)
    assert run.task.text == "model-1.0.json|model-1.0|set|root|root/set/model-1.0.json|null"


@pytest.mark.parametrize(
    ("value", "solved"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        (1.0, True),
        (None, None),
        ("", None),
        ("PASS", True),
        ("incorrect", False),
        ("I", False),
    ],
)
def test_a_verdict_in_the_usual_words_is_read(
    value: Any, solved: bool | None, tmp_path: Path
) -> None:
    """Booleans, 0 and 1, and the usual words need no further naming."""
    mapping = BASE + '[verdict]\nsolved = "ok"\n'
    assert one(mapping, {**RECORD, "ok": value}, tmp_path).verdict.solved is solved


@pytest.mark.parametrize(
    ("lists", "word", "solved"),
    [
        ('solved_values = ["A"]', "A", True),
        ('solved_values = ["A"]', "B", False),
        ('unsolved_values = ["B"]', "B", False),
        ('unsolved_values = ["B"]', "A", True),
        ('solved_values = ["A"]\nunsolved_values = ["B"]', "C", None),
    ],
)
def test_named_values_decide(lists: str, word: str, solved: bool | None, tmp_path: Path) -> None:
    """One list leaves the rest to the other side; with both, what is in none is no verdict."""
    mapping = BASE + f'[verdict]\nsolved = "ok"\n{lists}\n'
    assert one(mapping, {**RECORD, "ok": word}, tmp_path).verdict.solved is solved


@pytest.mark.parametrize(
    ("changes", "mapping", "text"),
    [
        (
            {"question": ""},
            BASE,
            "missing-field (task.text = 'question' gives nothing; fields here",
        ),
        ({"model": None}, BASE, "unknown-model (agent.model = 'model' gives nothing"),
        ({"model": "Unknown"}, BASE, "unknown-model"),
        ({"model": ["m"]}, BASE, "wrong-type (agent.model = 'model' must give a text, not ['m'])"),
        ({"ok": 0.5}, BASE + '[verdict]\nsolved = "ok"', "compare a score"),
        ({"ok": "meh"}, BASE + '[verdict]\nsolved = "ok"', "name it in solved_values"),
        ({"answer": " ", "ok": 1}, BASE + '[verdict]\nsolved = "ok"', "no-messages"),
        ({"t": "x"}, BASE + '[usage]\nturns = "t"', "wrong-type (usage.turns = 't' must give a"),
        ({"t": -1}, BASE + '[usage]\nturns = "t"', "wrong-type (usage.turns"),
        ({"m": 1}, BASE.replace('text = "answer"', 'messages = "m"'), "messages must be a list"),
        (
            {},
            BASE.replace('text = "answer"', 'messages = "m"'),
            "missing-field (run.messages = 'm'",
        ),
        ({}, BASE.replace('"question"', '"length(`1`)"'), "wrong-type ('length(`1`)': In function"),
        ({}, 'each = "nope"' + BASE, "missing-field (each = 'nope' gives None, no list; fields"),
        ({}, 'each = "question"' + BASE, "wrong-type (each = 'question' gives '1 + 1?', no list"),
        (
            {"all": [{}]},
            'each = "all"' + BASE,
            "the record around the run has it: record.question",
        ),
    ],
)
def test_a_record_that_does_not_fit_says_which_key_and_what_is_there(
    changes: dict[str, Any], mapping: str, text: str, tmp_path: Path
) -> None:
    """A rejection names the mapping's key, its expression, what it gave and what is there."""
    (rejected,) = run_of(mapping, {**RECORD, **changes}, tmp_path)
    assert isinstance(rejected, Rejected), rejected
    assert text in str(rejected)


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ("", "task is missing"),
        ("x = [", "is no TOML"),
        (BASE + "[tusk]\n", "tusk is no key (did you mean 'task'?). Valid here: files, format"),
        (BASE.replace('text = "q', 'txt = "q'), "task.txt is no key (did you mean 'text'?)"),
        (BASE.replace('"question"', '"a..b"'), "task.text: 'a..b' is no JMESPath expression:"),
        (BASE.replace('"question"', '"a..b"'), 'Valid: for example text = "question"'),
        (
            BASE.replace('"question"', "3"),
            "task.text: 3 is no text; an expression is text in quotes",
        ),
        (BASE.replace('"question"', '"lenght(a)"'), "calls lenght(), which does not exist. Valid:"),
        (BASE.replace('"question"', '"length(a, b)"'), "length() takes 1 arguments, not 2"),
        (BASE.replace('"question"', "\"capture(a, '(')\""), "is no regular expression"),
        (BASE.replace('"question"', f'"{"(" * 1500}a"'), "nested too deep"),
        (BASE.replace('"question"', f'"{"a" * 3000}"'), "longer than 2000 characters"),
        (BASE.replace('"question"', f'"{"[@,@]|" * 20}@"'), "multiplies what it reads"),
        (BASE + 'messages = "m"', "exactly one of the keys messages and text is needed"),
        (
            'format = "xml"' + BASE,
            "format: Input should be 'auto', 'jsonl', 'json' or 'json-array'",
        ),
        (BASE + 'roles = {bot = "robot"}', "run.roles.bot: Input should be 'system', 'user'"),
    ],
)
def test_a_wrong_mapping_says_which_key_what_is_valid_and_an_example(toml: str, text: str) -> None:
    """A mapping that cannot work is refused before anything is read."""
    with pytest.raises(MappingError) as caught:
        parse_mapping(toml, "my.toml")
    assert text in str(caught.value)
    assert "'my.toml'" in str(caught.value)


def test_a_mapping_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    """A missing, binary or huge mapping file is a mapping error with its path."""
    with pytest.raises(MappingError, match=r"nope\.toml' cannot be read: No such file"):
        load_mapping(tmp_path / "nope.toml")
    (tmp_path / "bin.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(MappingError, match="no UTF-8"):
        load_mapping(tmp_path / "bin.toml")
    (tmp_path / "huge.toml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(MappingError, match="larger than"):
        load_mapping(tmp_path / "huge.toml")


def test_preview_shows_each_key_with_its_expression_and_value(tmp_path: Path) -> None:
    """Who writes a mapping sees what every key of it gives for the first record."""
    (tmp_path / "r.jsonl").write_bytes(orjson.dumps(RECORD) + b"\n{\n")
    (tmp_path / "s.txt").write_text("no runs")
    mapping = parse_mapping(BASE + '[verdict]\nsolved = "sum(question)"')
    first, second = preview(tmp_path, mapping, n=5)
    assert first.fields["task.text"] == ("question", "1 + 1?")
    assert first.fields["agent.model"] == ("model", "m-7b")
    assert "invalid type for value: 1 + 1?" in first.fields["verdict.solved"][1]
    assert isinstance(first.result, Rejected)
    assert (second.origin, second.fields) == ("r.jsonl:2", {})


def test_the_design_page_tells_the_truth() -> None:
    """Every mapping and expression on the page is valid, and every name is on it."""
    page = (Path(__file__).parent.parent / "design" / "sources.md").read_text("utf-8")
    whole, lines = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    mapping = parse_mapping(whole)
    assert mapping.each is not None
    for line in lines.splitlines():
        ((_, expression),) = tomllib.loads(line).items()
        Expression.compiled(expression)
    own = Functions.FUNCTION_TABLE.keys() - jmespath.functions.Functions.FUNCTION_TABLE.keys()
    assert [name for name in own if f"`{name}" not in page] == []
    assert [reason for reason in REASONS if f"| `{reason}` |" not in page] == []


# --- expressions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("number('1,234')", 1234),
        ("number(' $5.50 ')", 5.5),
        ("number('12%')", 12),
        ("number('twelve')", None),
        ("number(`true`)", None),
        ("same_number('5.0', `5`)", True),
        ("same_number('5.1', `5`)", False),
        ("same_number(nothing, nothing)", False),
        ("add('1', `2`)", 3),
        ("subtract(`5`, nothing)", None),
        ("multiply(`2`, `0.5`)", 1),
        ("divide(`1`, `0`)", None),
        ("items(o)", [["a", 1], ["b", 2]]),
        ("lines(['a', '', nothing, `1`])", "a\n1"),
        ("zip(l, l)", [[1, 1], [2, 2]]),
        ("parse_json('{\"a\": 1}').a", 1),
        ("parse_json('no')", None),
        ("capture('x=12; y=3', '(\\d+)')", "12"),
        ("capture_all('x=12; y=3', '\\d+')", ["12", "3"]),
        ("capture('none', '\\d')", None),
        ("capture(nothing, 'x')", None),
        ("matches('abc', '^a')", True),
        ("replace('a-b-c', '-', '')", "abc"),
        ("split('a/b', '/')", ["a", "b"]),
        ("trim('  x ')", "x"),
        ("upper(lower('aB'))", "AB"),
        ("to_string(o)", '{"a":1,"b":2}'),
        ("join('-', ['a', 'b'])", "a-b"),
    ],
)
def test_functions_beyond_jmespath(expression: str, value: Any) -> None:
    """Each added function does what the table of the reference says."""
    assert Expression.compiled(expression).of({"o": {"a": 1, "b": 2}, "l": [1, 2]}) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("capture(a, '^(x+x+)+y$')", "wrong-type"),  # backtracks without end
        ("replace(a, 'x', a)", "too-large"),
        ("join(a, split(a, ''))", "too-large"),
        (
            "[a,a,a,a,a,a,a,a,a,a] | [@,@,@,@,@,@,@,@,@,@] | [@,@,@,@,@,@,@,@,@,@] | to_string(@)",
            "too-large",
        ),
        ("[a,a,a,a,a,a,a,a,a,a] | [@,@,@,@,@,@,@,@,@,@] | [@,@,@,@,@,@,@,@,@,@]", "too-large"),
        ("sum(a)", "wrong-type"),
        ("ceil(`1e400`)", "wrong-type"),
    ],
)
def test_what_an_expression_costs_is_bounded(expression: str, reason: str) -> None:
    """A hostile mapping over hostile data ends in a named fault, in bounded time and memory."""
    with pytest.raises(Unfit) as caught:
        Expression.compiled(expression).of({"a": "x" * 100_000})
    assert caught.value.reason == reason


def test_an_expression_cannot_reach_python() -> None:
    """Attributes of Python values are not fields."""
    context = {"a": "text", "l": [1]}
    for expression in ("a.__class__", "l.append", "__builtins__", "a.upper"):
        assert Expression.compiled(expression).of(context) is None
