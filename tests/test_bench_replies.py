"""`memcollab.bench.replies`: messages of models, read generously."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcollab.bench import replies

PROGRAM = "print(6 * 7)"


@pytest.mark.parametrize(
    "message",
    [
        "I compute it.\n```python\nprint(6 * 7)\n```",
        "```py\nprint(6 * 7)\n```\nThat is it.",
        "```\nprint(6 * 7)\n```",
        "~~~python\nprint(6 * 7)\n~~~",
        "```Python3\nprint(6 * 7)```",
        "> ```python\nprint(6 * 7)\n> ```",
        "```python\nprint(6 * 7)",
        "```\nThought: multiply.\n```python\nprint(6 * 7)\n```\n```",
        "print(6 * 7)",
        ">>> print(6 * 7)\n42",
        "```python\n>>> print(6 * 7)\n42\n```",
        "````python\nprint(6 * 7)\n````",
        "print(6 * 7)\n```",
        "I multiply the two.\nprint(6 * 7)\n```",
        "I multiply the two.\nprint(6 * 7)",
    ],
)
def test_code_is_found_in_whatever_fence_it_stands(message: str) -> None:
    """Fence names, tildes, an unclosed or an outer fence and prompts do not hide a program."""
    assert replies.read(message).code == PROGRAM


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("ANSWER: 42", "42"),
        ("Some thought.\n\n**Answer:** 42.", "42"),
        ("**ANSWER: 42**", "42"),
        ("Final answer: $42$", "42"),
        ("The final answer is: 42", "42"),
        ("### Final Answer:\n42", "42"),
        ("```\nANSWER: 42\n```", "42"),
        ("So it is \\(\\boxed{42}\\).", "42"),
        ("It is \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("ANSWER: \\(x = 3\\)", "x = 3"),
        ("We add.\n#### 42", "42"),
        ("ANSWER: 1\nNo, that is wrong.\nANSWER: 2", "2"),
        ("Answer: " + "well, to begin with, " * 9 + "\nSo we get \\boxed{42}", "42"),
    ],
)
def test_a_final_answer_is_found_in_the_usual_forms(message: str, answer: str) -> None:
    """Markdown, LaTeX and other wordings do not hide a final answer, and the last one counts."""
    assert replies.read(message).answer == answer


@pytest.mark.parametrize(
    "message",
    [
        "ANSWER: <your answer>",
        "ANSWER: the result",
        "ANSWER: ...",
        "ANSWER:",
        "#### Step 3: add the numbers\nThen go on.",
        "I do not know the answer yet.",
        "Finish with ANSWER: done",
        "x = 5",
        "",
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(message: str) -> None:
    """Placeholders, headings and repeated instructions are no answers."""
    assert replies.read(message).answer is None


def test_an_answer_inside_a_program_is_not_yet_stated() -> None:
    """What a program would print counts only once it has printed it."""
    reply = replies.read('```python\nprint("ANSWER: 42")\n# Answer: 41\n```')
    assert reply.answer is None
    assert reply.code is not None


def test_a_made_up_output_is_no_program() -> None:
    """A block with the output that a model imagines is not run."""
    reply = replies.read("```python\nprint(6 * 7)\n```\n```output\n41\n```\n```\n41\n```")
    assert reply.code == PROGRAM


def test_the_blocks_of_a_message_are_one_program() -> None:
    """A later block builds on the earlier; one that does not compile is left out."""
    message = "```python\nx = 2\n```\nand\n```python\nx = = 3\n```\nthen\n```python\nprint(x)\n```"
    assert replies.read(message).code == "x = 2\n\nprint(x)"


def test_a_program_that_does_not_compile_is_kept_so_that_its_error_can_be_shown() -> None:
    """The model is to see its own syntax error."""
    assert replies.read("```python\nprint(6 * \n```").code == "print(6 * "


def test_a_message_cut_off_inside_a_fence_says_so() -> None:
    """An unclosed fence is the mark of a token limit."""
    assert replies.read("```python\nprint(").cut
    assert not replies.read("```python\nprint(1)\n```").cut


def test_definitions_alone_show_nothing() -> None:
    """A message of definitions, imports and constants is bare; one that prints is not."""
    bare = '```python\nimport math\nLIMIT = 3\n\ndef f(x):\n    """Say."""\n    return x\n```'
    assert replies.read(bare).bare
    assert not replies.read(bare.replace("\n```", "\nprint(f(1))\n```")).bare


def test_the_last_definition_is_that_which_compiles() -> None:
    """A broken last attempt does not lose the sound one before it."""
    sound = "```python\ndef f(x):\n    return x\n```"
    broken = "```python\ndef f(x):\n    return (\n```"
    other = "```python\ndef g(x):\n    return x\n```"
    found = replies.last_definition([sound, broken, other], "f")
    assert found == "def f(x):\n    return x"
    assert replies.last_definition([broken, other], "f") is None


@pytest.mark.parametrize(
    ("text", "output", "value"),
    [
        ("The output is: 3.5", "The result is: 3.5", "3.5"),
        ("It is 42!", "7\n42\n", "42"),
        ("It is 423.", "42", None),
        ("Done.", "", None),
    ],
)
def test_words_that_repeat_the_output_state_its_value(
    text: str, output: str, value: str | None
) -> None:
    """Small models end with "The output is 3.5." in place of the asked form."""
    assert replies.repeated(text, output) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("So, the solution of 2x + 3 = 10 is \\(\\frac{7}{2}\\).", "\\frac{7}{2}"),
        ("Thus the total is 18 dollars.", "18 dollars"),
        ("Therefore, **x = 5**", "5"),
        ("The answer is one that we find only when all of the rows have been added", None),
        ("Let us count.", None),
    ],
)
def test_a_last_line_may_conclude(text: str, value: str | None) -> None:
    """A short conclusion in the last line is an answer; a sentence is none."""
    assert replies.concluded(text) == value


def test_an_unfinished_run_comes_to_what_it_said_or_computed_last() -> None:
    """In order: a stated answer, a conclusion, the last line of the last output."""
    assert replies.last_answer(["ANSWER: 4", "hm"], "9") == "4"
    assert replies.last_answer(["I think the answer to it is 5. But wait", "hm"], "9") == "5"
    assert replies.last_answer(["hm"], "sum: 9\n") == "9"
    assert replies.last_answer(["hm"], "") is None


@given(st.text(alphabet="`~> \npythonANSWER:x=()1{}\\boxed#*$.", max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    """No message breaks the parser, and what it finds is never blank."""
    reply = replies.read(text)
    for found in (reply.code, reply.answer, replies.last_answer([text], text)):
        assert found is None or found.strip()


@given(
    st.text(alphabet="abcxyz 0123456789/\\{}^", min_size=1, max_size=30).filter(
        lambda text: replies.clean(text) == text
    )
)
def test_a_stated_answer_is_read_back(answer: str) -> None:
    """What is stated in the asked form is what is read, whatever thought stands before it."""
    assert replies.read(f"I think about it.\nANSWER: {answer}").answer == answer


@given(st.integers(), st.sampled_from(["```python", "```py", "```", "~~~", "```PYTHON"]))
def test_any_fence_gives_the_same_program(number: int, fence: str) -> None:
    """The program does not depend on the fence that it stands in."""
    closing = fence[:3]
    message = f"Thought.\n{fence}\nprint({number})\n{closing}\nDone."
    assert replies.read(message).code == f"print({number})"


@given(st.text(max_size=60))
def test_cleaning_twice_changes_nothing(text: str) -> None:
    """A cleaned answer is clean."""
    once = replies.clean(text)
    assert once is None or replies.clean(once) == once


@pytest.mark.parametrize(
    "imagined",
    [
        "Output:\n41\nANSWER: 41",
        "```output\n41\n```\nIt is 41.",
        "**Output:** 41",
        "Observation: 41",
    ],
)
def test_an_imagined_output_is_cut_off(imagined: str) -> None:
    """What a model says about an output that it has not seen is no part of its message."""
    message = "I multiply.\n```python\nprint(6 * 7)\n```"
    assert replies.until_output(f"{message}\n{imagined}") == message


@pytest.mark.parametrize(
    "message",
    [
        "Output:\n41",
        "```python\nprint(1)  # Output: 1\n```\nThe output is 1.",
        "```python\nprint('''\nOutput: 1\n''')\n```",
    ],
)
def test_words_about_output_are_kept(message: str) -> None:
    """Without a program before it, inside a program, or in prose, the word cuts nothing."""
    assert replies.until_output(message) == message


@pytest.mark.parametrize(
    "message",
    ["ANSWER: sqrt(2)", "ANSWER: 42", "Therefore,\nx = 5", "The list is\n[1, 2, 3]", "42"],
)
def test_an_answer_that_would_compile_is_no_program(message: str) -> None:
    """`ANSWER: sqrt(2)` is valid Python, and not meant so."""
    assert replies.read(message).code is None


F = "def f(x):\n    return x"


@pytest.mark.parametrize(
    "message",
    [
        f"```python\n{F}\n\ndef g(y):\n    if y",
        f"```python\n{F}\n\nassert f(1) == 1\nassert f(2) ==",
        f"```python\n{F}\n\nThis gives back what it gets.\n```",
        "1. Write it:\n   ```python\n   def f(x):\n       return x\n   ```\n2. Try it.",
        f"Final answer:\n\n{F}\n\nThis gives back what it gets.",
        f"```\nFinal answer:\n{F}\n```",
        f"```python:solution.py\n{F}\n```",
        f"<code>\n{F}\n</code>",
    ],
)
def test_a_whole_function_is_found_in_code_that_does_not_compile(message: str) -> None:
    """What was cut off behind it, prose around it and its indentation do not take it away."""
    assert replies.last_definition([message], "f") is None
    found = replies.whole_definition([message], "f")
    assert found is not None
    assert found.startswith(F)
    assert replies.defines(found, "f")


def test_a_function_that_was_itself_cut_off_is_none() -> None:
    """Its first lines compile, but they are not what it would have been."""
    for cut in ("    y = 1\n    return y if x el", "    y = 1\n", "    y = 1"):
        assert replies.whole_definition([f"```python\ndef f(x):\n{cut}"], "f") is None


def test_what_a_function_needs_is_kept_with_it() -> None:
    """Imports before it and functions behind it that it calls."""
    code = f"import math\nOFF = 1\n\n{F}\n\ndef g(y):\n    return y"
    assert replies.whole_definition([f"```python\n{code}\n\nprint(f("], "f") == code


@given(st.text(alphabet="`~> \n\tdef f(x):=1return#@", max_size=200))
def test_a_whole_definition_defines(text: str) -> None:
    """Whatever the text, what is found compiles and binds the name."""
    found = replies.whole_definition([text], "f")
    assert found is None or replies.defines(found, "f")
