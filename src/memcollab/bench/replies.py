"""What a model's message means: code to run, a final answer, or neither (pure).

Read generously, because a harness that wants its format to the letter measures the format: other
fence names, ``~~~``, fences inside an outer fence, a fence never closed or never opened, code with
no fence at all, interpreter prompts, ``\\boxed{}``, ``Final answer:``, ``#### 42``. What is read
generously here is read so for every arm alike.
"""

from __future__ import annotations

import ast
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[ \t]*(.*)$")
_PYTHON = {"python", "py", "python3", "py3", "python2", "ipython", "pycon", "code", "tool_code"}
_PROMPT = re.compile(r"^(>>>|\.\.\.)( |$)")
_LONGEST_PROGRAM = 200  # lines
_PROGRAM = (ast.Call, ast.Assign, ast.AugAssign, ast.FunctionDef, ast.Import, ast.ImportFrom)
_MARK = r"[\s>*_#`~-]*"
_ANSWER = re.compile(
    rf"(?im)^{_MARK}(?:my |the )?(?:final )?answer(?: is)?[*_`]*[ \t]*[:=][ \t]*(.*)$"
)
_HASHES = re.compile(r"^\s*####[ \t]+(\S.*)$")
_SAID = re.compile(r"(?i)\banswer(?: \w+){0,6} is[: ]+([^\n]+?)(?:\.(?:\s|$)|\n|$)")
_CONCLUDED = re.compile(
    r"(?i)(?:\b(?:answer|solution|result|output|total|value)\b|^(?:so|thus|hence|therefore)\b)"
    r".*(?:\bis|\bare|[:=])[ \t]+(?:equal to |exactly )?(\S.*?)(?:\.\s.*)?$"
)
_LABELLED = re.compile(r"^.*(?::|=|\bis)[ \t]+(\S.*)$")
_SHORT = 8  # words; a longer "answer" is a sentence
_PLACEHOLDER = re.compile(
    r"^(?:<.*>|\[.*(?:answer|result).*\]|\.{2,}|…|_+|(?:and then gives )?your answer.*"
    r"|(?:the )?(?:final )?(?:result|answer))$",
    re.I,
)
_IMAGINED = re.compile(
    r"(?im)^[ \t]*(?:`{3,}|~{3,})?[ \t]*[*_#]*[ \t]*(?:expected |program )?(?:output|observation)s?"
    r"[ \t]*[*_]*(?:$|:.*$)"
)
_MARKS = "*_`~ \t\"'"


@dataclass(frozen=True)
class Reply:
    """One message as read.

    ``code`` is the program to run, ``answer`` the final answer it states, ``cut`` whether its last
    fence was never closed. ``bare`` says that the code consists of definitions alone, so that
    running it could show nothing.
    """

    code: str | None = None
    answer: str | None = None
    cut: bool = False
    bare: bool = False


@dataclass(frozen=True)
class Block:
    """A fenced part of a message."""

    language: str
    text: str
    closed: bool


def read(text: str) -> Reply:
    """What the message means; see `Reply`."""
    parts = list(blocks(text))
    programs = [block for block in parts if _is_program(block)]
    code = _joined(programs)
    answer = stated_answer(_without(text, programs))
    if code is None and answer is None and not parts:
        code = _ending_in_a_program(text.splitlines(), _clearly_a_program)
    return Reply(
        code=code,
        answer=answer,
        cut=bool(parts) and not parts[-1].closed,
        bare=code is not None and _only_defines(code),
    )


def until_output(text: str) -> str:
    """The message up to where the model imagines what its program prints.

    What it would have said about an output that it has not seen is no part of the run.
    """
    for found in _IMAGINED.finditer(text):
        before = text[: found.start()]
        reply = read(before)
        if reply.code is not None and not reply.cut:
            return before.rstrip()
    return text


def blocks(text: str) -> Iterator[Block]:
    """The fenced parts, in order; the text between two of them is no part of any."""
    fence, language, lines = "", "", []
    for line in _with_opening_fence(list(map(_unquoted, text.splitlines()))):
        found = _FENCE.match(line)
        if found and not fence:
            fence, language, lines = found[1], found[2].lower(), _rest(found)
        elif found and found[1][0] == fence[0] and found[2]:
            # A fence with a name opens another block: the one before it was an outer wrapping.
            yield Block(language, "\n".join(lines), closed=True)
            fence, language, lines = found[1], found[2].lower(), _rest(found)
        elif fence and line.rstrip().endswith(fence):
            last = line.rstrip().rstrip(fence[0])
            yield Block(language, "\n".join([*lines, *([last] if last else [])]), closed=True)
            fence = ""
        elif fence:
            lines.append(line)
    if fence:
        yield Block(language, "\n".join(lines), closed=False)


def _with_opening_fence(lines: list[str]) -> list[str]:
    """A model may begin with code and only close the fence that it never opened."""
    fences = [number for number, line in enumerate(lines) if _FENCE.match(line)]
    if len(fences) != 1 or lines[fences[0]].strip(" `~") or "".join(lines[fences[0] + 1 :]).strip():
        return lines
    before = lines[: fences[0]]
    program = _ending_in_a_program(before, _is_a_program)
    if program is None:
        return lines
    start = len(before) - len(program.splitlines())
    return [*before[:start], lines[fences[0]], *before[start:], lines[fences[0]]]


def _ending_in_a_program(lines: list[str], is_program: Callable[[ast.Module], bool]) -> str | None:
    """The longest end of the lines that is a program, prompts of a session taken off."""
    for start in range(max(0, len(lines) - _LONGEST_PROGRAM), len(lines)):
        code = _unprompted("\n".join(lines[start:]))
        if lines[start].strip() and (tree := parse(code)) is not None and is_program(tree):
            return code
    return None


def _rest(opening: re.Match[str]) -> list[str]:
    """Code on the line of the fence itself."""
    return [opening[3]] if opening[3] else []


def _unquoted(line: str) -> str:
    """Without the mark of a Markdown quotation (``>>>`` is a prompt)."""
    return line[2:] if line.startswith("> ") else line


def stated_answer(text: str) -> str | None:
    """The last final answer that the text states in one of the usual forms, cleaned; else None.

    A short answer goes before a long one, which may be a sentence that only begins like it.
    """
    lines = [_answer_at(text, found) for found in reversed(list(_ANSWER.finditer(text)))]
    hashes = _HASHES.match(_last_line(text))
    marked = [clean(each) for each in reversed([*boxed(text), *([hashes[1]] if hashes else [])])]
    short = [line for line in lines if line and len(line.split()) <= _SHORT]
    return next((each for each in [*short, *marked, *lines] if each), None)


def _answer_at(text: str, found: re.Match[str]) -> str | None:
    """ "ANSWER:" alone on its line: the answer is what follows."""
    return clean(found[1] or _next_line(text[found.end() :]))


def last_answer(messages: Sequence[str], output: str = "") -> str | None:
    """What an unfinished run comes to: an answer in any form, else the last line it computed.

    Args:
        messages: the model's messages, in order.
        output: what its last program printed.
    """
    for text in reversed(messages):
        if answer := stated_answer(text):
            return answer
        if said := concluded(text):
            return said
        if found := _SAID.findall(text):
            return clean(found[-1])
    return _outcome(output)


def repeated(text: str, output: str) -> str | None:
    """What ``output`` came to, where the text says it again: "The output is 3.5."; else None."""
    value = _outcome(output)
    return value if value and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) else None


def concluded(text: str) -> str | None:
    """What the last line concludes ("So the solution is 7/2."), where it is short; else None."""
    if found := _CONCLUDED.search(_last_line(text).strip().strip(_MARKS)):
        answer = clean(found[1])
        return answer if answer and len(answer.split()) <= _SHORT else None
    return None


def _outcome(output: str) -> str | None:
    """The value in the last line of an output: of "Result: 3.5" it is 3.5."""
    line = _last_line(output)
    found = _LABELLED.match(line)
    return clean(found[1] if found else line)


def last_definition(messages: Sequence[str], name: str) -> str | None:
    """The last code that compiles and defines ``name``, of all messages."""
    for text in reversed(messages):
        code = read(text).code
        if code is not None and defines(code, name):
            return code
        for block in reversed(list(blocks(text))):
            if defines(_unprompted(block.text), name):
                return _unprompted(block.text)
    return None


def whole_definition(messages: Sequence[str], name: str) -> str | None:
    """The last whole definition of ``name`` in code that does not compile as it stands, or that
    stands in no fence: what comes behind it was cut off or is prose, or all of it is indented.

    Whole is a function behind which something else begins: of one that was itself cut off nobody
    can say what it would have been.
    """
    for text in reversed(messages):
        parts = [(block.text, block.closed) for block in blocks(text)]
        for part, closed in [(text, False), *parts][::-1]:
            lines = _unprompted(textwrap.dedent(part)).splitlines()
            if code := _whole(lines, name, ends=closed):
                return code
    return None


def _whole(lines: list[str], name: str, *, ends: bool) -> str | None:
    """The definition with what stands before and behind it, as much of both as compiles."""
    head = re.compile(rf"(?:async )?def {re.escape(name)}\s*\(")
    heads = [number for number, line in enumerate(lines) if head.match(line)]
    begun = [number for number, line in enumerate(lines) if line.strip() and not line[0].isspace()]
    if not heads:
        return None
    # Where a statement begins, the one before it is whole; so is the last of a closed block.
    stops = [stop for stop in [*begun, *([len(lines)] if ends else [])] if stop > heads[-1]]
    starts = [start for start in begun if start <= heads[-1]][-_LONGEST_PROGRAM:]
    for start in starts if stops else ():
        if defines("\n".join(lines[start : stops[0]]), name):
            last = next(
                stop
                for stop in reversed(stops[:_LONGEST_PROGRAM])
                if parse("\n".join(lines[start:stop])) is not None
            )
            return "\n".join(lines[start:last]).rstrip()
    return None


def defines(code: str, name: str) -> bool:
    """Whether the code compiles and binds ``name`` at its top level."""
    tree = parse(code)
    if tree is None:
        return False
    return any(
        (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and node.name == name
        )
        or (
            isinstance(node, ast.Assign)
            and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        )
        for node in tree.body
    )


def parse(code: str) -> ast.Module | None:
    """The syntax tree, or None where the code does not compile."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a bad escape in a model's string is its own affair
            return ast.parse(code)
    # ValueError: null bytes; RecursionError, MemoryError: brackets nested a thousand deep.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def clean(answer: str) -> str | None:
    """An answer without Markdown, dollar signs and a closing full stop; None if nothing is left
    or only a placeholder."""
    text, before = answer, ""
    while text != before:  # one wrapping may stand inside another
        text, before = _unwrapped(text), text
    return None if not text or _PLACEHOLDER.match(text) else text


def _unwrapped(text: str) -> str:
    contents = boxed(text)
    text = (contents[-1] if contents else text).strip().strip(_MARKS).strip()
    for opening, closing in (("\\(", "\\)"), ("\\[", "\\]"), ("$$", "$$"), ("$", "$")):
        if text.startswith(opening) and text.endswith(closing) and len(text) > 2 * len(opening):
            text = text[len(opening) : -len(closing)]
    # The other delimiter may have been left behind with the words around the answer.
    return re.sub(r"^(?:\\[(\[]|\$)|(?:\\[)\]]|\$)$", "", text.strip().rstrip(".")).strip(_MARKS)


def boxed(text: str) -> list[str]:
    """Contents of ``\\boxed{…}``, braces balanced."""
    found = []
    for start in re.finditer(r"\\boxed\s*\{", text):
        depth = 1
        for position in range(start.end(), len(text)):
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            if depth == 0:
                found.append(text[start.end() : position])
                break
    return found


def _next_line(text: str) -> str:
    return next((line for line in text.splitlines() if line.strip(_MARKS)), "")


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _is_program(block: Block) -> bool:
    if block.language in _PYTHON:
        return bool(block.text.strip())
    tree = parse(_unprompted(block.text))
    return not block.language and tree is not None and _is_a_program(tree)


def _is_a_program(tree: ast.Module) -> bool:
    """More than a lone name or number, which compile, too."""
    return any(isinstance(node, _PROGRAM) for node in ast.walk(tree))


def _clearly_a_program(tree: ast.Module) -> bool:
    """What outside of any fence is not prose or a formula: it imports, defines or prints."""
    return any(
        isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef)
        or (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print")
        for node in ast.walk(tree)
    )


def _joined(programs: Sequence[Block]) -> str | None:
    """All blocks as one program: a later block of a message builds on the earlier. Where one does
    not compile, those that do; where none does, the last, so that its error can be shown."""
    codes = [_unprompted(block.text) for block in programs]
    sound = [code for code in codes if parse(code) is not None]
    if not codes:
        return None
    return "\n\n".join(sound) if sound else codes[-1]


def _unprompted(text: str) -> str:
    """Without the prompts of an interactive session (and then without the outputs shown in it)."""
    lines = text.splitlines()
    if not any(line.startswith(">>>") for line in lines):
        return text
    return "\n".join(_PROMPT.sub("", line) for line in lines if _PROMPT.match(line))


def _only_defines(code: str) -> bool:
    """Definitions, imports, constants and docstrings: nothing that shows a result."""
    tree = parse(code)
    return tree is not None and all(
        isinstance(
            node,
            ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom,
        )
        or (isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant))
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in tree.body
    )


def _without(text: str, programs: Sequence[Block]) -> str:
    for block in programs:
        text = text.replace(block.text, "", 1)
    return text
